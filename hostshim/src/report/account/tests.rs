//! Accounts of hand-written traces.

use crate::registry::Registry;
use kmod::config::Config;
use kmod::kern::spl::Ipl;
use kmod::machine::{Kind, Line};
use kmod::mem::Ordering as Order;

use super::*;
use crate::machine::{Access, FailureKind, Hold, Layer, Outcome, Races, Side, Sides};
use crate::report::explain::ordering_sentences;
use crate::schedule::{Granularity, MemoryModel};
use crate::wire::Wire;

fn file() -> ReplayFile {
    let scenario = Registry::kmod()
        .find("abba")
        .unwrap_or_else(|| panic!("no abba"));
    let variant = &scenario.variants[0];
    ReplayFile {
        scenario,
        variant,
        config: scenario.config(Config::small(2), variant),
        granularity: Granularity::Coarse,
        memory: MemoryModel::Sc,
        refusals: Vec::new(),
        program: None,
        wire: Wire::default(),
        races: Races::Stop,
        schedule: Vec::new(),
    }
}

fn event(cpu: usize, context: &str, what: What) -> TraceEvent {
    TraceEvent {
        point: 0,
        cpu,
        context: context.to_owned(),
        ipl: 0,
        what,
        occurrence: 0,
    }
}

fn switch(to: &str) -> What {
    What::Switch { to: to.to_owned() }
}

fn lock(hold: Hold) -> What {
    let object = "box.lock".to_owned();
    What::Lock { object, hold }
}

fn access(kind: Kind, order: Order, object: &str) -> What {
    What::Op(Access {
        kind,
        order,
        object: object.to_owned(),
        location: format!("kmod/src/{object}.rs:1"),
    })
}

