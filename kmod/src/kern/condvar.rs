//! condvar(9): condition variables.
//!
//! # Overview
//!
//! An LWP waits on a condition variable while it holds a mutex, the *interlock*. The wait releases the interlock and
//! enters it again before it returns. Wake-ups are hints: callers test their predicate in a loop.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::condvar::Kcondvar;
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::mutex::Kmutex;
//! use kmod::kern::spl::Ipl;
//! use kmod::mem::Plain;
//! use kmod::scenario::classics::shared;
//!
//! struct Mailbox {
//!     lock: Kmutex,
//!     arrived: Kcondvar,
//!     mail: Plain<Option<u32>>,
//! }
//!
//! fn deliver(mailbox: Arg) {
//!     let mailbox: &Mailbox = shared(mailbox);
//!     mailbox.lock.enter();
//!     mailbox.mail.set(Some(7));
//!     mailbox.arrived.signal();
//!     mailbox.lock.exit();
//! }
//!
//! run(|| {
//!     let mailbox = Mailbox {
//!         lock: Kmutex::new("mailbox", Ipl::None),
//!         arrived: Kcondvar::new("mail"),
//!         mail: Plain::new(None),
//!     };
//!     let postman = thread(deliver, Arg::of(&mailbox));
//!     mailbox.lock.enter();
//!     while mailbox.mail.get().is_none() {
//!         mailbox.arrived.wait(&mailbox.lock);
//!     }
//!     mailbox.lock.exit();
//!     kthread_join(postman);
//!     mailbox.arrived.destroy();
//!     mailbox.lock.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! `wait*`: thread that may sleep, never a softint. `signal`, `broadcast`: any context in which the interlock can be
//! held; the interlock is held, or was released just before.
//!
//! # Invariants
//!
//! 1. A waiter is on the queue before it releases the interlock.
//! 2. `signal` and `broadcast` first check the queue without its lock. This is correct because the caller holds, or
//!    held, the interlock. So a queue with waiters never appears empty, even for a moment.
//! 3. A waiter does not touch the condition variable after it was woken: the waker may destroy it.
//! # Differences from NetBSD
//!
//! No interruptible waits. Timeouts are in ticks.
//!
//! # Sources
//!
//! condvar(9); `sys/kern/kern_condvar.c` 1.63.

use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::lwp::{Lwp, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::sleepq::{self, Sleepq, SyncObj, Timeout, Woken};
use crate::kern::spl::{self, Ipl};
use crate::machine::{self, Mark, ObjectKind, Occasion};

/// Number of locks for the queues of condition variables, chosen by hash. A power of two.
const LOCKS: usize = 8;

/// The table of a kernel (`sleepq_hashlock`).
pub struct SleepqLocks {
    sl_lock: [Kmutex; LOCKS],
}

crate::fields!(SleepqLocks { sl_lock });

impl SleepqLocks {
    pub(crate) const fn new() -> Self {
        SleepqLocks {
            sl_lock: [const { Kmutex::new("sq_lock", Ipl::Sched) }; LOCKS],
        }
    }
}

/// The lock of the queue of LWPs that sleep on `wchan` (`sleepq_hashlock`, which also enters it).
pub fn sleepq_lock(wchan: usize) -> &'static Kmutex {
    let kernel = curlwp().kernel();
    let relative = wchan.wrapping_sub(core::ptr::from_ref(kernel) as usize);
    &kernel.sleepq_locks.sl_lock[(relative >> 4) % LOCKS]
}

/// A condition variable (`kcondvar_t`).
pub struct Kcondvar {
    cv_sleepq: Sleepq,
    cv_wmesg: &'static str,
}

impl crate::machine::Described for Kcondvar {
    const FIELDS: &'static [crate::machine::Field] = &[];
    const SORT: ObjectKind = ObjectKind::Condvar;
}

impl Kcondvar {
    /// Creates a condition variable; `wmesg` says what its waiters wait for (`cv_init`).
    pub const fn new(wmesg: &'static str) -> Self {
        Kcondvar {
            cv_sleepq: Sleepq::new(),
            cv_wmesg: wmesg,
        }
    }

