//! Who has become runnable while the level was raised runs before `splx` returns, whichever CPU asked for it; and who waits for
//! the last passive reference is woken by its release, and not by the clock.

use core::sync::atomic::{AtomicBool, AtomicU32 as Count, Ordering};

use hostshim::hunt::{Budget, Hunt, Watch};
use kmod::kern::condvar::Kcondvar;
use kmod::kern::kthread::Options;
use kmod::kern::lwp::{Arg, curlwp, pri};
use kmod::kern::mutex::Kmutex;
use kmod::kern::psref::{Psref, PsrefClass, PsrefTarget, class_of};
use kmod::kern::spl::{self, Ipl};
use kmod::kern::{clock, ipi, kmem, synch};
use kmod::kernel::Kernel;
use kmod::mem::{Acquire, AtomicU32, Relaxed, Release, relax};
use kmod::scenario::classics::shared;
use kmod::scenario::{
    FIXED, Kind, Scenario, actor_options, actor_with, broken_promise, psref_class, share,
};

/// How often it is done.
const TIMES: u32 = 3;

struct World {
    lock: Kmutex,
    cv: Kcondvar,
    /// Under the lock: whether `urgent` waits to be told, and whether it was told.
    waits: AtomicU32,
    told: AtomicU32,
    /// How often `urgent` has run.
    ran: AtomicU32,
    /// How often another CPU was asked to tell it, and had an interrupt served behind that.
    asked: AtomicU32,
    served: AtomicU32,
    interrupt: AtomicU32,
    target: PsrefTarget,
}

impl World {
    fn new() -> World {
        World {
            lock: Kmutex::new("lock", Ipl::Vm),
            cv: Kcondvar::new("told"),
            waits: AtomicU32::new(0),
            told: AtomicU32::new(0),
            ran: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            served: AtomicU32::new(0),
            interrupt: AtomicU32::new(0),
            target: PsrefTarget::new(),
        }
    }
}

fn free(kernel: &'static Kernel) {
    let world: &'static World = shared(kernel.data());
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) the actors have ended.
    unsafe { kmem::kmem_free(world) };
}

const SCENARIO: Scenario = Scenario {
    name: "preempt-test",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 1,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: free,
};

