//! xcall(9): cross calls, functions that run on every CPU.
//!
//! # Overview
//!
//! A request is put into a *box*. There is one box for each priority and **one request at a time in a box**: a caller
//! that arrives while one is in flight waits. A low-priority request is run by a bound thread of each CPU
//! (`xcall/N`), a high-priority one by a softint at the level that the caller names. The caller gets a *ticket*, and
//! [`wait`] returns when everything up to it is done.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::lwp::{Arg, curlwp};
//! use kmod::kern::xcall::{self, Priority};
//! use kmod::mem::{AtomicU32, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let calls = AtomicU32::new(0);
//!     let count = |calls, _| { shared::<AtomicU32>(calls).fetch_add(1, Relaxed); };
//!     let ticket = xcall::broadcast(Priority::Low, count, (Arg::of(&calls), Arg::NONE));
//!     xcall::wait(ticket);
//!     assert_eq!(calls.load(Relaxed) as usize, curlwp().kernel().cpus().len());
//! });
//! ```
//!
//! # Contexts
//!
//! Callers: thread that may sleep. Low-priority functions may block for a short time and must not
//! start another low-priority call; high-priority functions run in a softint and must not block.
//!
//! # Per-CPU operation
//!
//! `cpu_xcall_pending` says that a CPU's thread has something to do; `cpu_xcall` wakes the thread.
//!
//! # Invariants
//!
//! 1. `xc_headp` counts the functions that were requested, `xc_donep` those that have *returned*.
//! 2. A request is accepted only when the two are equal, so the arguments stay until all have run.
//! 3. When [`wait`] returns, every CPU has finished the functions of the ticket and of all earlier ones (`owed`),
//!    whatever the counters say.
//!
//! # Memory order
//!
//! Everything before a request happens before its functions (the box's lock, the IPI); all of those
//! happen before [`wait`] returns (`xc_donep`, release and acquire, or the lock).
//!
//! # Wiring
//!
//! [`Wiring::Native`]: two boxes. [`Wiring::Rump`]: the low-priority box carries a high-priority request; its threads
//! call the function at the requested level, as in a rump kernel.
//!
//! # Differences from NetBSD
//!
//! In the rump wiring the function is called at `splsoftserial` by the thread itself.
//!
//! # Sources
//!
//! xcall(9); `sys/kern/subr_xcall.c` 1.38, and 1.18 for the historical variant;
//! `sys/rump/librump/rumpkern/rump.c`, `rump_xc_highpri`.

use crate::config::Wiring;
use crate::contract;
use crate::history::Bug;
use crate::kern::condvar::Kcondvar;
use crate::kern::contract::assert_sleepable;
use crate::kern::cpu::Cpu;
use crate::kern::grace::Graces;
use crate::kern::kthread::{self, Options};
use crate::kern::lwp::{Arg, Lwp, curcpu, curlwp, curlwp_bind, curlwp_bindx, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::order::{self, Resource, Sort};
use crate::kern::softint::{self, LEVELS, Softint};
use crate::kern::spl::{self, Ipl};
use crate::kernel::Kernel;
use crate::mem::{Acquire, AtomicU64, Guarded, Local, Plain, Relaxed, Release};
use crate::note;

mod highpri;
mod owed;

use highpri::high_pri;
pub(crate) use highpri::{ipi_handler, is_asked};
use owed::Owed;

/// A function that is called on other CPUs (`xcfunc_t`).
pub type XcFunc = fn(Arg, Arg);

/// The priority of a cross call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    /// By the threads `xcall/N`.
    Low,
    /// By a softint of this level (`XC_HIGHPRI_IPL`).
    High(Ipl),
}

impl Priority {
    /// `XC_HIGHPRI`: by a softint of the serial level.
    pub const HIGH: Priority = Priority::High(Ipl::SoftSerial);
}

/// A handle for [`wait`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the functions may still run: wait for the ticket"]
pub struct Ticket {
    number: u64,
    high: bool,
}

impl Ticket {
    /// The ticket's number: how many calls its box has accepted.
    pub fn number(self) -> u64 {
        self.number
    }

    /// The ticket as the word that NetBSD has for it: the number, and bit 63 if the priority is high.
    pub fn to_word(self) -> u64 {
        self.number | u64::from(self.high) << 63
    }

    /// The ticket of a word that [`to_word`](Self::to_word) has made.
    pub fn from_word(word: u64) -> Ticket {
        Ticket {
            number: word & !(1 << 63),
            high: word >> 63 != 0,
        }
    }
}

