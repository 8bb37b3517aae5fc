//! Context switches, preemption, kpause.
//!
//! # Overview
//!
//! `mi_switch` is the only place where a CPU switches from one LWP to another, except for the dispatch of a softint
//! on top of the LWP that it interrupts ([`crate::kern::softint`]).
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::lwp::curcpu;
//! use kmod::kern::synch::{kpreempt_disable, kpreempt_enable};
//!
//! run(|| {
//!     kpreempt_disable();
//!     let here = curcpu().index();
//!     // ... what must happen on one CPU, and must not sleep ...
//!     assert_eq!(curcpu().index(), here);
//!     kpreempt_enable();
//! });
//! ```
//!
//! # The hand-over
//!
//! An LWP switches away with its own lock held. The LWP that runs next releases that lock, once the stack is no
//! longer in use:
//!
//! ```text
//! leaving: l.lock, spc_mutex | pick next | exit spc_mutex | ci_curlwp = next | switch
//! arriving:                                                    | clear prev.l_running | prev.unlock | splx
//! ```
//!
//! The level stays at IPL_SCHED in between: `ci_mtx_count` counts one mutex too many across the switch.
//!
//! # Memory order
//!
//! `ci_curlwp` is stored with sequential consistency, which is a barrier on both sides. A waiter that sees the owner
//! of a mutex off its CPU sees everything that the owner did before, above all the release of the mutex. An owner
//! that resumes reads the mutex only after it is visible on its CPU again. (NetBSD requires two fences of
//! `cpu_switchto` for that.)
//!
//! # Differences from NetBSD
//!
//! No time accounting, no address spaces. `returning` (a softint that blocks) is as in NetBSD. Whether a spin mutex
//! is held is checked at every switch; NetBSD checks it only if another LWP runs next.
//!
//! # Sources
//!
//! `sys/kern/kern_synch.c` 1.366.

