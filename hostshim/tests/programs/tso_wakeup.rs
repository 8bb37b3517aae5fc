//! A lost wake-up that only store buffers show: the waker stores the condition, and looks whether anybody waits with a load that may
//! come first (as in Asterinas, issue 1497).

use hostshim::hunt::{Budget, Found, Hunt, Watch};
use hostshim::{FailureKind, MemoryModel};
use kmod::kern::condvar::Kcondvar;
use kmod::kern::lwp::Arg;
use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::Ipl;
use kmod::kernel::Kernel;
use kmod::mem::{Acquire, AtomicBool, AtomicU32, Plain, Relaxed, Release};
use kmod::scenario::classics::{free_data, shared};
use kmod::scenario::{FIXED, Kind, Scenario, actor, share};

struct World {
    condition: AtomicBool,
    wakers: AtomicU32,
    lock: Kmutex,
    queued: Plain<bool>,
    park: Kmutex,
    parked: Kcondvar,
    woken: Plain<bool>,
}

kmod::fields!(World {
    condition,
    wakers,
    lock,
    queued,
    park,
    parked,
    woken
});

fn begin(kernel: &'static Kernel, waker: fn(Arg)) {
    let world = share(
        "world",
        World {
            condition: AtomicBool::new(false),
            wakers: AtomicU32::new(0),
            lock: Kmutex::new("wakers", Ipl::Vm),
            queued: Plain::new(false),
            park: Kmutex::new("park", Ipl::None),
            parked: Kcondvar::new("parked"),
            woken: Plain::new(false),
        },
    );
    kmod::machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    actor(kernel, "waiter", 0, waiter, Arg::of(world));
    actor(kernel, "waker", 1, waker, Arg::of(world));
}

fn waiter(world: Arg) {
    let world: &World = shared(world);
    if world.condition.load(Acquire) {
        return;
    }
    world.lock.enter();
    world.queued.set(true);
    world.wakers.fetch_add(1, Acquire);
    world.lock.exit();
    if world.condition.load(Acquire) {
        return;
    }
    world.park.enter();
    while !world.woken.get() {
        world.parked.wait(&world.park);
    }
    world.park.exit();
}

/// Looks with a load, or with a read-modify-write, which comes after the store.
fn waker<const LOAD: bool>(world: Arg) {
    let world: &World = shared(world);
    world.condition.store(true, Relaxed);
    let waiters = match LOAD {
        true => world.wakers.load(Acquire),
        false => world.wakers.fetch_add(0, Release),
    };
    if waiters == 0 {
        return;
    }
    world.lock.enter();
    let queued = world.queued.replace(false);
    if queued {
        world.wakers.fetch_sub(1, Release);
    }
    world.lock.exit();
    if queued {
        world.park.enter();
        world.woken.set(true);
        world.parked.signal();
        world.park.exit();
    }
}

const SCENARIO: Scenario = Scenario {
    name: "wakeup",
    summary: "a waiter enqueues itself and looks at the condition; the waker sets it and looks whether anybody waits",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| begin(kernel, waker::<false>),
    verify: |_| {},
    teardown: free_data::<World>,
};

static MENDED: Scenario = SCENARIO;

static LOADS: Scenario = Scenario {
    name: "wakeup-load",
    setup: |kernel| begin(kernel, waker::<true>),
    ..SCENARIO
};

fn found(
    scenario: &'static Scenario,
    memory: MemoryModel,
    seed: u64,
    schedules: u64,
) -> Option<Found> {
    let hunt = Hunt {
        memory,
        seed,
        ..Hunt::new(scenario, &FIXED, Budget::Schedules(schedules))
    };
    match hunt.run(&Watch::default()) {
        Ok(hunted) => hunted.found,
        Err(failure) => panic!("it does not boot: {failure}"),
    }
}

#[test]
fn a_load_that_overtakes_the_store_loses_the_wakeup() {
    assert!(found(&LOADS, MemoryModel::Sc, 1, 10_000).is_none());
    for seed in 1..=20 {
        let found = found(&LOADS, MemoryModel::Tso, seed, 10_000);
        let found = found.unwrap_or_else(|| panic!("nothing found with seed {seed}"));
        println!("seed {seed}: schedule {}", found.run + 1);
        assert_eq!(found.failure.kind, FailureKind::Deadlock);
    }
}

#[test]
fn a_read_modify_write_does_not() {
    if let Some(found) = found(&MENDED, MemoryModel::Tso, 1, 20_000) {
        panic!("{}", found.failure);
    }
}
