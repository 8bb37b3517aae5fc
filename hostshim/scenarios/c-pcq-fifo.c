/*
 * pcq(9): items of each producer arrive once, in order, and what a producer wrote before is seen. The consumer is a softint that every
 * producer schedules after it has put an item.
 *
 * With -D DEPENDENT, for a machine that orders a read after the read of its address, as all but one do.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/pcq.h>

#define PRODUCERS	2
#define ITEMS		3

static struct item {
	unsigned producer, number;
} items[PRODUCERS][ITEMS];
static pcq_t *queue;
static void *handler;
static unsigned next[PRODUCERS];

static void
consume(void *arg)
{
	struct item *item;

	while ((item = pcq_get(queue)) != NULL) {
#ifdef DEPENDENT
		membar_datadep_consumer();
#endif
		rumplab_check(item->number == next[item->producer], "pcq-fifo");
		next[item->producer]++;
	}
}

static void
producer(void *arg)
{
	struct item *mine = arg;

	for (unsigned i = 0; i < ITEMS; i++) {
		mine[i].producer = (unsigned)(mine - items[0]) / ITEMS;
		mine[i].number = i;
		while (!pcq_put(queue, &mine[i]))
			kpause("full", false, 1, NULL);
		kpreempt_disable();
		softint_schedule_cpu(handler, cpu_lookup(0));
		kpreempt_enable();
	}
}

void
rumplab_setup(void)
{
	queue = pcq_create(3, KM_SLEEP);
	handler = softint_establish(SOFTINT_NET | SOFTINT_MPSAFE | SOFTINT_RCPU, consume, NULL);
	rumplab_label(&items, "items");
	rumplab_actor("producer0", 0, producer, items[0]);
	rumplab_actor("producer1", 1, producer, items[1]);
}

void
rumplab_verify(void)
{
	for (unsigned i = 0; i < PRODUCERS; i++)
		rumplab_check(next[i] == ITEMS, "pcq-each-once");
}

void
rumplab_teardown(void)
{
	softint_disestablish(handler);
	pcq_destroy(queue);
}