    /// The wait message.
    pub fn wmesg(&self) -> &'static str {
        self.cv_wmesg
    }

    fn addr(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// Whether `wchan` is what its waiters sleep on: for reports.
    pub(crate) fn is_wchan(&self, wchan: usize) -> bool {
        wchan == self.addr()
    }

    fn hashlock(&self) -> &'static Kmutex {
        sleepq_lock(self.addr())
    }

    fn queue(&self) -> &'static Sleepq {
        // SAFETY: only LWPs on the queue refer to it, and a condition variable is not destroyed while there are
        // any (the contract of `destroy`); waiters do not touch it once they are off the queue.
        unsafe { &*core::ptr::from_ref(&self.cv_sleepq) }
    }

    /// Destroys a condition variable (`cv_destroy`).
    ///
    /// Context: any. Panics (contract `cv-waiters`) if a thread waits on it.
    #[track_caller]
    pub fn destroy(&self) {
        contract!(
            !self.cv_sleepq.has_sleepers(),
            "cv-waiters",
            "cv_destroy({}) by {} while {} waits on it",
            self.cv_wmesg,
            curlwp().name(),
            self.cv_sleepq.first().map_or(curlwp(), |l| l).name()
        );
    }

    /// Waits until it is woken (`cv_wait`). Spurious wake-ups are possible.
    ///
    /// Context: thread that may sleep, `interlock` held and no other spin mutex. Panics: contracts `cv-context`,
    /// `cv-softint`, `cv-interlock`, `sleepable`.
    #[track_caller]
    pub fn wait(&self, interlock: &Kmutex) {
        self.enter(interlock);
        sleepq::block(Timeout::Never);
        interlock.enter();
    }

    /// Waits until it is woken, or until `timeout_ticks` ticks have passed (0: no timeout) (`cv_timedwait`).
    ///
    /// Callers test their predicate whatever the result is.
    /// Context, panics: as [`wait`](Self::wait).
    #[track_caller]
    pub fn timedwait(&self, interlock: &Kmutex, timeout_ticks: u32) -> Woken {
        self.timedwait_as(interlock, Timeout::After(timeout_ticks))
    }

    /// As [`timedwait`](Self::timedwait), and the caller claims that the timeout is a *backstop*: a safety net that is
    /// never needed, because a wake-up comes without it in every schedule.
    ///
    /// A timeout hides a wake-up that was lost: the sleeper goes on, only later. With this claim the simulated machine
    /// fails the run (a deadlock, rule `backstop`) when nothing is left to happen but timeouts that are backstops. That a
    /// backstop fires before its wake-up has come is no failure as long as something else can still happen: an LWP
    /// that runs, an interrupt, another callout. On the booted machine there is no difference from `timedwait`.
    ///
    /// ```
    /// # use kmod::kern::{condvar::Kcondvar, mutex::Kmutex};
    /// # use kmod::mem::Plain;
    /// fn take(lock: &Kmutex, filled: &Kcondvar, items: &Plain<u32>) {
    ///     lock.enter();
    ///     while items.get() == 0 {
    ///         filled.timedwait_backstop(lock, 100);
    ///     }
    ///     items.set(items.get() - 1);
    ///     lock.exit();
    /// }
    /// ```
    ///
    /// Callers test their predicate whatever the result is.
    /// Context, panics: as [`wait`](Self::wait).
    #[track_caller]
    pub fn timedwait_backstop(&self, interlock: &Kmutex, timeout_ticks: u32) -> Woken {
        self.timedwait_as(interlock, Timeout::Backstop(timeout_ticks))
    }

    #[track_caller]
    fn timedwait_as(&self, interlock: &Kmutex, timeout: Timeout) -> Woken {
        self.enter(interlock);
        let woken = sleepq::block(timeout);
        interlock.enter();
        woken
    }

    /// `cv_enter`: puts the caller on the queue, then releases the interlock.
    #[track_caller]
    fn enter(&self, interlock: &Kmutex) {
        let l = curlwp();
        self.assert_may_wait(l, interlock);
        let lock = self.hashlock();
        lock.spin_enter();
        sleepq::enter(lock);
        sleepq::enqueue(Some(self.queue()), self.addr(), self.cv_wmesg, SyncObj::Cv);
        machine::mark(Mark::Sleeps {
            cv: self.addr(),
            interlock: core::ptr::from_ref(interlock).addr(),
        });
        machine::happened(Occasion::Slept(self.addr()));
        interlock.exit();
    }

    #[track_caller]
    fn assert_may_wait(&self, l: &Lwp, interlock: &Kmutex) {
        contract!(
            !spl::cpu_intr_p(),
            "cv-context",
            "cv_wait({}) in a hard interrupt on {}",
            self.cv_wmesg,
            l.name()
        );
        contract!(
            !l.is_softint(),
            "cv-softint",
            "cv_wait({}) in the softint {}: a softint must not sleep on a condition variable",
            self.cv_wmesg,
            l.name()
        );
        contract!(
            interlock.owned(),
            "cv-interlock",
            "cv_wait({}) by {} without its interlock {}",
            self.cv_wmesg,
            l.name(),
            interlock.name()
        );
        if !interlock.is_spin() {
            assert_sleepable("cv_wait");
        }
    }

    /// Wakes the waiter of the highest priority, if there is one (`cv_signal`).
    ///
    /// Context: the interlock is held, or was released just before.
    #[track_caller]
    pub fn signal(&self) {
        let sleepers = self.cv_sleepq.has_sleepers();
        machine::mark(Mark::Signals(self.addr(), sleepers));
        if sleepers {
            let lock = self.hashlock();
            lock.spin_enter();
            if let Some(l) = self.cv_sleepq.first() {
                sleepq::remove(l);
            }
            lock.spin_exit();
        }
    }

    /// Wakes all waiters (`cv_broadcast`).
    ///
    /// Context: as [`signal`](Self::signal).
    #[track_caller]
    pub fn broadcast(&self) {
        let sleepers = self.cv_sleepq.has_sleepers();
        machine::mark(Mark::Broadcasts(self.addr(), sleepers));
        if sleepers {
            let lock = self.hashlock();
            lock.spin_enter();
            while let Some(l) = self.cv_sleepq.first() {
                sleepq::remove(l);
            }
            lock.spin_exit();
        }
    }

    /// Whether a thread waits (`cv_has_waiters`). For assertions.
    #[track_caller]
    pub fn has_waiters(&self) -> bool {
        self.cv_sleepq.has_sleepers()
    }
}
