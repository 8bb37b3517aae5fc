//! The scheduler: run queues, placement, balancing.
//!
//! # Overview
//!
//! Every CPU has a run queue, protected by its `spc_mutex`. It is sorted by priority, first come first served among
//! equals. `sched_takecpu` places a woken LWP. An idle CPU takes LWPs from busy ones (`sched_catchlwp`). A balancer
//! decides that an LWP that never sleeps should move (`balance`); the CPU's idle LWP moves it once it is off the CPU
//! (`sched_idle_migrate`).
//!
//! # Lock order
//!
//! LWP lock (a sleep queue, a turnstile chain, or `spc_lwplock`), then `spc_mutex`. Two `spc_mutex`es are entered in
//! the order of their CPUs, or the second with a try.
//!
//! # Invariants
//!
//! 1. The LWP on a CPU is protected by `spc_lwplock`, an LWP on a run queue by `spc_mutex`.
//! 2. While `spc_migrating` is set, the CPU picks its idle LWP, so that the migration comes first.
//! 3. A bound LWP is never moved: it is not counted in `spc_mcount`, not taken, and not put into `spc_migrating`.
//!
//! # Differences from NetBSD
//!
//! Priorities are strict bands without decay. There is no topology, no cache-hot heuristic (an LWP may always be
//! stolen, a superset of NetBSD's behaviour), no affinity, no processor sets, no offline CPUs. Any LWP of a higher
//! priority preempts, as with `kern.sched.kpreempt_pri=0`. The end of a time slice preempts too, since there is no
//! return to user mode.
//!
//! # Sources
//!
//! `sys/kern/kern_runq.c` 1.70, `kern_synch.c` 1.366, `kern_lwp.c` 1.269.

use core::fmt;

use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::hooks::{self, Hook};
use crate::kern::lwp::{Arg, Chain, Lwp, Stat, curcpu, curlwp, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::sleepq::has_backstop;
use crate::kern::spl::{self, Ipl};
use crate::kern::{ipi, kthread, synch};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AtomicU32, Guarded, Relaxed, Release};
use crate::note;

/// Bits of `ci_want_resched`.
pub mod resched {
    /// The idle LWP should check the run queue.
    pub const IDLE: u32 = 1 << 0;
    /// The running LWP should be preempted in the kernel.
    pub const KPREEMPT: u32 = 1 << 1;
}

/// The scheduler's state of a CPU (`struct schedstate_percpu`).
pub struct Schedstate {
    /// Protects the run queue and the LWPs on it.
    pub(crate) spc_mutex: Kmutex,
    /// Protects the LWP that runs here, and LWPs at rest.
    pub(crate) spc_lwplock: Kmutex,
    /// First LWP of the run queue.
    spc_head: Guarded<Option<&'static Lwp>>,
    /// LWPs on the run queue. Changed under `spc_mutex`, read without it.
    pub(crate) spc_count: AtomicU32,
    /// LWPs on the run queue that may be moved. Likewise.
    pub(crate) spc_mcount: AtomicU32,
    /// Priority of the LWP that runs here. Likewise.
    pub(crate) spc_curpriority: AtomicU32,
    /// The LWP that the idle LWP must move.
    pub(crate) spc_migrating: Guarded<Option<&'static Lwp>>,
    /// Whether `spc_migrating` is set. The idle LWP reads it without the lock.
    spc_push: AtomicU32,
}

crate::fields!(Schedstate {
    spc_mutex,
    spc_lwplock,
    spc_head,
    spc_count,
    spc_mcount,
    spc_curpriority,
    spc_migrating,
    spc_push,
});

impl Schedstate {
    pub(crate) const fn new() -> Self {
        Schedstate {
            spc_mutex: Kmutex::new("spc_mutex", Ipl::Sched),
            spc_lwplock: Kmutex::new("spc_lwplock", Ipl::Sched),
            spc_head: Guarded::new(None),
            spc_count: AtomicU32::new(0),
            spc_mcount: AtomicU32::new(0),
            spc_curpriority: AtomicU32::new(0),
            spc_migrating: Guarded::new(None),
            spc_push: AtomicU32::new(0),
        }
    }

    /// Sets or clears the LWP to be moved. `spc_mutex` is held.
    pub(crate) fn set_migrating(&self, l: Option<&'static Lwp>) {
        self.spc_migrating.set(l);
        self.spc_push.store_fused(u32::from(l.is_some()), Relaxed);
    }
}

