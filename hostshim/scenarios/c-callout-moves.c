/*
 * callout(9): a thread schedules a callout again while its handler may run on another CPU, and halts it at once. callout_halt must wait for
 * that handler, too.
 */
#include <rumplab.h>
#include <sys/callout.h>
#include <sys/kmem.h>

struct object {
	callout_t timer;
	unsigned running, timeouts;
};

static struct object *object;

static void
expired(void *arg)
{
	struct object *o = arg;

	__atomic_store_n(&o->running, 1, __ATOMIC_RELAXED);
	preempt_point();
	/* The handler may run on two CPUs at once. */
	__atomic_fetch_add(&o->timeouts, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&o->running, 0, __ATOMIC_RELAXED);
}

static void
owner(void *arg)
{
	struct object *o = object;

	callout_reset(&o->timer, 1, expired, o);
	kpause("owner", false, 1, NULL);
	callout_schedule(&o->timer, 1);
	callout_halt(&o->timer, NULL);
	rumplab_check(__atomic_load_n(&o->running, __ATOMIC_RELAXED) == 0, "callout-halted");
	rumplab_check(__atomic_load_n(&o->timeouts, __ATOMIC_RELAXED) <= 2, "callout-once");
	callout_destroy(&o->timer);
	kmem_free(o, sizeof(*o));
}

void
rumplab_setup(void)
{
	object = kmem_zalloc(sizeof(*object), KM_SLEEP);
	callout_init(&object->timer, CALLOUT_MPSAFE);
	rumplab_label(object, "object");
	rumplab_actor("owner", 0, owner, NULL);
}
