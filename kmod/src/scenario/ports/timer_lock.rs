//! OSv issue 287: the lock of all timers is held while the mutex of one timer is taken for its handler.

use super::{OLD, historical, start};
use crate::kern::callout::Callout;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

struct World {
    timers: Kmutex,
    syncache: Kmutex,
    callout: Callout,
    due: Plain<u32>,
    entries: Plain<u32>,
}

crate::fields!(World {
    timers,
    syncache,
    callout,
    due,
    entries
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "timer-lock",
    summary: "a timer that is about to fire is armed again under the mutex of its handler",
    about: "A layer of timers keeps its list under a lock, and takes the mutex that belongs to a timer before it calls \
            the handler. A thread arms the timer again with that mutex held.",
    variants: &[
        FIXED,
        historical("the lock of the list is held while the mutex of the handler is taken"),
    ],
    setup: |kernel| {
        let world = World {
            timers: Kmutex::new("timers", Ipl::SoftClock),
            syncache: Kmutex::new("syncache", Ipl::SoftClock),
            callout: Callout::new(),
            due: Plain::new(0),
            entries: Plain::new(0),
        };
        let world = start(kernel, "world", world, &[("input", 1, input)]);
        world.callout.init(kernel.cpu(0));
    },
    teardown: free_data::<World>,
    ..PORTED
};

fn dispatch(world: Arg) {
    let world: &World = shared(world);
    world.timers.enter();
    world.due.set(0);
    if !runs(OLD) {
        world.timers.exit();
    }
    world.syncache.enter();
    world.entries.set(world.entries.get() + 1);
    world.syncache.exit();
    if runs(OLD) {
        world.timers.exit();
    }
}

fn input(at: Arg) {
    let world: &World = shared(at);
    for _ in 0..2 {
        world.syncache.enter();
        world.timers.enter();
        world.due.set(1);
        world.callout.reset(1, dispatch, at);
        world.timers.exit();
        world.syncache.exit();
    }
    world.callout.halt(None);
    world.callout.destroy();
}
