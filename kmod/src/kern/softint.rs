//! softint(9): soft interrupts.
//!
//! # Overview
//!
//! Every CPU has four levels of soft interrupts, `clock < bio < net < serial`, and one LWP for each. [`schedule`]
//! queues a handler on the CPU that calls it. As soon as the level is unmasked, the level's LWP *runs on top of the
//! LWP that was running there* (fast softints), calls the handlers in order, and returns the CPU.
//!
//! A handler may block on an adaptive mutex. Then the interrupted LWP continues at once, and the softint becomes an
//! ordinary LWP of a very high priority. Until it has finished, the level is *active*: **no other handler of that
//! level runs on that CPU.**
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::softint;
//! use kmod::kern::spl::Ipl;
//! use kmod::kern::synch::{kpreempt_disable, kpreempt_enable};
//! use kmod::mem::{AtomicU32, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let runs = AtomicU32::new(0);
//!     let count = |runs| { shared::<AtomicU32>(runs).fetch_add(1, Relaxed); };
//!     let softint = softint::establish(Ipl::SoftNet, count, Arg::of(&runs)).expect("a free slot");
//!     kpreempt_disable();
//!     softint::schedule(softint);
//!     kpreempt_enable();
//!     softint::disestablish(softint); // waits until it has run
//!     assert_eq!(runs.load(Relaxed), 1);
//! });
//! ```
//!
//! # Contexts
//!
//! [`schedule`], [`schedule_cpu`]: any, with preemption off. [`establish`], [`disestablish`]: thread that may sleep.
//! Handlers may take adaptive mutexes, and must not sleep on condition variables.
//!
//! # Per-CPU operation
//!
//! The queues are touched by their own CPU alone, at IPL_HIGH.
//!
//! # Invariants
//!
//! 1. PENDING is cleared before the handler runs, so a handler that is scheduled while it runs will run again.
//! 2. A level is dispatched only when it is not active.
//! 3. A softint that another CPU was asked for is in that CPU's `softint_remote` until its interrupt has queued it.
//! 4. A handler leaves nothing behind: no lock, no read section, no raised level, no disabled preemption, no passive
//!    reference. Its LWP stays bound.
//!
//! # Differences from NetBSD
//!
//! All handlers are MP-safe. There are no slow softints. The size of the table is configurable.
//!
//! # Sources
//!
//! softint(9); `sys/kern/kern_softint.c` 1.76.

use crate::config::Config;
use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::cpu::Cpu;
use crate::kern::inside::inside;
use crate::kern::kmem;
use crate::kern::lwp::{self, Arg, LP_BOUND, LP_INTR, Lwp, Name, Spec, Stat, curcpu, curlwp, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::order;
use crate::kern::pserialize;
use crate::kern::spl::{self, Ipl};
use crate::kern::{ipi, synch, xcall};
use crate::kernel::Kernel;
use crate::machine::{self, Mark, Stop};
use crate::mem::{Acquire, AtomicU32, Local, Plain, Relaxed};
use crate::note;

/// Levels of soft interrupts, lowest first.
pub const LEVELS: [Ipl; 4] = [Ipl::SoftClock, Ipl::SoftBio, Ipl::SoftNet, Ipl::SoftSerial];

const fn level_index(level: Ipl) -> usize {
    level as usize - Ipl::SoftClock as usize
}

/// The level of a softint's LWP; [`Ipl::None`] for any other.
pub(crate) fn level_of(l: &Lwp) -> Ipl {
    match l.is_softint() {
        true => LEVELS[usize::from(l.l_priority.peek() - pri::SOFTCLOCK)],
        false => Ipl::None,
    }
}

/// The short name of a level's LWPs: `softclk/0`.
const NAMES: [&str; 4] = ["softclk", "softbio", "softnet", "softser"];

/// An established soft interrupt: its index in every CPU's table. 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Softint(usize);

/// A handler, on one CPU (`softhand_t`).
struct Softhand {
    sh_func: Plain<Option<fn(Arg)>>,
    sh_arg: Plain<Arg>,
    sh_level: Plain<u8>,
    sh_pending: Local<bool>,
    /// The index of the next handler on the level's queue, or 0.
    sh_next: Local<usize>,
}

crate::fields!(Softhand {
    sh_func,
    sh_arg,
    sh_level,
    sh_pending,
    sh_next
});

/// A level, on one CPU (`softint_t`).
struct Level {
    si_first: Local<usize>,
    si_last: Local<usize>,
    /// Whether the level is triggered, running, or blocked.
    si_active: Local<bool>,
    si_lwp: Local<Option<&'static Lwp>>,
}

crate::fields!(Level {
    si_first,
    si_last,
    si_active,
    si_lwp
});

/// The soft interrupts of one CPU (`softcpu_t`).
pub struct SoftCpu {
    sc_int: [Level; 4],
    sc_hand: Local<&'static [Softhand]>,
}

crate::fields!(SoftCpu { sc_int });

impl SoftCpu {
    pub(crate) const fn new(_: &Config) -> Self {
        SoftCpu {
            sc_int: [const {
                Level {
                    si_first: Local::new(0),
                    si_last: Local::new(0),
                    si_active: Local::new(false),
                    si_lwp: Local::new(None),
                }
            }; 4],
            sc_hand: Local::new(&[]),
        }
    }

    fn hand(&self, softint: Softint) -> &'static Softhand {
        &self.sc_hand.get()[softint.0]
    }

    /// The LWP of a level, and whether the level is active. For reports.
    pub(crate) fn peek(&self, level: Ipl) -> (Option<&'static Lwp>, bool) {
        let si = &self.sc_int[level_index(level)];
        (si.si_lwp.peek(), si.si_active.peek())
    }
}

