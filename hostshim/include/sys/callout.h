/*
 * callout(9): functions that softclock runs later.
 */
#ifndef _RUMPLAB_SYS_CALLOUT_H_
#define _RUMPLAB_SYS_CALLOUT_H_

#include <sys/types.h>
#include <sys/mutex.h>

#define CALLOUT_MPSAFE		0x0100

#if !defined(_CALLOUT_PRIVATE) && !defined(RUMPLAB_REPLACE_callout)
typedef struct callout {
	uint64_t c_opaque[RUMPLAB_SIZEOF_CALLOUT / 8];
} callout_t;

void rumplab_callout_init(callout_t *c, u_int flags, const char *name);
#define callout_init(c, flags)	rumplab_callout_init((c), (flags), #c)
#else
typedef struct callout {
	void *c_opaque[10];
} callout_t;
void callout_init(callout_t *c, u_int flags);
#endif

#ifdef _CALLOUT_PRIVATE
/* What a file that is callout(9) itself keeps in that memory. */
struct callout_cpu;

/* A link: the head of a list is one, too. */
struct callout_circq {
	union {
		struct callout_impl *elem;
		struct callout_circq *list;
	} cq_next, cq_prev;
};
#define cq_next_e		cq_next.elem
#define cq_next_l		cq_next.list
#define cq_prev_e		cq_prev.elem
#define cq_prev_l		cq_prev.list

typedef struct callout_impl {
	struct callout_circq c_list;
	void (*c_func)(void *);
	void *c_arg;
	struct callout_cpu *volatile c_cpu;
	int c_time;			/* in ticks of that CPU */
	u_int c_flags;
	u_int c_magic;
} callout_impl_t;

#define CALLOUT_BOUND		0x0001
#define CALLOUT_PENDING		0x0002
#define CALLOUT_FIRED		0x0004
#define CALLOUT_INVOKING	0x0008
#define CALLOUT_FLAGMASK	0xff00
#define CALLOUT_MAGIC		0x63616c6cu

bool callout_halt(callout_t *c, void *interlock);
#else
bool callout_halt(callout_t *c, kmutex_t *interlock);
#endif

void callout_setfunc(callout_t *c, void (*func)(void *), void *arg);
void callout_reset(callout_t *c, int ticks, void (*func)(void *), void *arg);
void callout_schedule(callout_t *c, int ticks);
bool callout_stop(callout_t *c);
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