/// Inserts `l` after the last LWP of at least its priority, on the queue that begins at `head`.
fn insert_sorted(head: &Guarded<Option<&'static Lwp>>, l: &'static Lwp, chain: fn(&Lwp) -> &Chain) {
    let mut before = None;
    let mut after = head.get();
    while let Some(other) = after {
        if other.l_priority.get() < l.l_priority.get() {
            break;
        }
        before = Some(other);
        after = chain(other).next.get();
    }
    chain(l).prev.set(before);
    chain(l).next.set(after);
    match before {
        Some(other) => chain(other).next.set(Some(l)),
        None => head.set(Some(l)),
    }
    if let Some(other) = after {
        chain(other).prev.set(Some(l));
    }
    assert_in_turn(before, l, after);
}

/// `l` was put on a queue between these two.
///
/// Panics (contract `queue-order`) if it is ahead of one that came before it, or behind one of a lower priority.
pub(crate) fn assert_in_turn(before: Option<&Lwp>, l: &Lwp, after: Option<&Lwp>) {
    let priority = l.l_priority.peek();
    contract!(
        before.is_none_or(|other| other.l_priority.peek() >= priority)
            && after.is_none_or(|other| other.l_priority.peek() < priority),
        "queue-order",
        "{} of priority {priority} is put on a queue behind {} and before {}",
        l.name(),
        Neighbour(before),
        Neighbour(after)
    );
}

/// An LWP next to another on a queue, with its priority, as text.
struct Neighbour<'a>(Option<&'a Lwp>);

impl fmt::Display for Neighbour<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(l) => write!(f, "{} of {}", l.name(), l.l_priority.peek()),
            None => f.write_str("nobody"),
        }
    }
}

/// Puts a runnable LWP on the run queue of its CPU, whose `spc_mutex` is held and is the LWP's lock.
///
/// Panics: contract `lwp-locked`.
#[track_caller]
pub(crate) fn sched_enqueue(l: &'static Lwp) {
    let spc = &l.cpu_fused().ci_schedstate;
    contract!(
        l.locked_by(&spc.spc_mutex),
        "lwp-locked",
        "{} is put on the run queue of cpu{}, whose lock is not the LWP's",
        l.name(),
        l.cpu_fused().index()
    );
    insert_sorted(&spc.spc_head, l, |l| &l.l_runq);
    spc.spc_count
        .store_fused(spc.spc_count.load_fused(Relaxed) + 1, Relaxed);
    if !l.is_bound() {
        spc.spc_mcount
            .store_fused(spc.spc_mcount.load_fused(Relaxed) + 1, Relaxed);
    }
}

/// Removes an LWP from the run queue of its CPU, whose `spc_mutex` is held.
pub(crate) fn sched_dequeue(l: &'static Lwp) {
    let spc = &l.cpu_fused().ci_schedstate;
    let (before, after) = (l.l_runq.prev.get(), l.l_runq.next.get());
    match before {
        Some(other) => other.l_runq.next.set(after),
        None => spc.spc_head.set(after),
    }
    if let Some(other) = after {
        other.l_runq.prev.set(before);
    }
    spc.spc_count
        .store_fused(spc.spc_count.load_fused(Relaxed) - 1, Relaxed);
    if !l.is_bound() {
        spc.spc_mcount
            .store_fused(spc.spc_mcount.load_fused(Relaxed) - 1, Relaxed);
    }
    // An LWP that is picked here again is not moved.
    if spc.spc_migrating.get().is_some_and(|m| core::ptr::eq(m, l)) {
        spc.set_migrating(None);
    }
}

/// The LWP that should run on this CPU next, still on the queue. `spc_mutex` is held.
pub(crate) fn sched_nextlwp(ci: &Cpu) -> Option<&'static Lwp> {
    ci.ci_schedstate.spc_head.get()
}

/// `next`, which was on the run queue of this CPU, is about to run; the idle LWP, if it is `None`. `spc_mutex` is held.
///
/// Panics (contract `switch-first`) if it is another one's turn.
pub(crate) fn assert_first(ci: &Cpu, next: Option<&Lwp>) {
    if cfg!(feature = "contracts") {
        let mut queued =
            core::iter::successors(ci.ci_schedstate.spc_head.peek(), |l| l.l_runq.next.peek());
        let best = queued.next().map(|first| {
            queued.fold(first, |best, l| {
                match l.l_priority.peek() > best.l_priority.peek() {
                    true => l,
                    false => best,
                }
            })
        });
        contract!(
            best.map(core::ptr::from_ref) == next.map(core::ptr::from_ref),
            "switch-first",
            "cpu{} is to run {}, and it is the turn of {}",
            ci.index(),
            Neighbour(next),
            Neighbour(best)
        );
    }
}

