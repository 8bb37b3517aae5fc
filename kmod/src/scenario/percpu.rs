//! Tests of percpu(9): data that moves while it is used.

use crate::kern::cpu::Cpu;
use crate::kern::kmem::kmem_free;
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::percpu::{Percpu, PercpuData, percpu_alloc, percpu_create};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kern::xcall::Priority;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicI64, AtomicU32, Local, Plain, Relaxed, Release};
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// Threads and softints use per-CPU data, while other threads cause it to move.
pub static MOVES: Scenario = Scenario {
    name: "percpu-moves",
    summary: "threads and softints count in per-CPU data that moves",
    about: "Two threads add to the data of their current CPU and schedule a softint elsewhere, which also adds. \
            Two more allocate, so the buffers grow and the data is moved. Nothing may be lost, every access must \
            find the data of the right CPU, and new storage must be zero.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.percpu_import_words = 2,
    setup: setup_moves,
    verify: verify_moves,
    teardown,
};

/// The data of each CPU.
struct Counts {
    /// The number of the CPU.
    owner: Plain<u64>,
    by_threads: Plain<i64>,
    by_softints: Plain<i64>,
    /// For readers on other CPUs.
    visible: AtomicI64,
}

crate::fields!(Counts {
    owner,
    by_threads,
    by_softints,
    visible
});

// SAFETY: (1) zero is a value of all; (2) four cells of eight bytes; (3) nothing points at them.
unsafe impl PercpuData for Counts {}

impl Counts {
    /// Checks the data of the current CPU, or of `ci`.
    fn check(&self, ci: &Cpu) {
        let owner = self.owner.get();
        if owner != ci.index() as u64 {
            broken_promise(
                "percpu-owner",
                format_args!(
                    "{} got the data of cpu{owner} as that of cpu{}",
                    curlwp().name(),
                    ci.index()
                ),
            );
        }
    }
}

struct World {
    counts: Local<Option<Percpu<Counts>>>,
    softint: Local<Option<Softint>>,
    /// The amount added, by threads and by softints.
    added: AtomicU32,
    ran: AtomicU32,
    destroyed: AtomicU32,
}

crate::fields!(World {
    counts,
    softint,
    added,
    ran,
    destroyed
});

impl World {
    fn counts(&self) -> Percpu<Counts> {
        match self.counts.get() {
            Some(counts) => counts,
            None => unreachable!("setup allocated it"),
        }
    }
}

fn setup(kernel: &'static Kernel) -> &'static World {
    let world = share(
        "world",
        World {
            counts: Local::new(None),
            softint: Local::new(None),
            added: AtomicU32::new(0),
            ran: AtomicU32::new(0),
            destroyed: AtomicU32::new(0),
        },
    );
    machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    let ctor = |counts: &Counts, _, ci: &'static Cpu| counts.owner.set(ci.index() as u64);
    let dtor = |counts: &Counts, world: Arg, ci: &'static Cpu| {
        counts.check(ci);
        shared::<World>(world).destroyed.fetch_add(1, Relaxed);
    };
    world
        .counts
        .set(percpu_create(ctor, Some(dtor), Arg::of(world)));
    world.counts().label("counts");
    world
}

fn teardown(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    if let Some(softint) = world.softint.get() {
        softint::disestablish_at_rest(kernel, softint);
    }
    world.counts().free_at_rest();
    let destroyed = world.destroyed.peek() as usize;
    if destroyed != kernel.cpus().len() {
        broken_promise(
            "percpu-dtor",
            format_args!(
                "the destructor ran for {destroyed} of {} CPUs",
                kernel.cpus().len()
            ),
        );
    }
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) all actors have come to their end.
    unsafe { kmem_free(shared::<World>(kernel.data())) };
}

