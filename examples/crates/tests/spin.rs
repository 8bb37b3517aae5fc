//! spin: locks that spin.

use rumplab::check;
use rumplab::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A `Mutex` excludes: no increment is lost, and what it protects needs no other order.
#[test]
fn a_mutex_excludes() {
    check(|program| {
        let counter = program.share(spin::Mutex::new(0));
        for name in ["one", "two", "three"] {
            program.actor(name, move || *counter.lock() += 1);
        }
        program.at_end(move || assert_eq!(*counter.lock(), 3));
    });
}

/// Likewise the `TicketMutex`.
#[test]
fn a_ticket_mutex_excludes() {
    check(|program| {
        let counter = program.share(spin::mutex::TicketMutex::<u32>::new(0));
        for name in ["one", "two", "three"] {
            program.actor(name, move || *counter.lock() += 1);
        }
        program.at_end(move || assert_eq!(*counter.lock(), 3));
    });
}

/// Readers of an `RwLock` see whole writes; a reader that can be upgraded excludes writers.
#[test]
fn an_rwlock_excludes_writers() {
    check(|program| {
        let pair = program.share(spin::RwLock::new((0, 0)));
        program.actor("writer", move || {
            let mut pair = pair.write();
            pair.0 += 1;
            pair.1 += 1;
        });
        program.actor("upgrader", move || {
            let before = pair.upgradeable_read();
            let value = *before;
            let mut pair = before.upgrade();
            assert_eq!(*pair, value);
            *pair = (value.0 + 1, value.1 + 1);
        });
        program.actor("reader", move || {
            let pair = pair.read();
            assert_eq!(pair.0, pair.1);
        });
        program.at_end(move || assert_eq!(*pair.read(), (2, 2)));
    });
}

/// A `Once` calls its function once, and everybody sees what it has made.
#[test]
fn a_once_is_made_once() {
    check(|program| {
        let once = program.share(spin::Once::<u32>::new());
        let calls = program.share(AtomicU32::new(0));
        for name in ["one", "two", "three"] {
            program.actor(name, move || {
                let made = once.call_once(|| {
                    calls.fetch_add(1, Relaxed);
                    7
                });
                assert_eq!(*made, 7);
            });
        }
        program.at_end(move || assert_eq!(calls.load(Relaxed), 1));
    });
}

/// Who has passed a `Barrier` is ordered after all that came before it, and one of them is the leader.
#[test]
fn a_barrier_orders() {
    check(|program| {
        let shared = program.share((
            spin::Barrier::new(2),
            spin::Mutex::new(0),
            AtomicU32::new(0),
        ));
        for name in ["one", "other"] {
            program.actor(name, move || {
                let (barrier, arrived, leaders) = &*shared;
                *arrived.lock() += 1;
                if barrier.wait().is_leader() {
                    leaders.fetch_add(1, Relaxed);
                }
                assert_eq!(*arrived.lock(), 2);
            });
        }
        program.at_end(move || assert_eq!(shared.2.load(Relaxed), 1));
    });
}

/// A `LazyLock` in a `static` begins each run unmade.
#[test]
fn a_lazy_static_is_made_once() {
    static MADE: spin::LazyLock<Vec<u32>> = spin::LazyLock::new(|| vec![1, 2, 3]);
    check(|program| {
        for name in ["one", "other"] {
            program.actor(name, || assert_eq!(MADE.iter().sum::<u32>(), 6));
        }
    });
}
