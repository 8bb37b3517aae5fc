//! The clock, rest, spinning, runs that do not end, panics.

use super::super::IDLE_TICKS;
use super::super::decide::TICK_POINTS;
use super::*;
use crate::schedule::Choice;
use crate::strategy::{Answer, Pct, Portfolio, Replay};

#[test]
fn a_spinning_cpu_is_held_back_until_what_it_reads_is_written() {
    let guest = Little::new(&[
        |s| {
            for _ in 0..100 {
                s.y.fetch_add(1, Relaxed);
            }
            s.x.store(1, Relaxed);
        },
        |s| {
            while s.x.load(Relaxed) == 0 {
                machine::relax();
            }
        },
    ]);
    let mut machine = booted(&guest, false);
    // Whenever the spinning CPU can step, it does.
    let mut greedy = By(
        |view: &super::super::View<'_>| match view.allows(Choice::Step(1)) {
            true => Answer::now(Choice::Step(1)),
            false => Answer::keep(view, 0),
        },
    );
    let outcome = machine.run(&mut greedy, &Limits::default());
    assert_eq!(outcome.verdict, Verdict::Passed);
    assert!(outcome.steps < 130, "{} steps: it spun", outcome.steps);
}

#[test]
fn a_write_between_a_look_and_the_wait_is_not_lost() {
    let guest = Little::new(&[
        |s| s.x.store(1, Relaxed),
        |s| {
            while s.x.load(Relaxed) == 0 {
                // The other CPU can write here, after the read.
                let _ = s.y.load(Relaxed);
                machine::relax();
            }
        },
    ]);
    assert_eq!(hunt(&guest, 500), None);
}

#[test]
fn to_spin_for_what_nobody_writes_is_a_deadlock() {
    let guest = Little::new(&[
        |s| {
            while s.x.load(Relaxed) == 0 {
                machine::relax();
            }
        },
        |_| {},
    ]);
    assert_eq!(kind(&fair(&guest)), Some(FailureKind::Deadlock));
}

#[test]
fn a_spin_that_writes_is_a_yield() {
    // A lock by exchange: every iteration writes, and the holder needs its turn.
    let body: Body = |s| {
        for _ in 0..3 {
            while s.x.swap(1, AcqRel) != 0 {
                machine::relax();
            }
            s.data.set(s.data.get() + 1);
            s.x.store(0, Release);
        }
    };
    let mut guest = Little::new(&[body, body, body]);
    guest.verify = |s| assert_eq!(s.data.get(), 9);
    assert_eq!(hunt(&guest, 300), None);
    assert_eq!(fair(&guest).verdict, Verdict::Passed);
}

#[test]
fn a_hog_sees_the_clock_after_a_while() {
    let guest = Little::new(&[
        |s| {
            while s.ticks.load(BareRelaxed) == 0 {
                s.x.load(Relaxed);
            }
        },
        |_| {},
    ]);
    let outcome = fair(&guest);
    assert_eq!(outcome.verdict, Verdict::Passed);
    assert_eq!(outcome.ticks, 2, "each CPU ticks once");
    assert!(
        (TICK_POINTS..TICK_POINTS + 50).contains(&outcome.points),
        "{} points",
        outcome.points
    );
}

#[test]
fn steps_without_end_are_a_livelock() {
    let guest = Little::new(&[|s| {
        loop {
            s.x.load(Relaxed);
        }
    }]);
    let mut machine = booted(&guest, false);
    let limits = Limits {
        steps: 10_000,
        ..Limits::default()
    };
    let outcome = machine.run(&mut Fair, &limits);
    assert_eq!(kind(&outcome), Some(FailureKind::Livelock));
    assert_eq!(outcome.points, 10_000);
}

fn waits_for_ticks(s: &'static Shared) {
    let never = Bare::new(0);
    while s.ticks.load(BareRelaxed) < 10 {
        machine::wait_for_interrupt(&never);
    }
}

#[test]
fn at_rest_time_goes_on() {
    let mut guest = Little::new(&[waits_for_ticks]);
    guest.needs_clock = true;
    let outcome = fair(&guest);
    assert_eq!(outcome.verdict, Verdict::Passed);
    assert_eq!(outcome.ticks, 10);
}

