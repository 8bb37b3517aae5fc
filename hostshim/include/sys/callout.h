/*
 * callout(9): functions that softclock runs later.
 */
#ifndef _RUMPLAB_SYS_CALLOUT_H_
#define _RUMPLAB_SYS_CALLOUT_H_

#include <sys/types.h>
#include <sys/mutex.h>

#define CALLOUT_MPSAFE		0x0100

#ifndef _CALLOUT_PRIVATE
typedef struct callout {
	uint64_t c_opaque[RUMPLAB_SIZEOF_CALLOUT / 8];
} callout_t;

void rumplab_callout_init(callout_t *c, u_int flags, const char *name);
#define callout_init(c, flags)	rumplab_callout_init((c), (flags), #c)
#else
typedef struct callout { void *_c_store[10]; } callout_t;
void callout_init(callout_t *c, u_int flags);
#endif

void callout_setfunc(callout_t *c, void (*func)(void *), void *arg);
void callout_reset(callout_t *c, int ticks, void (*func)(void *), void *arg);
void callout_schedule(callout_t *c, int ticks);
bool callout_stop(callout_t *c);
bool callout_halt(callout_t *c, kmutex_t *interlock);
void callout_destroy(callout_t *c);
/* For a file that is callout(9) itself: the kernel calls them at boot, and at every tick of a CPU. */
void callout_startup(void);
void callout_init_cpu(struct cpu_info *ci);
void callout_hardclock(void);

bool callout_expired(callout_t *c);
bool callout_active(callout_t *c);
bool callout_pending(callout_t *c);
bool callout_invoking(callout_t *c);
void callout_ack(callout_t *c);

#endif
