/*
 * percpu(9): threads and a softint count in the storage of their CPU, while another thread adds storage, which moves it. Nothing is lost,
 * and new storage is zero.
 */
#include <rumplab.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/percpu.h>

/* Pieces of 256 bytes: more than percpu(9) has in reserve. */
#define GROWTH	10

struct counts {
	uint64_t owner;		/* the number of the CPU */
	uint64_t by_threads, by_softints;
};

static percpu_t *counts;
static void *handler;

static void
own(void *p, void *arg, struct cpu_info *ci)
{
	((struct counts *)p)->owner = cpu_index(ci);
}

static void
add(void *p, void *arg, struct cpu_info *ci)
{
	const struct counts *mine = p;
	uint64_t *sum = arg;

	rumplab_check(mine->owner == cpu_index(ci), "percpu-owner");
	sum[0] += mine->by_threads;
	sum[1] += mine->by_softints;
}

static void
is_zero(void *p, void *arg, struct cpu_info *ci)
{
	rumplab_check(*(uint64_t *)p == 0, "percpu-zero");
}

static void
count(void *arg)
{
	struct counts *mine = percpu_getref(counts);

	rumplab_check(mine->owner == cpu_number(), "percpu-owner");
	mine->by_softints++;
	percpu_putref(counts);
}

static void
user(void *arg)
{
	for (int i = 0; i < 3; i++) {
		struct counts *mine = percpu_getref(counts);

		rumplab_check(mine->owner == cpu_number(), "percpu-owner");
		mine->by_threads++;
		softint_schedule(handler);
		mine->by_threads++;
		percpu_putref(counts);
	}
}

static void
grower(void *arg)
{
	percpu_t *storage[GROWTH];

	for (int i = 0; i < GROWTH; i++) {
		storage[i] = percpu_alloc(256);
		percpu_foreach(storage[i], is_zero, NULL);
	}
	for (int i = 0; i < GROWTH; i++)
		percpu_free(storage[i], 256);
}

void
rumplab_setup(void)
{
	counts = percpu_alloc(sizeof(struct counts));
	percpu_foreach(counts, own, NULL);
	handler = softint_establish(SOFTINT_CLOCK | SOFTINT_MPSAFE, count, NULL);
	rumplab_actor("user0", 0, user, NULL);
	rumplab_actor("user1", 1, user, NULL);
	rumplab_actor("grower", 0, grower, NULL);
}

void
rumplab_verify(void)
{
	uint64_t sum[2] = { 0, 0 };

	percpu_foreach(counts, add, sum);
	rumplab_check(sum[0] == 12, "percpu-lost");
	rumplab_check(sum[1] >= 1 && sum[1] <= 6, "percpu-lost");
}

void
rumplab_teardown(void)
{
	softint_disestablish(handler);
	percpu_free(counts, sizeof(struct counts));
}
