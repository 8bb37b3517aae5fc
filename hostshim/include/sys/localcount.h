/*
 * localcount(9): reference counts with one count per CPU.
 */
#ifndef _RUMPLAB_SYS_LOCALCOUNT_H_
#define _RUMPLAB_SYS_LOCALCOUNT_H_

#include <sys/types.h>
#include <sys/condvar.h>
#include <sys/mutex.h>
#include <sys/percpu_types.h>
#include <rumplab/layout.h>

struct localcount {
	int64_t *lc_totalp;
	percpu_t *lc_percpu;
	volatile unsigned lc_refcnt;
	uint8_t lc_opaque[RUMPLAB_SIZEOF_LOCALCOUNT - 20];
} __aligned(8);

void localcount_init(struct localcount *lc);
void localcount_drain(struct localcount *lc, kcondvar_t *cv, kmutex_t *interlock);
void localcount_fini(struct localcount *lc);
void localcount_acquire(struct localcount *lc);
void localcount_release(struct localcount *lc, kcondvar_t *cv, kmutex_t *interlock);
uint32_t localcount_debug_refcnt(const struct localcount *lc);

#endif
