//! What verdicts say about programs that are broken in one way each.

use hostshim::registry::Registry;
use std::sync::atomic::AtomicU32;

use hostshim::machine::Races;
use hostshim::replay::{LIMITS, ReplayFile};
use hostshim::report::{Account, Detail, Story, lines, verdict};
use hostshim::strategy::Portfolio;
use hostshim::wire::Wire;
use hostshim::{Granularity, Machine, MemoryModel, Setup, Verdict};
use kmod::config::Config;
use kmod::kern::callout::Callout;
use kmod::kern::kmem::{kmem_alloc, kmem_free};
use kmod::kern::lwp::{Arg, curcpu};
use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::Ipl;
use kmod::kernel::Kernel;
use kmod::mem::Plain;
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

/// The number of schedules of a scenario that fails in one of them.
const SCHEDULES: u64 = 2_000;
/// The number of schedules of a scenario that does not fail.
const FEW: u64 = 10;

const SCENARIO: Scenario = Scenario {
    name: "told",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: |_| {},
};

/// Runs a scenario until it fails, at most this many times. Returns the verdict of the last run, and its trace.
pub(crate) fn told(scenario: &'static Scenario, schedules: u64) -> (String, String) {
    let mut machine = Machine::new();
    let variant = &scenario.variants[0];
    let config = scenario.config(Config::small(scenario.default_cpus), variant);
    let setup = Setup {
        scenario,
        config,
        trace: true,
    };
    let booted = machine.boot(&setup);
    booted.unwrap_or_else(|failure| panic!("{failure}"));
    let mut strategy = Portfolio::new(1);
    let mut outcome = machine.run(&mut strategy, &LIMITS);
    for _ in 1..schedules {
        if outcome.verdict != Verdict::Passed {
            break;
        }
        outcome = machine.run(&mut strategy, &LIMITS);
    }
    let file = ReplayFile {
        scenario,
        variant,
        config,
        granularity: Granularity::Coarse,
        memory: MemoryModel::Sc,
        refusals: Vec::new(),
        program: None,
        wire: Wire::default(),
        races: Races::Stop,
        schedule: Vec::new(),
    };
    let story = Story {
        cpus: config.cpus(),
        outcome: &outcome,
        trace: machine.trace(),
        departures: &[],
        points: &[],
    };
    let account = Account::new(&file, story, machine.wait_graph());
    let trace = lines(&account.story, Detail::Accesses);
    (verdict(&account).to_string(), trace.to_string())
}

/// Asserts that the text contains the parts in this order.
#[track_caller]
pub(crate) fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            panic!("`{part}` is missing, or not where it should be, in:\n{text}")
        };
        rest = after;
    }
}

#[test]
fn of_a_deadlock_it_is_told_who_holds_what_and_waits_for_what_and_where() {
    let abba = Registry::kmod()
        .find("abba")
        .unwrap_or_else(|| panic!("no abba"));
    let (text, _) = told(abba, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "DEADLOCK in abba, 2 threads",
            "1. t2  HOLDS     b ",
            "taken at kmod/src/scenario/classics.rs:",
            " (step ",
            " FOR a, held by t1  at kmod/src/scenario/classics.rs:",
            " (step ",
            "2. t1  HOLDS     a ",
            "taken at kmod/src/scenario/classics.rs:",
            " FOR b, held by t2  at kmod/src/scenario/classics.rs:",
            "cycle: b => a => b",
            "In one line: t2 holds b and ",
        ],
    );
}

#[test]
fn of_a_lost_wake_up_it_is_told_who_signalled_last_and_who_wrote_what_the_sleeper_tested() {
    let scenario = Registry::kmod()
        .find("lost-wakeup")
        .unwrap_or_else(|| panic!("no lost-wakeup"));
    let (text, _) = told(scenario, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "LOST WAKE-UP in lost-wakeup, 1 thread",
            "consumer sleeps on `mail`; no thread, timer or interrupt can wake it",
            "1. consumer  SLEEPS ON `mail` (mailbox.mail)",
            "at kmod/src/scenario/lost_wakeup.rs:",
            "TESTED    mailbox.full",
            "last written by producer at kmod/src/scenario/lost_wakeup.rs:",
            "between the test and the sleep",
            "`mail` was last signalled by producer",
            "when nobody slept on it",
        ],
    );
    assert!(!text.contains("cycle"), "{text}");
}

/// Two mutexes of one name.
struct Pair {
    left: Kmutex,
    right: Kmutex,
}

kmod::fields!(Pair { left, right });

