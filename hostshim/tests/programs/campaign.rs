//! Hunting, naming, following, minimizing: that they agree with each other, on kernels that fail.

use hostshim::capture::{Capture, Catch};
use hostshim::hunt::{Budget, Found, Hunt, Plan, Watch};
use hostshim::machine::Races;
use hostshim::minimize::{Effort, minimize};
use hostshim::names::{Departure, Follower, name_schedule};
use hostshim::registry::Registry;
use hostshim::replay::{LIMITS, Parsed, ReplayFile};
use hostshim::wire::Wire;
use hostshim::{Failure, FailureKind, Machine, Setup, TraceEvent, Verdict};
use kmod::config::Config;
use kmod::history::{Bug, History};
use kmod::scenario::ops::Program;

fn hunt(name: &str, variant: &str, seed: u64) -> Hunt {
    let scenario = Registry::kmod()
        .find(name)
        .unwrap_or_else(|| panic!("no scenario {name}"));
    let variant = scenario
        .variant(variant)
        .unwrap_or_else(|| panic!("no variant {variant}"));
    Hunt {
        seed,
        ..Hunt::new(scenario, variant, Budget::Schedules(20_000))
    }
}

fn find(hunt: &Hunt) -> Found {
    let hunted = hunt
        .run(&Watch::default())
        .unwrap_or_else(|failure| panic!("{failure}"));
    hunted
        .found
        .unwrap_or_else(|| panic!("nothing found in {}", hunt.scenario.name))
}

fn traced(hunt: &Hunt, found: &Found) -> Machine {
    let mut machine = Machine::new();
    let setup = Setup {
        scenario: hunt.scenario,
        config: hunt.config,
        trace: true,
    };
    assert_eq!(machine.boot(&setup), Ok(()));
    if let Some(program) = &found.program {
        machine.load(program);
    }
    machine.set_granularity(found.granularity);
    machine
}

fn capture(hunt: &Hunt, found: &Found) -> Capture {
    let captured = hunt.catch(found).capture(&LIMITS, EFFORT);
    captured.unwrap_or_else(|error| panic!("{error}"))
}

/// Enough for these, in a build that is not optimized.
const EFFORT: Effort = Effort {
    runs: 6000,
    points: 8_000_000,
};

/// Says where two traces part: both as a whole would be too much to read.
fn same_trace(one: &[TraceEvent], two: &[TraceEvent]) {
    for (index, (a, b)) in one.iter().zip(two).enumerate() {
        assert_eq!(a, b, "the traces part at event {index}");
    }
    assert_eq!(one.len(), two.len());
}

/// One of each sort: an oracle at the end, a deadlock, an oracle in the middle, a program of operations.
const FAILING: [(&str, &str); 5] = [
    ("lost-update", "fixed"),
    ("abba", "fixed"),
    ("xcall-early-count", "historical"),
    ("xcall-early-count", "as-told"),
    ("ops", "as-told"),
];

#[test]
fn a_schedule_in_names_is_the_schedule_in_numbers() {
    for (name, variant) in FAILING {
        let hunt = hunt(name, variant, 1);
        let found = find(&hunt);
        let mut machine = traced(&hunt, &found);
        let (by_number, named) = name_schedule(&mut machine, &found.deviations, &LIMITS);
        assert_eq!(
            by_number.verdict,
            Verdict::Failed(found.failure.clone()),
            "{name} {variant}"
        );
        assert_eq!(named.len(), found.deviations.len(), "{name} {variant}");
        let trace = machine.trace().to_vec();
        let (by_name, points) = match Follower::exact(&named, &mut machine, &LIMITS) {
            Ok(followed) => followed,
            Err(miss) => panic!("{name} {variant}: {miss:?}"),
        };
        assert_eq!(by_name, by_number, "{name} {variant}");
        assert_eq!(machine.deviations(), found.deviations, "{name} {variant}");
        same_trace(machine.trace(), &trace);
        let numbers: Vec<u64> = found
            .deviations
            .iter()
            .map(|deviation| deviation.point)
            .collect();
        assert_eq!(points, numbers, "{name} {variant}");
    }
}

/// What was found, as a file along `schedule`.
fn file(hunt: &Hunt, found: &Found, schedule: Vec<Departure>) -> ReplayFile {
    ReplayFile {
        scenario: hunt.scenario,
        variant: hunt.variant,
        config: hunt.config,
        granularity: found.granularity,
        memory: found.memory,
        refusals: found.refusals.clone(),
        program: found.program.clone(),
        wire: Wire::default(),
        races: Races::Stop,
        schedule,
    }
}

