/*
 * callout(9): after callout_halt the handler neither runs nor will run, so the memory of both can be freed. The handler takes the lock of
 * its object and schedules itself again, until the object is closed.
 */
#include <rumplab.h>
#include <sys/callout.h>
#include <sys/kmem.h>
#include <sys/mutex.h>

struct object {
	callout_t timer;
	kmutex_t lock;
	bool closing;
	unsigned timeouts;
};

static struct object *object;

static void
expired(void *arg)
{
	struct object *o = arg;

	mutex_enter(&o->lock);
	callout_ack(&o->timer);
	o->timeouts++;
	if (!o->closing)
		callout_schedule(&o->timer, 1);
	mutex_exit(&o->lock);
}

/* Moves the deadline, on a CPU that may be another than that of the handler. */
static void
user(void *arg)
{
	mutex_enter(&object->lock);
	if (!object->closing && callout_pending(&object->timer))
		callout_schedule(&object->timer, 2);
	mutex_exit(&object->lock);
}

static void
closer(void *arg)
{
	struct lwp *l = rumplab_thread("user", 0, user, NULL);
	struct object *o = object;

	kpause("closer", false, 1, NULL);
	rumplab_join(l);
	mutex_enter(&o->lock);
	o->closing = true;
	callout_halt(&o->timer, &o->lock);
	rumplab_check(!callout_pending(&o->timer), "callout-halted");
	rumplab_check(!callout_expired(&o->timer), "callout-halted");
	mutex_exit(&o->lock);
	callout_destroy(&o->timer);
	mutex_destroy(&o->lock);
	kmem_free(o, sizeof(*o));
}

void
rumplab_setup(void)
{
	object = kmem_zalloc(sizeof(*object), KM_SLEEP);
	mutex_init(&object->lock, MUTEX_DEFAULT, IPL_SOFTCLOCK);
	callout_init(&object->timer, CALLOUT_MPSAFE);
	rumplab_label(object, "object");
	callout_reset(&object->timer, 1, expired, object);
	rumplab_actor("closer", 1, closer, NULL);
}
