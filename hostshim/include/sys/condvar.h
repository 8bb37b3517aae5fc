/*
 * condvar(9): condition variables.
 *
 * The machine has no signals: cv_wait_sig and cv_timedwait_sig are never interrupted.
 */
#ifndef _RUMPLAB_SYS_CONDVAR_H_
#define _RUMPLAB_SYS_CONDVAR_H_

#include <sys/mutex.h>
#include <sys/time.h>

typedef struct kcondvar {
	void *cv_opaque[RUMPLAB_SIZEOF_KCONDVAR / 8];
} kcondvar_t;

void cv_init(kcondvar_t *cv, const char *wmesg);
void cv_destroy(kcondvar_t *cv);
void cv_wait(kcondvar_t *cv, kmutex_t *mtx);
int cv_wait_sig(kcondvar_t *cv, kmutex_t *mtx);
int cv_timedwait(kcondvar_t *cv, kmutex_t *mtx, int timo);
int cv_timedwait_sig(kcondvar_t *cv, kmutex_t *mtx, int timo);
void cv_signal(kcondvar_t *cv);
void cv_broadcast(kcondvar_t *cv);
bool cv_has_waiters(kcondvar_t *cv);
bool cv_is_valid(kcondvar_t *cv);

/* cv_timedwait whose timeout is never needed: a run in which nothing else can happen fails. Not in NetBSD. */
int rumplab_cv_timedwait_backstop(kcondvar_t *cv, kmutex_t *mtx, int timo);

#endif
