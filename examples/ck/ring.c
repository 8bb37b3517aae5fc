/*
 * A ring of one producer and one consumer hands over each item once, in order.
 */
#include <rumplab.h>

#include <ck_ring.h>

#define ITEMS	3

static ck_ring_t ring;
/* One slot less than that can be used. */
static ck_ring_buffer_t slots[2];
static unsigned items[ITEMS];

static void
producer(void *arg)
{
	for (int i = 0; i < ITEMS; i++) {
		items[i] = i + 1;
		while (!ck_ring_enqueue_spsc(&ring, slots, &items[i]))
			continue;
	}
}

static void
consumer(void *arg)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		unsigned *item;

		while (!ck_ring_dequeue_spsc(&ring, slots, &item))
			continue;
		rumplab_check(*item == i + 1, "items come once, in order");
	}
}

void
rumplab_setup(void)
{
	ck_ring_init(&ring, 2);
	rumplab_actor("producer", 0, producer, NULL);
	rumplab_actor("consumer", 1, consumer, NULL);
}
