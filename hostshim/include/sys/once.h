/*
 * once(9): what is done once. A failure is kept.
 */
#ifndef _RUMPLAB_SYS_ONCE_H_
#define _RUMPLAB_SYS_ONCE_H_

#include <sys/param.h>
#include <sys/atomic.h>

typedef struct {
	unsigned o_status;
	int o_error;
} once_t;

#define ONCE_VIRGIN		0
#define ONCE_RUNNING		1
#define ONCE_DONE		2
#define ONCE_DECL(o)		once_t o = { .o_status = ONCE_VIRGIN }

/* A thread that finds it running sleeps until it is done. */
static __unused int
rumplab_run_once(once_t *o, int (*func)(void))
{
	unsigned expected = ONCE_VIRGIN;

	if (__atomic_compare_exchange_n(&o->o_status, &expected, ONCE_RUNNING, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
		o->o_error = (*func)();
		atomic_store_release(&o->o_status, ONCE_DONE);
	}
	while (atomic_load_acquire(&o->o_status) != ONCE_DONE)
		kpause("once", false, 1, NULL);
	return o->o_error;
}

#define RUN_ONCE(o, func)						\
	(__predict_true(atomic_load_acquire(&(o)->o_status) == ONCE_DONE) ? (o)->o_error : rumplab_run_once((o), (func)))

#endif
