//! callout(9): functions that run later.
//!
//! # Overview
//!
//! Each CPU has a wheel of callouts, a list of due ones (`cc_todo`), and a softint, *softclock*, that runs them **one
//! after another**. A handler that blocks delays every other callout of its CPU, including the timeouts that end the
//! sleeps of LWPs.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::callout::Callout;
//! use kmod::kern::lwp::{Arg, curcpu};
//! use kmod::kern::synch::kpause;
//! use kmod::mem::{AtomicBool, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let expired = AtomicBool::new(false);
//!     let timer = Callout::new();
//!     timer.init(curcpu());
//!     timer.reset(1, |expired| shared::<AtomicBool>(expired).store(true, Relaxed), Arg::of(&expired));
//!     while !expired.load(Relaxed) {
//!         kpause("timer", 1, None);
//!     }
//!     timer.halt(None); // the handler has returned
//!     timer.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! `reset`, `schedule`, `stop`: any. `halt`, `barrier`: thread or softint; may wait. Handlers run in softclock: they
//! may take adaptive mutexes, and must not sleep otherwise.
//!
//! # Per-CPU operation
//!
//! A callout belongs to a CPU (`c_cpu`) and is protected by that CPU's `cc_lock`. A pending callout stays on its CPU.
//! A callout that is not pending moves to the CPU that schedules it, if the locks can be taken.
//!
//! # Invariants
//!
//! 1. PENDING: on the wheel or on `cc_todo` of `c_cpu`. FIRED: ran since it was last scheduled.
//! 2. `cc_active` is the callout whose handler runs. The handler may free the callout.
//! 3. A deadline that moves *later* leaves the callout in its bucket; it is found there too early, and put back.
//! 4. Times are compared as wrapping differences.
//! 5. After `halt` the handler neither runs nor will run, whatever it did while `halt` waited for it.
//!
//! # Differences from NetBSD
//!
//! A callout whose handler runs is not moved to another CPU. Otherwise `halt` would look for the handler there, find
//! none, and return while it runs. (NetBSD's `callout_schedule` does not check `cc_active`.) All handlers are
//! MP-safe; there are no BOUND callouts. The interlock of `halt` is typed. The size of the wheel and the number of
//! its levels are configurable. A callout counts its runs ([`Callout::state`]). A caller can wait for a callout
//! without cancelling it ([`Callout::barrier`]).
//!
//! # Sources
//!
//! callout(9); `sys/kern/kern_timeout.c` 1.79.

mod freed;
mod softclock;

use core::sync::atomic::AtomicU32 as BareU32;

use crate::config::Config;
use crate::contract;
pub(crate) use freed::assert_none_pending;
pub(crate) use softclock::hardclock;
use softclock::softclock;

