//! The machine with the kernel in it.

use crate::registry::Registry;
use kmod::config::Config;
use kmod::scenario::{self, Scenario};

use super::super::{Setup, What};
use super::*;
use crate::strategy::{Portfolio, Replay};

fn setup(name: &str, variant: &str, ncpu: usize, trace: bool) -> Setup {
    let scenario: &'static Scenario = Registry::kmod().find(name).expect("a scenario");
    let variant = scenario.variant(variant).expect("a variant");
    let config = scenario.config(Config::small(ncpu), variant);
    Setup {
        scenario,
        config,
        trace,
    }
}

fn kernel(name: &str, variant: &str, ncpu: usize, trace: bool) -> Machine {
    let mut machine = Machine::new();
    machine
        .boot(&setup(name, variant, ncpu, trace))
        .expect("the kernel boots");
    machine
}

/// The first failing run of a portfolio.
fn first_failure(machine: &mut Machine, runs: u64) -> Option<(u64, Outcome)> {
    let mut strategy = Portfolio::new(1);
    let mut run = |number| (number, machine.run(&mut strategy, &Limits::default()));
    (0..runs)
        .map(&mut run)
        .find(|(_, outcome)| kind(outcome).is_some())
}

#[test]
fn the_early_count_is_found_and_replays_on_another_machine() {
    let mut machine = kernel("xcall-early-count", "historical", 2, false);
    let (_, outcome) = first_failure(&mut machine, 1000).expect("within 1000 schedules");
    assert_eq!(kind(&outcome), Some(FailureKind::Contract));
    assert_eq!(failure(&outcome).expect("a failure").rule, "xcall-early");
    let mut replay = Replay::new(machine.deviations().to_vec());
    let mut another = kernel("xcall-early-count", "historical", 2, true);
    assert_eq!(another.run(&mut replay, &Limits::default()), outcome);
    let trace = another.trace().to_vec();
    assert_eq!(another.run(&mut replay, &Limits::default()), outcome);
    for (event, before) in another.trace().iter().zip(&trace) {
        assert_eq!(event, before);
    }
    assert_eq!(another.trace().len(), trace.len());
}

#[test]
fn the_guest_goes_on_as_the_guest_after_every_hypercall_that_it_waits_in() {
    use super::super::side::in_guest;
    use kmod::kern::kthread::kthread_join;
    use kmod::kern::lwp::Arg;
    use kmod::kern::mutex::Kmutex;
    use kmod::kern::spl::Ipl;
    use kmod::kern::synch::kpause;

    crate::example::run(|| {
        let lock = Kmutex::new("lock", Ipl::None);
        let works = |lock: Arg| {
            let lock: &Kmutex = scenario::classics::shared(lock);
            for _ in 0..2 {
                lock.enter();
                assert!(in_guest());
                kpause("work", 1, None);
                assert!(in_guest());
                lock.exit();
            }
        };
        let other = crate::example::thread(works, Arg::of(&lock));
        works(Arg::of(&lock));
        kthread_join(other);
        assert!(in_guest());
    });
}

#[test]
fn who_spins_does_not_depend_on_whether_a_strategy_is_asked() {
    let mut machine = kernel("poll-list", "historical-bare", 2, false);
    let (_, outcome) = first_failure(&mut machine, 100).expect("within 100 schedules");
    let deviations = machine.deviations().to_vec();
    let mut left = deviations.iter().peekable();
    let mut asked = By(|view: &super::super::View<'_>| {
        let here = left.next_if(|deviation| deviation.point == view.point());
        crate::strategy::Answer {
            choice: here.map_or(view.default_choice(), |deviation| deviation.choice),
            quiet: 0,
        }
    });
    let mut another = kernel("poll-list", "historical-bare", 2, true);
    assert_eq!(another.run(&mut asked, &Limits::default()), outcome);
}

#[test]
fn a_deadlock_of_spinning_owners_is_named() {
    let mut machine = kernel("abba", "fixed", 2, false);
    let (_, outcome) = first_failure(&mut machine, 1000).expect("within 1000 schedules");
    let failure = failure(&outcome).expect("a failure");
    assert_eq!(failure.kind, FailureKind::Deadlock);
    assert!(failure.message.contains("cycle"), "{}", failure.message);
    assert_eq!(machine.waits().trim(), failure.message.trim());
}

