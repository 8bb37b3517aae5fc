/*
 * localcount(9): an object is drained while threads that migrate hold references, and a softint takes and releases some. It releases a
 * reference of a thread, too. The softint follows the interrupt of a device, so it comes anywhere.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/kmem.h>
#include <sys/localcount.h>
#include <sys/pserialize.h>

struct object {
	struct localcount count;
	unsigned holders;
	unsigned alive;
};

static kmutex_t lock;
static kcondvar_t drained;
static pserialize_t psz;
static struct object *place;
static void *handler;
static struct rumplab_intr *device[2];
static struct object *handed[2];	/* to the softint of that CPU, to be released */

static struct object *
take(void)
{
	int s = pserialize_read_enter();
	struct object *object = atomic_load_consume(&place);

	if (object != NULL) {
		localcount_acquire(&object->count);
		atomic_inc_uint(&object->holders);
	}
	pserialize_read_exit(s);
	return object;
}

static void
release(struct object *object)
{
	rumplab_check(object->alive == 1, "localcount-alive");
	atomic_dec_uint(&object->holders);
	localcount_release(&object->count, &drained, &lock);
}

static void
use_briefly(void *arg)
{
	struct object *object = __atomic_exchange_n(&handed[cpu_number()], NULL, __ATOMIC_ACQUIRE);

	if (object != NULL)
		release(object);
	object = take();
	if (object != NULL)
		release(object);
}

static void
interrupt(void *arg)
{
	softint_schedule(handler);
}

static void
holder(void *arg)
{
	struct object *object = take(), *another = take();
	u_int cpu;

	kpause("holder", false, 1, NULL);
	/* The softint of this CPU releases one: now, or a little later. */
	cpu = cpu_number();
	another = __atomic_exchange_n(&handed[cpu], another, __ATOMIC_ACQ_REL);
	rumplab_intr_raise(device[cpu]);
	if (object != NULL)
		release(object);
	if (another != NULL)
		release(another);
}

static void
remover(void *arg)
{
	struct object *object = place;

	atomic_store_release(&place, NULL);
	pserialize_perform(psz);
	mutex_enter(&lock);
	localcount_drain(&object->count, &drained, &lock);
	mutex_exit(&lock);
	rumplab_check(atomic_load_acquire(&object->holders) == 0, "localcount-drained");
	object->alive = 0;
	localcount_fini(&object->count);
	kmem_free(object, sizeof(*object));
}

void
rumplab_setup(void)
{
	struct object *object = kmem_zalloc(sizeof(*object), KM_SLEEP);

	mutex_init(&lock, MUTEX_DEFAULT, IPL_SOFTNET);
	cv_init(&drained, "drained");
	psz = pserialize_create();
	localcount_init(&object->count);
	object->alive = 1;
	rumplab_label(object, "object");
	place = object;
	handler = softint_establish(SOFTINT_NET | SOFTINT_MPSAFE, use_briefly, NULL);
	for (int i = 0; i < 2; i++)
		device[i] = rumplab_intr_establish("device", i, IPL_VM, interrupt, NULL);
	rumplab_actor("holder0", 0, holder, NULL);
	rumplab_actor("holder1", 1, holder, NULL);
	rumplab_actor("remover", 1, remover, NULL);
}

void
rumplab_teardown(void)
{
	for (int i = 0; i < 2; i++)
		rumplab_intr_disestablish(device[i]);
	softint_disestablish(handler);
	pserialize_destroy(psz);
	cv_destroy(&drained);
	mutex_destroy(&lock);
}
