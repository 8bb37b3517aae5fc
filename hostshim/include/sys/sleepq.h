/*
 * Sleep queues and turnstiles: the kernel's own. A C file that is condvar(9) or rwlock(9) stands on them.
 *
 * A queue is sorted by priority, whatever the flags of its syncobj are. There are no signals and no priority inheritance, so nobody calls the
 * functions of a syncobj.
 */
#ifndef _RUMPLAB_SYS_SLEEPQ_H_
#define _RUMPLAB_SYS_SLEEPQ_H_

#include <sys/types.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/lwp.h>
#include <sys/mutex.h>
#include <sys/queue.h>
#include <sys/syncobj.h>
#include <sys/systm.h>

/* A queue, under its lock: with TAILQ_FIRST, TAILQ_EMPTY and TAILQ_NEXT(l, l_sleepchain), or with the macros of a LIST. */
typedef struct sleepq {
	union {
		struct lwp *tqh_first;
		struct lwp *lh_first;
	};
} sleepq_t;

static inline void
sleepq_init(sleepq_t *sq)
{
	sq->tqh_first = NULL;
}

#define sleepq_destroy(sq)	((void)(sq))

kmutex_t *sleepq_hashlock(wchan_t wchan);
void rumplab_sleepq_enter(kmutex_t *mp);
#define sleepq_enter(sq, l, mp)	((void)(sq), (void)(l), rumplab_sleepq_enter(mp))
void sleepq_enqueue(sleepq_t *sq, wchan_t wchan, const char *wmesg, struct syncobj *sobj);
int sleepq_block(int timo, bool catch);
/* Newer code passes whether a signal ends the sleep, and the syncobj once more. */
#define sleepq_enqueue(sq, wchan, wmesg, sobj, ...)	sleepq_enqueue((sq), (wchan), (wmesg), (sobj))
#define sleepq_block(timo, catch, ...)			sleepq_block((timo), (catch))
void rumplab_sleepq_remove(struct lwp *l);
#define sleepq_remove(sq, l)	((void)(sq), rumplab_sleepq_remove(l))
void sleepq_wake(sleepq_t *sq, wchan_t wchan, u_int count, kmutex_t *mp);

static __unused void
sleepq_unsleep(struct lwp *l __unused, bool unlock __unused)
{
	panic("sleepq_unsleep: the machine has no signals");
}

static __unused void
sleepq_changepri(struct lwp *l __unused, pri_t pri __unused)
{
	panic("sleepq_changepri: the machine changes no priorities");
}

static __unused void
sleepq_lendpri(struct lwp *l __unused, pri_t pri __unused)
{
	panic("sleepq_lendpri: the machine changes no priorities");
}

typedef struct turnstile turnstile_t;

#define TS_READER_Q	0
#define TS_WRITER_Q	1

turnstile_t *turnstile_lookup(wchan_t obj);
void turnstile_exit(wchan_t obj);
void turnstile_block(turnstile_t *ts, int queue, wchan_t obj, struct syncobj *sobj);
void turnstile_wakeup(turnstile_t *ts, int queue, int count, struct lwp *next);
u_int rumplab_turnstile_waiters(turnstile_t *ts, int queue);
struct lwp *rumplab_turnstile_first(turnstile_t *ts, int queue);
#define TS_WAITERS(ts, queue)	rumplab_turnstile_waiters((ts), (queue))
#define TS_FIRST(ts, queue)	rumplab_turnstile_first((ts), (queue))

static __unused void
turnstile_unsleep(struct lwp *l __unused, bool unlock __unused)
{
	panic("turnstile_unsleep: waits for locks are not interrupted");
}

static __unused void
turnstile_changepri(struct lwp *l __unused, pri_t pri __unused)
{
	panic("turnstile_changepri: the machine changes no priorities");
}

#endif
