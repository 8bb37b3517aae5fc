/*
 * pktqueue: after pktq_barrier every packet that was put into the queue before was handled, once. The kernel's own queue is not offered
 * to C: this scenario needs a C file that is one.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/mbuf.h>
#include <net/pktqueue.h>

#define PACKETS	3

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
detacher(void *arg)
{
	const unsigned before = atomic_load_acquire(&sent);

	pktq_barrier(queue);
	rumplab_check(atomic_load_acquire(&handled) >= before, "pktqueue-barrier");
}

void
rumplab_setup(void)
{
	queue = pktq_create(4, input, NULL);
	rumplab_actor("sender0", 0, sender, NULL);
	rumplab_actor("sender1", 1, sender, NULL);
	rumplab_actor("detacher", 1, detacher, NULL);
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
