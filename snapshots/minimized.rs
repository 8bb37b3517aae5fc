//! The documented bugs as arbitrary programs met them, and how little of each is needed.
//!
//! The files in `large` are what `rumplab run ops --variant … --as-found` has written: at least forty operations, and as
//! many departures as the strategy made.

use std::fs;

use hostshim::minimize::Effort;
use hostshim::replay::{LIMITS, Parsed};
use hostshim::report::size;
use hostshim::{Machine, Verdict, capture};
use insta::assert_snapshot;

/// Operations that a program had before, at least.
const LARGE: usize = 40;

/// A bug, and what its shortest interleaving takes: operations, and preemptions, interrupts taken among them.
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

#[test]
fn large_failures_become_as_small_as_their_bugs() {
    let mut text = String::new();
    for (name, operations, departures) in BUGS {
        let path = format!("{}/large/{name}.replay", env!("CARGO_MANIFEST_DIR"));
        let bytes = fs::read(&path).expect("a kept file can be read");
        let parsed = Parsed::read(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        let before = size(&parsed.file);
        assert!(before.operations >= LARGE, "{path}: {before}");
        let (outcome, _) = parsed
            .replay(&mut Machine::new(), &LIMITS)
            .unwrap_or_else(|error| panic!("{path} does not replay: {error:?}"));
        let Verdict::Failed(failure) = outcome.verdict else {
            panic!("{path} does not fail")
        };
        let captured = capture::shorten(&parsed.file, &failure, &LIMITS, Effort::default());
        let captured = captured.unwrap_or_else(|error| panic!("{path}: {error}"));
        let after = size(&captured.file);
        assert!(
            after.operations <= operations && after.departures <= departures,
            "{path}: {before}, minimized only to {after}"
        );
        text += &format!(
            "{name}: {before}, minimized to {after}\n{}\n",
            captured.file
        );
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(env!("CARGO_MANIFEST_DIR"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!("minimized", text));
}
