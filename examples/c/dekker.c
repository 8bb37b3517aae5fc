/*
 * Mutual exclusion with loads and stores, as in the first half of Dekker's algorithm: each side says that it wants to
 * enter, and enters only if the other does not want to. On x86 a load may come before an earlier store of its CPU, so
 * there must be a full barrier between the two.
 *
 *	rumplab c examples/c/dekker.c --memory tso			holds
 *	rumplab c examples/c/dekker.c --memory tso -D BUG_BARRIER	both sides enter
 */
#include <sys/atomic.h>

#include <rumplab.h>

struct gate {
	unsigned g_wants[2];
	unsigned g_inside;
};

static struct gate gate;

static void
enter(unsigned me)
{

	atomic_store_release(&gate.g_wants[me], 1);
#ifndef BUG_BARRIER
	membar_sync();
#endif
	if (atomic_load_acquire(&gate.g_wants[!me]) == 0) {
		rumplab_check(atomic_inc_uint_nv(&gate.g_inside) == 1, "alone");
		atomic_dec_uint(&gate.g_inside);
	}
	atomic_store_release(&gate.g_wants[me], 0);
}

static void
left(void *arg)
{

	enter(0);
}

static void
right(void *arg)
{

	enter(1);
}

void
rumplab_setup(void)
{

	rumplab_actor("left", 0, left, NULL);
	rumplab_actor("right", 1, right, NULL);
}