/// A box (`xc_state_t`): the request in flight.
pub struct XcBox {
    xc_lock: Kmutex,
    xc_busy: Kcondvar,
    xc_func: Plain<Option<XcFunc>>,
    xc_arg1: Plain<Arg>,
    xc_arg2: Plain<Arg>,
    xc_headp: Plain<u64>,
    xc_donep: AtomicU64,
    /// The number of functions that were picked up. Only the historical variant counts it.
    xc_tailp: Plain<u64>,
    xc_ipl: Plain<Ipl>,
    /// Which of the boxes it is: the index of what a CPU owes it.
    xc_index: usize,
    /// The LWP that made the request in flight. For reports.
    xc_lwp: Guarded<Option<&'static Lwp>>,
    /// Its name in reports.
    xc_word: &'static str,
}

crate::fields!(XcBox {
    xc_lock,
    xc_busy,
    xc_func,
    xc_arg1,
    xc_arg2,
    xc_headp,
    xc_donep,
    xc_tailp,
    xc_ipl,
    xc_lwp,
});

impl XcBox {
    const fn new(index: usize, word: &'static str, lock: &'static str, ipl: Ipl) -> Self {
        XcBox {
            xc_lock: Kmutex::new(lock, ipl),
            xc_busy: Kcondvar::new("xcall"),
            xc_func: Plain::new(None),
            xc_arg1: Plain::new(Arg::NONE),
            xc_arg2: Plain::new(Arg::NONE),
            xc_headp: Plain::new(0),
            xc_donep: AtomicU64::new(0),
            xc_tailp: Plain::new(0),
            xc_ipl: Plain::new(Ipl::SoftSerial),
            xc_index: index,
            xc_lwp: Guarded::new(None),
            xc_word: word,
        }
    }

    /// Whether a request is in flight. `xc_lock` is held.
    fn busy(&self, kernel: &Kernel) -> bool {
        // subr_xcall.c up to 1.18 (PR kern/51632): the next request was accepted as soon as the one in flight had
        // been picked up everywhere.
        if kernel.config().history.has(Bug::XcallTailp) {
            return self.xc_headp.get() != self.xc_tailp.get();
        }
        self.xc_headp.get() != self.xc_donep.load(Relaxed)
    }

    /// Waits until the box is free and puts a request into it. `xc_lock` is held.
    #[track_caller]
    fn put(&self, kernel: &Kernel, func: XcFunc, args: (Arg, Arg)) {
        while self.busy(kernel) {
            self.xc_busy.wait(&self.xc_lock);
        }
        self.fill(func, args);
    }

    /// Stores a request. The box is free and `xc_lock` is held.
    #[track_caller]
    fn fill(&self, func: XcFunc, args: (Arg, Arg)) {
        self.xc_func.set(Some(func));
        self.xc_arg1.set(args.0);
        self.xc_arg2.set(args.1);
        self.xc_lwp.set(Some(curlwp()));
    }

    /// The function on `ci` has returned, as number `done`. `xc_lock` is held.
    #[track_caller]
    fn count(&self, ci: &Cpu, done: u64) {
        self.xc_donep
            .store_after(done, Release, || self.owed_by(ci).end());
    }

    /// [`wait`] is about to return. Panics: contract `xcall-early`.
    fn check(&self, kernel: &'static Kernel, ticket: Ticket) {
        let (head, done) = self.peek();
        let debts = kernel.cpus().iter().map(|ci| self.owed_by(ci));
        owed::check(debts, ticket.number, head, done);
    }

    /// The functions of this box that `ci` has not finished. For the contract of [`wait`].
    fn owed_by<'a>(&self, ci: &'a Cpu) -> &'a Owed {
        &ci.ci_xcall.cpu_xcall_owed[self.xc_index]
    }

    /// Requested and returned functions: for reports.
    pub(crate) fn peek(&self) -> (u64, u64) {
        (self.xc_headp.peek(), self.xc_donep.peek())
    }

    /// The resource that waiters for its slot wait for.
    #[inline(always)]
    fn resource(&self) -> Resource {
        order::lock(Sort::Xcall, self, self.xc_word)
    }

    /// The caller, who holds `xc_lock`, will wait for the slot.
    #[inline(always)]
    #[track_caller]
    fn will_wait(&self) {
        order::wants_without(self.resource(), Some(self.xc_lock.resource()));
    }

    /// It has the slot, and will wait for the functions.
    #[inline(always)]
    #[track_caller]
    fn is_requested(&self) {
        order::requests(self.resource(), self.xc_lock.resource());
    }

    /// The level of the request in flight, of the high-priority box: for reports.
    pub(crate) fn peek_ipl(&self) -> Ipl {
        self.xc_ipl.peek()
    }

    /// Whether waiters of this box sleep on `wchan`. For reports.
    pub(crate) fn is_wchan(&self, wchan: usize) -> bool {
        self.xc_busy.is_wchan(wchan)
    }

    /// The LWP that made the request in flight, if there is one. For reports.
    pub(crate) fn peek_requester(&self) -> Option<&'static Lwp> {
        let (head, done) = self.peek();
        self.xc_lwp.peek().filter(|_| head != done)
    }
}