/// The soft interrupts of a kernel.
pub struct Softints {
    softint_lock: Kmutex,
    /// The entries that are in use, one bit each.
    softint_used: Plain<u64>,
    /// The entries that belong to the kernel itself.
    softint_kept: Local<u64>,
    /// Cross-CPU requests: the entries that each CPU was asked to schedule, one bit each.
    softint_remote: [AtomicU32; Config::MAXCPUS],
}

crate::fields!(Softints {
    softint_lock,
    softint_used,
    softint_remote
});

impl Softints {
    pub(crate) const fn new() -> Self {
        Softints {
            softint_lock: Kmutex::new("softint_lock", Ipl::None),
            softint_used: Plain::new(1),
            softint_kept: Local::new(0),
            softint_remote: [const { AtomicU32::new(0) }; Config::MAXCPUS],
        }
    }
}

/// Gives a CPU its table and the LWPs of its levels.
pub(crate) fn init_cpu(kernel: &'static Kernel, ci: &'static Cpu) -> Option<()> {
    let hands =
        kmem::boot_alloc_slice("softhand", kernel.config().softint_handlers, |_| Softhand {
            sh_func: Plain::new(None),
            sh_arg: Plain::new(Arg::NONE),
            sh_level: Plain::new(0),
            sh_pending: Local::new(false),
            sh_next: Local::new(0),
        })?;
    ci.ci_softcpu.sc_hand.set(hands);
    for level in LEVELS {
        let index = level_index(level);
        let spec = Spec {
            name: Name::format(format_args!("{}/{}", NAMES[index], ci.index())),
            cpu: ci,
            priority: pri::SOFTCLOCK + index as u8,
            pflag: LP_BOUND | LP_INTR,
            func: |_| {},
            arg: Arg::NONE,
            joinable: false,
            actor: false,
        };
        let l = lwp::lwp_create(kernel, &spec, softint_thread)?;
        ci.ci_softcpu.sc_int[index].si_lwp.set(Some(l));
    }
    Some(())
}

/// Fills a free entry on every CPU. The caller excludes others.
fn establish_locked(
    kernel: &'static Kernel,
    cpus: &[Cpu],
    level: Ipl,
    func: fn(Arg),
    arg: Arg,
) -> Option<Softint> {
    let used = kernel.softints.softint_used.get();
    let place = used.trailing_ones() as usize;
    if place >= kernel.config().softint_handlers.min(32) {
        return None;
    }
    kernel.softints.softint_used.set(used | 1 << place);
    for ci in cpus {
        let hand = ci.ci_softcpu.hand(Softint(place));
        hand.sh_level.set(level as u8);
        hand.sh_arg.set(arg);
        hand.sh_func.set(Some(func));
    }
    Some(Softint(place))
}

/// [`establish`] during boot, when nothing runs.
pub fn establish_at_boot(
    cpus: &'static [Cpu],
    level: Ipl,
    func: fn(Arg),
    arg: Arg,
) -> Option<Softint> {
    let kernel = cpus.first()?.kernel();
    establish_locked(kernel, cpus, level, func, arg)
}

