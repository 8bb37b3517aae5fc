//! `rumplab c --replace`: primitives that C files define, under the scenarios that come with rumplab.

mod program;

use program::{Ran, Scratch, rumplab};

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

fn run(name: &str, text: &str, more: &[&str]) -> Ran {
    let scratch = Scratch::new(&format!("c-replace-{name}"));
    let (file, out) = (scratch.file("own.c", text), scratch.path("out"));
    rumplab(&[&["c", &file, "--out", &out, "--schedules", "3000"], more].concat())
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
fn scenarios_in_c_hold_on_the_kernels_own_primitives() {
    let out = Scratch::new("c-replace-own");
    for name in [
        "psref-drain",
        "condvar-signal",
        "rwlock-exclusion",
        "workqueue-once",
        "percpu-moves",
        "xcall-done",
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