/// The cross calls of a kernel.
pub struct Xcall {
    pub(crate) xc_low_pri: XcBox,
    pub(crate) xc_high_pri: XcBox,
    /// The softints that run high-priority functions, one per level.
    xc_sihs: [Local<Option<Softint>>; 4],
}

crate::fields!(Xcall {
    xc_low_pri,
    xc_high_pri
});

impl Xcall {
    pub(crate) const fn new() -> Self {
        Xcall {
            xc_low_pri: XcBox::new(0, "xc", "xc_low_pri.xc_lock", Ipl::None),
            xc_high_pri: XcBox::new(1, "xc (high)", "xc_high_pri.xc_lock", Ipl::SoftSerial),
            xc_sihs: [const { Local::new(None) }; 4],
        }
    }
}

/// The cross calls of a CPU.
pub struct CpuXcall {
    cpu_xcall: Kcondvar,
    cpu_xcall_pending: Plain<bool>,
    cpu_xcall_lwp: Local<Option<&'static Lwp>>,
    cpu_xcall_owed: [Owed; 2],
}

crate::fields!(CpuXcall {
    cpu_xcall,
    cpu_xcall_pending
});

impl CpuXcall {
    pub(crate) const fn new() -> Self {
        CpuXcall {
            cpu_xcall: Kcondvar::new("xcall"),
            cpu_xcall_pending: Plain::new(false),
            cpu_xcall_lwp: Local::new(None),
            cpu_xcall_owed: [const { Owed::new() }; 2],
        }
    }

    /// The CPU's thread, and whether it has a request. For reports.
    pub(crate) fn peek(&self) -> (Option<&'static Lwp>, bool) {
        (self.cpu_xcall_lwp.peek(), self.cpu_xcall_pending.peek())
    }

    /// Whether the CPU's idle cross-call thread sleeps on `wchan`. For reports.
    pub(crate) fn is_idle_wchan(&self, wchan: usize) -> bool {
        self.cpu_xcall.is_wchan(wchan)
    }
}

/// Creates the threads and softints.
pub(crate) fn init(kernel: &'static Kernel) -> Option<()> {
    for (index, level) in LEVELS.into_iter().enumerate() {
        let softint = softint::establish_at_boot(kernel.cpus(), level, highpri::intr, Arg::NONE)?;
        kernel.xcall.xc_sihs[index].set(Some(softint));
    }
    for ci in kernel.cpus() {
        let options = Options {
            priority: pri::XCALL,
            cpu: Some(ci.index()),
            ..Options::default()
        };
        let l = kthread::kthread_create(
            kernel,
            &options,
            xc_thread,
            Arg::of(ci),
            format_args!("xcall/{}", ci.index()),
        )?;
        ci.ci_xcall.cpu_xcall_lwp.set(Some(l));
    }
    Some(())
}

/// Calls `func(args)` on every CPU (`xc_broadcast`).
///
/// Waits while the box is in use. Context: thread that may sleep. Panics: contracts `xcall-context`, `sleepable`,
/// `xcall-level`.
#[track_caller]
pub fn broadcast(priority: Priority, func: XcFunc, args: (Arg, Arg)) -> Ticket {
    issue(priority, func, args, None)
}

/// Calls `func(args)` on `ci` (`xc_unicast`).
///
/// Context, panics: as [`broadcast`].
#[track_caller]
pub fn unicast(priority: Priority, func: XcFunc, args: (Arg, Arg), ci: &'static Cpu) -> Ticket {
    issue(priority, func, args, Some(ci))
}