/// Marks everything established so far as the kernel's own. At boot.
pub fn keep(kernel: &Kernel) {
    let softints = &kernel.softints;
    softints.softint_kept.set(softints.softint_used.get());
}

/// A level of this CPU that has work left, and its LWP. For checks at rest.
pub(crate) fn left(ci: &Cpu) -> Option<(Ipl, &'static Lwp)> {
    let levels = LEVELS.into_iter().zip(&ci.ci_softcpu.sc_int);
    let mut left = levels.filter(|(_, si)| si.si_first.peek() != 0 || si.si_active.peek());
    left.find_map(|(level, si)| Some((level, si.si_lwp.peek()?)))
}

/// Checks at rest that every softint of the scenario was disestablished.
pub(crate) fn verify(kernel: &Kernel) {
    let softints = &kernel.softints;
    let left = softints.softint_used.peek() & !softints.softint_kept.peek();
    if left != 0 {
        machine::stop(
            Stop::Oracle("softint-leak"),
            format_args!("{} softints were never disestablished", left.count_ones()),
        );
    }
}

/// Establishes a handler at a level, on every CPU (`softint_establish`). Returns `None` if the table is full.
///
/// Context: thread that may sleep. Panics: contracts `sleepable`, `softint-level`.
#[track_caller]
pub fn establish(level: Ipl, func: fn(Arg), arg: Arg) -> Option<Softint> {
    assert_sleepable("softint_establish");
    contract!(
        level.is_soft(),
        "softint-level",
        "softint_establish by {} at level {}, which is not a soft one",
        curlwp().name(),
        level.name()
    );
    let kernel = curlwp().kernel();
    kernel.softints.softint_lock.enter();
    let softint = establish_locked(kernel, kernel.cpus(), level, func, arg);
    kernel.softints.softint_lock.exit();
    softint
}

/// Disestablishes a handler. When this returns, the handler neither runs nor will run (`softint_disestablish`).
///
/// It waits for a handler that is queued or running, by running a softint of the same level on every CPU after it.
/// Context: thread that may sleep; the caller holds no lock that the handler takes; nothing schedules the softint any
/// more, including its own handler. Panics: contracts `sleepable`, `softint-established`.
#[track_caller]
pub fn disestablish(softint: Softint) {
    assert_sleepable("softint_disestablish");
    let _inside = inside("softint_disestablish");
    let kernel = curlwp().kernel();
    let hand = kernel.cpu(0).ci_softcpu.hand(softint);
    contract!(
        hand.sh_func.get().is_some(),
        "softint-established",
        "softint_disestablish by {} of a softint that is not established",
        curlwp().name()
    );
    let level = Ipl::from_number(hand.sh_level.get());
    // A CPU that was asked for the softint may not have taken the interrupt yet, and then it queues the softint behind the
    // barrier. (NetBSD's `ipi_unregister` waits for such interrupts.)
    let requests = &kernel.softints.softint_remote;
    if requests
        .iter()
        .any(|asked| asked.load(Acquire) & 1 << softint.0 != 0)
    {
        xcall::native_broadcast(level, |_, _| take_requests());
    }
    xcall::native_barrier(level);
    kernel.softints.softint_lock.enter();
    disestablish_at_rest(kernel, softint);
    kernel.softints.softint_lock.exit();
}

/// The end of [`disestablish`]: nothing schedules or runs the softint any more, and the caller excludes others.
pub fn disestablish_at_rest(kernel: &'static Kernel, softint: Softint) {
    for ci in kernel.cpus() {
        ci.ci_softcpu.hand(softint).sh_func.set(None);
    }
    let used = kernel.softints.softint_used.get();
    kernel.softints.softint_used.set(used & !(1 << softint.0));
}