/// Who takes part: a name, its CPU, its priority, and what it does.
type Part = (&'static str, usize, u8, fn(Arg));

fn begin(kernel: &'static Kernel, parts: &[Part]) {
    let world = share("world", World::new());
    kernel.set_data(Arg::of(world));
    for &(name, cpu, priority, part) in parts {
        let options = Options {
            cpu: Some(cpu),
            priority,
            ..actor_options()
        };
        actor_with(kernel, name, options, part, Arg::of(world));
    }
}

const URGENT: Part = ("urgent", 0, pri::KTHREAD, urgent);

/// Runs each time that it is told to.
fn urgent(world: Arg) {
    let world: &World = shared(world);
    for _ in 0..TIMES {
        world.lock.enter();
        world.waits.store(1, Relaxed);
        while world.told.load(Relaxed) == 0 {
            world.cv.wait(&world.lock);
        }
        world.told.store(0, Relaxed);
        world.lock.exit();
        world.ran.fetch_add(1, Relaxed);
    }
}

/// Tells `urgent` to run, as soon as it waits for that.
fn tell(world: &World) {
    world.lock.enter();
    while world.waits.load(Relaxed) == 0 {
        world.lock.exit();
        relax();
        synch::preempt_point();
        world.lock.enter();
    }
    world.waits.store(0, Relaxed);
    world.told.store(1, Relaxed);
    world.cv.signal();
    world.lock.exit();
}

/// `urgent` must have run `time` times.
fn must_have_run(world: &World, time: u32) {
    let ran = world.ran.load(Relaxed);
    if ran != time {
        broken_promise(
            "splx-preempts",
            format_args!("urgent has run {ran} times, and {time} times splx has let it run"),
        );
    }
}

/// Waits until `urgent` waits.
fn until_it_waits(world: &World) {
    while world.waits.load(Relaxed) == 0 {
        synch::kpause("test", 1, None);
    }
}

/// Wakes `urgent` itself.
fn raises(world: Arg) {
    let world: &World = shared(world);
    for time in 1..=TIMES {
        until_it_waits(world);
        let s = spl::splraise(Ipl::SoftClock);
        tell(world);
        must_have_run(world, time - 1);
        spl::splx(s);
        must_have_run(world, time);
    }
}

static LOCAL: Scenario = Scenario {
    setup: |kernel| begin(kernel, &[URGENT, ("raises", 0, pri::USER, raises)]),
    ..SCENARIO
};

/// Has another CPU wake `urgent`.
fn asks(world: Arg) {
    let served = |world| {
        shared::<World>(world).served.fetch_add(1, Release);
    };
    let number = ipi::ipi_register(served, world);
    let world: &World = shared(world);
    world.interrupt.store(number.unwrap_or(0), Relaxed);
    for time in 1..=TIMES {
        until_it_waits(world);
        let s = spl::splraise(Ipl::SoftClock);
        world.asked.store(time, Release);
        while world.served.load(Acquire) != time {
            relax();
        }
        must_have_run(world, time - 1);
        spl::splx(s);
        must_have_run(world, time);
    }
}

/// Wakes it, and sends an interrupt behind that for the scheduler.
fn tells(world: Arg) {
    let world: &World = shared(world);
    for time in 1..=TIMES {
        while world.asked.load(Acquire) != time {
            synch::kpause("test", 1, None);
        }
        tell(world);
        synch::kpreempt_disable();
        ipi::ipi_trigger(world.interrupt.load(Relaxed), curlwp().kernel().cpu(0));
        synch::kpreempt_enable();
    }
}

static REMOTE: Scenario = Scenario {
    min_cpus: 2,
    default_cpus: 2,
    setup: |kernel| {
        let asks = ("asks", 0, pri::USER, asks as fn(Arg));
        begin(kernel, &[URGENT, asks, ("tells", 1, pri::USER, tells)]);
    },
    ..SCENARIO
};

/// Over all schedules: whether destroyers have waited, and whether one was done without a tick of the clock.
static WAITED: Count = Count::new(0);
static WITHOUT_A_TICK: AtomicBool = AtomicBool::new(false);

fn class(world: &World) -> PsrefClass {
    match class_of(&world.target) {
        Some(class) => class,
        None => unreachable!("setup has said of which"),
    }
}

fn refers(world: Arg) {
    let world: &World = shared(world);
    let psref = Psref::new();
    let class = class(world);
    psref.acquire(&world.target, class);
    world.asked.store(1, Release);
    let waits = &curlwp().kernel().counters().psref_waits;
    while waits.count() == 0 {
        relax();
    }
    psref.release(&world.target, class);
    world.served.store(1, Release);
}

fn destroys(world: Arg) {
    let world: &World = shared(world);
    while world.asked.load(Acquire) == 0 {
        relax();
    }
    let (kernel, class) = (curlwp().kernel(), class(world));
    let begun = clock::getticks(kernel);
    world.target.destroy(class);
    WAITED.fetch_add(1, Ordering::Relaxed);
    if clock::getticks(kernel) == begun {
        WITHOUT_A_TICK.store(true, Ordering::Relaxed);
    }
    // The release may still be about to wake somebody who waits on the class.
    while world.served.load(Acquire) == 0 {
        relax();
    }
    // SAFETY: (1) it came from `psref_class`; (2) its only target has been destroyed, and the release has returned.
    unsafe { class.destroy() };
}

static WOKEN: Scenario = Scenario {
    min_cpus: 2,
    default_cpus: 2,
    setup: |kernel| {
        let refers = ("refers", 1, pri::USER, refers as fn(Arg));
        begin(kernel, &[refers, ("destroys", 0, pri::USER, destroys)]);
        let world: &World = shared(kernel.data());
        world.target.init(psref_class("refs", Ipl::SoftNet));
    },
    ..SCENARIO
};

fn holds(scenario: &'static Scenario) {
    let hunt = Hunt::new(scenario, &scenario.variants[0], Budget::Schedules(2000));
    let hunted = hunt
        .run(&Watch::default())
        .unwrap_or_else(|failure| panic!("it does not boot: {failure}"));
    if let Some(found) = hunted.found {
        panic!("{}", found.failure);
    }
}

#[test]
fn who_was_woken_at_a_raised_level_runs_before_splx_returns() {
    holds(&LOCAL);
}

#[test]
fn who_was_woken_by_another_cpu_at_a_raised_level_runs_before_splx_returns() {
    holds(&REMOTE);
}

#[test]
fn a_release_wakes_who_destroys_the_target() {
    holds(&WOKEN);
    assert!(WAITED.load(Ordering::Relaxed) > 0);
    assert!(
        WITHOUT_A_TICK.load(Ordering::Relaxed),
        "each waited for the clock"
    );
}