/// Waits until a function of this priority has run on every CPU (`xc_barrier`).
///
/// Context, panics: as [`broadcast`].
#[track_caller]
pub fn barrier(priority: Priority) {
    wait(broadcast(priority, |_, _| {}, (Arg::NONE, Arg::NONE)));
}

/// Waits until a softint of `level` has run on every CPU, whatever the wiring: after the softints of that level that
/// are queued there. For `softint_disestablish`.
///
/// Context, panics: as [`broadcast`].
#[track_caller]
pub fn native_barrier(level: Ipl) {
    native_broadcast(level, |_, _| {});
}

/// Calls `func` in a softint of `level` on every CPU, whatever the wiring, and waits for it. Not before all CPUs run: then
/// there is nothing to wait for.
///
/// Context, panics: as [`broadcast`].
#[track_caller]
pub(crate) fn native_broadcast(level: Ipl, func: XcFunc) {
    assert_context("xc_barrier");
    let kernel = curlwp().kernel();
    if kernel.mp_online() {
        let args = (Arg::NONE, Arg::NONE);
        let graces = (level == Ipl::SoftClock).then_some(&kernel.softclock_graces);
        let grace = graces.map(Graces::begin);
        wait(high_pri(kernel, Wiring::Native, level, func, args, None));
        if let (Some(graces), Some(grace)) = (graces, grace) {
            graces.end(grace);
        }
    }
}

#[track_caller]
fn issue(
    priority: Priority,
    func: XcFunc,
    args: (Arg, Arg),
    target: Option<&'static Cpu>,
) -> Ticket {
    assert_context(match target {
        Some(_) => "xc_unicast",
        None => "xc_broadcast",
    });
    let kernel = curlwp().kernel();
    match target {
        Some(_) => kernel.counters.xc_unicast.incr(),
        None => kernel.counters.xc_broadcast.incr(),
    }
    if !kernel.mp_online() {
        return run_inline(priority, func, args);
    }
    match priority {
        Priority::Low => low_pri(kernel, func, args, target),
        Priority::High(level) => high_pri(kernel, kernel.config().xcall, level, func, args, target),
    }
}

#[track_caller]
fn assert_context(what: &str) {
    contract!(
        !spl::cpu_intr_p() && !spl::cpu_softintr_p(),
        "xcall-context",
        "{what} was called in an interrupt, on {}",
        curlwp().name()
    );
    assert_sleepable(what);
}

/// Before the other CPUs run: runs the function here, in the context that it expects.
fn run_inline(priority: Priority, func: XcFunc, args: (Arg, Arg)) -> Ticket {
    match priority {
        Priority::Low => {
            let bound = curlwp_bind();
            func(args.0, args.1);
            curlwp_bindx(bound);
        }
        Priority::High(_) => {
            let s = spl::splsoftserial();
            func(args.0, args.1);
            spl::splx(s);
        }
    }
    Ticket {
        number: 0,
        high: priority != Priority::Low,
    }
}

/// `xc_lowpri`.
#[track_caller]
fn low_pri(
    kernel: &'static Kernel,
    func: XcFunc,
    args: (Arg, Arg),
    target: Option<&'static Cpu>,
) -> Ticket {
    let xc = &kernel.xcall.xc_low_pri;
    xc.xc_lock.enter();
    xc.will_wait();
    xc.put(kernel, func, args);
    xc.is_requested();
    order::releases(xc.resource());
    for ci in targets(kernel, target) {
        xc.xc_headp.set(xc.xc_headp.get() + 1);
        ci.ci_xcall.cpu_xcall_pending.set(true);
        ci.ci_xcall.cpu_xcall.signal();
    }
    let number = xc.xc_headp.get();
    for ci in targets(kernel, target) {
        xc.owed_by(ci).ask(number);
    }
    contract!(
        xc.xc_donep.load(Relaxed) < number,
        "xcall-count",
        "a low-priority cross call was accepted, and {} of {number} functions have returned",
        xc.xc_donep.peek()
    );
    note!("low-priority call: ticket {number}");
    xc.xc_lock.exit();
    Ticket {
        number,
        high: false,
    }
}

fn targets(kernel: &'static Kernel, target: Option<&'static Cpu>) -> &'static [Cpu] {
    match target {
        Some(ci) => core::slice::from_ref(ci),
        None => kernel.cpus(),
    }
}

