//! Event counters: how often each subsystem did what, as evcnt(9).
//!
//! Counting is a relaxed addition that belongs to the step under way: no point, no ordering.
//! A counter is exact at rest and may be behind while the kernel runs.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::machine::{Described, Field};

/// One counter.
#[derive(Default)]
pub struct Evcnt {
    ev_count: AtomicU64,
    ev_group: &'static str,
    ev_name: &'static str,
}

impl Evcnt {
    /// A counter at zero, `group` being the subsystem (`xcall`) and `name` the event (`unicast`).
    pub const fn new(group: &'static str, name: &'static str) -> Self {
        Evcnt {
            ev_count: AtomicU64::new(0),
            ev_group: group,
            ev_name: name,
        }
    }

    /// Counts one event.
    #[inline(always)]
    pub fn incr(&self) {
        self.ev_count.fetch_add(1, Relaxed);
    }

    /// How many events were counted.
    pub fn count(&self) -> u64 {
        self.ev_count.load(Relaxed)
    }

    /// Name of the subsystem.
    pub fn group(&self) -> &'static str {
        self.ev_group
    }

    /// Name of the event.
    pub fn name(&self) -> &'static str {
        self.ev_name
    }
}

impl Described for Evcnt {
    const FIELDS: &'static [Field] = &[];
}

/// The counters of a kernel.
pub struct Counters {
    /// Context switches.
    pub switches: Evcnt,
    /// Switches that an LWP did not ask for.
    pub preemptions: Evcnt,
    /// LWPs moved to another CPU by its idle LWP.
    pub pushes: Evcnt,
    /// LWPs taken from another CPU by an idle one.
    pub steals: Evcnt,
    /// Softint levels that were dispatched.
    pub softints: Evcnt,
    /// Softints that blocked.
    pub softint_blocks: Evcnt,
    /// Callouts that fired.
    pub callouts: Evcnt,
    /// Times `callout_halt` had to wait.
    pub callout_halts: Evcnt,
    /// Adaptive mutexes that had to be waited for asleep.
    pub mutex_sleeps: Evcnt,
    /// Rwlocks that had to be waited for asleep.
    pub rwlock_sleeps: Evcnt,
    /// Rwlocks that were handed over to those that waited.
    pub rwlock_handoffs: Evcnt,
    /// Batches of work that worker threads took.
    pub wq_batches: Evcnt,
    /// Times `workqueue_wait` had to wait.
    pub wq_waits: Evcnt,
    /// Times a consumer found an item reserved and not there.
    pub pcq_races: Evcnt,
    /// Unicast cross calls.
    pub xc_unicast: Evcnt,
    /// Broadcast cross calls.
    pub xc_broadcast: Evcnt,
    /// Inter-processor interrupts sent.
    pub ipis: Evcnt,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Counters {
            switches: Evcnt::new("sched", "context switch"),
            preemptions: Evcnt::new("sched", "preemption"),
            pushes: Evcnt::new("sched", "migration push"),
            steals: Evcnt::new("sched", "migration steal"),
            softints: Evcnt::new("softint", "dispatch"),
            softint_blocks: Evcnt::new("softint", "block"),
            callouts: Evcnt::new("callout", "fired"),
            callout_halts: Evcnt::new("callout", "wait"),
            mutex_sleeps: Evcnt::new("mutex", "sleep"),
            rwlock_sleeps: Evcnt::new("rwlock", "sleep"),
            rwlock_handoffs: Evcnt::new("rwlock", "hand-off"),
            wq_batches: Evcnt::new("workqueue", "batch"),
            wq_waits: Evcnt::new("workqueue", "wait"),
            pcq_races: Evcnt::new("pcq", "race"),
            xc_unicast: Evcnt::new("crosscall", "unicast"),
            xc_broadcast: Evcnt::new("crosscall", "broadcast"),
            ipis: Evcnt::new("ipi", "sent"),
        }
    }

    /// Every counter, subsystem by subsystem.
    pub fn all(&self) -> [&Evcnt; 17] {
        [
            &self.switches,
            &self.preemptions,
            &self.pushes,
            &self.steals,
            &self.softints,
            &self.softint_blocks,
            &self.callouts,
            &self.callout_halts,
            &self.mutex_sleeps,
            &self.rwlock_sleeps,
            &self.rwlock_handoffs,
            &self.wq_batches,
            &self.wq_waits,
            &self.pcq_races,
            &self.xc_unicast,
            &self.xc_broadcast,
            &self.ipis,
        ]
    }
}
