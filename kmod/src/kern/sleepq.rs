//! Sleep queues: lists of waiting LWPs.
//!
//! # Overview
//!
//! A sleep queue is a list of LWPs, highest priority first. It is protected by a spin mutex at IPL_SCHED, which
//! becomes the lock of every LWP on it. An LWP is on the queue *before* it releases the interlock that protects what
//! it waits for, and its lock is held until the CPU has switched away from it. So no wake-up can be lost.
//!
//! A timeout uses the LWP's own callout. So it runs in the softclock of its CPU, after every callout that was due
//! there earlier.
//!
//! # A timeout and a wake-up at the same time
//!
//! Both take the LWP's lock. The first one that finds the LWP on a queue removes it. A late timeout finds no wait
//! channel, or an LWP that sleeps in `callout_halt` for this very timeout, and does nothing. So an LWP that was woken
//! never returns an error.
//!
//! # Backstops
//!
//! A caller can claim that a timeout is a *backstop*: a safety net, because a wake-up comes in every schedule. On the
//! simulated machine the claim is checked. When no CPU has anything to do and nothing is left to happen but timeouts that
//! are backstops, somebody's wake-up was lost, and the run fails as it would if there were no timeout. A backstop that
//! fires earlier than that, because its wake-up is late, is a timeout like any other.
//!
//! # Differences from NetBSD
//!
//! No signals, no hashed wait channels (tsleep), no suspended LWPs.
//!
//! # Sources
//!
//! `sys/kern/kern_sleepq.c` 1.87.

use crate::contract;
use crate::kern::lwp::{Arg, Lwp, Stat, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::{sched, synch};
use crate::mem::{AtomicRef, Relaxed};

/// What kind of thing an LWP sleeps on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncObj {
    /// It does not sleep.
    Sched,
    /// A condition variable.
    Cv,
    /// An adaptive mutex, on a turnstile.
    Mutex,
    /// An rwlock, on a turnstile.
    Rwlock,
    /// Time alone.
    Kpause,
    /// The end of a callout's handler.
    Callout,
}

/// How a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// By a wake-up.
    Wakeup,
    /// By its timeout (`EWOULDBLOCK`).
    Timeout,
}

/// When a sleep ends without a wake-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// Never.
    Never,
    /// After so many ticks (0: never).
    After(u32),
    /// After so many ticks (0: never), as a safety net: the caller claims that it is never needed.
    Backstop(u32),
}

impl Timeout {
    fn ticks(self) -> u32 {
        match self {
            Timeout::Never => 0,
            Timeout::After(ticks) | Timeout::Backstop(ticks) => ticks,
        }
    }
}

/// A queue of sleeping LWPs.
pub struct Sleepq {
    /// Changed under the queue's lock; condition variables read it without.
    sq_head: AtomicRef<Lwp>,
}

crate::fields!(Sleepq { sq_head });

impl Default for Sleepq {
    fn default() -> Self {
        Self::new()
    }
}

impl Sleepq {
    /// An empty queue.
    pub const fn new() -> Self {
        Sleepq {
            sq_head: AtomicRef::new(),
        }
    }

    /// The LWP that is woken first. The queue's lock is held.
    pub(crate) fn first(&self) -> Option<&'static Lwp> {
        self.sq_head.load_fused(Relaxed)
    }

    /// The first `count` LWPs that sleep here on `wchan`. The queue's lock is held; each may be removed before the next is asked for.
    pub fn sleepers(&self, wchan: usize, count: usize) -> impl Iterator<Item = &'static Lwp> {
        let mut next = self.first();
        core::iter::from_fn(move || {
            let l = next?;
            next = l.l_sleepchain.next.get();
            Some(l)
        })
        .filter(move |l| l.l_wchan.get() == wchan)
        .take(count)
    }

    /// Whether any LWP sleeps here. Needs no lock: for callers that hold the interlock.
    #[track_caller]
    pub(crate) fn has_sleepers(&self) -> bool {
        self.sq_head.load(Relaxed).is_some()
    }

    /// Panics: contract `queue-order`.
    fn insert(&self, l: &'static Lwp) {
        let mut before: Option<&'static Lwp> = None;
        let mut after = self.first();
        while let Some(other) = after {
            if other.l_priority.get() < l.l_priority.get() {
                break;
            }
            before = Some(other);
            after = other.l_sleepchain.next.get();
        }
        l.l_sleepchain.prev.set(before);
        l.l_sleepchain.next.set(after);
        if let Some(other) = after {
            other.l_sleepchain.prev.set(Some(l));
        }
        match before {
            Some(other) => other.l_sleepchain.next.set(Some(l)),
            None => self.sq_head.store_fused(Some(l), Relaxed),
        }
        sched::assert_in_turn(before, l, after);
    }

    fn unlink(&self, l: &'static Lwp) {
        let (before, after) = (l.l_sleepchain.prev.get(), l.l_sleepchain.next.get());
        if let Some(other) = after {
            other.l_sleepchain.prev.set(before);
        }
        match before {
            Some(other) => other.l_sleepchain.next.set(after),
            None => self.sq_head.store_fused(after, Relaxed),
        }
    }
}

