//! What a machine keeps from run to run is memory of the host, whatever the guest allocates.

use std::sync::atomic::{AtomicUsize, Ordering};

use hostshim::machine::Heap;
use kmod::mem::{Acquire, AtomicU32, Release};

#[global_allocator]
static HEAP: Heap = Heap;

/// More than the tables of a machine have room for when it begins.
const WORDS: usize = 5000;
/// The runs so far. Every other one has something else where the run before had its words, and what came after them.
static RUNS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_run_may_release_more_words_than_there_was_room_for() {
    hostshim::example::run(|| {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let before = vec![run; run % 2 * 300_000];
        let words = Vec::from_iter((0..WORDS).map(|_| AtomicU32::new(0)));
        for round in 1..3 {
            words.iter().for_each(|word| word.store(round, Release));
            assert!(words.iter().all(|word| word.load(Acquire) == round));
        }
        assert!(before.iter().all(|&number| number == run));
    });
}