/// The CPU on which a woken LWP should run. The LWP is locked.
pub(crate) fn sched_takecpu(l: &Lwp) -> &'static Cpu {
    let own = l.cpu_fused();
    if l.is_bound() {
        return own;
    }
    // Its CPU is free for it.
    if load_of(own) < u32::from(l.l_priority.get()) {
        return own;
    }
    let here = curcpu();
    if load_of(here) < u32::from(l.l_priority.get()) {
        return here;
    }
    // The CPU with the least important work, starting with the LWP's own.
    let cpus = own.kernel().cpus();
    (0..cpus.len())
        .map(|i| &cpus[(own.index() + i) % cpus.len()])
        .min_by_key(|ci| load_of(ci))
        .unwrap_or(own)
}

/// The importance of a CPU's work: the priority of its running LWP, or more if others are already waiting.
fn load_of(ci: &Cpu) -> u32 {
    let spc = &ci.ci_schedstate;
    let running = spc.spc_curpriority.load(Relaxed);
    if spc.spc_count.load_fused(Relaxed) > 0 {
        running.max(u32::from(pri::USER))
    } else {
        running
    }
}

/// Asks a CPU to check its run queue, because an LWP of `priority` was added. Its `spc_mutex` is held.
pub(crate) fn sched_resched_cpu(ci: &'static Cpu, priority: u8) {
    let running = ci.ci_schedstate.spc_curpriority.load_fused(Relaxed);
    if u32::from(priority) > running {
        let how = if running == u32::from(pri::IDLE) {
            resched::IDLE
        } else {
            resched::KPREEMPT
        };
        need_resched(ci, how);
    }
}

/// Sets bits of `ci_want_resched` (`cpu_need_resched`). On this CPU a preemption becomes pending. Another CPU is
/// interrupted, and makes it pending itself. So while KPREEMPT is set, the preemption is pending or the interrupt is
/// on its way. The CPU clears both when it switches.
pub(crate) fn need_resched(ci: &'static Cpu, how: u32) {
    let old = ci.ci_want_resched.fetch_or(how, Release);
    if core::ptr::eq(ci, curcpu()) {
        if how & resched::KPREEMPT != 0 {
            spl::want_kpreempt(ci);
        }
    } else if old & how != how {
        ipi::ipi_trigger(ipi::KPREEMPT, ci);
    }
}

/// Whether the LWP that runs on `ci`, which is this CPU, should be preempted. The host does not see this read.
#[inline(always)]
pub(crate) fn kpreempt_wanted(ci: &Cpu) -> bool {
    machine::unchecked(&ci.ci_want_resched, false);
    ci.ci_want_resched.look() & resched::KPREEMPT != 0
}

/// Makes an LWP at rest runnable. The LWP is locked; the lock is released. (`setrunnable`)
///
/// Panics: contract `setrunnable-stat`.
pub(crate) fn setrunnable(l: &'static Lwp) {
    contract!(
        l.l_stat.get() == Stat::Idl,
        "setrunnable-stat",
        "setrunnable({}) in state {:?}: only an LWP at rest is made runnable so",
        l.name(),
        l.l_stat.get()
    );
    let lock = l.mutex_fused();
    make_runnable(l, l.cpu_fused());
    lock.spin_exit();
}

/// Puts an LWP, which is locked, on the run queue of `ci`. The previous lock of the LWP stays held.
pub(crate) fn make_runnable(l: &'static Lwp, ci: &'static Cpu) {
    let spc = &ci.ci_schedstate;
    // Lock order: the LWP's lock, then the run queue's.
    spc.spc_mutex.spin_enter();
    l.l_cpu.store_fused(Some(ci), Relaxed);
    l.setlock(&spc.spc_mutex);
    l.l_stat.set(Stat::Run);
    sched_enqueue(l);
    sched_resched_cpu(ci, l.l_priority.get());
    spc.spc_mutex.spin_exit();
}

