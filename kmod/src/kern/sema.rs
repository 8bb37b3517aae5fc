//! sema(9): counting semaphores.
//!
//! # Overview
//!
//! A semaphore counts units. [`Sema::post`] adds one; [`Sema::wait`] takes one, and waits until there is one. The units
//! belong to nobody: who waits need not be who posts.
//!
//! # Contexts
//!
//! [`Sema::post`], [`Sema::trywait`]: any, at the level given to [`Sema::new`] at most. [`Sema::wait`],
//! [`Sema::timedwait`]: thread that may sleep.
//!
//! # Invariants
//!
//! 1. Each unit is taken once.
//! 2. Nobody sleeps while there are units: who posts the unit wakes one waiter, and a unit that a third takes meanwhile
//!    lets that waiter sleep again.
//! 3. A waiter that has its unit may free the semaphore, if nobody else uses it: who posted does not touch it any more.
//!
//! # When to use something else
//!
//! To exclude others: mutex(9), which knows its owner. To wait for one event: [`completion`](crate::kern::completion).
//!
//! # Differences from NetBSD
//!
//! NetBSD has none. This is FreeBSD's sema(9), made of a mutex and a condition variable as there; the mutex has a level,
//! so that interrupts can post.
//!
//! # Sources
//!
//! sema(9) of FreeBSD; `sys/kern/kern_sema.c`.

use crate::contract;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::curlwp;
use crate::kern::mutex::Kmutex;
use crate::kern::sleepq::Woken;
use crate::kern::spl::Ipl;
use crate::mem::Plain;

/// A counting semaphore (`struct sema`).
pub struct Sema {
    sema_mtx: Kmutex,
    sema_cv: Kcondvar,
    sema_waiters: Plain<u32>,
    sema_value: Plain<u32>,
}

crate::fields!(Sema {
    sema_mtx,
    sema_cv,
    sema_waiters,
    sema_value
});

impl Sema {
    /// A semaphore of `value` units, which is posted at `ipl` at most (`sema_init`). `name` is for reports.
    pub const fn new(name: &'static str, value: u32, ipl: Ipl) -> Self {
        Sema {
            sema_mtx: Kmutex::new(name, ipl),
            sema_cv: Kcondvar::new(name),
            sema_waiters: Plain::new(0),
            sema_value: Plain::new(value),
        }
    }

    /// Ends the use of a semaphore (`sema_destroy`).
    ///
    /// Context: any; nobody else uses it. Panics (contract `sema-waiters`) if somebody waits.
    #[track_caller]
    pub fn destroy(&self) {
        contract!(
            self.sema_waiters.peek() == 0,
            "sema-waiters",
            "sema_destroy({}) by {} while {} LWPs wait",
            self.sema_mtx.name(),
            curlwp().name(),
            self.sema_waiters.peek()
        );
        self.sema_cv.destroy();
        self.sema_mtx.destroy();
    }

    /// Adds a unit, and wakes who waits for one (`sema_post`).
    ///
    /// Context: any, at the level given to [`new`](Self::new) at most.
    #[track_caller]
    pub fn post(&self) {
        self.sema_mtx.enter();
        self.sema_value.set(self.sema_value.get() + 1);
        if self.sema_waiters.get() > 0 {
            self.sema_cv.signal();
        }
        self.sema_mtx.exit();
    }

    /// Takes a unit; waits until there is one (`sema_wait`).
    ///
    /// Context: thread that may sleep. Panics: as [`Kcondvar::wait`].
    #[track_caller]
    pub fn wait(&self) {
        self.sema_mtx.enter();
        while self.sema_value.get() == 0 {
            self.sema_waiters.set(self.sema_waiters.get() + 1);
            self.sema_cv.wait(&self.sema_mtx);
            self.sema_waiters.set(self.sema_waiters.get() - 1);
        }
        self.take();
        self.sema_mtx.exit();
    }

    /// Takes a unit, or gives up (`sema_timedwait`): when a sleep of `ticks` ticks, at least one, has ended without one.
    /// Whether it has a unit.
    ///
    /// A wake-up whose unit a third has taken begins the time anew, as in FreeBSD.
    /// Context: thread that may sleep. Panics: as [`Kcondvar::wait`].
    #[track_caller]
    pub fn timedwait(&self, ticks: u32) -> bool {
        self.sema_mtx.enter();
        let mut woken = Woken::Wakeup;
        while self.sema_value.get() == 0 && woken == Woken::Wakeup {
            self.sema_waiters.set(self.sema_waiters.get() + 1);
            woken = self.sema_cv.timedwait(&self.sema_mtx, ticks.max(1));
            self.sema_waiters.set(self.sema_waiters.get() - 1);
        }
        let taken = self.sema_value.get() > 0;
        if taken {
            self.take();
        }
        self.sema_mtx.exit();
        taken
    }

    /// Takes a unit, if there is one (`sema_trywait`). Whether it has one.
    ///
    /// Context: any, at the level given to [`new`](Self::new) at most; does not wait for a unit.
    #[track_caller]
    pub fn trywait(&self) -> bool {
        self.sema_mtx.enter();
        let taken = self.sema_value.get() > 0;
        if taken {
            self.take();
        }
        self.sema_mtx.exit();
        taken
    }

    /// The units that are there (`sema_value`): for assertions. Context: any, at the level given to [`new`](Self::new).
    #[track_caller]
    pub fn value(&self) -> u32 {
        self.sema_mtx.enter();
        let value = self.sema_value.get();
        self.sema_mtx.exit();
        value
    }

    fn take(&self) {
        self.sema_value.set(self.sema_value.get() - 1);
    }
}
