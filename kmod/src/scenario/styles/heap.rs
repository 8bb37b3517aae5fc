//! Rust's heap: two threads share an `Arc`, and each has its own vector.

extern crate alloc;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::broken;
use crate::history::Own;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::preempt_point;
use crate::mem::Plain;
use crate::scenario::{FIXED, PORTED, Scenario, actor, runs};

/// A thread keeps a reference that is not counted.
const STALE: Own = Own::piece(0);
/// The mutex is not taken.
const RACE: Own = Own::piece(1);

struct Shared {
    mutex: Kmutex,
    sum: Plain<u64>,
}

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "heap",
    summary: "two threads share what lies on Rust's heap",
    about: "An Arc has a mutex and a sum. Each of two threads has a clone of it in a Box, makes a vector, and adds its length to the sum \
            with the mutex held.",
    variants: &[
        FIXED,
        broken(
            "stale",
            "a thread uses what is shared after it has dropped its clone",
            STALE,
        ),
        broken("race", "the mutex is not taken", RACE),
    ],
    setup: |kernel| {
        let shared = Arc::new(Shared {
            mutex: Kmutex::new("sum", Ipl::None),
            sum: Plain::new(0),
        });
        for (name, cpu) in [("t0", 0), ("t1", 1)] {
            let clone = Box::new(Arc::clone(&shared));
            actor(
                kernel,
                name,
                cpu,
                add,
                Arg(Box::into_raw(clone).expose_provenance()),
            );
        }
    },
    ..PORTED
};

fn add(clone: Arg) {
    let clone = core::ptr::with_exposed_provenance_mut::<Arc<Shared>>(clone.0);
    // SAFETY: `setup` has made it with `Box::into_raw`, for this thread.
    let clone = unsafe { Box::from_raw(clone) };
    let words: Vec<u64> = (0..100).collect();
    preempt_point();
    let locked = !runs(RACE);
    if locked {
        clone.mutex.enter();
    }
    clone.sum.set(clone.sum.get() + words.len() as u64);
    if locked {
        clone.mutex.exit();
    }
    if runs(STALE) {
        let shared = Arc::as_ptr(&clone);
        drop(clone);
        preempt_point();
        // SAFETY: none. This is the bug.
        let shared = unsafe { &*shared };
        shared.mutex.enter();
        shared.mutex.exit();
    }
}
