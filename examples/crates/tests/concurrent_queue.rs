//! concurrent-queue: queues that can be closed.

use concurrent_queue::{ConcurrentQueue, PopError};
use rumplab::check;

fn each_word_once(make: fn() -> ConcurrentQueue<u32>) {
    check(move |program| {
        let queue = program.share(make());
        let taken = program.share(spin::Mutex::new(Vec::new()));
        for (name, word) in [("one", 1), ("other", 2)] {
            program.actor(name, move || while queue.push(word).is_err() {});
        }
        program.actor("consumer", move || {
            for _ in 0..2 {
                let word = loop {
                    if let Ok(word) = queue.pop() {
                        break word;
                    }
                };
                taken.lock().push(word);
            }
        });
        program.at_end(move || {
            let mut taken = taken.lock();
            taken.sort();
            assert_eq!(*taken, [1, 2]);
        });
    });
}

/// Each word comes out once: of a queue with one place,
#[test]
fn a_single_place() {
    each_word_once(|| ConcurrentQueue::bounded(1));
}

/// of one with several,
#[test]
fn several_places() {
    each_word_once(|| ConcurrentQueue::bounded(2));
}

/// and of one that grows.
#[test]
fn without_bounds() {
    each_word_once(ConcurrentQueue::unbounded);
}

/// Nothing goes into a queue that was closed, and what is in it can be taken out.
#[test]
fn a_closed_queue_takes_nothing() {
    check(|program| {
        let queue = program.share(ConcurrentQueue::bounded(2));
        program.actor("producer", move || {
            let was_taken = queue.push(1).is_ok();
            assert!(was_taken || queue.is_closed());
            assert!(queue.push(2).is_ok() <= was_taken);
        });
        program.actor("closer", move || assert!(queue.close()));
        program.at_end(move || {
            while queue.pop().is_ok() {}
            assert_eq!(queue.pop(), Err(PopError::Closed));
            assert!(queue.push(3).is_err());
        });
    });
}
