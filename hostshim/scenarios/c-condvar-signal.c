/*
 * condvar(9): no wake-up is lost. Two consumers and two producers share a place for one item; a thread waits with a timeout for the end.
 */
#include <rumplab.h>
#include <sys/condvar.h>
#include <sys/errno.h>

#define ITEMS	4

static kmutex_t lock;
static kcondvar_t filled, emptied, finished;
static bool full;
static unsigned produced, consumed;

static void
producer(void *arg)
{
	for (int i = 0; i < ITEMS / 2; i++) {
		mutex_enter(&lock);
		while (full)
			cv_wait(&emptied, &lock);
		full = true;
		produced++;
		cv_signal(&filled);
		mutex_exit(&lock);
	}
}

static void
consumer(void *arg)
{
	for (int i = 0; i < ITEMS / 2; i++) {
		mutex_enter(&lock);
		while (!full)
			cv_wait(&filled, &lock);
		full = false;
		if (++consumed == ITEMS)
			cv_broadcast(&finished);
		cv_signal(&emptied);
		mutex_exit(&lock);
	}
}

static void
waiter(void *arg)
{
	mutex_enter(&lock);
	while (consumed < ITEMS) {
		int error = cv_timedwait(&finished, &lock, 2);

		rumplab_check(error == 0 || error == EWOULDBLOCK, "condvar-answer");
	}
	mutex_exit(&lock);
}

void
rumplab_setup(void)
{
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	cv_init(&filled, "filled");
	cv_init(&emptied, "emptied");
	cv_init(&finished, "finished");
	rumplab_actor("producer0", 0, producer, NULL);
	rumplab_actor("producer1", 1, producer, NULL);
	rumplab_actor("consumer0", 0, consumer, NULL);
	rumplab_actor("consumer1", 1, consumer, NULL);
	rumplab_actor("waiter", 1, waiter, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(produced == ITEMS && consumed == ITEMS && !full, "condvar-each-once");
	rumplab_check(!cv_has_waiters(&filled) && !cv_has_waiters(&emptied), "condvar-waiters");
}

void
rumplab_teardown(void)
{
	cv_destroy(&filled);
	cv_destroy(&emptied);
	cv_destroy(&finished);
	mutex_destroy(&lock);
}