/// Queues a handler on this CPU (`softint_schedule`). If it is already queued, it runs once.
///
/// Context: any, preemption off. Panics (contract `softint-preempt`) otherwise.
#[track_caller]
pub fn schedule(softint: Softint) {
    assert_stays("softint_schedule");
    let ci = curcpu();
    let hand = ci.ci_softcpu.hand(softint);
    if hand.sh_pending.get() {
        return;
    }
    let s = spl::splhigh();
    if !hand.sh_pending.get() {
        let level = Ipl::from_number(hand.sh_level.get_fused());
        let si = &ci.ci_softcpu.sc_int[level_index(level)];
        hand.sh_pending.set(true);
        hand.sh_next.set(0);
        match si.si_last.get() {
            0 => si.si_first.set(softint.0),
            last => ci.ci_softcpu.hand(Softint(last)).sh_next.set(softint.0),
        }
        si.si_last.set(softint.0);
        if !si.si_active.get() {
            si.si_active.set(true);
            spl::softint_trigger(ci, level);
        }
    }
    spl::splx_fused(s);
}

/// Queues a handler on `ci` (`softint_schedule_cpu`).
///
/// Context: any, preemption off. Panics (contract `softint-preempt`) otherwise.
#[track_caller]
pub fn schedule_cpu(softint: Softint, ci: &'static Cpu) {
    assert_stays("softint_schedule_cpu");
    if core::ptr::eq(ci, curcpu()) {
        return schedule(softint);
    }
    let remote = &ci.kernel().softints.softint_remote[ci.index()];
    remote.fetch_or(1 << softint.0, crate::mem::Release);
    ipi::ipi_trigger(ipi::SOFTINT, ci);
}

#[track_caller]
fn assert_stays(what: &str) {
    contract!(
        synch::kpreempt_disabled() || spl::cpu_intr_p(),
        "softint-preempt",
        "{what} in {} with preemption on: the CPU could change",
        curlwp().name()
    );
}

/// Queues what other CPUs have asked this one for, before their interrupt comes.
fn take_requests() {
    synch::kpreempt_disable();
    let s = spl::splhigh();
    remote_intr(curcpu());
    spl::splx(s);
    synch::kpreempt_enable();
}

/// The handler of the interrupt by which another CPU asks for softints here.
pub(crate) fn remote_intr(ci: &'static Cpu) {
    let mut wanted = ci.kernel().softints.softint_remote[ci.index()].swap(0, Acquire);
    while wanted != 0 {
        schedule(Softint(wanted.trailing_zeros() as usize));
        wanted &= wanted - 1;
    }
}

/// Whether another CPU has asked this one for softints that it has not queued yet. For checks at rest.
pub(crate) fn is_asked(ci: &Cpu) -> bool {
    ci.kernel().softints.softint_remote[ci.index()].peek() != 0
}

/// Whether a softint is queued on this CPU. For checks at rest.
pub(crate) fn is_queued(ci: &Cpu, softint: Softint) -> bool {
    ci.ci_softcpu.sc_hand.peek()[softint.0].sh_pending.peek()
}

/// Runs a level on top of the LWP that runs here. The level was triggered and is unmasked.
///
/// Returns at IPL_HIGH, when the level has finished or has blocked. Panics: contract `softint-dispatch`.
pub(crate) fn dispatch(ci: &'static Cpu, level: Ipl) {
    let pinned = curlwp();
    let si = &ci.ci_softcpu.sc_int[level_index(level)];
    let Some(l) = si.si_lwp.get() else { return };
    contract!(
        l.l_stat.get() == Stat::Idl && si.si_active.get(),
        "softint-dispatch",
        "{} is dispatched on top of {} in state {:?}, and its level is {}",
        l.name(),
        pinned.name(),
        l.l_stat.get(),
        match si.si_active.get() {
            true => "active",
            false => "not active: it was not triggered",
        }
    );
    spl::force_level(ci, Ipl::High);
    ci.kernel().counters.softints.incr();
    l.l_switchto.set(Some(pinned));
    l.l_stat.set(Stat::Onproc);
    l.l_running.store_fused(true, Relaxed);
    ci.ci_prevlwp.set(None);
    machine::mark(Mark::Softint(level as u8));
    synch::switch_context(ci, pinned, l);
    machine::mark(Mark::SoftintOver(level as u8));
    // Finished or blocked. If it blocked, the spin mutexes of its switch were handed over by count.
    ci.ci_mtx_count.set(0);
    spl::force_level(ci, Ipl::High);
}

/// Whether the handler that runs, of a softint or an interrupt, is on top of an LWP that had something to do.
pub fn is_on_top() -> bool {
    let l = curlwp();
    let below = match l.is_softint() && !spl::cpu_intr_p() {
        true => l.l_switchto.peek(),
        false => Some(l),
    };
    below.is_some_and(|l| !l.is_idle())
}

