//! Granularity: what a step is.

use super::*;
use crate::schedule::Granularity;
use crate::strategy::{Portfolio, Replay};

/// Two threads see each other's words only inside of what is one coarse step.
fn between() -> Little {
    let mut guest = Little::new(&[
        |s| {
            s.x.store(1, Release);
            // In the same coarse step.
            s.y.store_fused(1, Release);
        },
        |s| {
            if s.y.load(Acquire) == 0 && s.x.load_fused(Acquire) == 1 {
                s.progress.store(1, BareRelaxed);
            }
        },
    ]);
    guest.verify = |s| {
        if s.progress.load(BareRelaxed) == 1 {
            machine::stop(
                Stop::Oracle("between"),
                format_args!("one was seen without the other"),
            );
        }
    };
    guest
}

fn failures(machine: &mut Machine, strategy: &mut dyn Strategy) -> usize {
    let outcomes = (0..2000).map(|_| machine.run(strategy, &Limits::default()));
    outcomes.filter(|outcome| kind(outcome).is_some()).count()
}

#[test]
fn an_access_inside_of_a_step_is_a_point_only_if_the_granularity_is_fine() {
    let mut machine = booted(&between(), false);
    assert_eq!(failures(&mut machine, &mut Random::new(1)), 0);
    machine.set_granularity(Granularity::Fine);
    assert!(failures(&mut machine, &mut Random::new(1)) > 0);
    machine.set_granularity(Granularity::Coarse);
    assert_eq!(failures(&mut machine, &mut Random::new(1)), 0);
}

#[test]
fn a_share_of_the_portfolio_is_fine_and_its_failures_replay() {
    let mut machine = booted(&between(), false);
    let coarse = &mut Portfolio::new(1).without_mixing();
    assert_eq!(failures(&mut machine, coarse), 0);
    let mut portfolio = Portfolio::new(1);
    let (mut found, mut fine) = (0, 0);
    for _ in 0..2000 {
        let outcome = machine.run(&mut portfolio, &Limits::default());
        fine += usize::from(machine.granularity() == Granularity::Fine);
        if kind(&outcome) == Some(FailureKind::Oracle) {
            found += 1;
            assert_eq!(machine.granularity(), Granularity::Fine);
            let deviations = machine.deviations().to_vec();
            let mut other = booted(&between(), false);
            other.set_granularity(Granularity::Fine);
            let mut replay = Replay::new(deviations);
            assert_eq!(other.run(&mut replay, &Limits::default()), outcome);
            assert_eq!(replay.impossible(), None);
        }
    }
    assert_eq!(fine, 2_000_usize.div_ceil(128) * 16);
    assert!(found > 0);
}

/// Plain words that nothing orders are told as a race from both sides, also if no other point lies between them.
#[test]
fn races_inside_of_a_step_are_told_with_both_sides() {
    let guest = Little::new(&[|s| s.data.set_fused(1), |s| s.data.set_fused(2)]);
    let mut machine = booted(&guest, false);
    machine.set_granularity(Granularity::Fine);
    let outcome = machine.run(&mut Random::new(1), &Limits::default());
    let Verdict::Failed(failure) = outcome.verdict else {
        panic!("no race")
    };
    assert_eq!(failure.kind, FailureKind::DataRace);
    assert!(failure.sides.is_some());
}

/// An interrupt has begun: until the kernel allows others, no access of its is a point, so none comes on top of it.
#[test]
fn the_entry_of_an_interrupt_is_no_place_for_another() {
    let mut guest = Little::new(&[
        |s| {
            for _ in 0..8 {
                s.x.load(Relaxed);
            }
        },
        |s| {
            for _ in 0..8 {
                machine::send_ipi(0);
                s.x.fetch_add(1, Relaxed);
            }
        },
    ]);
    guest.verify = |s| {
        if s.nested.load(BareRelaxed) == 1 {
            machine::stop(
                Stop::Oracle("nested"),
                format_args!("an interrupt came on top"),
            );
        }
    };
    let mut machine = booted(&guest, false);
    machine.set_granularity(Granularity::Fine);
    assert_eq!(failures(&mut machine, &mut Random::new(1)), 0);
}
