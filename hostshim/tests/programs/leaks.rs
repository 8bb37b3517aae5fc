//! What a scenario was given and does not give back is found in every run.

use hostshim::hunt::{Budget, Hunt, Watch};
use hostshim::{Failure, FailureKind};
use kmod::kern::intr;
use kmod::kern::lwp::{Arg, curcpu};
use kmod::kern::percpu::percpu_alloc;
use kmod::kern::softint;
use kmod::kern::spl::Ipl;
use kmod::mem::Plain;
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

const SCENARIO: Scenario = Scenario {
    name: "leak-test",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| actor(kernel, "one", 0, |_| {}, Arg::NONE),
    verify: |_| {},
    teardown: |_| {},
};

static NOTHING: Scenario = SCENARIO;

static MEMORY: Scenario = Scenario {
    setup: |kernel| {
        let forgets = |_| {
            share("forgotten", Plain::new(0));
        };
        actor(kernel, "forgets", 0, forgets, Arg::NONE);
    },
    ..SCENARIO
};

static PERCPU: Scenario = Scenario {
    setup: |kernel| {
        let forgets = |_| {
            let _forgotten = percpu_alloc::<Plain<u64>>();
        };
        actor(kernel, "forgets", 0, forgets, Arg::NONE);
    },
    ..SCENARIO
};

static SOFTINT: Scenario = Scenario {
    setup: |kernel| {
        let forgets = |_| {
            let _forgotten = softint::establish(Ipl::SoftNet, |_| {}, Arg::NONE);
        };
        actor(kernel, "forgets", 0, forgets, Arg::NONE);
    },
    ..SCENARIO
};

static INTERRUPT: Scenario = Scenario {
    setup: |kernel| {
        let forgets = |_| {
            let _forgotten = intr::establish(curcpu(), Ipl::Vm, |_| {}, Arg::NONE);
        };
        actor(kernel, "forgets", 0, forgets, Arg::NONE);
    },
    ..SCENARIO
};

/// How the first of ten runs fails.
fn fails(scenario: &'static Scenario) -> Option<Failure> {
    let hunt = Hunt::new(scenario, &scenario.variants[0], Budget::Schedules(10));
    let hunted = hunt
        .run(&Watch::default())
        .unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    hunted.found.map(|found| found.failure)
}

#[test]
fn who_gives_all_back_leaks_nothing() {
    assert_eq!(fails(&NOTHING), None);
}

#[test]
fn memory_that_is_not_freed_is_a_leak() {
    let failure = fails(&MEMORY).expect("a leak");
    assert_eq!(failure.kind, FailureKind::Leak);
    assert!(failure.message.contains("1 of forgotten"), "{failure}");
}

#[test]
fn percpu_storage_that_is_not_freed_is_a_leak() {
    let failure = fails(&PERCPU).expect("a leak");
    assert_eq!(failure.rule, "percpu-leak");
}

#[test]
fn a_softint_that_is_not_disestablished_is_a_leak() {
    let failure = fails(&SOFTINT).expect("a leak");
    assert_eq!(failure.rule, "softint-leak");
}

#[test]
fn an_interrupt_that_is_not_disestablished_is_a_leak() {
    let failure = fails(&INTERRUPT).expect("a leak");
    assert_eq!(failure.rule, "intr-leak");
}