/// The thread of a CPU (`xc_thread`). Panics: contracts `xcall-cpu`, `xcall-func`, and those of
/// [`check_after_function`].
fn xc_thread(ci: Arg) {
    // SAFETY: `init` gave the CPU, which lives as long as its kernel.
    let ci: &'static Cpu = unsafe { ci.get() };
    let kernel = ci.kernel();
    let xc = &kernel.xcall.xc_low_pri;
    let cpu = &ci.ci_xcall;
    xc.xc_lock.enter();
    loop {
        while !cpu.cpu_xcall_pending.get() {
            if !xc.busy(kernel) {
                xc.xc_busy.broadcast();
            }
            cpu.cpu_xcall.wait(&xc.xc_lock);
            contract!(
                core::ptr::eq(ci, curcpu()),
                "xcall-cpu",
                "{} woke on cpu{}: the thread of a CPU stays there",
                curlwp().name(),
                curcpu().index()
            );
        }
        cpu.cpu_xcall_pending.set(false);
        let (func, arg1, arg2) = (xc.xc_func.get(), xc.xc_arg1.get(), xc.xc_arg2.get());
        xc.owed_by(ci).begin();
        count_early(kernel, xc);
        xc.xc_lock.exit();
        note!("cpu{} begins a cross call", ci.index());
        order::function_begins(xc.resource());
        match func {
            Some(func) => func(arg1, arg2),
            None => no_function(),
        }
        order::function_ends();
        note!("cpu{} ends a cross call", ci.index());
        check_after_function();
        xc.xc_lock.enter();
        // The bug as the talk tells it has already counted, before the function.
        match kernel.config().history.has(Bug::XcallDonep) {
            true => xc.owed_by(ci).end(),
            false => xc.count(ci, xc.xc_donep.load(Relaxed) + 1),
        }
    }
}

/// The old code's count when a request was picked up but has not run yet. `xc_lock` is held.
fn count_early(kernel: &Kernel, xc: &XcBox) {
    // subr_xcall.c up to 1.18 (PR kern/51632).
    if kernel.config().history.has(Bug::XcallTailp) {
        xc.xc_tailp.set(xc.xc_tailp.get() + 1);
    }
    // The talk, "A xcall Bug".
    if kernel.config().history.has(Bug::XcallDonep) {
        xc.xc_donep.store(xc.xc_donep.load(Relaxed) + 1, Release);
    }
}

#[cold]
fn no_function() -> ! {
    crate::machine::stop(
        crate::machine::Stop::Contract("xcall-func"),
        format_args!(
            "{} was asked for a cross call without a function",
            curlwp().name()
        ),
    )
}

/// Checks that a function left nothing behind. Panics: contracts `xcall-nopreempt`, `xcall-locks`, `xcall-bound`.
fn check_after_function() {
    let l = curlwp();
    contract!(
        l.l_nopreempt.get() == 0,
        "xcall-nopreempt",
        "the function of a low-priority cross call returned to {} with preemption off: {} kpreempt_enable are missing",
        l.name(),
        l.l_nopreempt.get()
    );
    contract!(
        l.l_locks.get() == 0,
        "xcall-locks",
        "the function of a low-priority cross call returned to {} with {} adaptive locks held",
        l.name(),
        l.l_locks.get()
    );
    contract!(
        l.is_bound(),
        "xcall-bound",
        "the function of a low-priority cross call returned to {} and left it unbound: a curlwp_bindx too many",
        l.name()
    );
}

/// Waits until everything up to `ticket` has run (`xc_wait`).
///
/// Context: thread that may sleep. Panics: contracts `xcall-context`, `sleepable`, `xcall-early`.
#[track_caller]
pub fn wait(ticket: Ticket) {
    assert_context("xc_wait");
    let kernel = curlwp().kernel();
    let xc = if ticket.high {
        &kernel.xcall.xc_high_pri
    } else {
        &kernel.xcall.xc_low_pri
    };
    if xc.xc_donep.load(Acquire) >= ticket.number {
        return xc.check(kernel, ticket);
    }
    xc.xc_lock.enter();
    while xc.xc_donep.load(Relaxed) < ticket.number {
        xc.xc_busy.wait(&xc.xc_lock);
    }
    xc.check(kernel, ticket);
    xc.xc_lock.exit();
}

/// Requested and returned functions of a box: for reports.
pub fn counts(priority: Priority) -> (u64, u64) {
    let xcall = &curlwp().kernel().xcall;
    match priority {
        Priority::Low => xcall.xc_low_pri.peek(),
        Priority::High(_) => xcall.xc_high_pri.peek(),
    }
}