fn with_account<R>(trace: &[TraceEvent], verdict: Verdict, f: impl FnOnce(&Account<'_>) -> R) -> R {
    let file = file();
    let outcome = Outcome {
        verdict,
        steps: 1,
        points: 1,
        ticks: 0,
    };
    let story = Story {
        cpus: 2,
        outcome: &outcome,
        trace,
        departures: &[],
        points: &[],
    };
    f(&Account::new(&file, story, WaitGraph::default()))
}

#[test]
fn runs_follow_switches_and_a_move_is_noticed() {
    let trace = [
        event(0, "idle/0", switch("t1")),
        event(0, "t1", What::Wait),
        event(0, "t1", switch("idle/0")),
        event(1, "idle/1", switch("t1")),
        event(1, "t1", What::Wait),
    ];
    with_account(&trace, Verdict::Passed, |account| {
        let names = Vec::from_iter(account.lwps.iter().map(|lwp| lwp.name.as_str()));
        assert_eq!(names, ["idle/0", "t1", "idle/1"]);
        let runs = account.runs.iter();
        let runs = runs.map(|run| (run.cpu, names[run.lwp], run.begin, run.end));
        assert_eq!(
            Vec::from_iter(runs),
            [
                (0, "idle/0", 0, 1),
                (1, "idle/1", 0, 4),
                (0, "t1", 1, 3),
                (0, "idle/0", 3, 5),
                (1, "t1", 4, 5)
            ]
        );
        let expected = Move {
            lwp: 1,
            from: 0,
            to: 1,
            event: 3,
        };
        assert_eq!(account.moves, [expected]);
        assert_eq!(account.lwps[1].cpus, [0, 1]);
    });
}

#[test]
fn layers_nest_and_a_hold_may_last_to_the_end() {
    let handler = Layer::Handler(Line::Clock);
    let softint = Layer::Softint(Ipl::SoftClock);
    let trace = [
        event(0, "t1", lock(Hold::Alone)),
        event(0, "t1", What::Begin(softint)),
        event(0, "softclk/0", What::Begin(handler)),
        event(0, "softclk/0", What::End(handler)),
        event(0, "t1", What::End(softint)),
        event(0, "t1", lock(Hold::Shared)),
        event(1, "t2", lock(Hold::Shared)),
        event(0, "t1", lock(Hold::Released)),
    ];
    with_account(&trace, Verdict::Passed, |account| {
        let layers = account.layers.iter();
        let layers = layers.map(|layer| (layer.layer, layer.depth, layer.begin, layer.end));
        assert_eq!(
            Vec::from_iter(layers),
            [(softint, 0, 1, 5), (handler, 1, 2, 4)]
        );
        let holds = account.holds.iter();
        let holds = holds.map(|hold| (hold.lwp, hold.shared, hold.begin, hold.end, hold.at_end));
        assert_eq!(
            Vec::from_iter(holds),
            [
                (0, false, 0, 6, false),
                (0, true, 5, 8, false),
                (2, true, 6, 8, true)
            ]
        );
    });
}

#[test]
fn a_lock_that_was_handed_over_with_a_switch_is_released_by_another() {
    let trace = [
        event(0, "t1", lock(Hold::Alone)),
        event(0, "t1", switch("t2")),
        event(0, "t2", lock(Hold::Released)),
    ];
    with_account(&trace, Verdict::Passed, |account| {
        assert_eq!(account.holds.len(), 1);
        assert!(!account.holds[0].at_end);
        assert_eq!(account.holds[0].end, 3);
    });
}

fn race(write: Order, read: Order) -> (Vec<TraceEvent>, Verdict) {
    let trace = vec![
        event(0, "t1", access(Kind::Write, Order::Relaxed, "data")),
        event(0, "t1", access(Kind::Store, write, "flag")),
        event(1, "t2", access(Kind::Load, read, "flag")),
        event(1, "t2", access(Kind::Read, Order::Relaxed, "data")),
    ];
    let failure = Failure {
        kind: FailureKind::DataRace,
        rule: "data-race".to_owned(),
        message: "read of data is not ordered".to_owned(),
        location: "kmod/src/data.rs:1".to_owned(),
        cpu: 1,
        context: "t2".to_owned(),
        sides: Some(Box::new(Sides {
            object: "data".to_owned(),
            later: "read",
            earlier: Side {
                what: "write",
                cpu: 0,
                context: "t1".to_owned(),
                location: "kmod/src/data.rs:1".to_owned(),
            },
        })),
    };
    (trace, Verdict::Failed(failure))
}

#[test]
fn of_a_race_it_is_told_which_ordering_is_missing() {
    for (write, read, expected) in [
        (
            Order::Relaxed,
            Order::Acquire,
            "flag would order them if the write were a release: t1 writes it after its access (kmod/src/flag.rs:1), t2 reads it \
             before its own (kmod/src/flag.rs:1)",
        ),
        (
            Order::Release,
            Order::Relaxed,
            "flag would order them if the read were an acquire: t1 writes it after its access (kmod/src/flag.rs:1), t2 reads it \
             before its own (kmod/src/flag.rs:1)",
        ),
    ] {
        let (trace, verdict) = race(write, read);
        with_account(&trace, verdict, |account| {
            let Some(ordering) = &account.ordering else {
                panic!("a race without an ordering")
            };
            assert_eq!((ordering.earlier, ordering.later), (Some(0), 3));
            assert_eq!(ordering_sentences(account, ordering), [expected]);
            let weights = account.moments.iter().map(|m| (m.event, m.weight));
            assert_eq!(
                Vec::from_iter(weights),
                [(0, Weight::Cause), (3, Weight::Break)]
            );
        });
    }
}

#[test]
fn of_a_race_without_any_bridge_that_is_told() {
    let (mut trace, verdict) = race(Order::Relaxed, Order::Relaxed);
    trace.remove(1);
    with_account(&trace, verdict, |account| {
        let Some(ordering) = &account.ordering else {
            panic!("a race without an ordering")
        };
        let sentences = ordering_sentences(account, ordering);
        assert_eq!(sentences.len(), 1);
        assert!(
            sentences[0].starts_with("nothing that t1 writes after its access is read by t2"),
            "{sentences:?}"
        );
    });
}

#[test]
fn a_run_that_passes_has_no_moments() {
    with_account(&[event(0, "t1", What::Wait)], Verdict::Passed, |account| {
        assert_eq!(account.moments, []);
        assert_eq!(account.ordering, None);
    });
}

fn verdict_of(failure: &Failure) -> String {
    with_account(&[], Verdict::Failed(failure.clone()), |account| {
        crate::report::verdict(account).to_string()
    })
}

#[test]
fn a_verdict_says_what_broke_in_what_who_found_it_and_where() {
    let mut failure = Failure {
        kind: FailureKind::Contract,
        rule: "xcall-early".to_owned(),
        message: "a\nb\n".to_owned(),
        location: "kmod/src/x.rs:1".to_owned(),
        cpu: 1,
        context: "r1".to_owned(),
        sides: None,
    };
    assert_eq!(
        verdict_of(&failure),
        "API CONTRACT xcall-early BROKEN in abba, no reordering needed\n  a\n  b\n  by r1 on cpu1, at kmod/src/x.rs:1\n"
    );
    failure.kind = FailureKind::DataRace;
    failure.rule = "data-race".to_owned();
    assert!(verdict_of(&failure).starts_with("DATA RACE in abba, "));
    failure.kind = FailureKind::UseAfterFree;
    failure.rule = "wild-access".to_owned();
    assert!(verdict_of(&failure).starts_with("USE AFTER FREE (wild-access) in abba, "));
    failure.kind = FailureKind::Oracle;
    failure.context = "idle/1".to_owned();
    let told = verdict_of(&failure);
    assert!(told.starts_with("SCENARIO ASSERTION wild-access FAILED in abba, "));
    let end = "  found by verify() at kmod/src/x.rs:1, after all threads exited\n";
    assert!(told.ends_with(end), "{told}");
    failure.rule = "idle-queue".to_owned();
    let told = verdict_of(&failure);
    let end = "  found at kmod/src/x.rs:1, when every CPU idled\n";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn what_an_lwp_is_does_not_depend_on_the_kernel_that_it_is_of() {
    for (name, role) in [
        ("idle/0", Role::Idle),
        ("b/idle/1", Role::Idle),
        ("b/softnet/0", Role::Softint),
        ("b/xcall/0", Role::Xcall),
        ("b/answerer", Role::Thread),
        ("b", Role::Thread),
    ] {
        assert_eq!(Role::of(name), role, "{name}");
    }
}

/// CPU 1 idles with something on its run queue; t1 has asked it to look, and then the rest of the trace happens.
fn forgotten(then: &[TraceEvent]) -> String {
    let mut trace = vec![
        event(0, "t1", access(Kind::Write, Order::Relaxed, "data")),
        event(
            0,
            "t1",
            access(Kind::Rmw, Order::Release, "cpu1.ci_want_resched"),
        ),
    ];
    trace.extend_from_slice(then);
    let failure = Failure {
        kind: FailureKind::Oracle,
        rule: "idle-queue".to_owned(),
        message: "t2 is on the run queue of cpu1".to_owned(),
        location: "kmod/src/x.rs:1".to_owned(),
        cpu: 1,
        context: "idle/1".to_owned(),
        sides: None,
    };
    with_account(&trace, Verdict::Failed(failure), |account| {
        crate::report::verdict(account).to_string()
    })
}

#[test]
fn a_cpu_that_was_asked_to_look_and_took_no_interrupt_misses_one() {
    let told = forgotten(&[]);
    assert!(
        told.starts_with("MISSING INTERRUPT to cpu1 in abba, "),
        "{told}"
    );
    let asked = "asked for by t1 on cpu0, at kmod/src/cpu1.ci_want_resched.rs:1 (step 0); cpu1 has taken no ipi since";
    assert!(told.contains(asked), "{told}");
}

#[test]
fn a_cpu_that_took_its_interrupt_and_did_not_look_misses_none() {
    let told = forgotten(&[event(1, "idle/1", What::Interrupt(Line::Ipi))]);
    assert!(
        told.starts_with("SCENARIO ASSERTION idle-queue FAILED in abba, "),
        "{told}"
    );
    assert!(told.contains("cpu1 took an ipi at step 0, which"), "{told}");
}
