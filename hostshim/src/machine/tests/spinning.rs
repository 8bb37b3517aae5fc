//! Loops that wait for another CPU without telling the machine.

use super::memory::RUNS;
use super::*;
use crate::strategy::Pct;

/// The first failure of as many runs of every strategy.
fn hunt_with_all(guest: &Little) -> Option<super::super::Failure> {
    let mut machine = booted(guest, false);
    let limits = Limits {
        steps: 200_000,
        ..Limits::default()
    };
    let mut strategies: [Box<dyn Strategy>; 3] = [
        Box::new(Fair),
        Box::new(Random::new(1)),
        Box::new(Pct::new(1)),
    ];
    strategies.iter_mut().find_map(|strategy| {
        (0..RUNS).find_map(|_| failure(&machine.run(&mut **strategy, &limits)))
    })
}

/// The failure that is found in a loop which one CPU makes until the other one has stored, if any.
fn waits(body: Body) -> Option<super::super::Failure> {
    let stores: Body = |s| {
        s.y.fetch_add(1, Relaxed);
        s.x.store(1, Release);
    };
    let first = hunt_with_all(&Little::new(&[body, stores]));
    first.or_else(|| hunt_with_all(&Little::new(&[stores, body])))
}

#[test]
fn a_loop_that_only_loads_lets_the_others_go_on() {
    assert_eq!(waits(|s| while s.x.load(Acquire) == 0 {}), None);
    assert_eq!(
        waits(|s| while s.x.load(Acquire) == 0 {
            core::hint::spin_loop();
        }),
        None
    );
}

#[test]
fn so_does_one_that_tries_to_change_the_word() {
    assert_eq!(
        waits(|s| while s.x.compare_exchange(1, 2, AcqRel, Relaxed).is_err() {}),
        None
    );
    assert_eq!(waits(|s| while s.x.fetch_or(0, Acquire) == 0 {}), None);
}

#[test]
fn so_does_one_that_writes_meanwhile() {
    // A count of its own, and one that everybody sees.
    assert_eq!(
        waits(|s| while s.x.load(Acquire) == 0 {
            s.data.set(s.data.get() + 1);
        }),
        None
    );
    assert_eq!(
        waits(|s| while s.x.load(Acquire) == 0 {
            s.address.fetch_add(1, Relaxed);
        }),
        None
    );
}

#[test]
fn a_lock_that_is_tried_by_swapping_is_left_in_the_end() {
    let body: Body = |s| {
        for _ in 0..3 {
            while s.x.swap(1, Acquire) == 1 {}
            s.data.set(s.data.get() + 1);
            s.x.store(0, Release);
        }
    };
    assert_eq!(hunt_with_all(&Little::new(&[body, body, body])), None);
}

#[test]
fn one_that_adds_and_takes_back_lets_the_others_go_on() {
    // As a reader of a lock does while a writer has it: each turn changes the word, and leaves it as it was.
    let reads: Body = |s| {
        while s.x.fetch_add(2, Acquire) & 1 != 0 {
            s.x.fetch_sub(2, Release);
        }
    };
    let writes: Body = |s| {
        s.x.fetch_or(1, Acquire);
        s.data.set(s.data.get() + 1);
        s.x.fetch_and(!1, Release);
    };
    for bodies in [
        [writes, |_| {}, reads],
        [reads, writes, |_| {}],
        [reads, reads, writes],
    ] {
        assert_eq!(hunt_with_all(&Little::new(&bodies)), None);
    }
}

#[test]
fn one_that_says_that_it_spins_after_a_loop_that_did_not_is_not_forgotten() {
    // What it waits for was read before the loop.
    let waits: Body = |s| {
        let mut ready = s.y.load(Acquire);
        while s.x.load(Acquire) == 0 {}
        while ready == 0 {
            kmod::machine::relax();
            ready = s.y.load(Acquire);
        }
    };
    let stores: Body = |s| {
        s.y.store(1, Release);
        s.x.store(1, Release);
    };
    assert_eq!(hunt_with_all(&Little::new(&[waits, stores])), None);
}

#[test]
fn two_that_wait_for_each_other_in_turn_come_to_their_end() {
    let ping: Body = |s| {
        for round in 0..4 {
            while s.x.load(Acquire) != 2 * round {}
            s.x.store(2 * round + 1, Release);
        }
    };
    let pong: Body = |s| {
        for round in 0..4 {
            while s.x.load(Acquire) != 2 * round + 1 {}
            s.x.store(2 * round + 2, Release);
        }
    };
    assert_eq!(hunt_with_all(&Little::new(&[ping, pong])), None);
}

#[test]
fn one_that_gives_up_by_itself_is_let_go() {
    let polls: Body = |s| {
        let seen = (0..20_000).any(|_| s.x.load(Acquire) == 1);
        assert!(!seen);
    };
    assert_eq!(hunt_with_all(&Little::new(&[polls, |_| {}])), None);
    assert_eq!(hunt_with_all(&Little::new(&[polls, polls])), None);
}

#[test]
fn one_that_nobody_ends_is_found() {
    let failure = waits(|s| while s.x.load(Acquire) != 7 {}).expect("a livelock");
    assert_eq!(failure.kind, FailureKind::Livelock);
}

#[test]
fn locks_of_a_program_that_are_taken_in_both_orders_are_a_deadlock() {
    fn both(first: &AtomicU32, second: &AtomicU32) {
        for lock in [first, second] {
            while lock.swap(1, Acquire) == 1 {}
        }
        for lock in [second, first] {
            lock.store(0, Release);
        }
    }
    let guest = Little::new(&[|s| both(&s.x, &s.y), |s| both(&s.y, &s.x)]);
    let failure = hunt_with_all(&guest).expect("a deadlock");
    assert_eq!(failure.kind, FailureKind::Deadlock, "{failure}");
    let told = failure.message.matches("stored to last").count();
    assert_eq!(told, 2, "{failure}");
}

#[test]
fn a_lock_that_its_owner_takes_again_is_a_deadlock() {
    let guest = Little::new(&[|s| {
        while s.x.swap(1, Acquire) == 1 {}
        while s.x.swap(1, Acquire) == 1 {}
    }]);
    let failure = hunt_with_all(&guest).expect("a deadlock");
    assert_eq!(failure.kind, FailureKind::Deadlock, "{failure}");
    assert!(
        failure.message.ends_with("which it stored to itself"),
        "{failure}"
    );
}

#[test]
fn whoever_is_held_back_loads_what_was_written_meanwhile() {
    let guest = Little::new(&[
        |s| {
            while s.x.load(Acquire) == 0 {}
            assert_eq!(s.data.get(), 1);
        },
        |s| {
            s.data.set(1);
            s.x.store(1, Release);
        },
    ]);
    assert_eq!(hunt_with_all(&guest), None);
}
