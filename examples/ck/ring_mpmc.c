/*
 * A ring of several producers and consumers hands over each item once, and those of one producer in order. In the ring of two
 * slots, of which one can be used, each is used again; in that of four (-D SIZE=4) two producers write at once. With -D TRY the
 * consumers use trydequeue.
 */
#include <rumplab.h>

#include <ck_ring.h>

#ifndef SIZE
#define SIZE	2
#endif
#define ITEMS	2

static ck_ring_t ring;
static ck_ring_buffer_t slots[SIZE];

struct item {
	unsigned number;
	unsigned owners;
};

static struct item items[2][ITEMS];

static void
producer(void *arg)
{
	struct item *own = items[(uintptr_t)arg];

	for (int i = 0; i < ITEMS; i++) {
		own[i].number = i + 1;
		while (!ck_ring_enqueue_mpmc(&ring, slots, &own[i]))
			continue;
	}
}

/* Two of the four items. */
static void
consumer(void *arg)
{
	unsigned last[2] = { 0, 0 };

	for (int i = 0; i < ITEMS; i++) {
		struct item *item;
		int whose;

#ifdef TRY
		while (!ck_ring_trydequeue_mpmc(&ring, slots, &item))
			continue;
#else
		while (!ck_ring_dequeue_mpmc(&ring, slots, &item))
			continue;
#endif
		item->owners++;
		rumplab_check(item->owners == 1, "an item is given out once");
		whose = item >= items[1];
		rumplab_check(item->number > last[whose], "the items of a producer come in order");
		last[whose] = item->number;
	}
}

void
rumplab_setup(void)
{
	ck_ring_init(&ring, SIZE);
	rumplab_actor("producer", 0, producer, (void *)0);
	rumplab_actor("producer2", 1, producer, (void *)1);
	rumplab_actor("consumer", 2, consumer, NULL);
	rumplab_actor("consumer2", 0, consumer, NULL);
}

void
rumplab_verify(void)
{
	for (int i = 0; i < ITEMS; i++)
		rumplab_check(items[0][i].owners == 1 && items[1][i].owners == 1, "each item is given out");
}