/// Moves an LWP to another CPU: now if it is not running, otherwise when it is switched out.
///
/// The LWP is locked, and unlocked on return. As in NetBSD this ignores LP_BOUND; `mi_switch` checks it.
///
/// Panics: contract `lwp-locked`.
#[track_caller]
pub fn lwp_migrate(l: &'static Lwp, target: &'static Cpu) {
    contract!(
        l.mutex_fused().owned(),
        "lwp-locked",
        "lwp_migrate({}) to cpu{} by {}, which has not locked it",
        l.name(),
        target.index(),
        curlwp().name()
    );
    let running = l.l_running.load(Relaxed);
    let stat = if running {
        Stat::Onproc
    } else {
        l.l_stat.get()
    };
    if l.l_target_cpu.get().is_some() {
        // An earlier decision was not carried out yet: change it.
        l.l_target_cpu.set(Some(target));
    } else if !core::ptr::eq(l.cpu_fused(), target) {
        match stat {
            Stat::Run => l.l_target_cpu.set(Some(target)),
            Stat::Sleep => l.l_cpu.store_fused(Some(target), Relaxed),
            Stat::Idl => {
                l.l_cpu.store_fused(Some(target), Relaxed);
                // At rest it is protected by the lock of its CPU: switch to the new CPU's.
                let old = l.mutex_fused();
                l.setlock(&target.ci_schedstate.spc_lwplock);
                old.spin_exit();
                return;
            }
            Stat::Onproc => {
                note!(
                    "{} is to move from cpu{} to cpu{}",
                    l.name(),
                    l.cpu_fused().index(),
                    target.index()
                );
                l.l_target_cpu.set(Some(target));
                need_resched(l.cpu_fused(), resched::KPREEMPT);
            }
            Stat::Zomb => {}
        }
    }
    l.unlock();
}

