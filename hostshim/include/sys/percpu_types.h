/*
 * Types of percpu(9).
 */
#ifndef _RUMPLAB_SYS_PERCPU_TYPES_H_
#define _RUMPLAB_SYS_PERCPU_TYPES_H_

#include <sys/types.h>

typedef struct percpu percpu_t;
typedef struct percpu_cpu {
	void *pcc_data;
	size_t pcc_size;
} percpu_cpu_t;
typedef void (*percpu_callback_t)(void *, void *, struct cpu_info *);

#endif