fn setup_moves(kernel: &'static Kernel) {
    let world = setup(kernel);
    world.softint.set(softint::establish_at_boot(
        kernel.cpus(),
        Ipl::SoftNet,
        count_in_softint,
        Arg::of(world),
    ));
    actor(kernel, "user0", 0, count_in_thread, Arg::of(world));
    actor(kernel, "user1", 1, count_in_thread, Arg::of(world));
    actor(kernel, "grower0", 0, grow, Arg::NONE);
    actor(kernel, "grower1", 1, grow, Arg::NONE);
}

fn count_in_thread(world: Arg) {
    let world: &World = shared(world);
    let percpu = world.counts();
    let cpus = curlwp().kernel().cpus();
    for round in 0..2 * curlwp().kernel().config().repeat as usize {
        let counts = percpu.getref();
        counts.check(curcpu());
        counts.by_threads.set(counts.by_threads.get() + 1);
        if let Some(softint) = world.softint.get() {
            softint::schedule_cpu(softint, &cpus[round % cpus.len()]);
        }
        percpu.putref();
        world.added.fetch_add(1, Relaxed);
    }
}

fn count_in_softint(world: Arg) {
    let world: &World = shared(world);
    let percpu = world.counts();
    let counts = percpu.getref();
    counts.check(curcpu());
    counts.by_softints.set(counts.by_softints.get() + 1);
    percpu.putref();
    world.ran.fetch_add(1, Relaxed);
}

/// Three words: more than is added at a time, so that some remain.
pub(super) struct Fresh([Plain<i64>; 3]);

// SAFETY: (1) zero is a value of all; (2) cells of eight bytes; (3) nothing points at them.
unsafe impl PercpuData for Fresh {}

fn grow(_: Arg) {
    for _ in 0..curlwp().kernel().config().repeat {
        let kept = allocate();
        // A single word may be what remains of another allocation's growth.
        if let Some(word) = percpu_alloc::<Plain<i64>>() {
            word.foreach(check_fresh);
            word.free();
        }
        if let Some(second) = allocate() {
            second.free();
        }
        if let Some(kept) = kept {
            kept.free();
        }
    }
}

/// Allocates storage, checks that it is zero, and fills it.
pub(super) fn allocate() -> Option<Percpu<Fresh>> {
    let percpu = percpu_alloc::<Fresh>()?;
    percpu.foreach(|fresh, ci| fresh.0.iter().for_each(|word| check_fresh(word, ci)));
    Some(percpu)
}

fn check_fresh(word: &Plain<i64>, ci: &Cpu) {
    let value = word.get();
    if value != 0 {
        broken_promise(
            "percpu-zero",
            format_args!("fresh storage of cpu{} begins with {value}", ci.index()),
        );
    }
    word.set(-1);
}

fn verify_moves(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    let counts = world.counts();
    let (mut by_threads, mut by_softints) = (0, 0);
    for ci in kernel.cpus() {
        let counts = counts.peek(ci);
        counts.check(ci);
        by_threads += counts.by_threads.peek();
        by_softints += counts.by_softints.peek();
    }
    let (added, ran) = (i64::from(world.added.peek()), i64::from(world.ran.peek()));
    if (by_threads, by_softints) != (added, ran) {
        broken_promise(
            "percpu-lost",
            format_args!(
                "threads added {added} and softints {ran}; the CPUs have {by_threads} and {by_softints}"
            ),
        );
    }
}

/// A thread reads the data of all CPUs while it is used and moved.
pub static FOREACH: Scenario = Scenario {
    name: "percpu-foreach",
    summary: "a thread adds up the data of all CPUs, while they count and the data moves",
    about: "Two threads repeatedly add 1 to the data of their current CPU. A third adds up: with percpu_foreach, \
            from its own CPU, and with percpu_foreach_xcall, by cross calls of both priorities. Each must visit \
            every CPU once, find the data of that CPU, and return at least what had been added before it began. \
            A fourth allocates, so the data moves.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.percpu_import_words = 2,
    setup: |kernel| {
        let world = setup(kernel);
        actor(kernel, "adder0", 0, add, Arg::of(world));
        actor(kernel, "adder1", 1, add, Arg::of(world));
        actor(kernel, "reader", 1, read, Arg::of(world));
        actor(kernel, "grower", 0, grow, Arg::NONE);
    },
    verify: |kernel| {
        let world: &World = shared(kernel.data());
        let counts = world.counts();
        let sum: i64 = kernel
            .cpus()
            .iter()
            .map(|ci| counts.peek(ci).visible.peek())
            .sum();
        check_sum(world, sum, sum);
    },
    teardown,
};

