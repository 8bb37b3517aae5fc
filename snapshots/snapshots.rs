//! Each bug as it was, and that it is no more.

mod settings;

use std::fs;

use hostshim::hunt::{Budget, Hunt, Plan, Watch};
use hostshim::replay::{LIMITS, Parsed};
use hostshim::report::{Story, failure};
use hostshim::{Machine, TraceEvent};
use insta::{assert_snapshot, glob};
use kmod::config::Config;
use kmod::scenario::{self, Kind};
use settings::settings;

/// Schedules over which a fixed variant must hold here. `rumplab run` does more.
const SCHEDULES: u64 = 20_000;
/// Steps that all of them together make at most: of long ones there are fewer.
const STEPS: u64 = 30_000_000;

/// Replays a file on a machine of its own: the report, and the trace.
fn replay(parsed: &Parsed) -> (String, Vec<TraceEvent>) {
    let mut machine = Machine::new();
    let (outcome, points) = parsed
        .replay(&mut machine, &LIMITS)
        .unwrap_or_else(|error| panic!("it does not replay: {error:?}"));
    let story = Story {
        cpus: parsed.file.config.cpus(),
        outcome: &outcome,
        trace: machine.trace(),
        departures: &parsed.file.schedule,
        points: &points,
    };
    (
        failure(&parsed.file, &story).to_string(),
        machine.trace().to_vec(),
    )
}

#[test]
fn every_kept_schedule_fails_as_it_did() {
    settings().bind(|| {
        glob!(env!("CARGO_MANIFEST_DIR"), "replays/*.replay", |path| {
            let bytes = fs::read(path).expect("a kept file can be read");
            let parsed =
                Parsed::read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(
                parsed.file.to_string().as_bytes(),
                bytes,
                "{}: a kept file is canonical",
                path.display()
            );
            let (report, trace) = replay(&parsed);
            let (again, same) = replay(&parsed);
            assert_eq!(report, again, "{}: two replays differ", path.display());
            assert!(
                trace == same,
                "{}: the traces of two replays differ",
                path.display()
            );
            assert_snapshot!("failed", report);
        });
    });
}

#[test]
fn every_fixed_variant_holds() {
    let mut text = String::new();
    let sound = scenario::ALL.iter().filter(|s| s.kind == Kind::Sound);
    let variants = sound.flat_map(|s| s.variants.iter().map(move |v| (s, v)));
    for (scenario, variant) in variants.filter(|(_, variant)| !variant.fails) {
        for &xcall in variant.wirings() {
            let small = Config::small(scenario.default_cpus);
            let config = Config {
                xcall,
                ..scenario.config(small, variant)
            };
            let hunt = Hunt {
                frames: Vec::new(),
                scenario,
                variant,
                config,
                plan: Plan::Portfolio,
                seed: 1,
                budget: Budget::Schedules(SCHEDULES),
                jobs: 1,
                limits: LIMITS,
            };
            let hunted = hunt
                .within(STEPS)
                .and_then(|hunt| hunt.run(&Watch::default()))
                .unwrap_or_else(|failure| panic!("{} does not boot: {failure}", scenario.name));
            if let Some(found) = hunted.found {
                panic!(
                    "{} with {} wiring fails in run {}: {}",
                    scenario.name,
                    xcall.name(),
                    found.run,
                    found.failure
                );
            }
            text += &format!(
                "{} {}: held over {} schedules (portfolio, seed 1, {} CPUs, xcall {})\n",
                scenario.name,
                variant.name,
                hunted.schedules,
                scenario.default_cpus,
                xcall.name()
            );
        }
    }
    settings().bind(|| assert_snapshot!("held", text));
}
