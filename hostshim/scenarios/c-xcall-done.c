/*
 * xcall(9): when xc_wait returns, the function has returned on every CPU. Two threads call with arguments on their stacks, a third with
 * high priority.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/cpu.h>
#include <sys/xcall.h>

struct call {
	unsigned calls;
	unsigned cpus;	/* bits of those that it was called on */
};

static void
called(void *arg1, void *arg2)
{
	struct call *call = arg1;

	rumplab_check(arg2 == &call->cpus, "xcall-arguments");
	atomic_or_uint(&call->cpus, 1u << cpu_number());
	/* Last: the caller may be gone after xc_wait. */
	atomic_inc_uint(&call->calls);
}

static void
broadcaster(void *arg)
{
	const u_int flags = arg != NULL ? XC_HIGHPRI : 0;

	for (int i = 0; i < 2; i++) {
		struct call call = { 0, 0 };

		xc_wait(xc_broadcast(flags, called, &call, &call.cpus));
		rumplab_check(atomic_load_acquire(&call.calls) == (unsigned)ncpu, "xcall-all");
		rumplab_check(atomic_load_acquire(&call.cpus) == (1u << ncpu) - 1, "xcall-each");
	}
}

static void
unicaster(void *arg)
{
	struct call call = { 0, 0 };

	xc_wait(xc_unicast(0, called, &call, &call.cpus, cpu_lookup(1)));
	rumplab_check(atomic_load_acquire(&call.cpus) == 2, "xcall-one");
}

void
rumplab_setup(void)
{
	rumplab_actor("low0", 0, broadcaster, NULL);
	rumplab_actor("low1", 1, broadcaster, NULL);
	rumplab_actor("high", 1, broadcaster, called);
	rumplab_actor("one", 0, unicaster, NULL);
}
