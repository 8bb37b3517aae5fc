//! completion: waiting for an event that another thread or interrupt causes.
//!
//! # Overview
//!
//! One side waits ([`Completion::wait`]), the other reports that it is done ([`Completion::complete`]), in either
//! order. Each call of `complete` lets one waiter continue; [`Completion::complete_all`] lets all continue, including
//! later ones.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::completion::Completion;
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::spl::Ipl;
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let ready = Completion::new("ready", Ipl::None);
//!     let worker = thread(|ready| shared::<Completion>(ready).complete(), Arg::of(&ready));
//!     ready.wait();
//!     kthread_join(worker);
//!     ready.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! `complete`, `complete_all`, `done`, `try_wait`: any, at most at the level given to [`Completion::new`]. `wait`,
//! `wait_timeout`: thread that may sleep.
//!
//! # Invariants
//!
//! 1. A completion is not lost: it is counted, and a later wait finds it.
//! 2. When a wait returns, the completing side does not touch the completion any more. So it may be part of an object
//!    that the waiter frees, or on the waiter's stack.
//!
//! # When to use something else
//!
//! For units that are taken and returned: [`sema`](crate::kern::sema). To wait for the end of a thread:
//! `kthread_join`.
//!
//! # Differences from NetBSD
//!
//! NetBSD has none, except in its copy of Linux's drivers. This has the calls of Linux, and consists of a mutex and a
//! condition variable; Linux uses a spin lock and a wait queue. No interruptible waits.
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

/// All waits, now or later.
const ALL: u32 = u32::MAX;

/// An event that threads wait for (`struct completion`).
pub struct Completion {
    lock: Kmutex,
    wait: Kcondvar,
    /// How many waits may return, or [`ALL`].
    done: Plain<u32>,
}

crate::fields!(Completion { lock, wait, done });

impl Completion {
    /// Creates a completion for an event that has not happened, which is completed at most at level `ipl`
    /// (`init_completion`). `name` is for reports.
    pub const fn new(name: &'static str, ipl: Ipl) -> Self {
        Completion {
            lock: Kmutex::new(name, ipl),
            wait: Kcondvar::new(name),
            done: Plain::new(0),
        }
    }

    /// Destroys a completion. Linux has no such call.
    ///
    /// Context: any; no other thread uses it. Panics (contract `cv-waiters`) if a thread waits.
    #[track_caller]
    pub fn destroy(&self) {
        self.wait.destroy();
        self.lock.destroy();
    }

    /// Lets one waiter continue: the one that has waited longest, or the next one (`complete`).
    ///
    /// Context: any, at most at the level given to [`new`](Self::new).
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

    /// Lets all current and later waiters continue, until [`reinit`](Self::reinit) (`complete_all`).
    ///
    /// Context: any, at most at the level given to [`new`](Self::new).
    #[track_caller]
    pub fn complete_all(&self) {
        self.lock.enter();
        self.done.set(ALL);
        self.wait.broadcast();
        self.lock.exit();
    }

    /// Prepares it for another event (`reinit_completion`). Context: no thread waits or completes.
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

    /// Waits until it is completed, or for a sleep of `ticks` ticks, at least one (`wait_for_completion_timeout`).
    /// Returns whether it was completed.
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

    /// As [`wait`](Self::wait), if that is possible without waiting (`try_wait_for_completion`). Returns whether it
    /// was completed.
    ///
    /// Context: any, at most at the level given to [`new`](Self::new).
    #[track_caller]
    pub fn try_wait(&self) -> bool {
        self.lock.enter();
        let completed = self.take();
        self.lock.exit();
        completed
    }

    /// Whether a wait would return at once (`completion_done`).
    ///
    /// Context: any, at most at the level given to [`new`](Self::new).
    #[track_caller]
    pub fn done(&self) -> bool {
        self.lock.enter();
        let done = self.done.get() != 0;
        self.lock.exit();
        done
    }

    /// Takes a completion, if there is one. The lock is held.
    fn take(&self) -> bool {
        let done = self.done.get();
        if done != 0 && done != ALL {
            self.done.set(done - 1);
        }
        done != 0
    }
}
