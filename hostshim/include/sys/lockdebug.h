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
	void *lo_dump;			/* a function; nobody calls it */
} lockops_t;

typedef void (*lockop_printer_t)(const char *, ...) __printflike(1, 2);

#define LOCKDEBUG_ALLOC(lock, ops, ra)		((void)(ops), false)
#define LOCKDEBUG_FREE(debug, lock)		((void)(lock))
#define LOCKDEBUG_LOCKED(debug, lock, shared, ra, s)	((void)0)
#define LOCKDEBUG_UNLOCKED(debug, lock, ra, s)	((void)0)
#define LOCKDEBUG_WANTLOCK(debug, lock, ra, s)	((void)0)
#define LOCKDEBUG_WAKEUP(debug, lock, ra)	((void)0)
/* Of a lock, its operations, the function and a message; or, in newer code, of the function, the line, the lock, its operations and a message. */
#define LOCKDEBUG_ABORT(...)			_LOCKDEBUG_SIXTH(__VA_ARGS__, _LOCKDEBUG_ABORT_5, _LOCKDEBUG_ABORT_4, none)(__VA_ARGS__)
#define _LOCKDEBUG_SIXTH(a, b, c, d, e, f, ...)	f
#define _LOCKDEBUG_ABORT_4(lock, ops, func, msg)		panic("%s: %s: %s", (ops)->lo_name, (func), (msg))
#define _LOCKDEBUG_ABORT_5(func, line, lock, ops, msg)	panic("%s: %s:%zu: %s", (ops)->lo_name, (func), (size_t)(line), (msg))

#define LOCKDEBUG_BARRIER(lock, slplocks)	((void)0)
#define LOCKDEBUG_MEM_CHECK(base, size)		((void)0)

#endif
