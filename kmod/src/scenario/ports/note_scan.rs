//! OpenBSD's kqueue in 2021: who waits for a note misses the wake-up between two locks, and a timeout hides it.

use super::{OLD, historical, start};
use crate::history::Own;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, Variant, runs};

/// The sleep has no timeout.
const FOREVER: Own = Own::piece(1);

struct World {
    /// Protects the list that the notes are on.
    klist: Kmutex,
    /// Protects the queue that the notes belong to, and their state.
    kqueue: Kmutex,
    released: Kcondvar,
    processing: Plain<bool>,
}

crate::fields!(World {
    klist,
    kqueue,
    released,
    processing
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "note-scan",
    summary: "a thread waits for a note that another thread processes",
    about: "A thread that wants a note which is being processed sleeps until it is released. It holds the lock of the list \
            and the lock of the queue, and the one who releases the note takes the lock of the queue alone. The sleep has a \
            timeout, as a safety net.",
    variants: &[
        FIXED,
        historical("it sleeps with the lock of the list, and leaves that of the queue before"),
        Variant {
            name: "historical-forever",
            summary: "the same, without the timeout",
            own: OLD.with(FOREVER),
            fails: true,
            ..FIXED
        },
    ],
    setup: |kernel| {
        let world = World {
            klist: Kmutex::new("klist", Ipl::None),
            kqueue: Kmutex::new("kqueue", Ipl::None),
            released: Kcondvar::new("knote"),
            processing: Plain::new(true),
        };
        start(
            kernel,
            "world",
            world,
            &[("acquirer", 0, acquire), ("releaser", 1, release)],
        );
    },
    teardown: free_data::<World>,
    ..PORTED
};

impl World {
    fn sleep(&self, interlock: &Kmutex) {
        if runs(FOREVER) {
            self.released.wait(interlock);
        } else {
            self.released.timedwait_backstop(interlock, 3);
        }
    }
}

fn acquire(world: Arg) {
    let world: &World = shared(world);
    world.klist.enter();
    world.kqueue.enter();
    while world.processing.get() {
        if runs(OLD) {
            world.kqueue.exit();
            world.sleep(&world.klist);
            world.kqueue.enter();
        } else {
            world.klist.exit();
            world.sleep(&world.kqueue);
            world.kqueue.exit();
            world.klist.enter();
            world.kqueue.enter();
        }
    }
    world.kqueue.exit();
    world.klist.exit();
}

fn release(world: Arg) {
    let world: &World = shared(world);
    world.kqueue.enter();
    world.processing.set(false);
    world.released.broadcast();
    world.kqueue.exit();
}