/// The LWP of a level: one batch per dispatch, for ever.
fn softint_thread(arg: *const ()) -> ! {
    // SAFETY: `lwp_create` gave the LWP, which lives as long as its kernel.
    let l: &'static Lwp = unsafe { &*arg.cast::<Lwp>() };
    let ci = l.cpu_unlocked();
    let index = usize::from(l.l_priority.get() - pri::SOFTCLOCK);
    loop {
        execute(ci, l, index);
        finish(ci, l);
    }
}

/// Runs what is queued at the level. Starts and ends at IPL_HIGH. Panics: contracts `softint-execute`,
/// `softint-established`, and those of [`check_after_handler`].
fn execute(ci: &'static Cpu, l: &'static Lwp, index: usize) {
    let si = &ci.ci_softcpu.sc_int[index];
    let level = LEVELS[index];
    contract!(
        core::ptr::eq(ci, curcpu()) && core::ptr::eq(l, curlwp()) && l.l_wchan.get() == 0,
        "softint-execute",
        "{} of cpu{} runs on cpu{}",
        l.name(),
        ci.index(),
        curcpu().index()
    );
    while si.si_first.get() != 0 {
        let place = si.si_first.get();
        let hand = ci.ci_softcpu.hand(Softint(place));
        si.si_first.set(hand.sh_next.get());
        if hand.sh_next.get() == 0 {
            si.si_last.set(0);
        }
        hand.sh_pending.set(false);
        spl::splx_fused(level);
        note!("{} runs", l.name());
        if let Some(func) = hand.sh_func.get() {
            order::handler_begins(level);
            func(hand.sh_arg.get());
            order::handler_ends(level);
        } else {
            crate::machine::stop(
                crate::machine::Stop::Contract("softint-established"),
                format_args!(
                    "{} was to run a softint that was disestablished while it was queued",
                    l.name()
                ),
            );
        }
        check_after_handler(ci, l, level);
        spl::splhigh();
    }
    si.si_active.set(false);
}

/// Panics: contracts `softint-spin`, `softint-read-section`, `softint-spl`, `softint-nopreempt`, `softint-locks`,
/// `softint-psref`, `softint-bound`.
fn check_after_handler(ci: &Cpu, l: &Lwp, level: Ipl) {
    contract!(
        ci.ci_mtx_count.look() == 0,
        "softint-spin",
        "a handler of {} returned with {} spin mutexes held",
        l.name(),
        -ci.ci_mtx_count.look()
    );
    contract!(
        ci.ci_psz_read_depth.look() == 0,
        "softint-read-section",
        "a handler of {} returned with {} read sections of pserialize open",
        l.name(),
        ci.ci_psz_read_depth.look()
    );
    contract!(
        spl::ilevel() == level,
        "softint-spl",
        "a handler of {} returned at level {}, and was called at {}",
        l.name(),
        spl::ilevel().name(),
        level.name()
    );
    contract!(
        l.l_nopreempt.get() == 0,
        "softint-nopreempt",
        "a handler of {} returned with preemption off: {} kpreempt_enable are missing",
        l.name(),
        l.l_nopreempt.get()
    );
    contract!(
        l.l_locks.get() == 0,
        "softint-locks",
        "a handler of {} returned with {} adaptive locks held",
        l.name(),
        l.l_locks.get()
    );
    contract!(
        l.l_psrefs.get() == 0,
        "softint-psref",
        "a handler of {} returned with {} passive references held",
        l.name(),
        l.l_psrefs.get()
    );
    contract!(
        l.is_bound(),
        "softint-bound",
        "a handler of {} returned and left its LWP unbound: a curlwp_bindx too many",
        l.name()
    );
}

/// Returns the CPU: to the LWP below, or to the run queue if that one resumed long ago.
fn finish(ci: &'static Cpu, l: &'static Lwp) {
    match l.l_switchto.get() {
        Some(pinned) => {
            l.l_switchto.set(None);
            l.l_stat.set(Stat::Idl);
            l.l_running.store_fused(false, Relaxed);
            ci.ci_prevlwp.set(None);
            pserialize::switchpoint(ci);
            synch::switch_context(ci, l, pinned);
        }
        None => {
            l.lock();
            l.l_stat.set(Stat::Idl);
            ci.ci_schedstate.spc_mutex.spin_enter();
            synch::mi_switch(l);
        }
    }
}
