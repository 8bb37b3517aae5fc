//! Asterinas issue 565: a waiter clears, when it begins to wait, the flag that says it was woken.

use super::{OLD, historical, start};
use crate::kern::callout::Callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::{Acquire, AtomicBool, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

struct World {
    timer: Callout,
    expired: AtomicBool,
    condition: AtomicBool,
    woken: AtomicBool,
    lock: Kmutex,
    parked: Kcondvar,
}

crate::fields!(World {
    timer,
    expired,
    condition,
    woken,
    lock,
    parked
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "waiter-forgets",
    summary: "a thread waits for a condition or a timer, on its own wait queue",
    about: "A thread arms a timer, and waits until a condition holds or the timer has expired. Either wakes it, \
            and a flag says that it was woken.",
    variants: &[
        FIXED,
        historical("the flag is cleared when the wait begins, and not when it has ended"),
    ],
    setup: |kernel| {
        let world = World {
            timer: Callout::new(),
            expired: AtomicBool::new(false),
            condition: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            lock: Kmutex::new("park", Ipl::SoftClock),
            parked: Kcondvar::new("parked"),
        };
        let world = start(kernel, "world", world, &[("waiter", 1, wait)]);
        world.timer.init(kernel.cpu(0));
    },
    teardown: free_data::<World>,
    ..PORTED
};

impl World {
    fn wake(&self) {
        self.lock.enter();
        self.woken.store(true, Release);
        self.parked.signal();
        self.lock.exit();
    }

    fn park(&self) {
        if runs(OLD) {
            self.woken.store(false, Release);
        }
        self.lock.enter();
        while !self.woken.load(Acquire) {
            self.parked.wait(&self.lock);
        }
        self.lock.exit();
        if !runs(OLD) {
            self.woken.store(false, Release);
        }
    }
}

fn expire(world: Arg) {
    let world: &World = shared(world);
    world.expired.store(true, Release);
    world.wake();
}

fn wait(at: Arg) {
    let world: &World = shared(at);
    world.timer.reset(1, expire, at);
    while !world.condition.load(Acquire) && !world.expired.load(Acquire) {
        world.park();
    }
    world.timer.halt(None);
    world.timer.destroy();
}
