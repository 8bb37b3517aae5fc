/*
 * What a thread can sleep on. The kernel has kinds of its own: it does not call these functions.
 */
#ifndef _RUMPLAB_SYS_SYNCOBJ_H_
#define _RUMPLAB_SYS_SYNCOBJ_H_

#include <sys/types.h>

typedef volatile const void *wchan_t;

typedef struct syncobj {
	u_int sobj_flag;
	void (*sobj_unsleep)(struct lwp *, bool);
	void (*sobj_changepri)(struct lwp *, pri_t);
	void (*sobj_lendpri)(struct lwp *, pri_t);
	struct lwp *(*sobj_owner)(wchan_t);
} syncobj_t;

#define SOBJ_SLEEPQ_SORTED	0x01
#define SOBJ_SLEEPQ_FIFO	0x02
#define SOBJ_SLEEPQ_LIFO	0x04

static __unused struct lwp *
syncobj_noowner(wchan_t wchan __unused)
{
	return NULL;
}

static __unused syncobj_t sleep_syncobj = { .sobj_flag = SOBJ_SLEEPQ_SORTED, .sobj_owner = syncobj_noowner };

#endif
