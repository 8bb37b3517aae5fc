//! Waits for others, counted: whether one has begun since a given moment, and has ended. For checks.
//!
//! # Overview
//!
//! Who takes something away waits for those that may still use it, and frees it after that. Whether it has waited, and not too early, is
//! seen even if nobody uses the thing any more: a wait must have *begun* after the moment at which the thing was taken away, and
//! have ended. [`pserialize_perform`](crate::kern::pserialize) counts its waits here, and so do barriers of softclock.
//!
//! # Contexts
//!
//! Any. No access is a step, and nothing depends on the counts.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The waits of one kind.
pub(crate) struct Graces {
    begun: AtomicU64,
    /// The newest that has ended, as [`Graces::begin`] numbers them.
    ended: AtomicU64,
}

/// A moment, or none. 0 is none.
pub(crate) struct Moment(AtomicU64);

impl Graces {
    pub(crate) const fn new() -> Self {
        Graces {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    /// A wait begins. Returns its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Relaxed) + 1
    }

    /// The wait with this number has ended.
    pub(crate) fn end(&self, number: u64) {
        self.ended.fetch_max(number, Relaxed);
    }

    /// Whether a wait that has begun after `moment` has ended. Not if there is no moment.
    pub(crate) fn since(&self, moment: &Moment) -> bool {
        let moment = moment.0.load(Relaxed);
        moment != 0 && self.ended.load(Relaxed) >= moment
    }
}

impl Moment {
    pub(crate) const fn new() -> Self {
        Moment(AtomicU64::new(0))
    }

    /// It is now. A wait that has begun already is not enough.
    pub(crate) fn set(&self, graces: &Graces) {
        self.0.store(graces.begun.load(Relaxed) + 1, Relaxed);
    }

    /// Whether there is one.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_counts_if_it_begins_after_the_moment_and_ends() {
        let (graces, moment) = (Graces::new(), Moment::new());
        let early = graces.begin();
        moment.set(&graces);
        graces.end(early);
        assert!(!graces.since(&moment), "it began before");
        let late = graces.begin();
        assert!(!graces.since(&moment), "it has not ended");
        graces.end(late);
        assert!(graces.since(&moment));
    }
}
