/*
 * psref(9): a target is destroyed while bound threads sleep with references to it. When psref_target_destroy returns there must be none.
 * A softint takes references and copies them on the way, on both CPUs.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/kmem.h>
#include <sys/pserialize.h>
#include <sys/psref.h>

struct object {
	struct psref_target target;
	unsigned holders;	/* as their holders count them */
	unsigned alive;
};

static struct psref_class *class;
static pserialize_t psz;
static kmutex_t lock;
static struct object *place;
static void *handler;

static struct object *
take(struct psref *psref)
{
	int s = pserialize_read_enter();
	struct object *object = atomic_load_consume(&place);

	if (object != NULL) {
		psref_acquire(psref, &object->target, class);
		atomic_inc_uint(&object->holders);
	}
	pserialize_read_exit(s);
	return object;
}

static void
release(struct psref *psref, struct object *object)
{
	rumplab_check(object->alive == 1, "psref-alive");
	atomic_dec_uint(&object->holders);
	psref_release(psref, &object->target, class);
}

static void
use_briefly(void *arg)
{
	struct psref psref, copy;
	struct object *object = take(&psref);

	if (object == NULL)
		return;
	psref_copy(&copy, &psref, class);
	atomic_inc_uint(&object->holders);
	release(&psref, object);
	release(&copy, object);
}

static void
holder(void *arg)
{
	int bound = curlwp_bind();
	struct psref psref;
	struct object *object;

	kpreempt_disable();
	softint_schedule(handler);
	kpreempt_enable();
	object = take(&psref);
	if (object != NULL) {
		struct cpu_info *here = curcpu();

		kpause("holder", false, 1, NULL);
		rumplab_check(here == curcpu() && curlwp->l_cpu == here, "psref-bound");
		release(&psref, object);
	}
	curlwp_bindx(bound);
}

static void
remover(void *arg)
{
	struct object *object = place;

	kpause("remover", false, 1, NULL);
	mutex_enter(&lock);
	atomic_store_release(&place, NULL);
	pserialize_perform(psz);
	mutex_exit(&lock);
	psref_target_destroy(&object->target, class);
	rumplab_check(atomic_load_acquire(&object->holders) == 0, "psref-drained");
	object->alive = 0;
	kmem_free(object, sizeof(*object));
}

static void
closer(void *arg)
{
	softint_disestablish(handler);
	pserialize_destroy(psz);
	psref_class_destroy(class);
}

void
rumplab_setup(void)
{
	struct object *object = kmem_zalloc(sizeof(*object), KM_SLEEP);

	class = psref_class_create("psref", IPL_SOFTNET);
	psz = pserialize_create();
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	handler = softint_establish(SOFTINT_NET | SOFTINT_MPSAFE, use_briefly, NULL);
	psref_target_init(&object->target, class);
	object->alive = 1;
	rumplab_label(object, "object");
	place = object;
	rumplab_actor("holder0", 0, holder, NULL);
	rumplab_actor("holder1", 1, holder, NULL);
	rumplab_actor("remover", 1, remover, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(place == NULL, "psref-drained");
}

void
rumplab_teardown(void)
{
	closer(NULL);
	mutex_destroy(&lock);
}
