/*
 * pserialize(9) with callout(9): a thread calls pserialize_perform with a mutex held that a callout takes. The callout waits for the
 * thread, so the thread must not need a timeout to go on.
 */
#include <rumplab.h>
#include <sys/callout.h>
#include <sys/pserialize.h>

static pserialize_t psz;
static kmutex_t lock;
static callout_t timer;
static unsigned timeouts;

static void
expired(void *arg)
{
	mutex_enter(&lock);
	timeouts++;
	mutex_exit(&lock);
}

static void
writer(void *arg)
{
	callout_reset(&timer, 1, expired, NULL);
	mutex_enter(&lock);
	pserialize_perform(psz);
	mutex_exit(&lock);
	callout_halt(&timer, NULL);
}

void
rumplab_setup(void)
{
	psz = pserialize_create();
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	callout_init(&timer, CALLOUT_MPSAFE);
	rumplab_actor("writer", 0, writer, NULL);
}

void
rumplab_teardown(void)
{
	callout_destroy(&timer);
	mutex_destroy(&lock);
	pserialize_destroy(psz);
}
