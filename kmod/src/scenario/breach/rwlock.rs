//! rwlock(9), and turnstiles.

use super::{Breach, breach, interrupt, pause, thread};
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize;
use crate::kern::rwlock::{Krw, Krwlock};
use crate::kern::spl::Ipl;
use crate::kern::turnstile::{self, Queue};
use crate::scenario::classics::shared;
use crate::scenario::share;

fn lock() -> &'static Krwlock {
    share("lock", Krwlock::new("rt_lock"))
}

/// A lock that the caller has entered.
fn entered(op: Krw) -> &'static Krwlock {
    let lock = lock();
    lock.enter(op);
    lock
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("rwlock-context": "enters an rwlock in a hard interrupt",
        || interrupt(|_| Krwlock::new("rt_lock").enter(Krw::Reader), Arg::NONE)),
    breach!("rwlock-read-section": "enters an rwlock in a read section of pserialize", || {
        let lock = lock();
        pserialize::read_enter();
        lock.enter(Krw::Reader);
    }),
    breach!("rwlock-spin-held": "enters an rwlock with a spin mutex held", || {
        Kmutex::new("spin", Ipl::Vm).enter();
        lock().enter(Krw::Reader);
    }),
    breach!("rwlock-recursion": "enters an rwlock that it holds for writing",
        || entered(Krw::Writer).enter(Krw::Reader)),
    breach!("rwlock-recursion", "reader": "enters an rwlock that it reads",
        || entered(Krw::Reader).enter(Krw::Reader)),
    breach!("rwlock-owned": "exits an rwlock that another thread holds for writing", || {
        let exit = |lock| shared::<Krwlock>(lock).exit();
        thread("another", 0, exit, Arg::of(entered(Krw::Writer)));
        pause(1);
    }),
    breach!("rwlock-held": "exits an rwlock that is not held", || lock().exit()),
    breach!("rwlock-held", "another": "exits an rwlock that another thread reads", || {
        let exit = |lock| shared::<Krwlock>(lock).exit();
        thread("another", 0, exit, Arg::of(entered(Krw::Reader)));
        pause(1);
    }),
    breach!("rwlock-write-held": "downgrades an rwlock that it holds for reading", || entered(Krw::Reader).downgrade()),
    breach!("rwlock-read-held": "upgrades an rwlock that it holds for writing", || {
        entered(Krw::Writer).tryupgrade();
    }),
    breach!("rwlock-destroy": "destroys an rwlock that it holds", || entered(Krw::Reader).destroy()),
    breach!("rwlock-handoff": "wakes a reader of an rwlock and does not give it the lock", || {
        let lock = entered(Krw::Writer);
        let enter = |lock| shared::<Krwlock>(lock).enter(Krw::Reader);
        thread("reader", 0, enter, Arg::of(lock));
        pause(1);
        turnstile::lookup(Arg::of(lock).0).wakeup(Queue::Reader, 1);
        pause(1);
    }),
    breach!("turnstile-count": "wakes a waiter of an rwlock that has none",
        || turnstile::lookup(Arg::of(lock()).0).wakeup(Queue::Writer, 1)),
];
