/* The lock of Mellor-Crummey and Scott. Each waiter spins on a node on its own stack. */
#include <sys/atomic.h>

struct node {
	unsigned turns;
	struct node *next;
	unsigned waiting;
};

static struct node *tail;
static int inside;

static void __noinline
enter(struct node *n)
{
	struct node *before;

	n->next = NULL;
	n->waiting = 1;
	n->turns++;
	before = __atomic_exchange_n(&tail, n, __ATOMIC_ACQ_REL);
	if (before == NULL)
		return;
	atomic_store_release(&before->next, n);
	while (atomic_load_acquire(&n->waiting))
		continue;
}

static void __noinline
leave(struct node *n)
{
	struct node *next = atomic_load_acquire(&n->next), *own = n;

	if (next == NULL) {
		if (__atomic_compare_exchange_n(&tail, &own, NULL, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;
		while ((next = atomic_load_acquire(&n->next)) == NULL)
			continue;
	}
	atomic_store_release(&next->waiting, 0);
}

static void
one(void *arg)
{
	struct node node = { 0 };

	for (int i = 0; i < 2; i++) {
		enter(&node);
		inside++;
		leave(&node);
	}
	rumplab_check(node.turns == 2, "turns");
}

#define two one
