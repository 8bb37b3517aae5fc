//! crossbeam-epoch: what is removed from a structure is freed when nobody can have it any more.

use std::sync::atomic::Ordering::{AcqRel, Acquire};

use crossbeam_epoch::{Atomic, Collector, Owned, pin};
use rumplab::check;

/// A reader that is pinned may use what it has loaded, although a writer replaces and retires it.
#[test]
fn nothing_is_freed_under_a_guard() {
    check(|program| {
        let word = program.share((Collector::new(), Atomic::new(1)));
        program.actor("reader", move || {
            let handle = word.0.register();
            let guard = handle.pin();
            let value = word.1.load(Acquire, &guard);
            // SAFETY: it is never null, and loaded under the guard.
            assert!(matches!(unsafe { value.deref() }, 1 | 2));
        });
        program.actor("writer", move || {
            let handle = word.0.register();
            let guard = handle.pin();
            let old = word.1.swap(Owned::new(2), AcqRel, &guard);
            // SAFETY: nobody can load it any more.
            unsafe { guard.defer_destroy(old) };
            guard.flush();
            drop(guard);
            for _ in 0..4 {
                handle.pin().flush();
            }
        });
    });
}

/// The same with the collector of the process, a `static`, and the participants that `pin` keeps in a thread-local variable.
#[test]
fn threads_have_participants_of_their_own() {
    check(|program| {
        let word = program.share(Atomic::new(1));
        program.actor("reader", move || {
            let guard = pin();
            let value = word.load(Acquire, &guard);
            // SAFETY: it is never null, and loaded under the guard.
            assert!(matches!(unsafe { value.deref() }, 1 | 2));
        });
        program.actor("writer", move || {
            let guard = pin();
            let old = word.swap(Owned::new(2), AcqRel, &guard);
            // SAFETY: nobody can load it any more.
            unsafe { guard.defer_destroy(old) };
            guard.flush();
        });
    });
}
