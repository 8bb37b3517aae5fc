//! Tests of sema(9): each unit is taken once, and nobody sleeps while there are units.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::sema::Sema;
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::{AcqRel, AtomicI32, AtomicU32, Relaxed};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Device;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// Slots, as units of a semaphore, and the number in use.
struct Pool {
    slots: Sema,
    in_use: AtomicI32,
    /// The most that were in use at a time.
    most: AtomicI32,
    /// What the device posts.
    arrived: Sema,
    device: Device,
    taken: AtomicU32,
}

crate::fields!(Pool {
    slots,
    in_use,
    most,
    arrived,
    device,
    taken
});

const SLOTS: i32 = 1;

/// Threads that share units, and a device that posts them.
pub static UNITS: Scenario = Scenario {
    name: "sema-units",
    summary: "threads share a slot, and wait for units that a device posts",
    about: "Two threads take a slot, as a unit of a semaphore, and return it: one waits for it, the other only \
            tries, and then waits at most a tick. There must never be more in use than exist. A third thread \
            raises the interrupt of a device and waits for the unit that its handler posts.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let pool = share(
            "pool",
            Pool {
                slots: Sema::new("slots", SLOTS as u32, Ipl::None),
                in_use: AtomicI32::new(0),
                most: AtomicI32::new(0),
                arrived: Sema::new("arrived", 0, Ipl::Vm),
                device: Device::new(),
                taken: AtomicU32::new(0),
            },
        );
        machine::label(pool, format_args!("pool"));
        let arg = Arg::of(pool);
        kernel.set_data(arg);
        let post = |pool| shared::<Pool>(pool).arrived.post();
        pool.device.establish(kernel, 1, Ipl::Vm, post, arg);
        actor(kernel, "patient", 0, wait, arg);
        actor(kernel, "hasty", 1, hurry, arg);
        actor(kernel, "asker", 2, ask, arg);
    },
    verify: |kernel| {
        let pool: &Pool = shared(kernel.data());
        let (most, taken) = (pool.most.peek(), pool.taken.peek());
        if most > SLOTS {
            broken_promise(
                "sema-slots",
                format_args!("{most} slots were in use at a time, but there are only {SLOTS}"),
            );
        }
        let left = pool.slots.value();
        if left != SLOTS as u32 {
            broken_promise(
                "sema-units",
                format_args!("all {SLOTS} slots were put back, but {left} are left"),
            );
        }
        let asked = kernel.config().repeat;
        if (taken, pool.arrived.value()) != (asked, 0) {
            broken_promise(
                "sema-posted",
                format_args!("{asked} units were posted, but {taken} taken"),
            );
        }
        pool.slots.destroy();
        pool.arrived.destroy();
    },
    teardown: |kernel| {
        shared::<Pool>(kernel.data()).device.disestablish(kernel);
        free_data::<Pool>(kernel);
    },
};

impl Pool {
    /// The caller has a slot.
    fn use_slot(&self) {
        let in_use = self.in_use.fetch_add(1, Relaxed) + 1;
        self.most.fetch_max(in_use, Relaxed);
        self.in_use.fetch_sub(1, Relaxed);
        self.slots.post();
    }
}

fn wait(pool: Arg) {
    let pool: &Pool = shared(pool);
    for _ in 0..curlwp().kernel().config().repeat {
        pool.slots.wait();
        pool.use_slot();
    }
}

fn hurry(pool: Arg) {
    let pool: &Pool = shared(pool);
    for _ in 0..curlwp().kernel().config().repeat {
        if pool.slots.trywait() || pool.slots.timedwait(1) {
            pool.use_slot();
        }
    }
}

fn ask(pool: Arg) {
    let pool: &Pool = shared(pool);
    for _ in 0..curlwp().kernel().config().repeat {
        pool.device.raise();
        pool.arrived.wait();
        pool.taken.fetch_add(1, AcqRel);
    }
}