use crate::kern::circq::Link;
use crate::kern::cpu::Cpu;
use crate::kern::kmem;
use crate::kern::lwp::{Arg, Lwp, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::order;
use crate::kern::sleepq::{self, Sleepq, SyncObj, Timeout};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::{self, Ipl};
use crate::machine::At;
use crate::mem::{Acquire, AtomicRef, AtomicU32, Guarded, Local, Relaxed, Release};

const PENDING: u32 = 1 << 0;
const FIRED: u32 = 1 << 1;
const INVOKING: u32 = 1 << 2;

/// The callouts of one CPU (`struct callout_cpu`).
pub struct CalloutCpu {
    /// Protects everything here, and the callouts that belong to this CPU.
    pub(crate) cc_lock: Kmutex,
    /// Due callouts, and those scheduled since the last softclock, in order.
    cc_todo: Link,
    cc_ticks: Guarded<u32>,
    /// The tick at which softclock last left nothing due: for contracts.
    cc_done: BareU32,
    /// The callout whose handler runs.
    cc_active: Guarded<usize>,
    /// Where it was scheduled: for reports, with contracts.
    cc_scheduled: Guarded<Option<At>>,
    /// The LWP that runs handlers, while it does.
    cc_lwp: Guarded<Option<&'static Lwp>>,
    /// LWPs that wait in `halt`.
    cc_sleepq: Sleepq,
    cc_nwait: Guarded<u32>,
    /// Number of pending callouts. For reports, and to decide whether an idle machine needs the clock.
    cc_npending: AtomicU32,
    cc_softint: Local<Option<Softint>>,
    /// The wheel: levels of buckets, one after another.
    cc_wheel: Local<&'static [Link]>,
    cc_bits: u32,
    cc_levels: usize,
}

crate::fields!(CalloutCpu {
    cc_lock,
    cc_todo,
    cc_ticks,
    cc_active,
    cc_lwp,
    cc_sleepq,
    cc_nwait,
    cc_npending,
    cc_softint,
    cc_wheel,
});

impl CalloutCpu {
    pub(crate) fn new(config: &Config) -> Self {
        CalloutCpu {
            cc_lock: Kmutex::new("cc_lock", Ipl::Sched),
            cc_todo: Link::new(),
            cc_ticks: Guarded::new(0),
            cc_done: BareU32::new(0),
            cc_active: Guarded::new(0),
            cc_scheduled: Guarded::new(None),
            cc_lwp: Guarded::new(None),
            cc_sleepq: Sleepq::new(),
            cc_nwait: Guarded::new(0),
            cc_npending: AtomicU32::new(0),
            cc_softint: Local::new(None),
            cc_wheel: Local::new(&[]),
            cc_bits: config.callout_wheel_bits,
            cc_levels: config.callout_wheel_levels,
        }
    }

    /// The ticks that it has counted. For checks at rest.
    pub(crate) fn peek_ticks(&self) -> u32 {
        self.cc_ticks.peek()
    }

    /// How many callouts are pending. For checks at rest.
    pub(crate) fn pending(&self) -> u32 {
        self.cc_npending.peek()
    }

    /// The address of the callout whose handler runs, and where it was scheduled, if that is known: for reports.
    pub fn peek_active(&self) -> Option<(usize, Option<At>)> {
        let active = self.cc_active.peek();
        (active != 0).then(|| (active, self.cc_scheduled.peek()))
    }

    /// The LWP that runs handlers here now. For reports.
    pub(crate) fn peek_lwp(&self) -> Option<&'static Lwp> {
        self.cc_lwp.peek()
    }

    fn bucket(&self, level: usize, slot: u32) -> &'static Link {
        let slots = 1usize << self.cc_bits;
        &self.cc_wheel.get()[level * slots + (slot as usize & (slots - 1))]
    }

    /// The bucket for a callout that is due at `time`, more than 0 ticks from now.
    fn place(&self, time: u32) -> &'static Link {
        let delta = time.wrapping_sub(self.cc_ticks.get());
        let top = self.cc_levels - 1;
        let level = (0..top)
            .find(|level| u64::from(delta) < 1u64 << (self.cc_bits * (*level as u32 + 1)))
            .unwrap_or(top);
        // A time beyond the wheel's range goes to the last bucket to be reached, and is put back from there.
        let reach = (1u64 << (self.cc_bits * self.cc_levels as u32)) - 1;
        let time = if u64::from(delta) > reach {
            self.cc_ticks.get().wrapping_add(reach as u32)
        } else {
            time
        };
        self.bucket(level, time >> (self.cc_bits * level as u32))
    }
}

/// The ticks that the callouts of a CPU have counted: a callout that was scheduled at tick `t` for `n` ticks is due
/// at `t + n`.
///
/// Context: any.
pub fn ticks(ci: &Cpu) -> u32 {
    let cc = &ci.ci_callout;
    cc.cc_lock.spin_enter();
    let ticks = cc.cc_ticks.get();
    cc.cc_lock.spin_exit();
    ticks
}

