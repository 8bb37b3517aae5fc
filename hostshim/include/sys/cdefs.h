/*
 * Attributes and small macros of the compiler, under the names that NetBSD has for them.
 *
 * Kernel code runs on the simulated machine as it runs in a kernel that is built with DIAGNOSTIC: assertions are checked.
 */
#ifndef _RUMPLAB_SYS_CDEFS_H_
#define _RUMPLAB_SYS_CDEFS_H_

#ifndef _KERNEL
#define _KERNEL 1
#endif
#ifndef DIAGNOSTIC
#define DIAGNOSTIC 1
#endif
#ifndef MULTIPROCESSOR
#define MULTIPROCESSOR 1
#endif

#define __BEGIN_DECLS
#define __END_DECLS

#define __CONCAT1(a, b)		a ## b
#define __CONCAT(a, b)		__CONCAT1(a, b)
#define __STRING(x)		#x

#define __dead			__attribute__((__noreturn__))
#define __pure			__attribute__((__const__))
#define __unused		__attribute__((__unused__))
#define __diagused		__attribute__((__unused__))
#define __debugused		__attribute__((__unused__))
#define __used			__attribute__((__used__))
#define __packed		__attribute__((__packed__))
#define __aligned(x)		__attribute__((__aligned__(x)))
#define __section(x)		__attribute__((__section__(x)))
#define __noinline		__attribute__((__noinline__))
#define __always_inline		__attribute__((__always_inline__))
#define __returns_twice		__attribute__((__returns_twice__))
#define __noprofile
#define __noubsan
#define __nocsan
#define __noasan
#define __restrict		restrict
#define __printflike(f, a)	__attribute__((__format__(__printf__, f, a)))
#define __sysctl_aligned

#define __predict_true(e)	__builtin_expect((e) != 0, 1)
#define __predict_false(e)	__builtin_expect((e) != 0, 0)

#define __read_mostly
#define __cacheline_aligned	__aligned(COHERENCY_UNIT)

/* An identification of the source. It takes no room. */
#define __RCSID_CHECKED(s)	_Static_assert(sizeof(s) > 0, "an identification")
#define __KERNEL_RCSID(n, s)	__RCSID_CHECKED(s)
#define __RCSID(s)		__RCSID_CHECKED(s)

#define __UNCONST(p)		((void *)(__UINTPTR_TYPE__)(const void *)(p))
#define __UNVOLATILE(p)		((void *)(__UINTPTR_TYPE__)(volatile void *)(p))

/* The least set bit of a mask, and the value of a field that a mask selects. */
#define __LOWEST_SET_BIT(m)	((((m) - 1) & (m)) ^ (m))
#define __SHIFTOUT(x, m)	(((x) & (m)) / __LOWEST_SET_BIT(m))
#define __SHIFTIN(x, m)		((x) * __LOWEST_SET_BIT(m))
#define __BIT(n)		((__UINTMAX_TYPE__)1 << (n))
#define __BITS(m, n)		((__BIT(((m) > (n) ? (m) : (n)) + 1) - 1) ^ (__BIT((m) < (n) ? (m) : (n)) - 1))

#define __arraycount(a)		(sizeof(a) / sizeof((a)[0]))
#define CTASSERT(x)		_Static_assert((x), #x)
#define __CTASSERT(x)		CTASSERT(x)

/* Another name of a function of this file. */
#define __strong_alias(a, b)	extern __typeof__(b) a __attribute__((__alias__(#b)));
#define __weak_alias(a, b)	extern __typeof__(b) a __attribute__((__weak__, __alias__(#b)));
#define __insn_barrier()	__atomic_signal_fence(__ATOMIC_SEQ_CST)

/* The functions of these headers that only pass arguments on are no part of the program that is watched: they have a section. */
#define __rumplab_glue								\
	static __unused __noinline __section(".text.rumplab") __attribute__((__no_sanitize__("thread")))

/* gcc says that fences are not supported. The machine knows them. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#endif
