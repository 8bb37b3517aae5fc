//! The default, deviations, replay, determinism.

use super::super::{TraceEvent, View, What};
use super::*;
use crate::schedule::{Choice, Deviation};
use crate::strategy::{Answer, Bytes, Pct, Portfolio, Pos, Replay, Stall, Urw};

fn counters() -> Little {
    let body: Body = |s| {
        for _ in 0..5 {
            let value = s.x.load(Relaxed);
            s.x.store(value + 1, Relaxed);
        }
    };
    let mut guest = Little::new(&[body, body]);
    guest.verify = |s| {
        let x = s.x.peek();
        if x != 10 {
            machine::stop(Stop::Oracle("lost"), format_args!("x is {x}"));
        }
    };
    guest
}

/// The verdict and the schedule of each of some runs.
fn campaign(strategy: &mut dyn Strategy, runs: u64) -> Vec<(Outcome, Vec<Deviation>)> {
    let mut machine = booted(&counters(), false);
    let mut run = |_| {
        let outcome = machine.run(strategy, &Limits::default());
        (outcome, machine.deviations().to_vec())
    };
    (0..runs).map(&mut run).collect()
}

#[test]
fn the_default_lets_one_cpu_go_on() {
    let mut machine = booted(&counters(), true);
    assert_eq!(
        machine.run(&mut Fair, &Limits::default()).verdict,
        Verdict::Passed
    );
    assert!(machine.deviations().is_empty());
    let switches = machine
        .trace()
        .windows(2)
        .filter(|pair| pair[0].cpu != pair[1].cpu)
        .count();
    assert!(switches <= 3, "{switches} switches by nobody's choice");
}

#[test]
fn a_run_is_its_deviations() {
    let mut machine = booted(&counters(), true);
    let mut random = Random::new(3);
    for _ in 0..200 {
        let outcome = machine.run(&mut random, &Limits::default());
        let (schedule, trace) = (machine.deviations().to_vec(), machine.trace().to_vec());
        let mut replay = Replay::new(schedule.clone());
        assert_eq!(machine.run(&mut replay, &Limits::default()), outcome);
        assert_eq!(replay.reached(), schedule.len());
        assert_eq!(replay.impossible(), None);
        assert_eq!(machine.deviations(), schedule);
        assert!(machine.trace() == trace, "another trace");
    }
}

#[test]
fn the_same_seed_gives_the_same_campaign_on_any_machine_and_thread() {
    let here = campaign(&mut Portfolio::new(7), 300);
    let there = std::thread::spawn(|| campaign(&mut Portfolio::new(7), 300)).join();
    assert_eq!(Some(&here), there.as_ref().ok());
    assert_ne!(here, campaign(&mut Portfolio::new(8), 300));
    let failures = here
        .iter()
        .filter(|(outcome, _)| kind(outcome).is_some())
        .count();
    assert!(
        (1..300).contains(&failures),
        "{failures} of 300 lose an update"
    );
}

#[test]
fn a_run_depends_on_its_number_and_not_on_those_before() {
    let mut strategies: [Box<dyn Strategy>; 6] = [
        Box::new(Random::new(7)),
        Box::new(Pos::new(7)),
        Box::new(Urw::new(7)),
        Box::new(Pct::new(7)),
        Box::new(Stall::new(7)),
        Box::new(Portfolio::new(7)),
    ];
    for strategy in &mut strategies {
        let all = campaign(strategy.as_mut(), 40);
        strategy.seek(33);
        assert_eq!(campaign(strategy.as_mut(), 3), all[33..36]);
    }
}

#[test]
fn an_impossible_choice_is_the_default() {
    let mut machine = booted(&counters(), false);
    let wrong = [Choice::Step(9), Choice::Take(1, Line::Ipi), Choice::Step(1)];
    let mut point = 0;
    let mut odd = By(|view: &View<'_>| {
        point += 1;
        match wrong.get(point % 3).filter(|&&choice| !view.allows(choice)) {
            Some(&choice) => Answer::now(choice),
            None => Answer::keep(view, 0),
        }
    });
    assert_eq!(
        machine.run(&mut odd, &Limits::default()).verdict,
        Verdict::Passed
    );
    assert!(machine.deviations().is_empty());
}

