//! What is left when nothing more happens is a failure of its own, also if no assertion of the scenario notices.

use hostshim::hunt::{Budget, Hunt, Watch};
use kmod::config::Memory;
use kmod::kern::kthread::{Options, kthread_create, kthread_join};
use kmod::kern::lwp::{Arg, Lwp, curlwp};
use kmod::kernel::Kernel;
use kmod::scenario::{FIXED, Kind, Scenario, actor};

const SCENARIO: Scenario = Scenario {
    name: "rest-test",
    summary: "a thread makes another",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.memory = Memory::Given("its thread is what is tested"),
    setup: |kernel| begin(kernel, joins),
    verify: |_| {},
    teardown: |_| {},
};

fn begin(kernel: &'static Kernel, body: fn(Arg)) {
    actor(kernel, "maker", 0, body, Arg::NONE);
}

fn make(must_join: bool) -> &'static Lwp {
    let options = Options {
        must_join,
        begin_on: 1,
        ..Options::default()
    };
    let made = kthread_create(
        curlwp().kernel(),
        &options,
        |_| {},
        Arg::NONE,
        format_args!("made"),
    );
    made.unwrap_or_else(|| panic!("no memory"))
}

fn joins(_: Arg) {
    kthread_join(make(true));
    make(false);
}

fn forgets(_: Arg) {
    make(true);
}

static JOINS: Scenario = SCENARIO;

static FORGETS: Scenario = Scenario {
    setup: |kernel| begin(kernel, forgets),
    ..SCENARIO
};

/// The rule that the scenario breaks, and the message.
fn broken(scenario: &'static Scenario) -> Option<(String, String)> {
    let hunt = Hunt::new(scenario, &FIXED, Budget::Schedules(500));
    let hunted = hunt.run(&Watch::default());
    let hunted = hunted.unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    hunted
        .found
        .map(|found| (found.failure.rule, found.failure.message))
}

#[test]
fn a_thread_that_nobody_joins_is_told() {
    let (rule, message) = broken(&FORGETS).unwrap_or_else(|| panic!("it holds"));
    assert_eq!(rule, "thread-unjoined");
    assert!(message.starts_with("made has ended"), "{message}");
}

#[test]
fn threads_that_are_joined_or_need_not_be_are_right() {
    assert_eq!(broken(&JOINS), None);
}
