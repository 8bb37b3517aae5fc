use kmod::config::Config;
use kmod::scenario::{self, Kind, Scenario};

use super::{Prediction, Predictions};
use crate::hunt::{Plan, Watch};
use crate::machine::{Limits, Machine, Setup};
use crate::strategy::Portfolio;

fn prediction(scenario: &'static Scenario, variant: &str, jobs: usize) -> Prediction {
    let variant = scenario.variant(variant).expect("there is such a variant");
    Prediction {
        scenario,
        variant,
        config: scenario.config(Config::small(scenario.default_cpus), variant),
        plan: Plan::Portfolio,
        seed: 1,
        schedules: 200,
        tries: 200,
        jobs,
        limits: Limits::default(),
    }
}

fn predict(prediction: &Prediction) -> Predictions {
    let predicted = prediction.run(&Watch::default());
    predicted.unwrap_or_else(|failure| panic!("it does not boot: {failure}"))
}

#[test]
fn recording_changes_no_run() {
    let recorded = |scenario: &&&Scenario| !matches!(scenario.kind, Kind::Net | Kind::Fault);
    for scenario in scenario::ALL.iter().filter(recorded) {
        let mut outcomes = [false, true].map(|predict| {
            let config =
                scenario.config(Config::small(scenario.default_cpus), &scenario.variants[0]);
            let mut machine = Machine::new();
            let booted = machine.boot(&Setup {
                scenario,
                config: Config { predict, ..config },
                trace: false,
            });
            booted.unwrap_or_else(|failure| panic!("{} does not boot: {failure}", scenario.name));
            let mut strategy = Portfolio::new(1).without_mixing();
            let limits = Limits::default();
            Vec::from_iter((0..40).map(|_| machine.run(&mut strategy, &limits))).into_iter()
        });
        let [without, with] = &mut outcomes;
        assert!(without.eq(with), "{}: a run went otherwise", scenario.name);
    }
}

#[test]
fn what_is_predicted_does_not_depend_on_who_looks() {
    let lines = |jobs| {
        let scenario = &scenario::drain_vs_perform::SCENARIO;
        let found = predict(&prediction(scenario, "historical", jobs));
        let told = |p: super::Predicted| (p.line, p.by, p.witnesses, p.run, p.alike);
        (
            found.failed,
            Vec::from_iter(found.list.into_iter().map(told)),
        )
    };
    assert_eq!(lines(1), lines(2));
}

#[test]
fn two_locks_in_opposite_orders_are_predicted_and_shown() {
    let prediction = prediction(&scenario::classics::ABBA, "fixed", 1);
    let [predicted] = &predict(&prediction).list[..] else {
        panic!("one thing is predicted")
    };
    assert_eq!(predicted.line, "b => a => b");
    let confirmed = prediction.confirm(predicted, &Watch::default());
    let (found, _) = confirmed.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    let message = found.expect("it is shown").failure.message;
    assert!(message.contains("cycle: b => a => b"), "{message}");
}

#[test]
fn a_word_that_luck_orders_is_shown_to_be_a_race() {
    let prediction = prediction(&scenario::classics::UNRELATED_LOCK, "fixed", 1);
    let races = prediction.races(4, &Watch::default());
    let races = races.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    let [race] = &races.list[..] else {
        panic!("one race is shown, not {}", races.list.len())
    };
    assert_eq!(race.pair.object, "handed.word");
    assert_eq!(race.found.failure.rule, "data-race");
    assert_eq!(races.unconfirmed, 0);
}

#[test]
fn words_that_a_lock_protects_are_no_race() {
    let prediction = prediction(&scenario::pcq::FIFO, "fixed", 1);
    let races = prediction.races(2, &Watch::default());
    let races = races.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    assert!(races.list.is_empty());
}
