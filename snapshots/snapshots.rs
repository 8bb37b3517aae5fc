//! Each bug as it was, and that it is no more.

mod settings;

use hostshim::registry::Registry;
use std::{fs, thread};

use hostshim::hunt::{Budget, Hunt, Watch};
use hostshim::replay::{LIMITS, Parsed};
use hostshim::report::{Account, Story, failure};
use hostshim::{Machine, TraceEvent};
use insta::{assert_snapshot, glob};
use kmod::config::Wiring;
use kmod::scenario::{self, Kind, Scenario, Variant};
use settings::{fits, settings};

/// Schedules over which a fixed variant must hold here. `rumplab run` does more.
const SCHEDULES: u64 = 16_000;
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
    let account = Account::new(&parsed.file, story, machine.wait_graph());
    (failure(&account).to_string(), machine.trace().to_vec())
}

#[test]
fn every_kept_schedule_fails_as_it_did() {
    settings().bind(|| {
        glob!(env!("CARGO_MANIFEST_DIR"), "replays/*.replay", |path| {
            let bytes = fs::read(path).expect("a kept file can be read");
            let parsed = Parsed::read(&bytes, Registry::kmod())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
            assert_snapshot!("failed", fits(&report));
        });
    });
}

/// Over how many schedules a variant holds, in this wiring.
fn held(scenario: &'static Scenario, variant: &'static Variant, xcall: Wiring) -> u64 {
    let mut hunt = Hunt::new(scenario, variant, Budget::Schedules(SCHEDULES));
    hunt.config.xcall = xcall;
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
    hunted.schedules
}

/// Snapshots over how many schedules the scenarios hold that `are_meant`, as `of`.
fn hold(of: &str, are_meant: fn(&Scenario) -> bool) {
    let mut text =
        String::from("schedules without a failure (portfolio, seed 1), by the wiring of xcall\n\n");
    text += &format!(
        "{:42}{:>4}{:>9}{:>9}\n",
        "scenario, variant", "CPUs", "native", "rump"
    );
    let sound = scenario::ALL
        .iter()
        .filter(|s| s.kind.must_hold() && are_meant(s));
    let variants = sound.flat_map(|s| s.variants.iter().map(move |v| (s, v)));
    for (scenario, variant) in variants.filter(|(_, variant)| !variant.fails) {
        let name = format!("{} {}", scenario.name, variant.name);
        text += &format!("{name:42}{:4}", scenario.default_cpus);
        let column = |xcall| match variant.wirings().contains(&xcall) {
            true => held(scenario, variant, xcall).to_string(),
            false => "-".to_owned(),
        };
        // Side by side: it is the test that takes longest.
        let columns = thread::scope(|scope| {
            let rump = scope.spawn(|| column(Wiring::Rump));
            let native = column(Wiring::Native);
            match rump.join() {
                Ok(rump) => [native, rump],
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        for schedules in columns {
            text += &format!("{schedules:>9}");
        }
        text.push('\n');
    }
    let mut settings = settings();
    settings.set_snapshot_suffix(of);
    settings.bind(|| assert_snapshot!("held", fits(&text)));
}

fn is_ported(scenario: &Scenario) -> bool {
    scenario.kind == Kind::Ported
}

fn has_a_bug_of_old(scenario: &Scenario) -> bool {
    scenario.variants.iter().any(|variant| variant.fails)
}

fn is_of_network(scenario: &Scenario) -> bool {
    scenario.name == "softnet" || scenario.name.starts_with("net-")
}

#[test]
fn every_fixed_variant_holds() {
    hold("bugs", |s| !is_ported(s) && has_a_bug_of_old(s));
    hold("promises", |s| {
        !is_ported(s) && !has_a_bug_of_old(s) && !is_of_network(s)
    });
    hold("network", |s| {
        !is_ported(s) && !has_a_bug_of_old(s) && is_of_network(s)
    });
}

#[test]
fn every_fixed_variant_of_a_program_of_another_kernel_holds() {
    hold("ported", is_ported);
}
