//! Turnstiles: the queues of LWPs that wait for mutexes and rwlocks.
//!
//! # Overview
//!
//! A table of chains, hashed by the object's address, each with a spin lock. An object with waiters has one *active*
//! turnstile on its chain. Every LWP owns a turnstile. The first LWP to block lends its own to the object; the others
//! put theirs on the active one's free list. A woken LWP takes one from there, and the last one takes the active one.
//! So blocking needs no allocation.
//!
//! A turnstile has two queues, one for readers of an rwlock and one for its writers. They are sorted by priority,
//! first come first served among equals. LWPs that wait for a mutex are on the writers' queue.
//!
//! # Contexts
//!
//! Thread and softint, preemption off. The chain lock is at IPL_SCHED.
//!
//! # Invariants
//!
//! 1. An active turnstile has an LWP on one of its queues at least, and one free turnstile fewer than LWPs.
//! 2. With the chain locked, no LWP is added to or removed from the queues of its objects.
//!
//! # Differences from NetBSD
//!
//! No priority inheritance: it would cure none of the known bugs.
//! The hash takes the address relative to the kernel, so that it is the same in every run.
//!
//! # Sources
//!
//! `sys/kern/kern_turnstile.c` 1.55.

use crate::contract;
use crate::kern::lwp::{Lwp, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::sleepq::{self, Sleepq, SyncObj, Timeout};
use crate::kern::spl::Ipl;
use crate::mem::Guarded;

/// Number of chains per kernel. A power of two.
const CHAINS: usize = 8;
/// Low bits of an address that do not select a chain.
const SAME: usize = 6;
/// Locks at this distance in bytes share a chain.
pub(crate) const APART: usize = CHAINS << SAME;

/// A queue of a turnstile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queue {
    /// LWPs that will share the object (`TS_READER_Q`).
    Reader = 0,
    /// LWPs that want exclusive access (`TS_WRITER_Q`).
    Writer = 1,
}

/// A turnstile. Everything in it is protected by the lock of the chain it is on.
pub struct Turnstile {
    ts_next: Guarded<Option<&'static Turnstile>>,
    ts_free: Guarded<Option<&'static Turnstile>>,
    ts_obj: Guarded<usize>,
    ts_waiters: [Guarded<u32>; 2],
    ts_sleepq: [Sleepq; 2],
}

crate::fields!(Turnstile as Kernel {
    ts_next,
    ts_free,
    ts_obj,
    ts_waiters,
    ts_sleepq
});

impl Turnstile {
    /// The object that it is active for. Its chain is locked.
    pub fn obj(&self) -> usize {
        self.ts_obj.get()
    }

    pub(crate) const fn new() -> Self {
        Turnstile {
            ts_next: Guarded::new(None),
            ts_free: Guarded::new(None),
            ts_obj: Guarded::new(0),
            ts_waiters: [const { Guarded::new(0) }; 2],
            ts_sleepq: [const { Sleepq::new() }; 2],
        }
    }
}

/// One chain of the table.
pub(crate) struct Chain {
    tc_lock: Kmutex,
    tc_head: Guarded<Option<&'static Turnstile>>,
}

crate::fields!(Chain { tc_lock, tc_head });

/// The table of a kernel.
pub struct Turnstiles {
    tt_chain: [Chain; CHAINS],
}

crate::fields!(Turnstiles { tt_chain });

impl Turnstiles {
    pub(crate) const fn new() -> Self {
        Turnstiles {
            tt_chain: [const {
                Chain {
                    tc_lock: Kmutex::new("tc_lock", Ipl::Sched),
                    tc_head: Guarded::new(None),
                }
            }; CHAINS],
        }
    }
}

/// A locked chain, and the active turnstile of the object that was looked up.
#[must_use = "the chain is locked"]
pub struct Lookup {
    chain: &'static Chain,
    active: Option<&'static Turnstile>,
}

fn chain_of(obj: usize) -> &'static Chain {
    let kernel = curlwp().kernel();
    let relative = obj.wrapping_sub(core::ptr::from_ref(kernel) as usize);
    &kernel.turnstiles.tt_chain[(relative >> SAME) % CHAINS]
}

/// Locks the chain of the object at `obj` and finds its active turnstile (`turnstile_lookup`).
#[track_caller]
pub fn lookup(obj: usize) -> Lookup {
    let chain = chain_of(obj);
    chain.tc_lock.spin_enter();
    let mut active = chain.tc_head.get();
    while let Some(ts) = active {
        if ts.ts_obj.get() == obj {
            break;
        }
        active = ts.ts_next.get();
    }
    Lookup { chain, active }
}

