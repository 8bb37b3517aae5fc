/*
 * rwlock(9): a writer is alone, readers see no half of a change, and everybody gets the lock in the end. Writers downgrade, and
 * readers upgrade unless NO_UPGRADE is defined.
 */
#include <rumplab.h>
#include <sys/rwlock.h>

static krwlock_t lock;
static unsigned first, second;

static void
reader(void *arg)
{
	for (int i = 0; i < 2; i++) {
		rw_enter(&lock, RW_READER);
		rumplab_check(first == second && rw_lock_held(&lock), "rwlock-exclusion");
		preempt_point();
#ifndef NO_UPGRADE
		if (rw_tryupgrade(&lock)) {
			first++;
			rumplab_check(rw_write_held(&lock), "rwlock-upgrade");
			second++;
		}
#endif
		rw_exit(&lock);
	}
}

static void
writer(void *arg)
{
	for (int i = 0; i < 2; i++) {
		unsigned seen;

		if (i == 0 || !rw_tryenter(&lock, RW_WRITER))
			rw_enter(&lock, RW_WRITER);
		first++;
		preempt_point();
		second++;
		seen = second;
		rw_downgrade(&lock);
		rumplab_check(seen == first && first == second, "rwlock-downgrade");
		rw_exit(&lock);
	}
}

static void
sleeper(void *arg)
{
	rw_enter(&lock, RW_READER);
	kpause("sleeper", false, 1, NULL);
	rumplab_check(first == second, "rwlock-exclusion");
	rw_exit(&lock);
}

void
rumplab_setup(void)
{
	rw_init(&lock);
	rumplab_actor("reader0", 0, reader, NULL);
	rumplab_actor("reader1", 1, reader, NULL);
	rumplab_actor("writer0", 0, writer, NULL);
	rumplab_actor("writer1", 1, writer, NULL);
	rumplab_actor("sleeper", 1, sleeper, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(!rw_lock_held(&lock) && first == second && first >= 4, "rwlock-exclusion");
}

void
rumplab_teardown(void)
{
	rw_destroy(&lock);
}
