/*
 * workqueue(9): each work is done once, by the worker of its queue. A queue with one worker gets work from two threads and a softint, a
 * queue with a worker on each CPU from the threads. The last thread destroys both.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/workqueue.h>

struct piece {
	struct work work;
	unsigned done;
	struct cpu_info *ci;	/* where it must be done */
};

static struct workqueue *one, *each;
static struct piece of_threads[2][2], of_softint, of_cpus[2];
static kmutex_t lock;
static kcondvar_t all_done;
static unsigned undone = 7, threads = 2;
static void *handler;

static void
do_work(struct work *work, void *arg)
{
	struct piece *piece = (void *)work;

	rumplab_check(arg == &lock, "workqueue-argument");
	rumplab_check(piece->ci == NULL || (piece->ci == curcpu() && curlwp->l_cpu == piece->ci), "workqueue-cpu");
	piece->done++;
	mutex_enter(&lock);
	if (--undone == 0)
		cv_broadcast(&all_done);
	mutex_exit(&lock);
}

static void
send(void *arg)
{
	workqueue_enqueue(one, &of_softint.work, NULL);
}

static void
sender(void *arg)
{
	const unsigned number = arg != NULL;
	bool last;

	for (int i = 0; i < 2; i++)
		workqueue_enqueue(one, &of_threads[number][i].work, NULL);
	if (number == 0) {
		kpreempt_disable();
		softint_schedule(handler);
		kpreempt_enable();
	}
	of_cpus[number].ci = cpu_lookup(1 - number);
	workqueue_enqueue(each, &of_cpus[number].work, of_cpus[number].ci);
	mutex_enter(&lock);
	while (undone != 0)
		cv_wait(&all_done, &lock);
	last = --threads == 0;
	mutex_exit(&lock);
	if (last) {
		workqueue_destroy(one);
		workqueue_destroy(each);
	}
}

void
rumplab_setup(void)
{
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	cv_init(&all_done, "works");
	workqueue_create(&one, "one", do_work, &lock, PRI_KTHREAD, IPL_SOFTNET, WQ_MPSAFE);
	workqueue_create(&each, "each", do_work, &lock, PRI_KTHREAD, IPL_NONE, WQ_MPSAFE | WQ_PERCPU);
	handler = softint_establish(SOFTINT_NET | SOFTINT_MPSAFE, send, NULL);
	rumplab_label(&of_threads, "of_threads");
	rumplab_actor("sender0", 0, sender, NULL);
	rumplab_actor("sender1", 1, sender, &lock);
}

void
rumplab_verify(void)
{
	for (int i = 0; i < 2; i++) {
		rumplab_check(of_threads[0][i].done == 1 && of_threads[1][i].done == 1, "workqueue-once");
		rumplab_check(of_cpus[i].done == 1, "workqueue-once");
	}
	rumplab_check(of_softint.done == 1, "workqueue-once");
}

void
rumplab_teardown(void)
{
	softint_disestablish(handler);
	cv_destroy(&all_done);
	mutex_destroy(&lock);
}
