//! Sampling: which orders of the operations of two threads come how often.

use std::collections::BTreeMap;

use super::*;
use crate::strategy::{Focus, Pos, Strategy, Urw};

/// Runs of a count.
const RUNS: u64 = 3000;
/// Operations of the long thread.
const LONG: u32 = 9;

/// A thread of nine operations, and one of one, which sees how many came before it.
fn uneven() -> Little {
    let mut guest = Little::new(&[
        |s| {
            for _ in 0..LONG {
                s.x.fetch_add(1, Relaxed);
            }
        },
        |s| {
            let before = s.x.load(Relaxed);
            s.progress.store(before, BareRelaxed);
        },
    ]);
    guest.verify = |s| {
        let before = s.progress.load(BareRelaxed);
        machine::stop(Stop::Oracle("before"), format_args!("{before}"));
    };
    guest
}

/// How often each number of operations came before the one of the short thread.
fn counts(strategy: &mut dyn Strategy) -> BTreeMap<u32, u64> {
    let mut machine = booted(&uneven(), false);
    let mut counts = BTreeMap::new();
    for _ in 0..RUNS {
        let outcome = machine.run(strategy, &Limits::default());
        let Verdict::Failed(failure) = outcome.verdict else {
            panic!("every run tells what it saw")
        };
        let before = failure.message.parse().expect("a number");
        *counts.entry(before).or_default() += 1;
    }
    counts
}

/// In how many orders of all operations so many come before. Each thread has an operation before the ones it was given, and one after.
fn orders(before: u32) -> u64 {
    let all = LONG + 2;
    // The load is the second of three: one of those before it precedes it, and one follows.
    let with = |others: u32| u64::from((others + 1) * (all - others + 1));
    match before {
        0 => with(0) + with(1),
        LONG => with(LONG + 1) + with(LONG + 2),
        _ => with(before + 1),
    }
}

// In one of four runs the clock of a CPU ticks early, and its handler has operations, too. So it is not exact.
#[test]
fn a_uniform_walk_makes_all_orders_about_equally_often() {
    let counts = counts(&mut Urw::with_focus(1, Focus::Program));
    let all: u64 = (0..=LONG).map(orders).sum();
    for before in 0..=LONG {
        let expected = RUNS * orders(before) / all;
        let count = counts.get(&before).copied().unwrap_or_default();
        assert!(
            (expected / 2..=expected * 2).contains(&count),
            "{before} came before in {count} of {RUNS} runs and not in {expected}: {counts:?}"
        );
    }
}

#[test]
fn priorities_make_every_order() {
    let counts = counts(&mut Pos::with_focus(1, Focus::Program));
    let seen: Vec<u32> = counts.keys().copied().collect();
    assert_eq!(seen, (0..=LONG).collect::<Vec<u32>>());
}
