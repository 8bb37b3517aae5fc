/*
 * What a scenario in C is written with: actors, handlers, promises.
 *
 * A scenario defines rumplab_setup, and where it needs them rumplab_verify and rumplab_teardown:
 *
 *     rumplab_setup     runs while the machine boots, before any actor. It makes what the actors share, and the actors. It must not sleep.
 *     rumplab_verify    runs when every actor has ended and nothing is left to run. It checks what must hold then.
 *     rumplab_teardown  runs after that. It frees what setup has made: whatever is left is reported as a leak.
 *
 * Nothing else runs during the last two, and they must not sleep. The rest of the kernel's functions is in <sys/...>.
 */
#ifndef _RUMPLAB_RUMPLAB_H_
#define _RUMPLAB_RUMPLAB_H_

#include <sys/param.h>
#include <sys/types.h>
#include <sys/lwp.h>

void rumplab_setup(void);
void rumplab_verify(void);
void rumplab_teardown(void);

/*
 * An actor: a thread that runs func(arg). It begins on the CPU with this number (modulo the number of CPUs) and may be moved. All actors
 * start together, and a run ends when all of them have ended. For rumplab_setup.
 */
void rumplab_actor(const char *name, u_int cpu, void (*func)(void *), void *arg);

/* A thread that an actor creates, and must join. It begins on the CPU with this number. */
struct lwp *rumplab_thread(const char *name, u_int cpu, void (*func)(void *), void *arg);
void rumplab_join(struct lwp *l);

/*
 * The interrupt of a device: func(arg) runs on that CPU at that level (IPL_VM, IPL_SCHED or IPL_HIGH), some time after it was raised.
 * Raise it in any context.
 */
struct rumplab_intr *rumplab_intr_establish(const char *name, u_int cpu, int ipl, void (*func)(void *), void *arg);
void rumplab_intr_raise(struct rumplab_intr *ih);
void rumplab_intr_disestablish(struct rumplab_intr *ih);

/* A promise: unless the condition holds, the run ends with a report. The name is a word or two ("each-once"). */
#define rumplab_check(condition, promise)					\
	(__predict_true(condition) ? (void)0 : rumplab_broken((promise), #condition))
void rumplab_broken(const char *promise, const char *condition) __dead;

/* A line for the trace, as printf(9). */
#define rumplab_note(...)	printf(__VA_ARGS__)

/* Names an object for traces and reports. Pass a pointer to it: its type has the names of the fields. */
#define rumplab_label(object, name)						\
	do {									\
		static __typeof__(*(object)) *rumplab_type __used;		\
		rumplab_label_typed((object), sizeof(*(object)), (name), &rumplab_type);	\
	} while (0)
void rumplab_label_typed(const void *object, size_t size, const char *name, const void *type);

/* The ticks that the clock of this CPU has counted. To wait for some, use kpause(9). */
u_int rumplab_ticks(void);

/* A turn of a loop that reads something again and again until another thread writes it. */
void rumplab_relax(void);

#endif