fn pair(kernel: &'static Kernel) -> &'static Pair {
    let pair = share(
        "pair",
        Pair {
            left: Kmutex::new("lock", Ipl::None),
            right: Kmutex::new("lock", Ipl::None),
        },
    );
    kernel.set_data(Arg::of(pair));
    actor(kernel, "t1", 0, |pair| both(pair, false), Arg::of(pair));
    actor(kernel, "t2", 1, |pair| both(pair, true), Arg::of(pair));
    pair
}

fn both(pair: Arg, turned: bool) {
    let Pair { left, right } = shared(pair);
    let (first, second) = if turned { (right, left) } else { (left, right) };
    first.enter();
    second.enter();
    second.exit();
    first.exit();
}

static NAMESAKES: Scenario = Scenario {
    setup: |kernel| kmod::machine::label(pair(kernel), format_args!("pair")),
    teardown: free_data::<Pair>,
    ..SCENARIO
};

#[test]
fn locks_of_one_name_are_told_apart() {
    let (text, _) = told(&NAMESAKES, SCHEDULES);
    assert!(text.starts_with("DEADLOCK in told, 2 threads"), "{text}");
    for part in [
        "HOLDS     pair.left ",
        "HOLDS     pair.right ",
        " FOR pair.left, held by t1",
        " FOR pair.right, held by t2",
    ] {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

static HALTS: Scenario = Scenario {
    setup: |kernel| {
        let halts = |_| kmod::machine::wait_for_interrupt(&AtomicU32::new(0));
        actor(kernel, "sleeper", 0, halts, Arg::NONE);
    },
    ..SCENARIO
};

#[test]
fn a_cpu_that_waits_for_an_interrupt_halts_and_does_not_run() {
    let (text, _) = told(&HALTS, SCHEDULES);
    assert!(text.contains("sleeper halts on cpu0"), "{text}");
}

/// An object with a timer.
struct Entry {
    timer: Callout,
    word: Plain<u32>,
}

kmod::fields!(Entry { timer, word });

static FREED: Scenario = Scenario {
    setup: |kernel| {
        let frees = |_| {
            let entry = Entry {
                timer: Callout::new(),
                word: Plain::new(0),
            };
            let Some(entry) = kmem_alloc("entry", entry) else {
                return;
            };
            kmod::machine::label(entry, format_args!("entry"));
            entry.timer.init(curcpu());
            entry.timer.reset(1, |_| {}, Arg::NONE);
            // SAFETY: it came from `kmem_alloc`. That its timer is pending is what the test must find.
            unsafe { kmem_free(entry) };
        };
        actor(kernel, "culprit", 0, frees, Arg::NONE);
    },
    ..SCENARIO
};

#[test]
fn to_free_what_has_a_pending_callout_fails_where_it_is_freed() {
    let (text, _) = told(&FREED, SCHEDULES);
    assert_in_order(
        &text,
        &[
            "API CONTRACT callout-freed BROKEN in told",
            "culprit frees a ",
            "Entry with a pending callout: scheduled at hostshim/tests/programs/told.rs:",
            "by culprit on cpu",
            "at hostshim/tests/programs/told.rs:",
        ],
    );
}

static STOPPED: Scenario = Scenario {
    setup: |kernel| {
        let frees = |_| {
            let entry = Entry {
                timer: Callout::new(),
                word: Plain::new(0),
            };
            if let Some(entry) = kmem_alloc("entry", entry) {
                entry.timer.init(curcpu());
                entry.timer.reset(1, |_| {}, Arg::NONE);
                entry.timer.halt(None);
                // SAFETY: it came from `kmem_alloc`, and its timer will not run.
                unsafe { kmem_free(entry) };
            }
        };
        actor(kernel, "honest", 0, frees, Arg::NONE);
    },
    ..SCENARIO
};

#[test]
fn to_free_what_has_no_pending_callout_is_right() {
    let (text, _) = told(&STOPPED, FEW);
    assert!(text.starts_with("told passed: "), "{text}");
}

#[test]
fn storage_of_a_cpu_is_called_by_its_name_wherever_it_moves() {
    let moves = Registry::kmod()
        .find("percpu-moves")
        .unwrap_or_else(|| panic!("no percpu-moves"));
    let (text, trace) = told(moves, FEW);
    assert!(text.contains(" passed: "), "{text}");
    let lines = Vec::from_iter(trace.lines());
    let moved = lines.iter().position(|line| line.contains(" grows from "));
    let moved = moved.unwrap_or_else(|| panic!("nothing moved"));
    let named = |lines: &[&str]| lines.iter().any(|line| line.contains(".counts.by_threads"));
    assert!(named(&lines[..moved]) && named(&lines[moved..]), "{trace}");
}
