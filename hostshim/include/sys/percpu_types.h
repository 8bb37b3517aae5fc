/*
 * Types of percpu(9).
 */
#ifndef _RUMPLAB_SYS_PERCPU_TYPES_H_
#define _RUMPLAB_SYS_PERCPU_TYPES_H_

#include <sys/types.h>

typedef struct percpu percpu_t;
typedef void (*percpu_callback_t)(void *, void *, struct cpu_info *);

#endif
