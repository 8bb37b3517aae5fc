//! Deadlocks that are predicted from runs which had none, and that nothing is predicted of today's code.

mod settings;

use hostshim::registry::Registry;
use std::fs;
use std::path::Path;

use hostshim::Machine;
use hostshim::hunt::{Plan, Watch};
use hostshim::predict::{Prediction, Predictions};
use hostshim::replay::{LIMITS, Parsed};
use insta::assert_snapshot;
use kmod::config::{Config, Wiring};
use kmod::scenario::{self, Scenario, Variant};
use settings::{fits, settings};

/// Schedules of each variant of which nothing must be predicted. `rumplab predict` does more.
const SCHEDULES: u64 = 40;
/// Programs of `ops`.
const PROGRAMS: u64 = 500;

fn prediction(
    scenario: &'static Scenario,
    variant: &'static Variant,
    xcall: Option<Wiring>,
    schedules: u64,
) -> Prediction {
    let usual = scenario.config(Config::small(scenario.default_cpus), variant);
    Prediction {
        scenario,
        variant,
        config: Config {
            xcall: xcall.unwrap_or(usual.xcall),
            ..usual
        },
        plan: Plan::Portfolio,
        seed: 1,
        schedules,
        tries: 500,
        jobs: 1,
        limits: LIMITS,
    }
}

fn predict(prediction: &Prediction) -> Predictions {
    prediction
        .run(&Watch::default())
        .unwrap_or_else(|failure| panic!("{} does not boot: {failure}", prediction.scenario.name))
}

/// How the kept schedule of a variant fails.
fn kept_failure(scenario: &Scenario, variant: &Variant) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("replays");
    let path = folder.join(format!("{}-{}.replay", scenario.name, variant.name));
    let bytes = fs::read(path).expect("a kept file can be read");
    let parsed = Parsed::read(&bytes, Registry::kmod()).expect("a kept file is well-formed");
    let mut machine = Machine::new();
    let replayed = parsed.replay(&mut machine, &LIMITS);
    let (outcome, _) = replayed.expect("a kept file replays");
    match outcome.verdict {
        hostshim::Verdict::Failed(failure) => failure.message,
        hostshim::Verdict::Passed => panic!("a kept file fails"),
    }
}

#[test]
fn one_schedule_that_ran_to_its_end_predicts_the_deadlock_that_it_did_not_have() {
    let mut text = String::new();
    for (name, variant) in [
        ("perform-vs-callout", "historical"),
        ("drain-vs-perform", "historical"),
        ("drain-vs-perform", "historical-native"),
    ] {
        let scenario = Registry::kmod().find(name).expect("the scenario is there");
        let variant = scenario.variant(variant).expect("so is the variant");
        // A walk whose first schedule runs to its end.
        let prediction = Prediction {
            plan: Plan::Random,
            ..prediction(scenario, variant, None, 1)
        };
        let predictions = predict(&prediction);
        assert_eq!(predictions.failed, 0, "{name}: the schedule ran to its end");
        let deadlock = kept_failure(scenario, variant);
        let same = |line: &str| deadlock.contains(&format!("cycle: {line}\n"));
        let lines = predictions.list.iter().map(|predicted| &*predicted.line);
        assert_eq!(
            lines.filter(|line| same(line)).count(),
            1,
            "{name} {}: the very cycle of the deadlock is predicted\n{deadlock}",
            variant.name
        );
        text += &format!("{name} {}\n", variant.name);
        for predicted in &predictions.list {
            let tried = prediction.confirm(predicted, &Watch::default());
            let (found, _) = tried.expect("the kernel boots");
            let shown = found.expect("a schedule shows it").failure.message;
            assert!(shown.contains(&predicted.line), "{name}: {shown}");
            text += &format!(
                "predicted: {}\n       by: {}\n{}",
                predicted.line, predicted.by, predicted.witnesses
            );
        }
        text += "\n";
    }
    settings().bind(|| assert_snapshot!("predicted", fits(&text)));
}

#[test]
fn nothing_is_predicted_of_what_holds() {
    let sound = scenario::ALL.iter().filter(|s| s.kind.must_hold());
    let variants = sound.flat_map(|s| s.variants.iter().map(move |v| (s, v)));
    for (scenario, variant) in variants.filter(|(_, variant)| !variant.fails) {
        let schedules = match scenario.name {
            "ops" => PROGRAMS,
            _ => SCHEDULES,
        };
        for &xcall in variant.wirings() {
            let predictions = predict(&prediction(scenario, variant, Some(xcall), schedules));
            let lines = predictions.list.iter().map(|predicted| &*predicted.line);
            assert_eq!(
                Vec::from_iter(lines),
                [""; 0],
                "{} {}, {} wiring",
                scenario.name,
                variant.name,
                xcall.name()
            );
            assert_eq!(predictions.failed, 0, "{}", scenario.name);
            assert!(
                predictions.lost.is_nothing(),
                "{} {}: {}",
                scenario.name,
                variant.name,
                predictions.lost
            );
        }
    }
}