/// Makes `lock`, which is held, the lock of the current LWP, which goes to sleep on a queue of it (`sleepq_enter`).
#[track_caller]
pub fn enter(lock: &'static Kmutex) {
    let l = curlwp();
    l.lock();
    l.unlock_to(lock);
}

/// Puts the current LWP, whose lock is the queue's and is held, on `sq` (`sleepq_enqueue`).
///
/// Without a queue, only a timeout ends the sleep. Panics: contracts `lwp-locked`, `sleep-state`, `queue-order`.
pub fn enqueue(sq: Option<&'static Sleepq>, wchan: usize, wmesg: &'static str, sobj: SyncObj) {
    let l = curlwp();
    contract!(
        l.mutex_fused().owned(),
        "lwp-locked",
        "{} goes to sleep on {wmesg} and is not locked",
        l.name()
    );
    contract!(
        l.l_stat.get() == Stat::Onproc && l.l_wchan.get() == 0 && l.l_sleepq.get().is_none(),
        "sleep-state",
        "{} goes to sleep on {wmesg} while it sleeps on {} already",
        l.name(),
        l.l_wmesg.get()
    );
    l.l_syncobj.set(sobj);
    l.l_wchan.set(wchan);
    l.l_sleepq.set(sq);
    l.l_wmesg.set(wmesg);
    l.l_stat.set(Stat::Sleep);
    // It sleeps, so it does not hog its CPU.
    l.l_rticks.store_fused(0, Relaxed);
    if let Some(sq) = sq {
        sq.insert(l);
    }
}

/// Switches away until the LWP is taken off its queue, or `timeout` has passed (`sleepq_block`).
///
/// The LWP's lock is held, and preemption is off. The lock is released once the CPU has switched.
#[track_caller]
pub fn block(timeout: Timeout) -> Woken {
    let l = curlwp();
    let ticks = timeout.ticks();
    if ticks > 0 {
        l.l_stimo.set(false);
        l.l_timed.set(true);
        l.l_backstop.set(matches!(timeout, Timeout::Backstop(_)));
        l.l_timeout_ch.schedule(ticks);
    }
    l.cpu_unlocked().ci_schedstate.spc_mutex.spin_enter();
    synch::mi_switch(l);
    if ticks == 0 {
        return Woken::Wakeup;
    }
    // Even if it fired: its handler may still be about to look at this LWP.
    l.l_timeout_ch.halt_unlocked();
    l.l_timed.set(false);
    if l.l_stimo.get() {
        Woken::Timeout
    } else {
        Woken::Wakeup
    }
}

/// Whether the LWP sleeps with a backstop that is still to fire. For reports, and for checks at rest.
pub(crate) fn has_backstop(l: &Lwp) -> bool {
    l.l_stat.peek() == Stat::Sleep && l.l_backstop.peek() && l.l_timeout_ch.peek_pending()
}

/// Removes an LWP from its sleep queue, whose lock is held, and makes it runnable (`sleepq_remove`).
///
/// The queue's lock stays held. Panics: contracts `lwp-locked`, `sleep-state`.
#[track_caller]
pub fn remove(l: &'static Lwp) {
    contract!(
        l.mutex_fused().owned(),
        "lwp-locked",
        "{} is woken by {}, which has not locked it",
        l.name(),
        curlwp().name()
    );
    contract!(
        l.l_stat.get() == Stat::Sleep,
        "sleep-state",
        "{} is woken by {} in state {:?}: it does not sleep",
        l.name(),
        curlwp().name(),
        l.l_stat.get()
    );
    if let Some(sq) = l.l_sleepq.get() {
        sq.unlink(l);
    }
    l.l_wchan.set(0);
    l.l_sleepq.set(None);
    l.l_syncobj.set(SyncObj::Sched);
    let ci = sched::sched_takecpu(l);
    sched::make_runnable(l, ci);
}

/// The handler of its timeout is about to end the sleep of an LWP, which is locked. So the LWP's callout does not change.
///
/// Panics (contract `sleep-timeout`) if this is the timeout of an earlier sleep: the sleep has none, or its own is still to come.
fn assert_own_timeout(l: &Lwp) {
    contract!(
        l.l_timed.get() && !l.l_timeout_ch.peek_pending(),
        "sleep-timeout",
        "the timeout of an earlier sleep of {} ends its sleep on {}",
        l.name(),
        l.l_wmesg.peek()
    );
}

/// Ends the sleep of the LWP in `arg`. The handler of its timeout callout.
pub(crate) fn sleepq_timeout(arg: Arg) {
    // SAFETY: the callout is the LWP's own, and LWPs live as long as their kernel.
    let l: &'static Lwp = unsafe { arg.get() };
    let lock = l.lock();
    if l.l_wchan.get() != 0 && l.l_syncobj.get() != SyncObj::Callout {
        assert_own_timeout(l);
        l.l_stimo.set(true);
        remove(l);
    }
    lock.spin_exit();
}
