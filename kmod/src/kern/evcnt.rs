//! Event counters: how often each subsystem did what, as evcnt(9).
//!
//! Counting is a relaxed addition that belongs to the step under way: no point, no ordering.
//! A counter is exact at rest and may be behind while the kernel runs.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::machine::{Described, Field};

/// One counter. Its names are those that [`Counters::all`] gives: every kernel of a simulation has the same.
#[derive(Default)]
pub struct Evcnt(AtomicU64);

impl Evcnt {
    /// A counter at zero.
    pub const fn new() -> Self {
        Evcnt(AtomicU64::new(0))
    }

    /// Counts one event.
    #[inline(always)]
    pub fn incr(&self) {
        self.add(1);
    }

    /// Counts `events` events.
    #[inline(always)]
    pub fn add(&self, events: u64) {
        self.0.fetch_add(events, Relaxed);
    }

    /// How many events were counted.
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A counter, with its names.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Name of the subsystem (`crosscall`).
    pub group: &'static str,
    /// Name of the event (`unicast`).
    pub event: &'static str,
    /// How many events were counted.
    pub count: u64,
}

impl Described for Evcnt {
    const FIELDS: &'static [Field] = &[];
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident, $group:literal, $event:literal;)*) => {
        /// The counters of a kernel.
        pub struct Counters {
            $($(#[$doc])* pub $name: Evcnt,)*
        }

        impl Counters {
            pub(crate) const fn new() -> Self {
                Counters {
                    $($name: Evcnt::new(),)*
                }
            }

            /// Every counter, subsystem by subsystem.
            pub fn all(&self) -> impl Iterator<Item = Counted> {
                [$(Counted {
                    group: $group,
                    event: $event,
                    count: self.$name.count(),
                }),*]
                .into_iter()
            }
        }
    };
}

counters! {
    /// Context switches.
    switches, "sched", "context switch";
    /// Switches that an LWP did not ask for.
    preemptions, "sched", "preemption";
    /// LWPs moved to another CPU by its idle LWP.
    pushes, "sched", "migration push";
    /// LWPs taken from another CPU by an idle one.
    steals, "sched", "migration steal";
    /// Softint levels that were dispatched.
    softints, "softint", "dispatch";
    /// Softints that blocked.
    softint_blocks, "softint", "block";
    /// Callouts that fired.
    callouts, "callout", "fired";
    /// Times `callout_halt` had to wait.
    callout_halts, "callout", "wait";
    /// Adaptive mutexes that had to be waited for asleep.
    mutex_sleeps, "mutex", "sleep";
    /// Rwlocks that had to be waited for asleep.
    rwlock_sleeps, "rwlock", "sleep";
    /// Rwlocks that were handed over to those that waited.
    rwlock_handoffs, "rwlock", "hand-off";
    /// Batches of work that worker threads took.
    wq_batches, "workqueue", "batch";
    /// Times `workqueue_wait` had to wait.
    wq_waits, "workqueue", "wait";
    /// Times a consumer found an item reserved and not there.
    pcq_races, "pcq", "race";
    /// Unicast cross calls.
    xc_unicast, "crosscall", "unicast";
    /// Broadcast cross calls.
    xc_broadcast, "crosscall", "broadcast";
    /// Allocations of per-CPU storage.
    percpu_allocs, "percpu", "allocation";
    /// Per-CPU buffers that were moved because they grew.
    percpu_moves, "percpu", "move";
    /// Localcounts that were drained.
    localcount_drains, "localcount", "drain";
    /// References of a localcount that were released while it was drained.
    localcount_slow, "localcount", "release while draining";
    /// Sweeps over the passive references of all CPUs.
    psref_sweeps, "psref", "sweep";
    /// Times `psref_target_destroy` had to wait.
    psref_waits, "psref", "wait";
    /// Inter-processor interrupts sent.
    ipis, "ipi", "sent";
    /// ARP requests that were sent.
    arp_requests, "arp", "request sent";
    /// Packets that were held and then sent.
    arp_sent, "arp", "held packet sent";
    /// Packets that were held and then dropped.
    arp_dropped, "arp", "held packet dropped";
    /// Entries for which there was no memory, or that were gone.
    arp_failed, "arp", "entry failed";
    /// Times writers waited for readers.
    psz_performs, "pserialize", "perform";
}
