//! Two kernels on one machine: what goes over the wire between them, and that a run of both is one run.

use hostshim::registry::Registry;
use std::collections::BTreeMap;

use hostshim::capture::Catch;
use hostshim::hunt::{Budget, Hunt, Watch};
use hostshim::minimize::Effort;
use hostshim::replay::{LIMITS, Parsed};
use hostshim::wire::{Mishap, Wire};
use hostshim::{Fair, Machine, Portfolio, Sent, Setup, Strategy, Verdict};
use kmod::config::Config;
use kmod::history::{Bug, History};
use kmod::scenario::net::frames::{Seen, look};
use kmod::scenario::net::two_kernels::{ASKED, PORTS, TWO_KERNELS};

const RUNS: u64 = 40;

fn config(mpsafe: bool) -> Config {
    let usual = Config::small(TWO_KERNELS.default_cpus);
    Config {
        net_mpsafe: mpsafe,
        // Who is known stays known, or some of what is sent waits for an answer and is overtaken by more.
        arpt_keep_ticks: 1_000,
        ..TWO_KERNELS.config(usual, &TWO_KERNELS.variants[0])
    }
}

fn machine(mpsafe: bool) -> Machine {
    let mut machine = Machine::new();
    let setup = Setup {
        scenario: &TWO_KERNELS,
        config: config(mpsafe),
        trace: true,
    };
    if let Err(failure) = machine.boot(&setup) {
        panic!("it does not boot: {failure}");
    }
    machine
}

/// A question, or its answer: of an echo or of a datagram, with its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Asked {
    Echo(u16),
    Datagram(u16),
}

/// What went over the wire: how often each question arrived, and how often it was answered.
fn answers(wire: &Wire, sent: &[Sent]) -> BTreeMap<Asked, (u32, u32)> {
    let mut answers = BTreeMap::<Asked, (u32, u32)>::new();
    for (number, Sent { frame, .. }) in sent.iter().enumerate() {
        let arrives = match wire.mishap(number as u32) {
            Some(Mishap::Lost) => 0,
            Some(Mishap::Twice) => 2,
            Some(Mishap::Late) | None => 1,
        };
        match look(&frame.bytes) {
            Seen::EchoRequest(_, n) => answers.entry(Asked::Echo(n)).or_default().0 += arrives,
            Seen::EchoReply(_, n) => answers.entry(Asked::Echo(n)).or_default().1 += 1,
            Seen::Datagram(_, port, n) if port == PORTS[0] => {
                answers.entry(Asked::Datagram(n)).or_default().0 += arrives;
            }
            Seen::Datagram(_, _, n) => answers.entry(Asked::Datagram(n)).or_default().1 += 1,
            _ => {}
        }
    }
    answers
}

fn run(machine: &mut Machine, wire: &Wire, strategy: &mut dyn Strategy) -> Vec<Sent> {
    machine.connect(wire);
    let outcome = machine.run(strategy, &LIMITS);
    assert_eq!(outcome.verdict, Verdict::Passed);
    machine.sent()
}

#[test]
fn all_that_is_asked_is_answered_once_if_nothing_happens_on_the_wire() {
    for mpsafe in [true, false] {
        let wire = Wire::default();
        let sent = run(&mut machine(mpsafe), &wire, &mut Fair);
        let answers = answers(&wire, &sent);
        assert_eq!(answers.len(), 2 * ASKED as usize, "{answers:?}");
        let once = |(_, counts): (&Asked, &(u32, u32))| *counts == (1, 1);
        assert!(answers.iter().all(once), "{answers:?}");
    }
}

#[test]
fn nothing_is_answered_twice_unless_it_came_twice() {
    let mut machine = machine(true);
    let mut strategy = Portfolio::new(1);
    let mut answered = 0;
    let mut twice = 0;
    for number in 0..RUNS {
        let wire = Wire::random(1, number);
        let sent = run(&mut machine, &wire, &mut strategy);
        for (asked, (came, went)) in answers(&wire, &sent) {
            assert!(
                went <= came,
                "{asked:?} came {came} times, and went {went} times"
            );
            answered += went;
            twice += u32::from(went > 1);
        }
    }
    assert!(answered > 0, "nothing is answered in any run");
    assert!(twice > 0, "nothing comes twice in any run");
}

#[test]
fn a_run_of_two_kernels_is_one_run() {
    let mut machine = machine(true);
    for number in 0..4 {
        let wire = Wire::random(2, number);
        let mut runs = [(); 2].map(|()| {
            let mut strategy = Portfolio::new(2);
            strategy.seek(number);
            let sent = run(&mut machine, &wire, &mut strategy);
            (sent, machine.trace().to_vec())
        });
        let [first, second] = &mut runs;
        assert!(first == second, "run {number} goes otherwise when repeated");
        let cpus = |of: usize| first.1.iter().any(|event| event.cpu == of);
        assert!((0..4).all(cpus), "each CPU of both kernels does something");
    }
}

#[test]
fn a_failure_of_two_kernels_is_kept_in_one_file() {
    // The entry of who asks is armed anew by each question.
    let history = History::NONE.with(Bug::ArpSettimer);
    let variant = &TWO_KERNELS.variants[0];
    let hunt = Hunt {
        config: Config {
            history,
            ..config(true)
        },
        ..Hunt::new(&TWO_KERNELS, variant, Budget::Schedules(100))
    };
    let hunted = hunt.run(&Watch::default());
    let hunted = hunted.unwrap_or_else(|failure| panic!("{failure}"));
    let Some(found) = hunted.found else {
        panic!("it holds over {} schedules", hunted.schedules)
    };
    let catch: Catch<'_> = hunt.catch(&found);
    let effort = Effort {
        runs: 200,
        ..Effort::default()
    };
    let kept = catch.capture(&LIMITS, effort);
    let kept = kept.unwrap_or_else(|error| panic!("{error}"));
    let text = kept.file.to_string();
    let parsed =
        Parsed::read(text.as_bytes(), Registry::kmod()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(parsed.file.to_string(), text);
    let Ok((outcome, _)) = parsed.replay(&mut Machine::new(), &LIMITS) else {
        panic!("{text}")
    };
    assert_eq!(outcome, kept.outcome);
    let Verdict::Failed(failure) = outcome.verdict else {
        panic!("it passes: {text}")
    };
    assert_eq!(failure.rule, "llentry-references");
}
