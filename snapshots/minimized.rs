//! The documented bugs as arbitrary programs met them, and how little of each is needed.
//!
//! The files in `large` are programs that `rumplab run ops --variant … --as-found` has come upon, of at least forty
//! operations. Their schedules are looked for here: one of hundreds of departures does not outlive a change of the kernel.

mod settings;

use hostshim::registry::Registry;
use std::fs;

use hostshim::capture::{Capture, Catch};
use hostshim::minimize::Effort;
use hostshim::replay::{LIMITS, Parsed, ReplayFile};
use hostshim::report::size;
use hostshim::strategy::Portfolio;
use hostshim::{Machine, Setup, Verdict};
use insta::assert_snapshot;
use settings::{fits, settings};

/// Schedules among which one of a program fails.
const SCHEDULES: u64 = 100_000;
/// Operations that a program had before, at least.
const LARGE: usize = 40;

/// A bug, and what its shortest interleaving takes: operations, and preemptions, interrupts taken among them. One can take the place of
/// another, so their sum counts.
const BUGS: [(&str, usize, usize); 5] = [
    // To purge addresses with the lock held; a tick, in which a timer wants it.
    ("perform-vs-callout", 2, 1),
    // Two threads: to take the mutex and drain, to take it and perform.
    ("drain-vs-perform", 4, 2),
    // Two requests at once.
    ("xcall-early-count", 2, 2),
    // To choose where to move a thread; to bind it, to be there, to be switched away.
    ("bind-vs-migration", 4, 2),
    // A timer that is pending is armed again.
    ("callout-reset-leak", 2, 1),
];

/// Looks for a schedule by which the program of this file fails, and makes both small.
fn find(file: &ReplayFile) -> Capture {
    let mut machine = Machine::new();
    let setup = Setup {
        scenario: file.scenario,
        config: file.config,
        trace: false,
    };
    assert_eq!(machine.boot(&setup), Ok(()));
    let program = file.program.as_deref().expect("a program");
    machine.load(program);
    let mut strategy = Portfolio::new(1);
    for _ in 0..SCHEDULES {
        let outcome = machine.run(&mut strategy, &LIMITS);
        if let Verdict::Failed(failure) = outcome.verdict {
            let catch = Catch {
                scenario: file.scenario,
                variant: file.variant,
                config: file.config,
                program: Some(program),
                wire: &file.wire,
                races: &file.races,
                deviations: machine.deviations(),
                granularity: machine.granularity(),
                memory: machine.memory(),
                refusals: machine.refused(),
                failure: &failure,
            };
            let captured = catch.capture(&LIMITS, Effort::default());
            return captured.unwrap_or_else(|error| panic!("{error}"));
        }
    }
    panic!("{SCHEDULES} schedules of a program of `large` do not fail")
}

#[test]
fn large_failures_become_as_small_as_their_bugs() {
    for (name, operations, departures) in BUGS {
        let path = format!("{}/large/{name}.replay", env!("CARGO_MANIFEST_DIR"));
        let bytes = fs::read(&path).expect("a kept file can be read");
        let parsed = Parsed::read(&bytes, Registry::kmod())
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let captured = find(&parsed.file);
        let before = captured.found;
        assert!(before.operations >= LARGE, "{path}: {before}");
        let after = size(&captured.file);
        assert!(
            after.operations + after.departures <= operations + departures,
            "{path}: {before}, minimized only to {after}"
        );
        let report = captured.report.to_string();
        // What broke, who did it, and the cycle or the contract.
        let failure = report.split("\n\n").next().unwrap_or_default();
        let text = format!(
            "{failure}\n\n{before}, minimized to {after}\n{}",
            captured.file
        );
        let mut settings = settings();
        settings.set_snapshot_suffix(name);
        settings.bind(|| assert_snapshot!("minimized", fits(&text)));
    }
}