use crate::contract;
use crate::history::Bug;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{LP_PREEMPTING, Lwp, Stat, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::order;
use crate::kern::pserialize;
use crate::kern::sched;
use crate::kern::sleepq::{self, SyncObj, Timeout};
use crate::kern::spl::{self, Ipl};
use crate::machine::{self, Kind};
use crate::mem::{Relaxed, Release, SeqCst};
use crate::note;

/// Gives the CPU to another LWP, or to the same one if there is no better.
///
/// Context: thread or softint that blocks; preemption off; `l`, the current LWP, is locked and so is the
/// `spc_mutex` of its CPU. Both are released. Panics: contracts `switch-locks`, `switch-spin`, `switch-preempt`,
/// `psz-switch`, `lwp-locked`, `switch-first`, `switch-curlwp`.
#[track_caller]
pub(crate) fn mi_switch(l: &'static Lwp) {
    let ci = curcpu();
    let spc = &ci.ci_schedstate;
    contract!(
        spc.spc_mutex.owned(),
        "switch-locks",
        "mi_switch({}) on cpu{} without its spc_mutex",
        l.name(),
        ci.index()
    );
    let held = -ci.ci_mtx_count.look();
    contract!(
        held == 2,
        "switch-spin",
        "{} switches away on cpu{} with {} spin mutexes held besides its lock and spc_mutex",
        l.name(),
        ci.index(),
        held - 2
    );
    contract!(
        kpreempt_disabled(),
        "switch-preempt",
        "mi_switch({}) on cpu{} at level {} with preemption on: it could be switched away meanwhile",
        l.name(),
        ci.index(),
        spl::ilevel().name()
    );
    contract!(
        ci.ci_psz_read_depth.look() == 0,
        "psz-switch",
        "{} switches away with {} read sections of pserialize open on cpu{}",
        l.name(),
        ci.ci_psz_read_depth.look(),
        ci.index()
    );
    machine::point(core::ptr::from_ref(l) as usize, Kind::Switch, Relaxed);
    pserialize::switchpoint(ci);

    // A softint that blocks returns the CPU to the LWP it interrupted.
    let pinned = l.l_switchto.get();
    l.l_switchto.set(None);
    if l.l_stat.get() == Stat::Onproc && pinned.is_none() {
        requeue(ci, l);
    }
    let next = match pinned {
        Some(pinned) => pinned,
        None => nextlwp(ci),
    };
    if core::ptr::eq(next, l) {
        stay(ci, l);
    } else {
        leave(ci, l, next, pinned.is_some());
    }
}

/// The running LWP yields: puts it back on the run queue, or marks it to be moved if that was decided.
fn requeue(ci: &'static Cpu, l: &'static Lwp) {
    let spc = &ci.ci_schedstate;
    contract!(
        l.locked_by(&spc.spc_lwplock),
        "lwp-locked",
        "{} yields and is locked by {}, not by the lock of cpu{}",
        l.name(),
        l.mutex_fused().name(),
        ci.index()
    );
    l.l_stat.set(Stat::Run);
    l.unlock_to(&spc.spc_mutex);
    sched::sched_enqueue(l);
    // kern_synch.c up to 1.313 did not check LP_BOUND here.
    let history = ci.kernel().config().history;
    if l.l_target_cpu.get().is_some() && (!l.is_bound() || history.has(Bug::SwitchIgnoresBound)) {
        spc.set_migrating(Some(l));
    }
}

/// Picks the LWP to run, takes it off the queue and marks it running. `spc_mutex` is held.
fn nextlwp(ci: &'static Cpu) -> &'static Lwp {
    let spc = &ci.ci_schedstate;
    // A migration comes before everything else, and the idle LWP carries it out.
    let next = match spc.spc_migrating.get() {
        Some(_) => None,
        None => {
            let next = sched::sched_nextlwp(ci);
            sched::assert_first(ci, next);
            next
        }
    };
    ci.ci_want_resched.store_fused(0, Relaxed);
    spl::kpreempt_done(ci);
    let next = match next {
        Some(next) => {
            sched::sched_dequeue(next);
            next
        }
        None => ci.idle(),
    };
    next.l_stat.set(Stat::Onproc);
    next.l_running.store_fused(true, Relaxed);
    // Last: an LWP that locks it from now on finds it running. (An idle LWP always has this lock.)
    next.setlock(&spc.spc_lwplock);
    spc.spc_curpriority
        .store_fused(u32::from(next.l_priority.get()), Relaxed);
    next
}

/// The same LWP continues.
fn stay(ci: &'static Cpu, l: &'static Lwp) {
    clear_preempting(l);
    ci.ci_schedstate.spc_mutex.spin_exit();
    // Any other LWP released its own lock when it was put on the queue (`requeue`).
    if l.is_idle() {
        l.unlock();
    }
}

fn clear_preempting(l: &Lwp) {
    if l.pflag() & LP_PREEMPTING != 0 {
        l.set_pflag(l.pflag() & !LP_PREEMPTING);
    }
}

/// Switches from `l` to `next`. When `l` is picked again, it takes over here.
fn leave(ci: &'static Cpu, l: &'static Lwp, next: &'static Lwp, returning: bool) {
    let spc = &ci.ci_schedstate;
    // On the run queue, `spc_mutex` is the LWP's own lock and passes to the next LWP.
    if !core::ptr::eq(l.mutex_fused(), &raw const spc.spc_mutex) {
        spc.spc_mutex.spin_exit();
    }
    let counters = &ci.kernel().counters;
    counters.switches.incr();
    if l.pflag() & LP_PREEMPTING != 0 {
        counters.preemptions.incr();
    }
    clear_preempting(l);
    l.l_ncsw.set(l.l_ncsw.get() + 1);
    let oldspl = ci.ci_mtx_oldspl.get();
    ci.ci_mtx_count.set(-2);
    if returning {
        // No LWP on the other side unlocks it: the LWP below continues in `softint::dispatch`. The worst that can
        // happen to a bound LWP is to be put on the run queue of this very CPU, which is busy.
        counters.softint_blocks.incr();
        l.l_running.store_fused(false, Relaxed);
        l.unlock();
        ci.ci_prevlwp.set(None);
    } else {
        ci.ci_prevlwp.set(Some(l));
    }
    ci.kernel().count_progress(next);
    switch_context(ci, l, next);
    take_over(l);
    spl::splx_fused(Ipl::from_number(oldspl));
}

/// Makes `next` the running LWP of this CPU. Returns when another LWP switches back to `l`.
pub(crate) fn switch_context(ci: &'static Cpu, l: &'static Lwp, next: &'static Lwp) {
    let (from, to) = (l.context(), next.context());
    // Before `next` loads the word of a mutex that it exits: a waiter that has set its bit there then looks here.
    match ci.kernel().config().history.has(Bug::SwitchCurlwp) {
        true => ci.ci_curlwp.store_fused(Some(next), Release),
        false => ci.ci_curlwp.store_fused(Some(next), SeqCst),
    }
    machine::attach(ci.index(), core::ptr::from_ref(next).cast());
    // SAFETY: (1) `l` runs here; (2) `next` was made ONPROC for this CPU under its lock, so it runs nowhere.
    unsafe { machine::context_switch(from, to) }
}

/// The part of the LWP that runs next: releases the one that switched away.
fn take_over(l: &'static Lwp) {
    let ci = curcpu();
    if let Some(previous) = ci.ci_prevlwp.get() {
        ci.ci_prevlwp.set(None);
        let zombie = previous.l_stat.get() == Stat::Zomb;
        let lock = previous.mutex_fused();
        previous.l_running.store_fused(false, Release);
        lock.spin_exit();
        if zombie {
            previous.l_reusable.store(true, Release);
        }
    }
    contract!(
        core::ptr::eq(ci.ci_curlwp.peek().unwrap_or(l), l),
        "switch-curlwp",
        "{} continues on cpu{}, whose ci_curlwp is {}",
        l.name(),
        ci.index(),
        ci.ci_curlwp.peek().unwrap_or(l).name()
    );
    // The extra mutex count that kept the level raised across the switch.
    ci.ci_mtx_count.set(0);
}

/// An ordinary LWP runs for the first time.
pub(crate) fn lwp_startup(l: &'static Lwp) {
    take_over(l);
    pserialize::switchpoint(curcpu());
    spl::splx_fused(Ipl::None);
}

/// Disables kernel preemption for the current LWP. Calls nest.
#[inline]
#[track_caller]
pub fn kpreempt_disable() {
    let l = curlwp();
    machine::between(core::ptr::from_ref(l).addr(), Kind::Kpreempt);
    l.l_nopreempt.increment();
    core::sync::atomic::compiler_fence(crate::mem::SeqCst);
}

/// Undoes one [`kpreempt_disable`]; a deferred preemption happens now.
///
/// Panics: contracts `preempt-balance`, `preempt-late`.
#[inline]
#[track_caller]
pub fn kpreempt_enable() {
    core::sync::atomic::compiler_fence(crate::mem::SeqCst);
    let l = curlwp();
    contract!(
        l.l_nopreempt.get() > 0,
        "preempt-balance",
        "kpreempt_enable in {} without kpreempt_disable",
        l.name()
    );
    l.l_nopreempt.decrement();
    core::sync::atomic::compiler_fence(crate::mem::SeqCst);
    // Only if this was the outermost one; a preemption that becomes wanted later is handled by the CPU that wants it.
    kpreempt_if_wanted();
    assert_not_put_off(l);
    machine::between(core::ptr::from_ref(l).addr(), Kind::Kpreempt);
}

/// Whether the current LWP cannot be preempted.
#[inline]
pub fn kpreempt_disabled() -> bool {
    let l = curlwp();
    l.l_nopreempt.get() != 0 || l.is_idle() || l.is_softint() || spl::ilevel() != Ipl::None
}

/// Preempts the current LWP if that is wanted and allowed.
#[inline]
pub(crate) fn kpreempt_if_wanted() {
    let l = curlwp();
    if sched::kpreempt_wanted(l.cpu_unlocked()) {
        kpreempt(l);
    }
}

/// Nothing keeps the current LWP from being preempted any more, if this is so.
///
/// Panics (contract `preempt-late`) if a preemption of it is still pending on its CPU. Only on a machine on which CPUs take turns: on any other
/// an interrupt may have brought one just now, or another CPU have taken the LWP over.
#[inline]
#[track_caller]
pub(crate) fn assert_not_put_off(l: &Lwp) {
    contract!(
        !machine::takes_turns() || !l.of_cpu(spl::kpreempt_pending) || kpreempt_disabled(),
        "preempt-late",
        "{} goes on on cpu{}, which wants it off, and may be preempted",
        l.name(),
        l.cpu_unlocked().index()
    );
}

#[cold]
fn kpreempt(l: &'static Lwp) {
    while sched::kpreempt_wanted(l.cpu_unlocked()) {
        if kpreempt_disabled() {
            return;
        }
        note!("{} is preempted", l.name());
        l.set_pflag(l.pflag() | LP_PREEMPTING);
        switch_away(l);
    }
}

/// Gives up the CPU, with preemption off, so that the caller sees what happens in the meantime.
#[track_caller]
fn switch_away(l: &'static Lwp) {
    l.l_nopreempt.set(l.l_nopreempt.get() + 1);
    l.lock();
    l.cpu_unlocked().ci_schedstate.spc_mutex.spin_enter();
    mi_switch(l);
    l.l_nopreempt.set(l.l_nopreempt.get() - 1);
}

/// A place where a long computation lets others run; the return to user mode does this in NetBSD.
///
/// Context: thread. A step, at which the LWP is preempted if its CPU has more important work.
#[track_caller]
pub fn preempt_point() {
    machine::point(core::ptr::from_ref(curlwp()) as usize, Kind::Yield, Relaxed);
    kpreempt_if_wanted();
}

/// Lets other LWPs of the same priority run (`yield`).
///
/// Context: thread.
#[track_caller]
pub fn yield_now() {
    switch_away(curlwp());
    kpreempt_if_wanted();
}

/// Sleeps for `timeout_ticks` ticks, at least one. `interlock`, if given, is released during the sleep.
///
/// Context: thread that may sleep. Panics: contracts `sleepable`, `kpause-ticks`.
#[track_caller]
pub fn kpause(wmesg: &'static str, timeout_ticks: u32, interlock: Option<&Kmutex>) {
    crate::kern::contract::assert_sleepable("kpause");
    contract!(
        timeout_ticks > 0,
        "kpause-ticks",
        "kpause({wmesg}) for 0 ticks would never end"
    );
    let l = curlwp();
    note!("{} sleeps, ticks: {timeout_ticks} ({wmesg})", l.name());
    l.lock();
    order::pauses("kpause", interlock.map(Kmutex::resource));
    sleepq::enqueue(
        None,
        core::ptr::from_ref(l) as usize,
        wmesg,
        SyncObj::Kpause,
    );
    if let Some(interlock) = interlock {
        interlock.exit();
    }
    sleepq::block(Timeout::After(timeout_ticks));
    if let Some(interlock) = interlock {
        interlock.enter();
    }
}