const ADDS: u32 = 3;

fn add(world: Arg) {
    let world: &World = shared(world);
    let percpu = world.counts();
    for _ in 0..ADDS * curlwp().kernel().config().repeat {
        let counts = percpu.getref();
        counts.check(curcpu());
        counts.visible.fetch_add(1, Relaxed);
        percpu.putref();
        world.added.fetch_add(1, Release);
    }
}

/// Checks a sum that was formed after `before` had been added.
fn check_sum(world: &World, before: i64, sum: i64) {
    let most = i64::from(2 * ADDS * curlwp().kernel().config().repeat);
    let added = i64::from(world.added.peek());
    // Each thread may have added once without having recorded it.
    if sum < before || sum > (added + 2).min(most) {
        broken_promise(
            "percpu-sum",
            format_args!("the sum is {sum}, but {before} had been added before and {added} after"),
        );
    }
}

fn read(world: Arg) {
    let world: &World = shared(world);
    for _ in 0..curlwp().kernel().config().repeat {
        sum_from_here(world);
        for priority in [Priority::Low, Priority::High(Ipl::SoftBio)] {
            sum_by_xcall(world, priority);
        }
    }
}

fn sum_from_here(world: &World) {
    let before = i64::from(world.added.load(Acquire));
    let (mut sum, mut next) = (0, 0);
    world.counts().foreach(|counts, ci| {
        counts.check(ci);
        if ci.index() != next {
            broken_promise(
                "percpu-foreach",
                format_args!(
                    "cpu{} was visited when it was the turn of cpu{next}",
                    ci.index()
                ),
            );
        }
        next += 1;
        sum += counts.visible.load(Relaxed);
    });
    check_visits(next);
    check_sum(world, before, sum);
}

/// The results of a cross call's visits.
struct Visits {
    sum: Plain<i64>,
    visits: Plain<usize>,
}

crate::fields!(Visits { sum, visits });

fn sum_by_xcall(world: &World, priority: Priority) {
    let visits = share(
        "visits",
        Visits {
            sum: Plain::new(0),
            visits: Plain::new(0),
        },
    );
    let before = i64::from(world.added.load(Acquire));
    let called = world
        .counts()
        .foreach_xcall(priority, visit, Arg::of(visits));
    if called.is_some() {
        check_visits(visits.visits.get());
        check_sum(world, before, visits.sum.get());
    }
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) all cross calls have returned.
    unsafe { kmem_free(visits) };
}

/// On each CPU, one after another.
fn visit(counts: &Counts, visits: Arg, ci: &'static Cpu) {
    counts.check(ci);
    if !core::ptr::eq(ci, curcpu()) || !synch::kpreempt_disabled() {
        broken_promise(
            "percpu-foreach",
            format_args!("cpu{} was visited by cpu{}", ci.index(), curcpu().index()),
        );
    }
    let visits: &Visits = shared(visits);
    visits
        .sum
        .set(visits.sum.get() + counts.visible.load(Relaxed));
    visits.visits.set(visits.visits.get() + 1);
}

fn check_visits(visits: usize) {
    let cpus = curlwp().kernel().cpus().len();
    if visits != cpus {
        broken_promise(
            "percpu-foreach",
            format_args!("{visits} CPUs of {cpus} were visited"),
        );
    }
}