/// Gives a CPU its wheel and its softclock.
pub(crate) fn init_cpu(ci: &'static Cpu) -> Option<()> {
    let cc = &ci.ci_callout;
    let buckets = cc.cc_levels << cc.cc_bits;
    let wheel = kmem::boot_alloc_slice("callout wheel", buckets, |_| Link::new())?;
    wheel.iter().for_each(Link::init);
    cc.cc_todo.init();
    cc.cc_wheel.set(wheel);
    Some(())
}

/// Establishes softclock, the same for all CPUs.
pub(crate) fn init(cpus: &'static [Cpu]) -> Option<()> {
    let softclock = softint::establish_at_boot(cpus, Ipl::SoftClock, softclock, Arg::NONE)?;
    cpus.iter()
        .for_each(|ci| ci.ci_callout.cc_softint.set(Some(softclock)));
    Some(())
}

/// A function to run later (`callout_t`).
#[derive(Default)]
#[repr(C)]
pub struct Callout {
    c_link: Link,
    /// The CPU whose lock protects it. Changed under that lock.
    c_cpu: AtomicRef<Cpu>,
    c_time: Guarded<u32>,
    c_flags: Guarded<u32>,
    c_func: Guarded<Option<fn(Arg)>>,
    c_arg: Guarded<Arg>,
    /// How often it has run.
    c_runs: Guarded<u32>,
    /// Where it was last scheduled, and at which tick: for reports and contracts. The lock protects them, too.
    c_scheduled: Guarded<Option<At>>,
    c_since: BareU32,
}

/// The state of a callout at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CalloutState {
    /// The CPU that it belongs to, whose ticks decide when it is due.
    pub cpu: usize,
    /// Whether it will run.
    pub pending: bool,
    /// Whether its handler runs: it was taken off the list and has not returned. The callout may be pending again.
    pub running: bool,
    /// How often it has run, including a handler that runs now.
    pub runs: u32,
    /// The tick of that CPU at which it is due, or was when it last ran.
    pub due: u32,
    /// The tick of that CPU at which it was last scheduled. In a kernel without contracts 0.
    pub since: u32,
}

crate::fields!(Callout as Handler {
    c_link,
    c_cpu,
    c_time,
    c_flags,
    c_func,
    c_arg,
    c_runs
});

impl Default for Arg {
    fn default() -> Self {
        Arg::NONE
    }
}

impl Callout {
    /// Creates a callout, which must be initialized ([`init`](Self::init)) before use.
    pub const fn new() -> Self {
        Callout {
            c_link: Link::new(),
            c_cpu: AtomicRef::new(),
            c_time: Guarded::new(0),
            c_flags: Guarded::new(0),
            c_func: Guarded::new(None),
            c_arg: Guarded::new(Arg::NONE),
            c_runs: Guarded::new(0),
            c_scheduled: Guarded::new(None),
            c_since: BareU32::new(0),
        }
    }

    /// Initializes the callout, on `ci` (`callout_init`).
    ///
    /// Context: any; no other thread knows the callout yet.
    pub fn init(&self, ci: &'static Cpu) {
        self.c_flags.set(0);
        // Last: an LWP that sees the CPU also sees the rest.
        self.c_cpu.store_fused(Some(ci), Release);
    }

    /// Sets the function that it runs (`callout_setfunc`).
    ///
    /// Context: any; the callout is not pending.
    pub fn setfunc(&self, func: fn(Arg), arg: Arg) {
        self.c_func.set(Some(func));
        self.c_arg.set(arg);
    }

    fn addr(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    fn at(addr: usize) -> &'static Callout {
        // SAFETY: (1) the link is the first field; (2) only callouts are put on the wheel, and who frees one
        // takes it off first (`destroy` asserts it).
        unsafe { &*(addr as *const Callout) }
    }

