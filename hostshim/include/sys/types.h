/*
 * The types of the kernel, for a 64-bit machine.
 */
#ifndef _RUMPLAB_SYS_TYPES_H_
#define _RUMPLAB_SYS_TYPES_H_

#include <sys/cdefs.h>
#include <sys/null.h>

typedef __INT8_TYPE__ int8_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __INT16_TYPE__ int16_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __INT32_TYPE__ int32_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __INTPTR_TYPE__ intptr_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __INTMAX_TYPE__ intmax_t;
typedef __UINTMAX_TYPE__ uintmax_t;
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef long ssize_t;

typedef uint8_t u_int8_t;
typedef uint16_t u_int16_t;
typedef uint32_t u_int32_t;
typedef uint64_t u_int64_t;
typedef unsigned char u_char;
typedef unsigned short u_short;
typedef unsigned int u_int;
typedef unsigned long u_long;
typedef uint64_t u_quad_t;
typedef int64_t quad_t;

typedef uintptr_t vaddr_t;
typedef uintptr_t vsize_t;
typedef uintptr_t paddr_t;
typedef int64_t time_t;
typedef int pid_t;
typedef int lwpid_t;
typedef unsigned uid_t;
typedef unsigned gid_t;
typedef uint64_t dev_t;
typedef uint32_t mode_t;
typedef int64_t off_t;
typedef int pri_t;
typedef unsigned long cpuid_t;
typedef char *caddr_t;
typedef volatile uint8_t __cpu_simple_lock_t;

#ifndef __cplusplus
#ifndef bool
#define bool _Bool
#define true 1
#define false 0
#endif
#endif

#define INT_MAX			__INT_MAX__
#define INT_MIN			(-__INT_MAX__ - 1)
#define UINT_MAX		(__INT_MAX__ * 2U + 1U)
#define LONG_MAX		__LONG_MAX__
#define ULONG_MAX		(__LONG_MAX__ * 2UL + 1UL)
#define INT32_MAX		__INT32_MAX__
#define UINT32_MAX		__UINT32_MAX__
#define INT64_MAX		__INT64_MAX__
#define INT64_MIN		(-__INT64_MAX__ - 1)
#define UINT64_MAX		__UINT64_MAX__
#define UINT16_MAX		__UINT16_MAX__
#define UINT8_MAX		__UINT8_MAX__
#define SIZE_MAX		__SIZE_MAX__
#define CHAR_BIT		__CHAR_BIT__
#define NBBY			8

#define offsetof(type, member)	__builtin_offsetof(type, member)

struct cpu_info;
struct lwp;

#endif
