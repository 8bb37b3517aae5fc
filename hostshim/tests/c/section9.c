/*
 * One call of each kind through the C interface: what a function does is tested elsewhere; here, that C reaches it and gets its answer.
 */
#include <rumplab.h>
#include <sys/atomic.h>
#include <sys/callout.h>
#include <sys/condvar.h>
#include <sys/cpu.h>
#include <sys/evcnt.h>
#include <sys/intr.h>
#include <sys/kcpuset.h>
#include <sys/kmem.h>
#include <sys/kthread.h>
#include <sys/localcount.h>
#include <sys/pcq.h>
#include <sys/percpu.h>
#include <sys/pserialize.h>
#include <sys/pslist.h>
#include <sys/psref.h>
#include <sys/queue.h>
#include <sys/rwlock.h>
#include <sys/workqueue.h>
#include <sys/xcall.h>

static kmutex_t lock;
static kmutex_t spin;
static kcondvar_t changed;
static krwlock_t rw;
static struct workqueue *wq;
static struct work work;
static pcq_t *queue;
static percpu_t *counts;
static percpu_t *made;
static void *softint;
static struct rumplab_intr *device;
static callout_t timer;
static struct localcount refs;
static struct psref_class *class;
static struct psref_target target;

static unsigned works, softints, interrupts, timeouts, calls;

static void
count(void *counter)
{
	atomic_inc_uint((unsigned *)counter);
}

static void
count_both(void *counter, void *step)
{
	atomic_add_int((unsigned *)counter, (int)(uintptr_t)step);
}

static void
do_work(struct work *wk, void *arg)
{
	rumplab_check(wk == &work && arg == &works, "work");
	mutex_enter(&lock);
	works++;
	cv_broadcast(&changed);
	mutex_exit(&lock);
}

static void
sum(void *p, void *arg, struct cpu_info *ci)
{
	rumplab_check(cpu_lookup(cpu_index(ci)) == ci && ci->ci_index == cpu_index(ci), "cpu");
	*(uint64_t *)arg += atomic_load_relaxed((uint64_t *)p);
}

static void
add_one(void *p, void *arg, struct cpu_info *ci)
{
	*(uint64_t *)p += 1;
	atomic_inc_uint((unsigned *)arg);
}

static void
set_index(void *p, void *arg, struct cpu_info *ci)
{
	*(uint64_t *)p = cpu_index(ci) + 1;
}

static void
threads(void *arg)
{
	struct lwp *l;
	unsigned ran = 0;

	rumplab_check(kthread_create(PRI_NONE, KTHREAD_MPSAFE | KTHREAD_MUSTJOIN, cpu_lookup(1), count, &ran, &l,
	    "helper/%d", 1) == 0, "kthread");
	kthread_join(l);
	rumplab_check(ran == 1, "kthread");
	l = rumplab_thread("another", 0, count, &ran);
	rumplab_join(l);
	rumplab_check(ran == 2, "thread");
	rumplab_check(kpause("rest", false, 1, NULL) == EWOULDBLOCK, "kpause");
}

static void
locks(void *arg)
{
	kmutex_t *shared = mutex_obj_alloc(MUTEX_DEFAULT, IPL_NONE);

	mutex_obj_hold(shared);
	mutex_enter(shared);
	rumplab_check(mutex_owned(shared), "mutex");
	mutex_exit(shared);
	rumplab_check(mutex_tryenter(shared), "tryenter");
	mutex_exit(shared);
	rumplab_check(!mutex_obj_free(shared), "mutex_obj");
	rumplab_check(mutex_obj_free(shared), "mutex_obj");

	mutex_spin_enter(&spin);
	rumplab_check(mutex_owned(&spin) && kpreempt_disabled(), "spin");
	mutex_spin_exit(&spin);

	rw_enter(&rw, RW_READER);
	rumplab_check(rw_read_held(&rw) && !rw_write_held(&rw), "rwlock");
	rw_exit(&rw);
	rw_enter(&rw, RW_WRITER);
	rumplab_check(rw_write_held(&rw) && rw_lock_op(&rw) == RW_WRITER, "rwlock");
	rw_downgrade(&rw);
	rw_exit(&rw);

	mutex_enter(&lock);
	rumplab_check(cv_timedwait(&changed, &lock, 1) == EWOULDBLOCK || works == 1, "timedwait");
	mutex_exit(&lock);
}