    /// Locks the callout: the lock of the CPU it belongs to. Panics (contract `callout-init`) if it belongs to none.
    #[track_caller]
    fn lock(&self) -> &'static Cpu {
        loop {
            let ci = self.c_cpu.load(Acquire).unwrap_or_else(|| {
                crate::machine::stop(
                    crate::machine::Stop::Contract("callout-init"),
                    format_args!(
                        "{} uses a callout that was never initialized, or was destroyed",
                        curlwp().name()
                    ),
                )
            });
            ci.ci_callout.cc_lock.spin_enter();
            if self
                .c_cpu
                .load_fused(Relaxed)
                .is_some_and(|now| core::ptr::eq(now, ci))
            {
                return ci;
            }
            ci.ci_callout.cc_lock.spin_exit();
        }
    }

    /// Runs `func(arg)` after `ticks` ticks; a pending run is replaced (`callout_reset`).
    ///
    /// Context: any. Panics (contract `callout-ticks`) if `ticks` is more than a signed word holds.
    #[track_caller]
    pub fn reset(&self, ticks: u32, func: fn(Arg), arg: Arg) {
        let ci = self.lock();
        self.setfunc(func, arg);
        self.schedule_locked(ci, ticks);
    }

    /// Runs its function after `ticks` ticks; a pending run is replaced (`callout_schedule`).
    ///
    /// Context: any. Panics: contracts `callout-func` if it has no function, `callout-ticks`.
    #[track_caller]
    pub fn schedule(&self, ticks: u32) {
        let ci = self.lock();
        self.schedule_locked(ci, ticks);
    }

    #[track_caller]
    fn schedule_locked(&self, ci: &'static Cpu, ticks: u32) {
        contract!(
            self.c_func.get().is_some(),
            "callout-func",
            "callout_schedule by {} in {ticks} ticks of a callout without function",
            curlwp().name()
        );
        contract!(
            ticks <= i32::MAX as u32,
            "callout-ticks",
            "callout_schedule by {} in {ticks} ticks: times are compared as signed differences, {} is the most",
            curlwp().name(),
            i32::MAX
        );
        if cfg!(feature = "contracts") {
            self.c_scheduled.set(Some(At::caller().lasting()));
        }
        let mut ci = ci;
        let flags = self.c_flags.get() & !(FIRED | INVOKING);
        if flags & PENDING != 0 {
            let cc = &ci.ci_callout;
            let time = cc.cc_ticks.get().wrapping_add(ticks);
            // Later: it stays where it is and is put back when found. Earlier: it must be placed again.
            if (time.wrapping_sub(self.c_time.get()) as i32) < 0 {
                self.c_link.remove();
                cc.cc_todo.append(&self.c_link);
            }
            self.c_time.set(time);
            self.c_flags.set(flags);
            self.scheduled_at(cc);
        } else {
            let here = curcpu();
            let runs = ci.ci_callout.cc_active.get() == self.addr();
            if !runs && !core::ptr::eq(ci, here) && here.ci_callout.cc_lock.spin_tryenter() {
                self.c_cpu.store_fused(Some(here), Release);
                ci.ci_callout.cc_lock.spin_exit();
                ci = here;
            }
            let cc = &ci.ci_callout;
            self.c_time.set(cc.cc_ticks.get().wrapping_add(ticks));
            self.c_flags.set(flags | PENDING);
            self.scheduled_at(cc);
            cc.cc_npending
                .store_fused(cc.cc_npending.load_fused(Relaxed) + 1, Relaxed);
            cc.cc_todo.append(&self.c_link);
        }
        ci.ci_callout.cc_lock.spin_exit();
    }

    /// It is scheduled now: for contracts.
    #[inline]
    fn scheduled_at(&self, cc: &CalloutCpu) {
        if cfg!(feature = "contracts") {
            self.c_since.store(cc.cc_ticks.peek(), Relaxed);
        }
    }

    /// Removes it from the wheel if it is pending. The callout is locked.
    fn unlink(&self, cc: &CalloutCpu) {
        let flags = self.c_flags.get();
        if flags & PENDING != 0 {
            self.c_link.remove();
            cc.cc_npending
                .store_fused(cc.cc_npending.load_fused(Relaxed) - 1, Relaxed);
        }
        self.c_flags.set(flags & !(PENDING | FIRED));
    }

    /// Cancels the callout if its handler has not started (`callout_stop`). Does not wait.
    ///
    /// Returns true if the callout had *fired* since it was last scheduled; this is not whether it was pending.
    /// Context: any.
    #[track_caller]
    pub fn stop(&self) -> bool {
        let ci = self.lock();
        let fired = self.c_flags.get() & FIRED != 0;
        self.unlink(&ci.ci_callout);
        ci.ci_callout.cc_lock.spin_exit();
        fired
    }

    /// Cancels the callout, and waits for its handler if that is running (`callout_halt`).
    ///
    /// `interlock` is released while it waits. Returns true if it had to wait. When called from the handler itself,
    /// it does not wait.
    /// Context: thread or softint; `interlock` held; no other lock held that the handler takes.
    /// Panics: contracts `callout-context`, `callout-interlock`.
    #[track_caller]
    pub fn halt(&self, interlock: Option<&Kmutex>) -> bool {
        order::halts(self, interlock.map(Kmutex::resource));
        self.halt_unrecorded(interlock)
    }

    #[track_caller]
    fn halt_unrecorded(&self, interlock: Option<&Kmutex>) -> bool {
        assert_may_wait("callout_halt");
        contract!(
            interlock.is_none_or(Kmutex::owned),
            "callout-interlock",
            "callout_halt by {} with an interlock {} that it does not own",
            curlwp().name(),
            interlock.map_or("", Kmutex::name)
        );
        let mut interlock_held = true;
        let mut waited = false;
        loop {
            let ci = self.lock();
            let cc = &ci.ci_callout;
            self.unlink(cc);
            if !self.runs_elsewhere(cc) {
                cc.cc_lock.spin_exit();
                break;
            }
            waited = true;
            if let Some(interlock) = interlock.filter(|_| interlock_held) {
                // The handler may need the interlock: release it, and check again.
                cc.cc_lock.spin_exit();
                interlock.exit();
                interlock_held = false;
                continue;
            }
            wait_for_handler(ci);
        }
        if let Some(interlock) = interlock.filter(|_| !interlock_held) {
            interlock.enter();
        }
        waited
    }

    /// [`halt`](Self::halt) without an interlock, for a callout whose handler never waits.
    #[track_caller]
    pub(crate) fn halt_unlocked(&self) -> bool {
        self.halt_unrecorded(None)
    }

    /// Waits for the handler, if it runs just now; cancels nothing (`timeout_barrier` of OpenBSD, which NetBSD has not).
    ///
    /// A callout that is pending stays so, and one that the handler schedules again is pending when this returns. True if it
    /// had to wait. From the handler itself it does not wait.
    /// Context: thread or softint; no lock that the handler takes. Panics: contract `callout-context`.
    /// [`crate::scenario::ports::timer_rearms`] has an example.
    #[track_caller]
    pub fn barrier(&self) -> bool {
        assert_may_wait("callout_barrier");
        order::halts(self, None);
        let mut began = None;
        loop {
            let ci = self.lock();
            let cc = &ci.ci_callout;
            // A run that began later is none that it waits for.
            let runs = self.c_runs.get();
            if !self.runs_elsewhere(cc) || *began.get_or_insert(runs) != runs {
                cc.cc_lock.spin_exit();
                return began.is_some();
            }
            wait_for_handler(ci);
        }
    }

    /// Whether its handler runs, and is not the caller. The callout is locked.
    fn runs_elsewhere(&self, cc: &CalloutCpu) -> bool {
        cc.cc_active.get() == self.addr()
            && !cc.cc_lwp.get().is_some_and(|l| core::ptr::eq(l, curlwp()))
    }

    /// Destroys a callout (`callout_destroy`).
    ///
    /// Later uses are detected (contract `callout-init`).
    /// Context: any. Panics (contract `callout-destroy`) if it is pending, or its handler runs elsewhere.
    #[track_caller]
    pub fn destroy(&self) {
        let ci = self.lock();
        let cc = &ci.ci_callout;
        let running = self.runs_elsewhere(cc);
        contract!(
            self.c_flags.get() & PENDING == 0 && !running,
            "callout-destroy",
            "callout_destroy by {} of a callout that {} on cpu{}",
            curlwp().name(),
            if running { "runs" } else { "is pending" },
            ci.index()
        );
        self.c_cpu.store_fused(None, Relaxed);
        cc.cc_lock.spin_exit();
    }

    /// Whether it will run (`callout_pending`). Context: any.
    #[track_caller]
    pub fn pending(&self) -> bool {
        self.flags() & PENDING != 0
    }

    /// Whether it has run since it was last scheduled (`callout_expired`). Context: any.
    #[track_caller]
    pub fn expired(&self) -> bool {
        self.flags() & FIRED != 0
    }

    /// Whether it will run, or has (`callout_active`). Context: any.
    #[track_caller]
    pub fn active(&self) -> bool {
        self.flags() & (PENDING | FIRED) != 0
    }

    /// Whether its handler was started and has not acknowledged that ([`ack`](Self::ack)) (`callout_invoking`).
    /// Context: any.
    #[track_caller]
    pub fn invoking(&self) -> bool {
        self.flags() & INVOKING != 0
    }

    /// Called by the handler: acknowledges that it was started (`callout_ack`). Context: its handler.
    #[track_caller]
    pub fn ack(&self) {
        let ci = self.lock();
        self.c_flags.set(self.c_flags.get() & !INVOKING);
        ci.ci_callout.cc_lock.spin_exit();
    }

    /// Whether it is pending, whether its handler runs, and how often it has run, all at one moment. For callers that
    /// track their callouts. Context: any.
    #[track_caller]
    pub fn state(&self) -> CalloutState {
        let ci = self.lock();
        let state = CalloutState {
            cpu: ci.index(),
            pending: self.c_flags.get() & PENDING != 0,
            running: ci.ci_callout.cc_active.get() == self.addr(),
            runs: self.c_runs.get(),
            due: self.c_time.get(),
            since: self.c_since.load(Relaxed),
        };
        ci.ci_callout.cc_lock.spin_exit();
        state
    }

    #[track_caller]
    fn flags(&self) -> u32 {
        let ci = self.lock();
        let flags = self.c_flags.get();
        ci.ci_callout.cc_lock.spin_exit();
        flags
    }

    /// The CPU that it belongs to: for reports.
    pub(crate) fn peek_cpu(&self) -> Option<&'static Cpu> {
        self.c_cpu.peek()
    }

    /// Whether it is pending: for reports.
    pub(crate) fn peek_pending(&self) -> bool {
        self.c_flags.peek() & PENDING != 0
    }
}

#[track_caller]
fn assert_may_wait(what: &str) {
    contract!(
        !spl::cpu_intr_p(),
        "callout-context",
        "{what} in a hard interrupt on {}",
        curlwp().name()
    );
}

/// Sleeps until the handler that runs on `ci` has ended. `cc_lock` is held on entry, and released.
#[track_caller]
fn wait_for_handler(ci: &'static Cpu) {
    let cc = &ci.ci_callout;
    let l = curlwp();
    contract!(
        l.l_wchan.get() == 0,
        "sleep-state",
        "{} waits for a callout while it sleeps on {} already",
        l.name(),
        l.l_wmesg.get()
    );
    cc.cc_nwait.set(cc.cc_nwait.get() + 1);
    ci.kernel().counters.callout_halts.incr();
    l.lock();
    l.unlock_to(&cc.cc_lock);
    sleepq::enqueue(
        Some(&cc.cc_sleepq),
        cc.cc_active.get(),
        "callout",
        SyncObj::Callout,
    );
    sleepq::block(Timeout::Never);
}
