/*
 * psref(9): references are taken and released while percpu(9) storage is added, which moves the lists of references.
 */
#include <rumplab.h>
#include <sys/percpu.h>
#include <sys/psref.h>

/* Pieces of 256 bytes: more than percpu(9) has in reserve. */
#define GROWTH	10

static struct psref_class *class;
static struct psref_target target;

static void
holder(void *arg)
{
	int bound = curlwp_bind();

	for (int i = 0; i < 2; i++) {
		struct psref first, second;

		psref_acquire(&first, &target, class);
		kpause("holder", false, 1, NULL);
		psref_acquire(&second, &target, class);
		psref_release(&first, &target, class);
		psref_release(&second, &target, class);
	}
	curlwp_bindx(bound);
}

static void
grower(void *arg)
{
	percpu_t *storage[GROWTH];

	for (int i = 0; i < GROWTH; i++)
		storage[i] = percpu_alloc(256);
	for (int i = 0; i < GROWTH; i++)
		percpu_free(storage[i], 256);
}

void
rumplab_setup(void)
{
	class = psref_class_create("psref", IPL_SOFTNET);
	psref_target_init(&target, class);
	rumplab_actor("holder0", 0, holder, NULL);
	rumplab_actor("holder1", 1, holder, NULL);
	rumplab_actor("grower", 1, grower, NULL);
}

void
rumplab_teardown(void)
{
	psref_class_destroy(class);
}