#[test]
fn a_replay_that_does_not_fit_says_so() {
    let mut machine = booted(&counters(), false);
    let mut replay = Replay::new(vec![
        Deviation {
            point: 3,
            choice: Choice::Step(7),
        },
        Deviation {
            point: 1_000_000,
            choice: Choice::Step(1),
        },
    ]);
    machine.run(&mut replay, &Limits::default());
    assert_eq!((replay.impossible(), replay.reached()), (Some(0), 1));
}

#[test]
fn an_interrupt_that_is_put_off_stays_so_until_nobody_has_anything_else_to_do() {
    let guest = Little::new(&[|s| {
        machine::send_ipi(0);
        for _ in 0..10 {
            s.x.fetch_add(1, Relaxed);
        }
    }]);
    let mut machine = booted(&guest, true);
    let taken_after = |machine: &Machine| -> usize {
        let is = |what: fn(&What) -> bool| move |event: &TraceEvent| what(&event.what);
        let last = machine
            .trace()
            .iter()
            .rposition(is(|w| matches!(w, What::Interrupt(Line::Ipi))));
        let before = &machine.trace()[..last.expect("the interrupt is taken")];
        before
            .iter()
            .filter(|e| is(|w| matches!(w, What::Op(op) if op.kind == machine::Kind::Rmw))(e))
            .count()
    };
    machine.run(&mut Fair, &Limits::default());
    assert_eq!(taken_after(&machine), 0, "the default is eager");
    let mut once = false;
    let mut defer = By(|view: &View<'_>| {
        let asserted = view.asserted(Line::Ipi) != 0;
        match asserted && view.op(0).is_some() && !std::mem::replace(&mut once, true) {
            true => Answer::now(Choice::Step(0)),
            false => Answer::keep(view, 0),
        }
    });
    machine.run(&mut defer, &Limits::default());
    assert_eq!(machine.deviations().len(), 1, "said once, it holds");
    assert_eq!(
        taken_after(&machine),
        11,
        "all of its work and its end come first"
    );
}

#[test]
fn early_ticks_are_rationed() {
    let mut machine = booted(&counters(), false);
    let mut eager = By(|view: &View<'_>| Answer::now(Choice::Take(0, Line::Clock)).or(view));
    let limits = Limits {
        early_ticks: 5,
        ..Limits::default()
    };
    assert_eq!(machine.run(&mut eager, &limits).ticks, 5);
}

impl Answer {
    fn or(self, view: &View<'_>) -> Answer {
        if view.allows(self.choice) {
            self
        } else {
            Answer::keep(view, 0)
        }
    }
}

#[test]
fn bytes_make_a_schedule_and_their_beginning_makes_its_beginning() {
    let input: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(37) % 12).collect();
    let mut machine = booted(&counters(), false);
    let mut schedule = |bytes: &[u8]| {
        machine.run(&mut Bytes::new(bytes), &Limits::default());
        machine.deviations().to_vec()
    };
    assert!(schedule(&[]).is_empty());
    assert!(schedule(&[3]).is_empty(), "half a deviation is none");
    let long = schedule(&input);
    let short = schedule(&input[..6]);
    assert!(!short.is_empty(), "three deviations");
    assert!(
        short.len() < long.len(),
        "{} and {}",
        short.len(),
        long.len()
    );
    assert_eq!(short, long[..short.len()]);
    assert_eq!(schedule(&input), long);
    let most: Vec<u8> = input.iter().copied().cycle().take(Bytes::MOST).collect();
    let more = [&most[..], &[0; 8]].concat();
    assert_eq!(
        schedule(&more),
        schedule(&most),
        "what is longer means the same"
    );
}

#[test]
fn a_view_shows_what_every_cpu_is_about_to_do() {
    let mut machine = booted(&counters(), true);
    let mut seen = Vec::new();
    let mut look = By(|view: &View<'_>| {
        assert!(view.allows(view.default_choice()));
        if view.runnable() == 0b11 && view.op(0).is_some() && view.op(1).is_some() {
            let name = view.name(0);
            seen.push((
                view.context_name(0),
                view.text(name.what),
                view.text(name.object),
                name.occurrence,
            ));
        }
        let other = Choice::Step(1 - view.current());
        Answer::now(other).or(view)
    });
    machine.run(&mut look, &Limits::default());
    let first_load = seen
        .iter()
        .find(|(_, what, ..)| what == "load")
        .expect("a load");
    assert_eq!(first_load.0, "t0");
    assert!(first_load.2.starts_with("shared#0"), "{}", first_load.2);
    assert!(
        seen.iter().any(|&(.., occurrence)| occurrence >= 4),
        "occurrences are counted"
    );
}
