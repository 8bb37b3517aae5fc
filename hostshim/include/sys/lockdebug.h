/*
 * lockdebug: the machine checks locks itself.
 */
#ifndef _RUMPLAB_SYS_LOCKDEBUG_H_
#define _RUMPLAB_SYS_LOCKDEBUG_H_

#include <sys/types.h>
#include <sys/systm.h>

#define LOCKOPS_SLEEP	0
#define LOCKOPS_SPIN	1
#define LOCKOPS_CV	2

typedef struct lockops {
	const char *lo_name;
	int lo_type;
	void (*lo_dump)(volatile void *);
} lockops_t;

#define LOCKDEBUG_ALLOC(lock, ops, ra)		((void)(ops), false)
#define LOCKDEBUG_FREE(debug, lock)		((void)(lock))
#define LOCKDEBUG_LOCKED(debug, lock, shared, ra, s)	((void)0)
#define LOCKDEBUG_UNLOCKED(debug, lock, ra, s)	((void)0)
#define LOCKDEBUG_WANTLOCK(debug, lock, ra, s)	((void)0)
#define LOCKDEBUG_WAKEUP(debug, lock, ra)	((void)0)
#define LOCKDEBUG_ABORT(lock, ops, func, msg)	panic("%s: %s: %s", (ops)->lo_name, (func), (msg))

#define LOCKDEBUG_BARRIER(lock, slplocks)	((void)0)
#define LOCKDEBUG_MEM_CHECK(base, size)		((void)0)

#endif
