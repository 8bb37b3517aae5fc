//! Stalls: one thread stands still, and its CPU goes on.

use super::*;
use crate::strategy::{Replay, Stall};

/// Steps of the thread that needs the other to stand still.
const LONG: u32 = 60;

/// Between two neighbouring loads of `t0`, all of `t1` must happen, for which the CPU of `t0` must take an interrupt.
fn window() -> Little {
    let mut guest = Little::new(&[
        |s| {
            for _ in 0..4 {
                s.y.load(Relaxed);
            }
            let before = s.x.load(Relaxed);
            let after = s.x.load(Relaxed);
            s.progress.fetch_max(after - before, BareRelaxed);
        },
        |s| {
            for _ in 0..LONG / 2 {
                s.x.fetch_add(1, Relaxed);
            }
            s.ipis.store(1, Relaxed);
            machine::send_ipi(0);
            while s.ipis.load(Relaxed) == 1 {
                machine::relax();
            }
            for _ in 0..LONG / 2 {
                s.x.fetch_add(1, Relaxed);
            }
        },
    ]);
    guest.verify = |s| {
        if s.progress.load(BareRelaxed) == LONG {
            machine::stop(Stop::Oracle("window"), format_args!("it was open for long"));
        }
    };
    guest
}

#[test]
fn a_thread_stands_still_while_its_cpu_takes_interrupts() {
    for seed in 1..=5 {
        let mut machine = booted(&window(), false);
        let mut stall = Stall::new(seed);
        let mut schedule = Vec::new();
        let mut found = 0;
        for _ in 0..4000 {
            if kind(&machine.run(&mut stall, &Limits::default())).is_some() {
                found += 1;
                schedule = machine.deviations().to_vec();
            }
        }
        // A random walk and PCT find it less than three times in as many runs.
        assert!(found >= 5, "seed {seed}: {found} runs");
        let mut replay = Replay::new(schedule);
        let again = machine.run(&mut replay, &Limits::default());
        assert_eq!(kind(&again), Some(FailureKind::Oracle));
        assert_eq!(replay.impossible(), None);
    }
}

/// What others wait for comes when nothing else can run: a stall is no deadlock.
#[test]
fn a_stall_ends_when_nothing_else_can_run() {
    let guest = Little::new(&[
        |s| s.x.store(1, Release),
        |s| {
            while s.x.load(Acquire) == 0 {
                machine::relax();
            }
        },
    ]);
    let mut machine = booted(&guest, false);
    let mut stall = Stall::new(1);
    for _ in 0..2000 {
        let outcome = machine.run(&mut stall, &Limits::default());
        assert_eq!(outcome.verdict, Verdict::Passed);
    }
}