#[test]
fn a_bug_that_needs_no_second_cpu_is_shown_on_one() {
    let walk = hunt("perform-vs-callout", "historical", 1);
    let hunt = Hunt {
        config: Config {
            ncpu: 4,
            ..walk.config
        },
        ..walk
    };
    let kept = capture(&hunt, &find(&hunt));
    assert_eq!(kept.file.config.ncpu, 1, "{}", kept.file);
}

#[test]
fn on_one_cpu_a_call_is_early_while_its_function_waits() {
    let on_one = |variant| {
        let walk = hunt("xcall-early-count", variant, 1);
        Hunt {
            config: Config {
                ncpu: 1,
                ..walk.config
            },
            ..walk
        }
    };
    assert_eq!(find(&on_one("as-told")).failure.rule, "xcall-early");
    // Functions return in the order of the requests, so none can stand in for another.
    for variant in ["historical", "fixed"] {
        let hunted = on_one(variant).run(&Watch::default());
        let found = hunted.expect("it boots").found;
        assert!(found.is_none(), "{variant}: {found:?}");
    }
}

#[test]
fn a_minimized_schedule_fails_alike_and_needs_each_of_its_departures() {
    for (name, variant) in FAILING {
        let hunt = hunt(name, variant, 3);
        let found = find(&hunt);
        let mut machine = traced(&hunt, &found);
        let (_, named) = name_schedule(&mut machine, &found.deviations, &LIMITS);
        let before = named.len();
        let file = file(&hunt, &found, named);
        let Some(short) = minimize(&mut machine, &file, &found.failure, &LIMITS, EFFORT) else {
            panic!("{name} {variant}: the failure was lost")
        };
        let schedule = &short.file.schedule;
        assert!(schedule.len() <= before, "{name} {variant}");
        assert_eq!(short.failure.rule, found.failure.rule, "{name} {variant}");
        for gone in 0..schedule.len() {
            let mut rest = schedule.clone();
            rest.remove(gone);
            let (outcome, _) = Follower::loose(&rest, &mut machine, &LIMITS);
            let same = |failure: &Failure| {
                failure.rule == found.failure.rule && failure.kind != FailureKind::Deadlock
            };
            let still = matches!(&outcome.verdict, Verdict::Failed(failure) if same(failure));
            assert!(!still, "{name} {variant}: departure {gone} is not needed");
        }
    }
}

#[test]
fn a_program_is_minimized_to_what_the_bug_needs() {
    // A call that is counted before its function has run goes wrong alone; a pick-up is counted for another call.
    for (variant, calls) in [("as-told", 1), ("historical", 2)] {
        // A seed whose first failing programs are small enough for the effort.
        let hunt = hunt("ops", variant, 3);
        let found = find(&hunt);
        let operations = |program: &Option<Box<Program>>| -> usize {
            let scripts = program.iter().flat_map(|program| &program.scripts);
            scripts.map(|script| script.ops().len()).sum()
        };
        let kept = capture(&hunt, &found);
        let (before, after) = (operations(&found.program), operations(&kept.file.program));
        assert!(before > 3, "{before} operations are too few to tell");
        assert!((calls..=3).contains(&after), "{}", kept.file);
        let text = kept.file.to_string();
        // Whatever makes cross calls: on behalf of the program, or of a primitive.
        let calling = [" xc_", " percpu_", " localcount_drain", " psref_destroy"];
        let count: usize = calling.iter().map(|word| text.matches(word).count()).sum();
        assert!(count >= calls, "{text}");
    }
}

#[test]
fn an_effort_bounds_a_minimization() {
    // A random walk departs from the default at every other point.
    let walk = hunt("xcall-early-count", "historical", 1);
    let hunt = Hunt {
        plan: Plan::Random,
        ..walk
    };
    let found = find(&hunt);
    let mut machine = traced(&hunt, &found);
    let (_, named) = name_schedule(&mut machine, &found.deviations, &LIMITS);
    assert!(named.len() > 1, "too short to tell: {}", named.len());
    let effort = Effort {
        runs: 3,
        ..Effort::default()
    };
    let file = file(&hunt, &found, named);
    let short = minimize(&mut machine, &file, &found.failure, &LIMITS, effort);
    assert_eq!(short.map(|short| short.runs), Some(3));
    let nothing = Effort {
        runs: 0,
        ..Effort::default()
    };
    assert!(minimize(&mut machine, &file, &found.failure, &LIMITS, nothing).is_none());
}

