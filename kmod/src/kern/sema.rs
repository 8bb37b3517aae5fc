//! sema(9): counting semaphores.
//!
//! # Overview
//!
//! A semaphore counts units. [`Sema::post`] adds one; [`Sema::wait`] takes one, and waits until there is one. Units
//! have no owner: one thread may wait and another post.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::sema::Sema;
//! use kmod::kern::spl::Ipl;
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let units = Sema::new("units", 0, Ipl::None);
//!     let producer = thread(|units| shared::<Sema>(units).post(), Arg::of(&units));
//!     units.wait(); // until a unit is posted
//!     assert!(!units.trywait());
//!     kthread_join(producer);
//!     units.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! [`Sema::post`], [`Sema::trywait`]: any, at most at the level given to [`Sema::new`]. [`Sema::wait`],
//! [`Sema::timedwait`]: thread that may sleep.
//!
//! # Invariants
//!
//! 1. Each unit is taken once.
//! 2. No thread sleeps while there are units: a post wakes one waiter, and if a third thread takes the unit first,
//!    that waiter sleeps again.
//! 3. A waiter that has its unit may free the semaphore, if no other thread uses it: the thread that posted does not
//!    touch it any more.
//!
//! # When to use something else
//!
//! For mutual exclusion: mutex(9), which has an owner. To wait for one event:
//! [`completion`](crate::kern::completion).
//!
//! # Differences from NetBSD
//!
//! NetBSD has none. This is FreeBSD's sema(9). As there, it consists of a mutex and a condition variable; the mutex
//! has a level, so that interrupts can post.
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
    /// Creates a semaphore of `value` units, which is posted at most at level `ipl` (`sema_init`). `name` is for
    /// reports.
    pub const fn new(name: &'static str, value: u32, ipl: Ipl) -> Self {
        Sema {
            sema_mtx: Kmutex::new(name, ipl),
            sema_cv: Kcondvar::new(name),
            sema_waiters: Plain::new(0),
            sema_value: Plain::new(value),
        }
    }

    /// Destroys a semaphore (`sema_destroy`).
    ///
    /// Context: any; no other thread uses it. Panics (contract `sema-waiters`) if a thread waits.
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

    /// Adds a unit, and wakes a waiter (`sema_post`).
    ///
    /// Context: any, at most at the level given to [`new`](Self::new).
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

    /// Takes a unit, or gives up when a sleep of `ticks` ticks, at least one, has ended without one
    /// (`sema_timedwait`). Returns whether it has a unit.
    ///
    /// After a wake-up whose unit another thread has taken, the time starts again, as in FreeBSD.
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

    /// Takes a unit, if there is one (`sema_trywait`). Returns whether it has one.
    ///
    /// Context: any, at most at the level given to [`new`](Self::new); does not wait for a unit.
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

    /// The number of available units (`sema_value`). For assertions. Context: any, at most at the level given to
    /// [`new`](Self::new).
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
