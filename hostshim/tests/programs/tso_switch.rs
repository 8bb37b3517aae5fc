//! What a context switch orders (PR kern/57240): the LWP that runs next may exit a mutex, with a load and a store. A waiter that has
//! set its bit in the mutex between these two looks whether the owner runs, and must see that it does.

use hostshim::hunt::{Budget, Found, Hunt, Watch};
use hostshim::minimize::Effort;
use hostshim::replay::LIMITS;
use hostshim::{FailureKind, MemoryModel};
use kmod::history::{Bug, History};
use kmod::kern::lwp::Arg;
use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::Ipl;
use kmod::kern::synch;
use kmod::kernel::Kernel;
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::{FIXED, Kind, Scenario, Variant, actor, share};

struct World {
    mutex: Kmutex,
}

kmod::fields!(World { mutex });

/// Yields with the mutex held: when it goes on, it exits the mutex soon.
fn holder(world: Arg) {
    let world: &World = shared(world);
    for _ in 0..2 {
        world.mutex.enter();
        synch::yield_now();
        world.mutex.exit();
    }
}

fn other(_: Arg) {
    for _ in 0..3 {
        synch::yield_now();
    }
}

fn waiter(world: Arg) {
    let world: &World = shared(world);
    world.mutex.enter();
    world.mutex.exit();
}

fn begin(kernel: &'static Kernel) {
    let world = share(
        "world",
        World {
            mutex: Kmutex::new("mutex", Ipl::None),
        },
    );
    kmod::machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    actor(kernel, "holder", 0, holder, Arg::of(world));
    actor(kernel, "other", 0, other, Arg::of(world));
    actor(kernel, "waiter", 1, waiter, Arg::of(world));
}

const OLD: Variant = Variant {
    name: "historical",
    summary: "nothing orders what mi_switch stores before what the next LWP loads",
    history: History::NONE.with(Bug::SwitchCurlwp),
    fails: true,
    ..FIXED
};

static SCENARIO: Scenario = Scenario {
    name: "switch-mutex",
    summary: "a thread yields with a mutex held, and exits it when it goes on; another waits for it",
    about: "",
    variants: &[FIXED, OLD],
    min_cpus: 2,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: begin,
    verify: |_| {},
    teardown: free_data::<World>,
};

fn hunt(variant: &'static Variant, memory: MemoryModel, schedules: u64) -> Hunt {
    Hunt {
        memory,
        ..Hunt::new(&SCENARIO, variant, Budget::Schedules(schedules))
    }
}

fn run(hunt: &Hunt) -> Option<Found> {
    match hunt.run(&Watch::default()) {
        Ok(hunted) => hunted.found,
        Err(failure) => panic!("it does not boot: {failure}"),
    }
}

#[test]
fn a_switch_without_a_barrier_leaves_a_waiter_asleep() {
    assert!(run(&hunt(&SCENARIO.variants[1], MemoryModel::Sc, 20_000)).is_none());
    let hunt = hunt(&SCENARIO.variants[1], MemoryModel::Tso, 100_000);
    let found = run(&hunt).expect("it is found");
    println!("schedule {}", found.run + 1);
    assert_eq!(found.failure.kind, FailureKind::Deadlock);
    let captured = hunt.catch(&found).capture(&LIMITS, Effort::default());
    let captured = captured.unwrap_or_else(|error| panic!("{error}"));
    println!("{}\n{}", captured.file, captured.report);
}

#[test]
fn a_switch_with_one_does_not() {
    if let Some(found) = run(&hunt(&SCENARIO.variants[0], MemoryModel::Tso, 30_000)) {
        panic!("{}", found.failure);
    }
}