/// Moves the LWP that `mi_switch` left in `spc_migrating`. Runs on the idle LWP.
///
/// Returns the CPU that it was moved to.
fn sched_idle_migrate(ci: &'static Cpu) -> Option<&'static Cpu> {
    let spc = &ci.ci_schedstate;
    spc.spc_mutex.spin_enter();
    let decided = spc
        .spc_migrating
        .get()
        .and_then(|l| l.l_target_cpu.get().map(|target| (l, target)));
    let Some((l, target)) = decided else {
        spc.set_migrating(None);
        spc.spc_mutex.spin_exit();
        return None;
    };
    enter_second(ci, target);
    // While the lock was released it may have been picked or stolen, or the decision may have been revoked.
    let still = spc
        .spc_migrating
        .get()
        .is_some_and(|now| core::ptr::eq(now, l))
        && l.l_target_cpu
            .get()
            .is_some_and(|now| core::ptr::eq(now, target));
    if still {
        spc.set_migrating(None);
        l.l_target_cpu.set(None);
    }
    let moves = still && !core::ptr::eq(ci, target);
    if moves {
        move_queued(l, target);
        note!(
            "{} was moved from cpu{} to cpu{}",
            l.name(),
            ci.index(),
            target.index()
        );
        ci.kernel().counters.pushes.incr();
        sched_resched_cpu(target, l.l_priority.get());
    }
    if !core::ptr::eq(ci, target) {
        target.ci_schedstate.spc_mutex.spin_exit();
    }
    spc.spc_mutex.spin_exit();
    moves.then_some(target)
}

/// With `ci`'s run queue locked, locks `other`'s too (`spc_dlock`). `ci`'s may be released in between.
fn enter_second(ci: &'static Cpu, other: &'static Cpu) {
    let (first, second) = (&ci.ci_schedstate.spc_mutex, &other.ci_schedstate.spc_mutex);
    if core::ptr::eq(ci, other) || second.spin_tryenter() {
        return;
    }
    // Lock order of run queues: by the number of the CPU.
    if ci.index() < other.index() {
        second.spin_enter();
    } else {
        first.spin_exit();
        second.spin_enter();
        first.spin_enter();
    }
}

/// Moves an LWP from the run queue that it is on to that of `target`. Both are locked.
fn move_queued(l: &'static Lwp, target: &'static Cpu) {
    sched_dequeue(l);
    l.l_cpu.store_fused(Some(target), Relaxed);
    l.setlock(&target.ci_schedstate.spc_mutex);
    sched_enqueue(l);
}

/// Takes an LWP from another CPU's run queue onto this one's, if there is a movable one.
fn sched_catchlwp(ci: &'static Cpu, other: &'static Cpu) -> bool {
    let (spc, ospc) = (&ci.ci_schedstate, &other.ci_schedstate);
    if ospc.spc_mcount.load(Relaxed) == 0 || !ospc.spc_mutex.spin_tryenter() {
        return false;
    }
    let mut candidate = ospc.spc_head.get();
    while let Some(l) = candidate {
        if !l.is_bound() {
            break;
        }
        candidate = l.l_runq.next.get();
    }
    // Lock order: the second with a try.
    let Some(l) = candidate.filter(|_| spc.spc_mutex.spin_tryenter()) else {
        ospc.spc_mutex.spin_exit();
        return false;
    };
    sched_dequeue(l);
    l.l_target_cpu.set(None);
    l.l_cpu.store_fused(Some(ci), Relaxed);
    l.setlock(&spc.spc_mutex);
    sched_enqueue(l);
    note!(
        "cpu{} takes {} from cpu{}",
        ci.index(),
        l.name(),
        other.index()
    );
    ci.kernel().counters.steals.incr();
    spc.spc_mutex.spin_exit();
    ospc.spc_mutex.spin_exit();
    true
}

/// The idle LWP's part of scheduling: carry out a migration, or find work on other CPUs.
pub(crate) fn sched_idle(ci: &'static Cpu) {
    let spc = &ci.ci_schedstate;
    let pushed = if spc.spc_push.load(Relaxed) != 0 {
        sched_idle_migrate(ci)
    } else {
        None
    };
    if spc.spc_count.load_fused(Relaxed) == 0 {
        let cpus = ci.kernel().cpus();
        for i in 1..cpus.len() {
            let other = &cpus[(ci.index() + i) % cpus.len()];
            // An LWP that was just pushed there is not taken back at once.
            let back = pushed.is_some_and(|pushed| core::ptr::eq(pushed, other));
            if !back && sched_catchlwp(ci, other) {
                break;
            }
        }
    }
}

/// Whether the run queue of this CPU is not empty.
pub(crate) fn sched_curcpu_runnable_p(ci: &Cpu) -> bool {
    ci.ci_schedstate.spc_count.load(Relaxed) != 0
}

/// A tick of the clock for the running LWP: counts for the balancer, and ends its time slice.
pub(crate) fn sched_tick(ci: &'static Cpu) {
    let l = curlwp();
    if l.is_idle() || l.is_softint() {
        return;
    }
    l.l_rticks
        .store_fused(l.l_rticks.load_fused(Relaxed) + 1, Relaxed);
    let left = l.l_timeslice.get().saturating_sub(1);
    if left > 0 {
        l.l_timeslice.set(left);
        return;
    }
    l.l_timeslice.set(ci.kernel().config().timeslice_ticks);
    if ci.ci_schedstate.spc_count.load_fused(Relaxed) > 0 {
        need_resched(ci, resched::KPREEMPT);
    }
}

/// The balancer's thread: every `balance_ticks` it checks all LWPs and moves those that never sleep.
///
/// It skips LWPs that are bound *now* ([`sched_takecpu`]). For one that binds itself later, `mi_switch` must check.
pub(crate) fn balance(kernel: Arg) {
    // SAFETY: the kernel gave itself to the thread it created, and outlives it.
    let kernel: &'static Kernel = unsafe { kernel.get() };
    loop {
        synch::kpause("balance", kernel.config().balance_ticks, None);
        for l in kernel.lwps() {
            if l.l_rticks.load_fused(Relaxed) == 0 {
                continue;
            }
            l.lock();
            let hog = matches!(l.l_stat.get(), Stat::Run | Stat::Onproc)
                && l.l_target_cpu.get().is_none();
            l.l_rticks.store_fused(0, Relaxed);
            if hog {
                let target = sched_takecpu(l);
                note!("chooses {} to move to cpu{}", l.name(), target.index());
                lwp_migrate(l, target);
            } else {
                l.unlock();
            }
        }
    }
}

/// Starts the balancer, if the configuration has one.
pub(crate) fn start_balancer(kernel: &'static Kernel) {
    if kernel.config().balance_ticks == 0 || kernel.cpus().len() < 2 {
        return;
    }
    let created = kthread::kthread_create(
        kernel,
        &kthread::Options {
            cpu: Some(0),
            ..kthread::Options::default()
        },
        balance,
        Arg::of(kernel),
        format_args!("balance"),
    );
    contract!(
        created.is_some(),
        "boot-memory",
        "no memory for the balancer"
    );
}

/// Whether a tick could let some LWP run: a callout is pending that is not a backstop, a run queue waits for the end of
/// a time slice, or other code is called at each tick. What that code waits for is not known.
pub(crate) fn clock_can_help(kernel: &Kernel) -> bool {
    if hooks::is_set(kernel, Hook::Hardclock) {
        return true;
    }
    let cpus = || kernel.cpus().iter();
    if cpus().any(|ci| ci.ci_schedstate.spc_count.peek() > 0) {
        return true;
    }
    let pending: u32 = cpus().map(|ci| ci.ci_callout.pending()).sum();
    pending > 0 && kernel.lwps().filter(|l| has_backstop(l)).count() < pending as usize
}
