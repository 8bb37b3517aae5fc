//! Timestamps of the stages that a packet reaches (`Machine::stage`), for the cost kernel.
//!
//! # Contexts
//!
//! [`note`]: any, on a machine of one CPU; interrupts do not call it. [`take`]: thread.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::cpu::time;

/// Maximum number of notes between two [`take`]s.
pub const NOTES: usize = 64;

/// A stage, and the cycle counter when it was reached.
struct Note {
    stage: AtomicUsize,
    cycles: AtomicU64,
}

static LOG: [Note; NOTES] = [const {
    Note {
        stage: AtomicUsize::new(0),
        cycles: AtomicU64::new(0),
    }
}; NOTES];
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// A packet has reached a stage. The first [`NOTES`] are kept.
#[inline(always)]
pub(crate) fn note(stage: usize) {
    let count = COUNT.load(Relaxed);
    if let Some(note) = LOG.get(count) {
        note.stage.store(stage, Relaxed);
        COUNT.store(count + 1, Relaxed);
        note.cycles.store(time::cycles(), Relaxed);
    }
}

/// Calls `each` with the recorded stages and cycle counters, in order, and forgets them.
pub fn take(mut each: impl FnMut(usize, u64)) {
    for note in &LOG[..COUNT.swap(0, Relaxed)] {
        each(note.stage.load(Relaxed), note.cycles.load(Relaxed));
    }
}