#[test]
fn at_rest_without_a_clock_to_wait_for_is_a_deadlock() {
    let guest = Little::new(&[waits_for_ticks]);
    let failure = failure(&fair(&guest)).expect("a deadlock");
    assert_eq!(
        (failure.kind, failure.message.as_str()),
        (FailureKind::Deadlock, "nobody goes on")
    );
}

#[test]
fn a_window_of_a_few_points_that_takes_eight_ticks_is_reached() {
    let mut guest = Little::new(&[
        |s| {
            for _ in 0..200 {
                s.x.load(Relaxed);
            }
            let before = s.ticks.load(BareRelaxed);
            for _ in 0..12 {
                s.y.load(Relaxed);
            }
            let passed = s.ticks.load(BareRelaxed) - before;
            s.progress.fetch_max(passed, BareRelaxed);
        },
        |_| {},
    ]);
    guest.verify = |s| {
        let ticks = s.progress.load(BareRelaxed);
        if ticks >= 8 {
            machine::stop(Stop::Oracle("ticks"), format_args!("{ticks} ticks"));
        }
    };
    for seed in 1..=3 {
        let strategies: [Box<dyn Strategy>; 3] = [
            Box::new(Random::new(seed)),
            Box::new(Pct::new(seed)),
            Box::new(Portfolio::new(seed)),
        ];
        for (number, mut strategy) in strategies.into_iter().enumerate() {
            let mut machine = booted(&guest, false);
            let reached = (0..20_000)
                .any(|_| kind(&machine.run(&mut *strategy, &Limits::default())).is_some());
            assert!(reached, "seed {seed}, strategy {number}");
            let mut replay = Replay::new(machine.deviations().to_vec());
            let again = machine.run(&mut replay, &Limits::default());
            assert_eq!(kind(&again), Some(FailureKind::Oracle));
            assert_eq!(replay.impossible(), None);
        }
    }
}

fn waits_for_ever(_: &'static Shared) {
    let never = Bare::new(0);
    loop {
        machine::wait_for_interrupt(&never);
    }
}

#[test]
fn time_without_progress_comes_to_an_end() {
    let mut guest = Little::new(&[waits_for_ever]);
    guest.needs_clock = true;
    let outcome = fair(&guest);
    assert_eq!(kind(&outcome), Some(FailureKind::Deadlock));
    assert_eq!(outcome.ticks, IDLE_TICKS);
    guest.ticks_are_progress = true;
    let limits = Limits {
        steps: 3 * IDLE_TICKS,
        ..Limits::default()
    };
    let outcome = booted(&guest, false).run(&mut Fair, &limits);
    assert_eq!(
        kind(&outcome),
        Some(FailureKind::Livelock),
        "progress without end"
    );
}

#[test]
fn a_cpu_does_not_wait_if_it_need_not() {
    let guest = Little::new(&[|_| machine::wait_for_interrupt(&Bare::new(1))]);
    assert_eq!(fair(&guest).verdict, Verdict::Passed);
}

#[test]
fn a_panic_is_a_failure_and_the_machine_goes_on() {
    let guest = Little::new(&[|s| assert_eq!(s.x.fetch_add(1, Relaxed), 1, "it is not one")]);
    let mut machine = booted(&guest, false);
    for _ in 0..100 {
        let outcome = machine.run(&mut Fair, &Limits::default());
        let failure = failure(&outcome).expect("a panic");
        assert_eq!(failure.kind, FailureKind::Panic);
        assert!(
            failure.message.contains("it is not one"),
            "{}",
            failure.message
        );
        assert!(
            failure.location.contains("tests/time.rs:"),
            "{}",
            failure.location
        );
    }
}

#[test]
fn a_check_at_the_end_can_fail_and_leaves_no_trace() {
    let mut guest = Little::new(&[|s| s.x.store(1, Relaxed)]);
    guest.verify = |s| {
        machine::stop(
            Stop::Oracle("one"),
            format_args!("x is {}", s.x.load(Relaxed)),
        )
    };
    let mut machine = booted(&guest, false);
    for _ in 0..2 {
        let failure = failure(&machine.run(&mut Fair, &Limits::default())).expect("a failure");
        assert_eq!(
            (failure.rule.as_str(), failure.message.as_str()),
            ("one", "x is 1")
        );
    }
}
