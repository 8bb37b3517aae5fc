//! arc-swap: an `Arc` that is replaced while others load it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rumplab::check;

/// What is loaded stays alive while its guard does, and a loader sees an old value or a new one.
#[test]
fn what_is_loaded_stays_alive() {
    check(|program| {
        let word = program.share(ArcSwap::from_pointee(1));
        for name in ["one", "other"] {
            program.actor(name, move || {
                let guard = word.load();
                assert!(matches!(**guard, 1 | 2));
            });
        }
        program.actor("writer", move || word.store(Arc::new(2)));
        program.at_end(move || assert_eq!(**word.load(), 2));
    });
}

/// Whoever swaps gets what was there, and it is dropped once: its count ends at one.
#[test]
fn swaps_lose_no_count() {
    check(|program| {
        let first = Arc::new(1);
        let (word, first) = (
            program.share(ArcSwap::new(Arc::clone(&first))),
            program.share(first),
        );
        program.actor("loader", move || drop(word.load_full()));
        for (name, value) in [("one", 2), ("other", 3)] {
            program.actor(name, move || drop(word.swap(Arc::new(value))));
        }
        program.at_end(move || assert_eq!(Arc::strong_count(&first), 1));
    });
}

/// `rcu` loses no update.
#[test]
fn rcu_loses_no_update() {
    check(|program| {
        let word = program.share(ArcSwap::from_pointee(0));
        for name in ["one", "other"] {
            program.actor(name, move || drop(word.rcu(|value| **value + 1)));
        }
        program.at_end(move || assert_eq!(**word.load(), 2));
    });
}
