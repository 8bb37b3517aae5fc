/*
 * kthread(9): threads of the kernel.
 */
#ifndef _RUMPLAB_SYS_KTHREAD_H_
#define _RUMPLAB_SYS_KTHREAD_H_

#include <sys/types.h>
#include <sys/systm.h>

#define KTHREAD_IDLE		0x01
#define KTHREAD_MPSAFE		0x02
#define KTHREAD_INTR		0x04
#define KTHREAD_TS		0x08
#define KTHREAD_MUSTJOIN	0x10

struct rumplab_kthread {
	pri_t pri;
	int flags;
	struct cpu_info *ci;
	const char *name;
};

int rumplab_kthread_create(const struct rumplab_kthread *options, void (*func)(void *), void *arg, struct lwp **lp);

__rumplab_glue __printflike(7, 8) int
kthread_create(pri_t pri, int flags, struct cpu_info *ci, void (*func)(void *), void *arg, struct lwp **lp,
    const char *fmt, ...)
{
	struct rumplab_kthread options = { .pri = pri, .flags = flags, .ci = ci };
	__builtin_va_list ap;
	char name[24];

	__builtin_va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	__builtin_va_end(ap);
	options.name = name;
	return rumplab_kthread_create(&options, func, arg, lp);
}

/* Code of the kernel uses no floating point here. */
#define kthread_fpu_enter()	0
#define kthread_fpu_exit(s)	((void)(s))

void kthread_exit(int ecode) __dead;
int kthread_join(struct lwp *l);

#endif