impl Lookup {
    /// The lookup of which other code has kept the object, whose chain it has locked, and the turnstile.
    pub fn again(obj: usize, active: Option<&'static Turnstile>) -> Lookup {
        let chain = chain_of(obj);
        Lookup { chain, active }
    }

    /// The active turnstile.
    pub fn active(&self) -> Option<&'static Turnstile> {
        self.active
    }

    /// Unlocks the chain (`turnstile_exit`).
    #[track_caller]
    pub fn exit(self) {
        self.chain.tc_lock.spin_exit();
    }

    /// The number of LWPs that wait on a queue (`TS_WAITERS`).
    pub fn waiters(&self, queue: Queue) -> u32 {
        self.active
            .map_or(0, |ts| ts.ts_waiters[queue as usize].get())
    }

    /// The LWP of a queue that is woken first (`TS_FIRST`).
    pub fn first(&self, queue: Queue) -> Option<&'static Lwp> {
        self.active?.ts_sleepq[queue as usize].first()
    }

    /// Sleeps on a queue until the caller is woken (`turnstile_block`).
    ///
    /// The chain is unlocked once the CPU has switched.
    #[track_caller]
    pub fn block(self, obj: usize, queue: Queue, sobj: SyncObj) {
        let l = curlwp();
        let own = l.l_ts.get();
        let ts = match (self.active, own) {
            (Some(active), Some(own)) => {
                own.ts_free.set(active.ts_free.get());
                active.ts_free.set(Some(own));
                active
            }
            (None, Some(own)) => {
                own.ts_obj.set(obj);
                own.ts_free.set(None);
                own.ts_next.set(self.chain.tc_head.get());
                self.chain.tc_head.set(Some(own));
                own
            }
            (_, None) => unreachable!("{} blocks without a turnstile of its own", l.name()),
        };
        l.l_ts.set(None);
        let waiters = &ts.ts_waiters[queue as usize];
        waiters.set(waiters.get() + 1);
        sleepq::enter(&self.chain.tc_lock);
        sleepq::enqueue(Some(&ts.ts_sleepq[queue as usize]), obj, "tstile", sobj);
        sleepq::block(Timeout::Never);
    }

    /// Wakes the first `count` LWPs of a queue, and unlocks the chain (`turnstile_wakeup`).
    ///
    /// Panics (contract `turnstile-count`) if there are fewer.
    #[track_caller]
    pub fn wakeup(self, queue: Queue, count: u32) {
        contract!(
            count <= self.waiters(queue),
            "turnstile-count",
            "{} must wake {count} LWPs of a turnstile, but {} wait",
            curlwp().name(),
            self.waiters(queue)
        );
        if let Some(ts) = self.active {
            // The last LWP takes the active turnstile with it, and may lend it again at once.
            for _ in 0..count {
                let Some(l) = ts.ts_sleepq[queue as usize].first() else {
                    break;
                };
                self.remove(ts, queue, l);
            }
        }
        self.chain.tc_lock.spin_exit();
    }

    /// Returns a turnstile to an LWP, takes the LWP off its queue and makes it runnable (`turnstile_remove`).
    ///
    /// Panics: contract `turnstile-given`.
    #[track_caller]
    fn remove(&self, ts: &'static Turnstile, queue: Queue, l: &'static Lwp) {
        let given = match ts.ts_free.get() {
            Some(free) => {
                ts.ts_free.set(free.ts_free.get());
                free
            }
            None => {
                self.deactivate(ts);
                ts
            }
        };
        contract!(
            l.l_ts.get().is_none(),
            "turnstile-given",
            "{} wakes with a turnstile and is given another",
            l.name()
        );
        l.l_ts.set(Some(given));
        let waiters = &ts.ts_waiters[queue as usize];
        waiters.set(waiters.get() - 1);
        sleepq::remove(l);
    }

    fn deactivate(&self, ts: &'static Turnstile) {
        let mut link = &self.chain.tc_head;
        while let Some(other) = link.get() {
            if core::ptr::eq(other, ts) {
                link.set(ts.ts_next.get());
                ts.ts_obj.set(0);
                return;
            }
            link = &other.ts_next;
        }
    }
}
