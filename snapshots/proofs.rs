//! What today's code is proved of: every schedule up to two forced switches, of the programs that are short enough for a test. The others are
//! proved by `rumplab prove all`, as `scripts/hunt` does.
//!
//! A change of the kernel changes the numbers of executions. What must not change is that each proof is complete, and that the old code fails. The
//! fingerprints of certificates are not kept: they have addresses in them, also on stacks, which differ from build to build.

mod settings;

use std::fmt::Write;

use hostshim::hunt::Watch;
use hostshim::prove::{Proof, Proved, Shard};
use hostshim::registry::Registry;
use hostshim::schedule::Granularity;
use insta::assert_snapshot;
use kmod::config::Config;
use settings::{fits, settings};

/// Forced switches.
const BOUND: u32 = 2;

/// Programs with few executions.
const SHORT: [&str; 24] = [
    "perform-vs-callout",
    "ifdetach-vs-arptimer",
    "pserialize-grace",
    "pslist-traverse",
    "psref-starved",
    "rwlock-exclusion",
    "condvar-signal",
    "mutex-exclusion",
    "sema-units",
    "atomics-whole",
    "descriptor-close",
    "waiter-forgets",
    "note-scan",
    "cv-references",
    "flush-marker",
    "interrupt-thread",
    "timer-rearms",
    "percpu-refs",
    "refcount-release",
    "idle-halt",
    "runqueue-interrupt",
    "poll-list",
    "queue-full",
    "upgrade-bit",
];

/// Old code, and the early ticks that it needs to fail.
const OLD: [(&str, &str, u32); 8] = [
    ("xcall-early-count", "historical", 0),
    ("xcall-early-count", "as-told", 0),
    ("perform-vs-callout", "historical", 0),
    ("perform-vs-callout", "historical-1.13", 0),
    ("drain-vs-perform", "historical", 0),
    ("bind-vs-migration", "historical", 1),
    ("callout-reset-leak", "historical-inflight", 1),
    ("ifdetach-vs-arptimer", "historical", 0),
];

fn proof(scenario: &str, variant: &str, early_ticks: u32) -> Proof {
    let scenario = Registry::kmod().find(scenario).expect("a scenario");
    let mut variants = scenario.variants.iter();
    let variant = variants.find(|known| known.name == variant);
    let variant = variant.expect("a variant");
    Proof {
        scenario,
        variant,
        config: scenario.config(Config::small(scenario.default_cpus), variant),
        granularity: Granularity::Coarse,
        early_ticks,
        shard: Shard::WHOLE,
        jobs: 1,
        reduces: true,
    }
}

fn run(proof: &Proof, bound: u32) -> Proved {
    proof.run(bound, &Watch::default()).expect("a kernel")
}

#[test]
fn todays_code() {
    let mut table = String::new();
    for scenario in SHORT {
        let proof = proof(scenario, "fixed", 0);
        let proved = run(&proof, BOUND);
        assert!(proved.is_complete(), "{scenario}");
        writeln!(table, "{scenario:<22}{:>6}", proved.executions.len()).expect("a string");
    }
    settings().bind(|| assert_snapshot!("complete-up-to-2-forced-switches", fits(&table)));
}

#[test]
fn old_code() {
    let mut table = String::new();
    for (scenario, variant, early_ticks) in OLD {
        let proof = proof(scenario, variant, early_ticks);
        let mut runs = 0;
        let found = (0..=BOUND).find_map(|bound| {
            let proved = run(&proof, bound);
            runs += proved.runs;
            Some((bound, proved.found?))
        });
        let (bound, found) = found.unwrap_or_else(|| panic!("{scenario} {variant} holds"));
        let rule = found.failure.rule;
        writeln!(
            table,
            "{scenario} {variant}: {rule}; forced switches: {bound}, early ticks: {early_ticks}, runs: {runs}"
        )
        .expect("a string");
    }
    settings().bind(|| assert_snapshot!("old-code-fails", fits(&table)));
}
