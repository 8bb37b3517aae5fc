//! What all searches of a proof know together: the states that were reached, and the traces that were completed.

use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard};

use rustc_hash::{FxHashMap, FxHashSet};

/// Parts with a lock each, so that searches seldom wait for each other.
const PARTS: usize = 64;

/// The states and traces of a proof.
pub(super) struct Known {
    /// The least forced switches with which each state was reached.
    states: Vec<Mutex<FxHashMap<u64, u32>>>,
    traces: Vec<Mutex<FxHashSet<u64>>>,
}

impl Known {
    pub(super) fn new() -> Known {
        let parts = |_| Mutex::default();
        Known {
            states: Vec::from_iter((0..PARTS).map(parts)),
            traces: Vec::from_iter((0..PARTS).map(|_| Mutex::default())),
        }
    }

    /// Whether the state was not reached yet with so few forced switches. From now on it was.
    pub(super) fn is_new(&self, state: u64, cost: u32) -> bool {
        let mut part = part_of(&self.states, state);
        match part.entry(state) {
            Entry::Vacant(entry) => {
                entry.insert(cost);
                true
            }
            Entry::Occupied(mut entry) => {
                let is_new = cost < *entry.get();
                if is_new {
                    entry.insert(cost);
                }
                is_new
            }
        }
    }

    /// A run has come to its end with this trace.
    pub(super) fn complete(&self, trace: u64) {
        part_of(&self.traces, trace).insert(trace);
    }

    /// The traces, in order.
    pub(super) fn traces(&self) -> Vec<u64> {
        let parts = self.traces.iter().map(lock);
        let mut traces =
            Vec::from_iter(parts.flat_map(|part| Vec::from_iter(part.iter().copied())));
        traces.sort_unstable();
        traces
    }

    /// How many states were reached.
    pub(super) fn states(&self) -> usize {
        self.states.iter().map(|part| lock(part).len()).sum()
    }
}

fn part_of<T>(parts: &[Mutex<T>], key: u64) -> MutexGuard<'_, T> {
    lock(&parts[(key >> 58) as usize % PARTS])
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(|broken| broken.into_inner())
}
