//! mOS issue 4: a spin lock is taken with interrupts on, and an interrupt handler tries to take it on the same CPU.

use super::{OLD, historical, start};
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Device;
use crate::scenario::{FIXED, PORTED, Scenario, broken_promise, runs};

struct World {
    device: Device,
    unmasked: Kmutex,
    runqueue: Kmutex,
    committed: Plain<u32>,
}

crate::fields!(World {
    device,
    unmasked,
    runqueue,
    committed
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "runqueue-interrupt",
    summary: "a thread and the handler of a device change a run queue",
    about: "A thread takes the lock of a run queue. A device interrupts its CPU, and the handler also takes the \
            lock.",
    variants: &[
        FIXED,
        historical(
            "the lock does not mask the interrupt: the handler spins for what its own CPU holds",
        ),
    ],
    setup: |kernel| {
        let world = World {
            device: Device::new(),
            unmasked: Kmutex::new("runqueue", Ipl::Vm),
            runqueue: Kmutex::new("runqueue", Ipl::Sched),
            committed: Plain::new(0),
        };
        let raise = |world| shared::<World>(world).device.raise();
        let world = start(
            kernel,
            "world",
            world,
            &[("exiter", 0, commit), ("raiser", 1, raise)],
        );
        world
            .device
            .establish(kernel, 0, Ipl::Sched, commit, Arg::of(world));
    },
    verify: |kernel| {
        let committed = shared::<World>(kernel.data()).committed.peek();
        if committed != 2 {
            broken_promise(
                "runqueue-committed",
                format_args!("the thread and the handler added 1 to 0, and it is {committed}"),
            );
        }
    },
    teardown: |kernel| {
        shared::<World>(kernel.data()).device.disestablish(kernel);
        free_data::<World>(kernel);
    },
    ..PORTED
};

fn commit(world: Arg) {
    let world: &World = shared(world);
    let lock = match runs(OLD) {
        true => &world.unmasked,
        false => &world.runqueue,
    };
    lock.enter();
    world.committed.set(world.committed.get() + 1);
    lock.exit();
}