static void
elsewhere(void *arg)
{
	uint64_t ticket;
	int s;

	ticket = xc_broadcast(0, count_both, &calls, (void *)2);
	xc_wait(ticket);
	rumplab_check(calls == 2 * (unsigned)ncpu, "xcall");
	xc_wait(xc_unicast(XC_HIGHPRI_IPL(IPL_SOFTNET), count_both, &calls, (void *)1, cpu_lookup(1)));
	rumplab_check(calls == 2 * (unsigned)ncpu + 1, "xcall");
	xc_barrier(XC_HIGHPRI);

	s = splsoftserial();
	softint_schedule(softint);
	splx(s);
	rumplab_intr_raise(device);
	callout_reset(&timer, 1, count, &timeouts);
	workqueue_enqueue(wq, &work, NULL);

	mutex_enter(&lock);
	while (works == 0)
		cv_wait(&changed, &lock);
	mutex_exit(&lock);
	workqueue_wait(wq, &work);
	while (atomic_load_relaxed(&timeouts) == 0)
		kpause("timer", false, 1, NULL);
	/* It tells whether it had to wait: the handler may still be about to return. */
	callout_halt(&timer, NULL);
	rumplab_check(!callout_pending(&timer), "callout");
	workqueue_destroy(wq);
}

static void
storage(void *arg)
{
	struct psref ref, copy;
	unsigned visits = 0;
	uint64_t total = 0;
	uint64_t *mine;
	kcpuset_t *set;
	char text[32];
	int bound, s, item;

	mine = percpu_getref(counts);
	*mine += 1;
	percpu_putref(counts);
	percpu_foreach_xcall(counts, 0, add_one, &visits);
	percpu_foreach(counts, sum, &total);
	rumplab_check(visits == (unsigned)ncpu && total == visits + 1, "percpu");
	total = 0;
	percpu_foreach(made, sum, &total);
	rumplab_check(total == (unsigned)ncpu * (ncpu + 1u) / 2, "percpu_create");

	rumplab_check(pcq_put(queue, &item) && pcq_peek(queue) == &item && pcq_get(queue) == &item, "pcq");
	rumplab_check(pcq_get(queue) == NULL && pcq_maxitems(queue) == 4, "pcq");

	bound = curlwp_bind();
	rumplab_check(ISSET(curlwp->l_pflag, LP_BOUND), "bind");
	s = pserialize_read_enter();
	rumplab_check(pserialize_in_read_section(), "pserialize");
	psref_acquire(&ref, &target, class);
	pserialize_read_exit(s);
	rumplab_check(curlwp->l_psrefs == 1, "psref");
	psref_copy(&copy, &ref, class);
	psref_release(&ref, &target, class);
	rumplab_check(psref_held(&target, class), "psref");
	psref_release(&copy, &target, class);
	curlwp_bindx(bound);

	localcount_acquire(&refs);
	localcount_release(&refs, &changed, &lock);
	mutex_enter(&lock);
	localcount_drain(&refs, &changed, &lock);
	mutex_exit(&lock);
	localcount_fini(&refs);

	kcpuset_create(&set, true);
	kcpuset_set(set, 1);
	rumplab_check(kcpuset_isset(set, 1) && kcpuset_countset(set) == 1, "kcpuset");
	kcpuset_destroy(set);

	rumplab_check(atomic_cas_uint(&calls, 12345, 0) != 12345, "cas");
	rumplab_check(snprintf(text, sizeof(text), "%s %d", "cpu", -7) == 6 && strcmp(text, "cpu -7") == 0, "snprintf");
	rumplab_note("%p and %p are locks", &lock, &spin);
}

void
rumplab_setup(void)
{
	rumplab_check(cold, "cold");
	mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
	mutex_init(&spin, MUTEX_DEFAULT, IPL_VM);
	cv_init(&changed, "changed");
	rw_init(&rw);
	rumplab_check(workqueue_create(&wq, "wq", do_work, &works, PRI_NONE, IPL_NONE, WQ_MPSAFE) == 0, "workqueue");
	queue = pcq_create(4, KM_SLEEP);
	counts = percpu_alloc(sizeof(uint64_t));
	made = percpu_create(sizeof(uint64_t), set_index, NULL, NULL);
	softint = softint_establish(SOFTINT_NET | SOFTINT_MPSAFE, count, &softints);
	device = rumplab_intr_establish("device", 1, IPL_VM, count, &interrupts);
	callout_init(&timer, CALLOUT_MPSAFE);
	localcount_init(&refs);
	class = psref_class_create("class", IPL_SOFTNET);
	psref_target_init(&target, class);
	rumplab_actor("threads", 0, threads, NULL);
	rumplab_actor("locks", 1, locks, NULL);
	rumplab_actor("elsewhere", 0, elsewhere, NULL);
	rumplab_actor("storage", 1, storage, NULL);
}

void
rumplab_verify(void)
{
	rumplab_check(softints == 1 && interrupts == 1 && timeouts == 1 && works == 1, "handlers");
}

void
rumplab_teardown(void)
{
	psref_class_destroy(class);
	callout_destroy(&timer);
	rumplab_intr_disestablish(device);
	softint_disestablish(softint);
	percpu_free(made, sizeof(uint64_t));
	percpu_free(counts, sizeof(uint64_t));
	pcq_destroy(queue);
	rw_destroy(&rw);
	cv_destroy(&changed);
	mutex_destroy(&spin);
	mutex_destroy(&lock);
}
