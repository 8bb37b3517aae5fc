//! `rumplab c --replace`: primitives that C files define, under the scenarios that come with rumplab.

use crate::program::{Ran, Scratch, rumplab};

/// A queue with a spin mutex. With UNLOCKED, without it.
const PCQ: &str = "\
#include <sys/param.h>
#include <sys/kmem.h>
#include <sys/mutex.h>
#include <sys/pcq.h>
struct pcq { kmutex_t lock; unsigned first, count, size; void *items[8]; };
#ifdef UNLOCKED
#define mutex_spin_enter(lock) ((void)0)
#define mutex_spin_exit(lock) ((void)0)
#endif
bool pcq_put(pcq_t *q, void *item)
{
	bool room;
	mutex_spin_enter(&q->lock);
	room = q->count < q->size;
	if (room)
		q->items[(q->first + q->count++) % q->size] = item;
	mutex_spin_exit(&q->lock);
	return room;
}
void *pcq_get(pcq_t *q)
{
	void *item = NULL;
	mutex_spin_enter(&q->lock);
	if (q->count > 0) {
		item = q->items[q->first];
		q->first = (q->first + 1) % q->size;
		q->count--;
	}
	mutex_spin_exit(&q->lock);
	return item;
}
pcq_t *pcq_create(size_t size, km_flag_t flags)
{
	pcq_t *q = kmem_zalloc(sizeof(struct pcq), flags);
	q->size = (unsigned)size;
	mutex_init(&q->lock, MUTEX_DEFAULT, IPL_VM);
	return q;
}
void pcq_destroy(pcq_t *q) { mutex_destroy(&q->lock); kmem_free(q, sizeof(struct pcq)); }
";

/// A pserialize(9) by a cross call, which notes whether the kernel initializes it and tells it of switches.
const PSERIALIZE: &str = "\
#include <sys/param.h>
#include <sys/atomic.h>
#include <sys/cpu.h>
#include <sys/kmem.h>
#include <sys/pserialize.h>
#include <sys/xcall.h>
struct pserialize { unsigned performed; };
static bool ready;
static unsigned switches;
void pserialize_init(void) { ready = true; }
void pserialize_switchpoint(void) { atomic_inc_uint(&switches); }
pserialize_t pserialize_create(void)
{
	KASSERT(ready);
	return kmem_zalloc(sizeof(struct pserialize), KM_SLEEP);
}
void pserialize_destroy(pserialize_t psz)
{
	KASSERT(switches > 0 && psz->performed > 0);
	kmem_free(psz, sizeof(struct pserialize));
}
void pserialize_perform(pserialize_t psz)
{
	KASSERT(curlwp->l_cpu == curcpu() || curlwp->l_nopreempt == 0);
	atomic_inc_uint(&psz->performed);
#ifndef AT_ONCE
	xc_barrier(XC_HIGHPRI);
#endif
}
int pserialize_read_enter(void) { return splsoftserial(); }
void pserialize_read_exit(int s) { splx(s); }
";

