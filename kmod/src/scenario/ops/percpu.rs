//! The operations of percpu(9): per-CPU counts that move because the programs allocate.

use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::percpu::{Percpu, PercpuData, percpu_create};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kern::xcall::Priority;
use crate::kernel::Kernel;
use crate::mem::{Acquire, AtomicI64, AtomicU32, Local, Plain, Relaxed, Release};
use crate::scenario::broken_promise;
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::ops::world::World;
use crate::scenario::percpu::{Fresh, allocate};

/// The counters: threads, and the softints of each level, which interrupt each other.
const COUNTERS: usize = 5;

/// The data of each CPU.
pub(super) struct Counts {
    owner: Plain<u64>,
    counts: [Plain<i64>; COUNTERS],
    /// What threads added, for readers on other CPUs.
    visible: AtomicI64,
}

// SAFETY: (1) zero is a value of all; (2) cells of eight bytes; (3) nothing points at them.
unsafe impl PercpuData for Counts {}

impl Counts {
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

fn construct(counts: &Counts, _: Arg, ci: &'static Cpu) {
    counts.owner.set(ci.index() as u64);
}

/// The per-CPU data of the world.
pub(super) struct Percpus {
    counts: Local<Option<Percpu<Counts>>>,
    counted: [AtomicU32; COUNTERS],
}

crate::fields!(Percpus { counts, counted });

impl Percpus {
    pub(super) const fn new() -> Self {
        Percpus {
            counts: Local::new(None),
            counted: [const { AtomicU32::new(0) }; COUNTERS],
        }
    }

    pub(super) fn establish(&self) {
        self.counts.set(percpu_create(construct, None, Arg::NONE));
    }

    pub(super) fn disestablish(&self) {
        if let Some(percpu) = self.counts.get() {
            percpu.free_at_rest();
        }
    }

    /// Counts at a level: `Ipl::None` for threads.
    pub(super) fn count(&self, level: Ipl) {
        let Some(percpu) = self.counts.get() else {
            return;
        };
        let counts = percpu.getref();
        counts.check(curcpu());
        let count = &counts.counts[level as usize];
        count.set(count.get() + 1);
        if level == Ipl::None {
            counts.visible.fetch_add(1, Relaxed);
        }
        percpu.putref();
        self.counted[level as usize].fetch_add(1, Release);
    }

    pub(super) fn verify(&self, kernel: &'static Kernel) {
        let Some(percpu) = self.counts.get() else {
            return;
        };
        for (level, counted) in self.counted.iter().enumerate() {
            let there: i64 = kernel
                .cpus()
                .iter()
                .map(|ci| percpu.peek(ci).counts[level].peek())
                .sum();
            let counted = i64::from(counted.peek());
            if there != counted {
                broken_promise(
                    "percpu-lost",
                    format_args!(
                        "at level {} was counted {counted} times, and the CPUs have {there}",
                        Ipl::from_number(level as u8).name()
                    ),
                );
            }
        }
    }
}

/// Storage allocated by an LWP.
const HELD: usize = 2;

/// The storage of an LWP.
pub(super) struct Held {
    storage: [Option<Percpu<Fresh>>; HELD],
}

impl Held {
    pub(super) const fn new() -> Self {
        Held {
            storage: [None; HELD],
        }
    }
}

pub(super) fn add(actor: &mut Actor, _: [u8; 2]) {
    actor.world.percpus.count(Ipl::None);
}

pub(super) fn alloc(actor: &mut Actor, _: [u8; 2]) {
    let free = actor.percpus.storage.iter_mut().find(|s| s.is_none());
    if let Some(place) = free {
        *place = allocate();
    }
}

pub(super) fn free(actor: &mut Actor, _: [u8; 2]) {
    let last = actor
        .percpus
        .storage
        .iter_mut()
        .rev()
        .find_map(Option::take);
    if let Some(percpu) = last {
        percpu.free();
    }
}

pub(super) fn foreach(actor: &mut Actor, _: [u8; 2]) {
    let percpus = &actor.world.percpus;
    let Some(percpu) = percpus.counts.get() else {
        return;
    };
    let before = i64::from(percpus.counted[0].load(Acquire));
    let (mut visits, mut sum) = (0, 0);
    percpu.foreach(|counts, ci| {
        counts.check(ci);
        visits += 1;
        sum += counts.visible.load(Relaxed);
    });
    if visits != curlwp().kernel().cpus().len() || sum < before {
        broken_promise(
            "percpu-sum",
            format_args!("{visits} CPUs have {sum}, and {before} were counted before"),
        );
    }
}

pub(super) fn foreach_xcall(actor: &mut Actor, [level, _]: [u8; 2]) {
    let visits = &actor.world.percpus;
    if let Some(percpu) = visits.counts.get() {
        let priority = Priority::High(Ipl::from_number(level));
        // Without memory for the request nothing is called, which is allowed.
        let _called = percpu.foreach_xcall(priority, visit, Arg::NONE);
    }
}

fn visit(counts: &Counts, _: Arg, ci: &'static Cpu) {
    counts.check(ci);
    if !core::ptr::eq(ci, curcpu()) || !synch::kpreempt_disabled() {
        broken_promise(
            "percpu-foreach",
            format_args!("cpu{} was visited by cpu{}", ci.index(), curcpu().index()),
        );
    }
}

/// Frees what an LWP allocated.
pub(super) fn end(actor: &mut Actor) {
    for _ in 0..HELD {
        free(actor, [0; 2]);
    }
}

/// The part of a softint.
pub(super) fn softint(world: &World, level: Ipl) {
    world.percpus.count(level);
}
