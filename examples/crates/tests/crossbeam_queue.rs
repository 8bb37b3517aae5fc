//! crossbeam-queue: queues for any number of producers and consumers.

use crossbeam_queue::{ArrayQueue, SegQueue};
use rumplab::check;

/// A full `ArrayQueue` refuses, an empty one has nothing, and each word comes out once, those of one producer in order.
#[test]
fn an_array_queue_gives_each_word_once() {
    check(|program| {
        let queue = program.share(ArrayQueue::new(2));
        let taken = program.share(spin::Mutex::new(Vec::new()));
        for (name, first) in [("one", 10), ("other", 20)] {
            program.actor(name, move || {
                for word in [first, first + 1] {
                    while queue.push(word).is_err() {}
                }
            });
        }
        program.actor("consumer", move || {
            for _ in 0..4 {
                let word = loop {
                    if let Some(word) = queue.pop() {
                        break word;
                    }
                };
                taken.lock().push(word);
            }
        });
        program.at_end(move || {
            let taken = taken.lock();
            for first in [10, 20] {
                let own = taken.iter().filter(|word| **word / 10 * 10 == first);
                assert_eq!(own.copied().collect::<Vec<_>>(), [first, first + 1]);
            }
        });
    });
}

/// `force_push` replaces the oldest word: none is lost and none comes twice.
#[test]
fn a_forced_push_replaces_the_oldest() {
    check(|program| {
        let queue = program.share(ArrayQueue::new(1));
        let taken = program.share(spin::Mutex::new(Vec::new()));
        for (name, word) in [("one", 1), ("two", 2), ("three", 3)] {
            program.actor(name, move || taken.lock().extend(queue.force_push(word)));
        }
        program.at_end(move || {
            let mut taken = taken.lock();
            taken.extend(queue.pop());
            taken.sort();
            assert_eq!(*taken, [1, 2, 3]);
        });
    });
}

/// A `SegQueue` is never full. What it has allocated is freed once.
#[test]
fn a_seg_queue_gives_each_word_once() {
    check(|program| {
        let queue = program.share(SegQueue::new());
        let taken = program.share(spin::Mutex::new(Vec::new()));
        for (name, word) in [("one", 1), ("other", 2)] {
            program.actor(name, move || queue.push(Box::new(word)));
        }
        program.actor("consumer", move || taken.lock().extend(queue.pop()));
        program.at_end(move || {
            let mut taken = taken.lock();
            taken.extend(std::iter::from_fn(|| queue.pop()));
            taken.sort();
            assert_eq!(*taken, [Box::new(1), Box::new(2)]);
        });
    });
}