#[test]
fn a_lost_wake_up_that_only_a_backstop_would_hide_is_a_deadlock() {
    let mut machine = kernel("note-scan", "historical", 2, false);
    let (_, outcome) = first_failure(&mut machine, 2000).expect("within 2000 schedules");
    let found = failure(&outcome).expect("a failure");
    assert_eq!(
        (found.kind, found.rule.as_str()),
        (FailureKind::Deadlock, "backstop")
    );
    let expected = "lost wake-up: acquirer sleeps on `knote`; nothing but a backstop can wake it\n\
                    acquirer on cpu0 sleeps on `knote` with a backstop\n";
    assert_eq!(found.message, expected);
}

#[test]
fn a_backstop_that_fires_before_a_late_wake_up_is_no_failure() {
    for (name, cpus) in [
        ("condvar-backstop", 2),
        ("condvar-backstop", 1),
        ("note-scan", 2),
    ] {
        let mut machine = kernel(name, "fixed", cpus, false);
        assert_eq!(first_failure(&mut machine, 3000), None, "{name}");
    }
}

#[test]
fn what_never_happened_in_any_run_is_known() {
    let mut machine = kernel("note-scan", "fixed", 2, false);
    let never = |machine: &Machine| machine.census().lines(1);
    machine.run(&mut Fair, &Limits::default());
    let after_one = never(&machine);
    // By the default nobody is held up.
    let nobody = "    nobody had to wait for: world.klist, world.kqueue".to_owned();
    assert!(after_one.contains(&nobody), "{after_one:?}");
    assert_eq!(first_failure(&mut machine, 1000), None);
    // The one who releases the note takes the lock of the queue alone.
    assert_eq!(
        never(&machine)[1..],
        ["    nobody had to wait for: world.klist"]
    );
}

#[test]
fn objects_have_the_kernels_names() {
    let mut machine = kernel("lost-update", "fixed", 2, true);
    assert_eq!(
        machine.run(&mut Fair, &Limits::default()).verdict,
        Verdict::Passed
    );
    let op = |kind, object: &str| {
        machine.trace().iter().any(|event| {
            matches!(&event.what, What::Op(op) if op.kind == kind && op.object == object)
                && event.context == "t1"
        })
    };
    assert!(op(machine::Kind::Load, "counter"));
    assert!(op(machine::Kind::Store, "counter"));
}

#[test]
fn every_number_of_cpus_boots_and_runs() {
    for ncpu in [1, 2, 3, 8, 16] {
        let mut machine = kernel("lost-update", "fixed", ncpu, false);
        for _ in 0..3 {
            let outcome = machine.run(&mut Fair, &Limits::default());
            assert_eq!(outcome.verdict, Verdict::Passed, "{ncpu} CPUs");
        }
    }
}

#[test]
fn machines_live_side_by_side_and_boot_again() {
    let mut one = kernel("lost-update", "fixed", 2, false);
    let mut two = kernel("abba", "fixed", 4, false);
    let limits = Limits::default();
    let first = (one.run(&mut Fair, &limits), two.run(&mut Fair, &limits));
    one.boot(&setup("abba", "fixed", 4, false))
        .expect("it boots again");
    two.boot(&setup("lost-update", "fixed", 2, false))
        .expect("it boots again");
    assert_eq!(
        (two.run(&mut Fair, &limits), one.run(&mut Fair, &limits)),
        first
    );
}

#[test]
fn many_runs_that_fail_cost_no_memory() {
    let mut machine = kernel("lost-update", "fixed", 2, false);
    let mut strategy = Portfolio::new(1);
    let mut run = |runs: u64| {
        (0..runs).for_each(|_| {
            machine.run(&mut strategy, &Limits::default());
        })
    };
    run(2_000);
    let before = resident_kilobytes();
    run(20_000);
    let grown = resident_kilobytes().saturating_sub(before);
    // Other tests of this process run at the same time: what a leak of one stack a failing run would be is far more.
    assert!(grown < 40_000, "{grown} KB more after 20000 runs");
}

fn resident_kilobytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// More threads, one after another, than there are stacks.
#[test]
fn the_lwp_and_the_stack_of_a_thread_that_ended_are_used_again() {
    use kmod::kern::kthread::kthread_join;
    use kmod::kern::lwp::Arg;
    crate::example::run(|| {
        for _ in 0..2 * super::super::memory::CONTEXTS {
            kthread_join(crate::example::thread(|_| {}, Arg::NONE));
        }
    });
}
