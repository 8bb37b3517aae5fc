/*
 * pktqueue: packets arrive, once, while storage is added to percpu(9), which moves that of every CPU. The kernel's own queue is not offered
 * to C: this scenario needs a C file that is one.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/mbuf.h>
#include <sys/percpu.h>
#include <net/pktqueue.h>

#define PACKETS	3
/* Pieces of 256 bytes: more than percpu(9) has in reserve. */
#define GROWTH	10

static pktqueue_t *queue;
static unsigned sent, handled, dropped;

static void
input(void *arg)
{
	struct mbuf *m;

	kpreempt_disable();
	while ((m = pktq_dequeue(queue)) != NULL) {
		rumplab_check(m->m_len == 4 && *mtod(m, int *) == 7, "pktqueue-content");
		m_freem(m);
		atomic_inc_uint(&handled);
	}
	kpreempt_enable();
}

static void
sender(void *arg)
{
	for (unsigned i = 0; i < PACKETS; i++) {
		struct mbuf *m = m_gethdr(M_DONTWAIT, MT_DATA);

		m->m_len = 4;
		*mtod(m, int *) = 7;
		kpreempt_disable();
		if (pktq_enqueue(queue, m, i)) {
			atomic_inc_uint(&sent);
		} else {
			atomic_inc_uint(&dropped);
			m_freem(m);
		}
		kpreempt_enable();
	}
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
	queue = pktq_create(4, input, NULL);
	rumplab_actor("sender0", 0, sender, NULL);
	rumplab_actor("sender1", 1, sender, NULL);
	rumplab_actor("grower", 1, grower, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(handled == sent && sent + dropped == 2 * PACKETS, "pktqueue-each-once");
}

void
rumplab_teardown(void)
{
	pktq_destroy(queue);
}
