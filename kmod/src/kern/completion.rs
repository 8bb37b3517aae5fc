//! completion: waiting for an event that somebody else brings about.
//!
//! # Overview
//!
//! One side waits ([`Completion::wait`]), the other says that it is done ([`Completion::complete`]), in whichever order.
//! Each call of `complete` lets one waiter go on; [`Completion::complete_all`] lets all go on, those that come later too.
//!
//! # Contexts
//!
//! `complete`, `complete_all`, `done`, `try_wait`: any, at the level given to [`Completion::new`] at most. `wait`,
//! `wait_timeout`: thread that may sleep.
//!
//! # Invariants
//!
//! 1. A completion is not lost: it is counted, and who waits later finds it.
//! 2. When a wait returns, who completed does not touch the completion any more. So it may lie in an object that
//!    the waiter frees, or on the waiter's stack.
//!
//! # When to use something else
//!
//! For units that come and go: [`sema`](crate::kern::sema). To wait for the end of a thread: `kthread_join`.
//!
//! # Differences from NetBSD
//!
//! NetBSD has none but in its copy of Linux' drivers. This has the calls of Linux, and is made of a mutex and a condition
//! variable; Linux has a spin lock and a wait queue. No interruptible waits.
//!
//! # Sources
//!
//! `Documentation/scheduler/completion.rst` and `kernel/sched/completion.c` of Linux;
//! `sys/external/bsd/common/include/linux/completion.h` of NetBSD.

use crate::kern::condvar::Kcondvar;
use crate::kern::mutex::Kmutex;
use crate::kern::sleepq::Woken;
use crate::kern::spl::Ipl;
use crate::mem::Plain;

/// All that wait, now or later.
const ALL: u32 = u32::MAX;

/// An event that is waited for (`struct completion`).
pub struct Completion {
    lock: Kmutex,
    wait: Kcondvar,
    /// How many waits may return, or [`ALL`].
    done: Plain<u32>,
}

crate::fields!(Completion { lock, wait, done });

impl Completion {
    /// An event that has not happened, and is completed at `ipl` at most (`init_completion`). `name` is for reports.
    pub const fn new(name: &'static str, ipl: Ipl) -> Self {
        Completion {
            lock: Kmutex::new(name, ipl),
            wait: Kcondvar::new(name),
            done: Plain::new(0),
        }
    }

    /// Ends the use of a completion. Linux has no such call.
    ///
    /// Context: any; nobody else uses it. Panics (contract `cv-waiters`) if somebody waits.
    #[track_caller]
    pub fn destroy(&self) {
        self.wait.destroy();
        self.lock.destroy();
    }

    /// Lets one waiter go on: who waits longest, or the next who comes (`complete`).
    ///
    /// Context: any, at the level given to [`new`](Self::new) at most.
    #[track_caller]
    pub fn complete(&self) {
        self.lock.enter();
        let done = self.done.get();
        if done != ALL {
            self.done.set(done + 1);
        }
        self.wait.signal();
        self.lock.exit();
    }

    /// Lets all go on that wait, and all that come, until [`reinit`](Self::reinit) (`complete_all`).
    ///
    /// Context: any, at the level given to [`new`](Self::new) at most.
    #[track_caller]
    pub fn complete_all(&self) {
        self.lock.enter();
        self.done.set(ALL);
        self.wait.broadcast();
        self.lock.exit();
    }

    /// The event is to happen again (`reinit_completion`). Context: nobody waits or completes.
    #[track_caller]
    pub fn reinit(&self) {
        self.done.set(0);
    }

    /// Waits until it is completed (`wait_for_completion`).
    ///
    /// Context: thread that may sleep. Panics: as [`Kcondvar::wait`].
    #[track_caller]
    pub fn wait(&self) {
        self.lock.enter();
        while self.done.get() == 0 {
            self.wait.wait(&self.lock);
        }
        self.take();
        self.lock.exit();
    }

    /// Waits until it is completed, or for a sleep of `ticks` ticks, at least one (`wait_for_completion_timeout`). Whether
    /// it was completed.
    ///
    /// Context: thread that may sleep. Panics: as [`Kcondvar::wait`].
    #[track_caller]
    pub fn wait_timeout(&self, ticks: u32) -> bool {
        self.lock.enter();
        let mut woken = Woken::Wakeup;
        while self.done.get() == 0 && woken == Woken::Wakeup {
            woken = self.wait.timedwait(&self.lock, ticks.max(1));
        }
        let completed = self.take();
        self.lock.exit();
        completed
    }

    /// As [`wait`](Self::wait), if that needs no waiting (`try_wait_for_completion`). Whether it was completed.
    ///
    /// Context: any, at the level given to [`new`](Self::new) at most.
    #[track_caller]
    pub fn try_wait(&self) -> bool {
        self.lock.enter();
        let completed = self.take();
        self.lock.exit();
        completed
    }

    /// Whether a wait would return at once (`completion_done`).
    ///
    /// Context: any, at the level given to [`new`](Self::new) at most.
    #[track_caller]
    pub fn done(&self) -> bool {
        self.lock.enter();
        let done = self.done.get() != 0;
        self.lock.exit();
        done
    }

    /// Uses a completion up, if there is one. The lock is held.
    fn take(&self) -> bool {
        let done = self.done.get();
        if done != 0 && done != ALL {
            self.done.set(done - 1);
        }
        done != 0
    }
}
