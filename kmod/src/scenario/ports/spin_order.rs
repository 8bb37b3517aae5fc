//! FreeBSD PR 261198: the spin locks of the callouts and of the scheduler are taken in both orders.

use super::{OLD, historical, start};
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

struct World {
    callout: Kmutex,
    sched: Kmutex,
    switches: Plain<u32>,
    timeouts: Plain<u32>,
}

crate::fields!(World {
    callout,
    sched,
    switches,
    timeouts
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "spin-order",
    summary: "a thread is woken while the callout thread goes to sleep",
    about: "One thread goes to sleep with the lock of the callouts held, and takes the lock of the scheduler for \
            that. The other wakes a thread under the lock of the scheduler, and stops its timeout, which takes \
            the lock of the callouts.",
    variants: &[
        FIXED,
        historical("the timeout is stopped with the lock of the scheduler held"),
    ],
    min_cpus: 2,
    setup: |kernel| {
        let world = World {
            callout: Kmutex::new("callout", Ipl::High),
            sched: Kmutex::new("sched", Ipl::High),
            switches: Plain::new(0),
            timeouts: Plain::new(0),
        };
        start(
            kernel,
            "world",
            world,
            &[("softclock", 0, sleep), ("waker", 1, wake)],
        );
    },
    teardown: free_data::<World>,
    ..PORTED
};

fn sleep(world: Arg) {
    let world: &World = shared(world);
    world.callout.enter();
    world.sched.enter();
    world.switches.set(1);
    world.sched.exit();
    world.callout.exit();
}

fn wake(world: Arg) {
    let world: &World = shared(world);
    world.sched.enter();
    if !runs(OLD) {
        world.sched.exit();
    }
    world.callout.enter();
    world.timeouts.set(1);
    world.callout.exit();
    if runs(OLD) {
        world.sched.exit();
    }
}