/// A callout(9) with one list for all CPUs, in the memory of the callouts. With NO_WAIT, `callout_halt` does not wait for the handler.
const CALLOUT: &str = "\
#define _CALLOUT_PRIVATE
#include <sys/param.h>
#include <sys/callout.h>
#include <sys/cpu.h>
#include <sys/intr.h>
#include <sys/mutex.h>
static kmutex_t lock;
static callout_impl_t *all;
static callout_impl_t *running[MAXCPUS];
static void *softclock_ih;
static void softclock(void *arg)
{
	const u_int me = cpu_number();
	mutex_spin_enter(&lock);
	for (callout_impl_t *c = all; c != NULL;) {
		if (c->c_flags != CALLOUT_PENDING || c->c_time > 0) {
			c = c->c_list.cq_next_e;
			continue;
		}
		c->c_flags = CALLOUT_FIRED | CALLOUT_INVOKING;
		running[me] = c;
		void (*func)(void *) = c->c_func;
		void *with = c->c_arg;
		mutex_spin_exit(&lock);
		(*func)(with);
		mutex_spin_enter(&lock);
		running[me] = NULL;
		c = all;
	}
	mutex_spin_exit(&lock);
}
void callout_startup(void) { mutex_init(&lock, MUTEX_DEFAULT, IPL_SCHED); }
void callout_init_cpu(struct cpu_info *ci)
{
	if (CPU_IS_PRIMARY(ci))
		softclock_ih = softint_establish(SOFTINT_CLOCK | SOFTINT_MPSAFE, softclock, NULL);
}
void callout_hardclock(void)
{
	bool due = false;
	mutex_spin_enter(&lock);
	for (callout_impl_t *c = all; c != NULL; c = c->c_list.cq_next_e) {
		if (cpu_number() == 0 && c->c_flags == CALLOUT_PENDING && c->c_time > 0)
			c->c_time--;
		due |= c->c_flags == CALLOUT_PENDING && c->c_time == 0;
	}
	mutex_spin_exit(&lock);
	if (due)
		softint_schedule(softclock_ih);
}
void callout_init(callout_t *cs, u_int flags)
{
	callout_impl_t *c = (callout_impl_t *)cs;
	c->c_flags = 0;
	mutex_spin_enter(&lock);
	c->c_list.cq_next_e = all;
	all = c;
	mutex_spin_exit(&lock);
}
void callout_destroy(callout_t *cs)
{
	callout_impl_t **at = &all;
	mutex_spin_enter(&lock);
	while (*at != (callout_impl_t *)cs)
		at = &(*at)->c_list.cq_next_e;
	*at = (*at)->c_list.cq_next_e;
	mutex_spin_exit(&lock);
}
void callout_schedule(callout_t *cs, int ticks)
{
	callout_impl_t *c = (callout_impl_t *)cs;
	mutex_spin_enter(&lock);
	c->c_time = ticks;
	c->c_flags = CALLOUT_PENDING;
	mutex_spin_exit(&lock);
}
void callout_reset(callout_t *cs, int ticks, void (*func)(void *), void *arg)
{
	callout_impl_t *c = (callout_impl_t *)cs;
	mutex_spin_enter(&lock);
	c->c_func = func;
	c->c_arg = arg;
	mutex_spin_exit(&lock);
	callout_schedule(cs, ticks);
}
bool callout_halt(callout_t *cs, void *interlock)
{
	callout_impl_t *c = (callout_impl_t *)cs;
	bool fired, runs = false;
	mutex_spin_enter(&lock);
	fired = (c->c_flags & CALLOUT_FIRED) != 0;
	c->c_flags = 0;
#ifndef NO_WAIT
	for (int i = 0; i < ncpu; i++)
		runs |= running[i] == c;
#endif
	mutex_spin_exit(&lock);
	if (runs) {
		kpause(\"halt\", false, 1, interlock);
		return callout_halt(cs, interlock);
	}
	return fired;
}
static bool is(callout_t *cs, u_int flag)
{
	bool set;
	mutex_spin_enter(&lock);
	set = (((callout_impl_t *)cs)->c_flags & flag) != 0;
	mutex_spin_exit(&lock);
	return set;
}
bool callout_pending(callout_t *cs) { return is(cs, CALLOUT_PENDING); }
bool callout_expired(callout_t *cs) { return is(cs, CALLOUT_FIRED); }
void callout_ack(callout_t *cs) { }
";

/// A thread that only a callout wakes.
const ALARM: &str = "\
#include <rumplab.h>
#include <sys/callout.h>
#include <sys/condvar.h>
static callout_t timer;
static kmutex_t interlock;
static kcondvar_t expired;
static bool done;
static void alarm(void *arg)
{
	mutex_enter(&interlock);
	done = true;
	cv_signal(&expired);
	mutex_exit(&interlock);
}
static void sleeper(void *arg)
{
#ifndef NEVER
	callout_reset(&timer, 3, alarm, NULL);
#endif
	mutex_enter(&interlock);
	while (!done)
		cv_wait(&expired, &interlock);
	mutex_exit(&interlock);
	callout_halt(&timer, NULL);
}
void rumplab_setup(void)
{
	mutex_init(&interlock, MUTEX_DEFAULT, IPL_SOFTCLOCK);
	cv_init(&expired, \"alarm\");
	callout_init(&timer, CALLOUT_MPSAFE);
	rumplab_actor(\"sleeper\", 0, sleeper, NULL);
}
void rumplab_teardown(void)
{
	callout_destroy(&timer);
	cv_destroy(&expired);
	mutex_destroy(&interlock);
}
";

/// A lock for writers only, on the kernel's turnstiles.
const RWLOCK: &str = "\
#define __RWLOCK_PRIVATE
#include <sys/param.h>
#include <sys/lwp.h>
#include <sys/rwlock.h>
#include <sys/sleepq.h>
static syncobj_t rw_syncobj;
void rw_init(krwlock_t *rw) { rw->rw_owner = 0; }
void rw_destroy(krwlock_t *rw) { KASSERT(rw->rw_owner == 0); }
void rw_enter(krwlock_t *rw, const krw_t op)
{
	turnstile_t *ts;
	while (ts = turnstile_lookup(rw), rw->rw_owner != 0)
		turnstile_block(ts, TS_WRITER_Q, rw, &rw_syncobj);
	rw->rw_owner = (uintptr_t)curlwp;
	turnstile_exit(rw);
}
void rw_exit(krwlock_t *rw)
{
	turnstile_t *ts = turnstile_lookup(rw);
	rw->rw_owner = 0;
	if (ts == NULL)
		turnstile_exit(rw);
	else
		turnstile_wakeup(ts, TS_WRITER_Q, (int)TS_WAITERS(ts, TS_WRITER_Q), NULL);
}
";

const WRITERS: &str = "\
#include <rumplab.h>
#include <sys/rwlock.h>
static krwlock_t lock;
static unsigned count;
static void writer(void *arg)
{
	rw_enter(&lock, RW_WRITER);
	count++;
	preempt_point();
	rw_exit(&lock);
}
void rumplab_setup(void)
{
	rw_init(&lock);
	rumplab_actor(\"one\", 0, writer, NULL);
	rumplab_actor(\"two\", 1, writer, NULL);
}
void rumplab_verify(void) { rumplab_check(count == 2, \"count\"); }
void rumplab_teardown(void) { rw_destroy(&lock); }
";

fn run(name: &str, text: &str, more: &[&str]) -> Ran {
    let scratch = Scratch::new(&format!("c-replace-{name}"));
    let (file, out) = (scratch.file("own.c", text), scratch.path("out"));
    rumplab(
        &[
            &[
                "c",
                &file,
                "--out",
                &out,
                "--schedules",
                "3000",
                "--races",
                "stop",
            ],
            more,
        ]
        .concat(),
    )
}

#[track_caller]
fn has(ran: &Ran, status: i32, words: &str) {
    let said = format!("{}{}", ran.out, ran.err);
    assert_eq!(ran.status, Some(status), "{said}");
    assert!(said.contains(words), "no `{words}` in {said}");
}

#[test]
fn a_primitive_in_c_runs_the_scenarios_of_the_kernels_own() {
    let of = ["--scenario", "pcq-fifo", "--replace", "pcq"];
    has(&run("pcq", PCQ, &of), 0, "nothing found");
    let broken = [&of[..], &["-D", "UNLOCKED"]].concat();
    has(&run("unlocked", PCQ, &broken), 1, "DATA RACE");
}

#[test]
fn the_kernel_calls_a_service_in_c() {
    let of = ["--scenario", "pserialize-grace", "--replace", "pserialize"];
    has(&run("pserialize", PSERIALIZE, &of), 0, "nothing found");
    let broken = [&of[..], &["-D", "AT_ONCE"]].concat();
    has(&run("at-once", PSERIALIZE, &broken), 1, "psz-grace");
}

#[test]
fn a_callout_in_c_has_its_clock() {
    let scratch = Scratch::new("c-replace-of-alarm");
    let alarm = scratch.file("alarm.c", ALARM);
    let of = ["--scenario", &alarm, "--replace", "callout"];
    let held = run("alarm", CALLOUT, &of);
    has(&held, 0, "nothing found");
    assert!(!held.out.contains("did not run"), "{}", held.out);
    let never = [&of[..], &["-D", "NEVER"]].concat();
    has(&run("never", CALLOUT, &never), 1, "found in schedule");
}

#[test]
fn a_callout_in_c_waits_for_its_handler() {
    for name in ["callout-halt", "callout-moves"] {
        let of = ["--scenario", name, "--replace", "callout"];
        has(&run(name, CALLOUT, &of), 0, "nothing found");
        let broken = [&of[..], &["-D", "NO_WAIT"]].concat();
        has(
            &run(&format!("{name}-broken"), CALLOUT, &broken),
            1,
            "found in schedule",
        );
    }
}

#[test]
fn a_lock_in_c_is_waited_for() {
    let scratch = Scratch::new("c-replace-of-writers");
    let writers = scratch.file("writers.c", WRITERS);
    let of = ["--scenario", &writers, "--replace", "rwlock"];
    let held = run("rwlock", RWLOCK, &of);
    has(&held, 0, "nothing found");
    assert!(!held.out.contains("had to wait"), "{}", held.out);
}

#[test]
fn scenarios_in_c_hold_on_the_kernels_own_primitives() {
    let out = Scratch::new("c-replace-own");
    for name in [
        "psref-drain",
        "condvar-signal",
        "rwlock-exclusion",
        "workqueue-once",
        "percpu-moves",
        "xcall-done",
        "callout-halt",
        "callout-moves",
    ] {
        let ran = rumplab(&[
            "c",
            "--scenario",
            name,
            "--schedules",
            "500",
            "--out",
            &out.path("out"),
        ]);
        has(&ran, 0, "nothing found");
    }
}

#[test]
fn half_a_replacement_is_refused_in_words() {
    let pcq = ["--scenario", "pcq-fifo"];
    has(&run("unasked", PCQ, &pcq), 2, "--replace pcq");
    let of = ["--scenario", "pcq-fifo", "--replace"];
    has(
        &run("unknown", PCQ, &[&of[..], &["pqc"]].concat()),
        2,
        "no primitive that C can replace",
    );
    has(
        &run("nothing", "int unused;", &[&of[..], &["pcq"]].concat()),
        2,
        "no file defines it",
    );
    let half = PCQ.replace("pcq_get", "pcq_take");
    has(
        &run("half", &half, &[&of[..], &["pcq"]].concat()),
        2,
        "`pcq_get` is used",
    );
    has(
        &run("rust", PCQ, &["--scenario", "rwlock-abba"]),
        2,
        "is not in C",
    );
    has(
        &run("none", PCQ, &["--scenario", "pqc-fifo"]),
        2,
        "there is no scenario",
    );
}