#[test]
fn what_is_kept_replays_from_its_text_byte_for_byte() {
    for (name, variant) in FAILING {
        let hunt = hunt(name, variant, 2);
        let found = find(&hunt);
        let kept = capture(&hunt, &found);
        assert_eq!(
            kept.report.to_string(),
            capture(&hunt, &found).report.to_string()
        );
        let text = kept.file.to_string();
        let parsed = Parsed::read(text.as_bytes(), Registry::kmod())
            .unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(parsed.file.to_string(), text);
        let mut machine = Machine::new();
        let mut replay = || match parsed.replay(&mut machine, &LIMITS) {
            Ok((outcome, _)) => (outcome, machine.trace().to_vec()),
            Err(error) => panic!("{name} {variant}: {error:?}"),
        };
        let (first, second) = (replay(), replay());
        assert_eq!(first.0, kept.outcome, "{name} {variant}");
        assert_eq!(first.0, second.0, "{name} {variant}");
        same_trace(&first.1, &second.1);
        assert!(kept.report.len() <= 60, "{}", kept.report);
    }
}

#[test]
fn a_failure_that_is_none_is_not_kept() {
    let hunt = hunt("lost-update", "fixed", 1);
    let found = find(&hunt);
    // Without its departures the run passes.
    let fake = Catch {
        deviations: &[],
        ..hunt.catch(&found)
    };
    let error = fake
        .capture(&LIMITS, Effort::default())
        .err()
        .map(|error| error.to_string());
    assert!(
        error
            .as_deref()
            .is_some_and(|text| text.contains("passed when it was repeated")),
        "{error:?}"
    );
}

#[test]
fn what_is_found_does_not_depend_on_the_number_of_workers() {
    for (name, variant) in FAILING {
        let alone = hunt(name, variant, 5);
        let first = find(&alone);
        for jobs in [2, 3] {
            let together = find(&Hunt {
                jobs,
                ..alone.clone()
            });
            assert_eq!(
                together.run, first.run,
                "{name} {variant} with {jobs} workers"
            );
            assert_eq!(together.deviations, first.deviations);
            assert_eq!(together.failure, first.failure);
        }
    }
}

#[test]
fn a_hunt_makes_as_many_schedules_as_it_is_asked_to() {
    for jobs in [1, 2] {
        let fixed = hunt("xcall-early-count", "fixed", 1);
        let asked = Hunt {
            budget: Budget::Schedules(300),
            jobs,
            ..fixed
        };
        let watch = Watch::default();
        let hunted = asked
            .run(&watch)
            .unwrap_or_else(|failure| panic!("{failure}"));
        assert!(hunted.found.is_none());
        assert!(!hunted.interrupted);
        assert_eq!(hunted.schedules, 300);
    }
}

#[test]
fn a_hunt_can_be_stopped() {
    let watch = Watch::default();
    watch.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let hunted = hunt("xcall-early-count", "fixed", 1).run(&watch);
    let hunted = hunted.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(hunted.interrupted);
    assert_eq!(hunted.schedules, 0);
}

#[test]
fn strategies_are_named_as_they_are_written() {
    for text in ["portfolio", "random", "pct", "pct:3"] {
        assert_eq!(
            text.parse::<Plan>().map(|plan| plan.to_string()),
            Ok(text.to_owned())
        );
    }
    for text in ["", "pct:", "pct:0", "pct:17", "PCT", "pct:-1"] {
        assert!(text.parse::<Plan>().is_err(), "{text}");
    }
}

#[test]
fn the_storm_finds_each_leak_of_arps_timers() {
    for bug in [Bug::ArpSettimer, Bug::ArptimerPending, Bug::LlentryFree] {
        let mut hunt = hunt("net-storm", "fixed", 1);
        hunt.config.history = History::NONE.with(bug);
        let found = find(&hunt);
        assert_eq!(found.failure.rule, "llentry-references", "{}", bug.name());
    }
}

#[test]
fn a_livelock_of_many_departures_is_kept_as_it_was_found_and_at_once() {
    let hunt = Hunt {
        plan: Plan::Random,
        ..hunt("psref-starved", "historical", 2)
    };
    let found = find(&hunt);
    let captured = hunt.catch(&found).capture(&LIMITS, Effort::NONE);
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    // As many as a strategy can make before it is no longer asked: to make a list without each of them would take for ever.
    let switches = captured.file.schedule.len();
    assert!(switches > 3_000, "{switches}");
}
