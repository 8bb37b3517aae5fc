/*
 * What ends a run from C: chosen by a macro.
 */
#include <rumplab.h>
#include <sys/callout.h>
#include <sys/kmem.h>
#include <sys/lwp.h>
#include <sys/mutex.h>
#include <sys/psref.h>

static callout_t timer;
static kmutex_t lock;
static struct psref_class *class;
static struct psref_target target;

static void
actor(void *arg)
{
	unsigned three = 3;

#if defined(ASSERTS)
	KASSERTMSG(three == 4, "there are %u in %p", three, &lock);
#elif defined(PANICS)
	panic("no way to go on: %d", -1);
#elif defined(BREAKS_A_PROMISE)
	rumplab_check(three == 4, "four");
#elif defined(LEVEL)
	splx(12);
#elif defined(NULL_LOCK)
	mutex_enter(NULL);
#elif defined(NULL_FUNCTION)
	callout_reset(&timer, 1, NULL, NULL);
#elif defined(TWICE)
	struct psref ref;

	curlwp_bind();
	psref_acquire(&ref, &target, class);
	psref_acquire(&ref, &target, class);
#elif defined(LEAKS)
	(void)kmem_alloc(sizeof(timer), KM_SLEEP);
#endif
	(void)three;
}

void
rumplab_setup(void)
{
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	callout_init(&timer, CALLOUT_MPSAFE);
	class = psref_class_create("class", IPL_SOFTNET);
	psref_target_init(&target, class);
	rumplab_actor("actor", 0, actor, NULL);
}

void
rumplab_teardown(void)
{
	psref_class_destroy(class);
	callout_destroy(&timer);
	mutex_destroy(&lock);
}
