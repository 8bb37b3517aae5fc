//! spin-rs issue 169: a failed try to become the upgradeable reader leaves its bit set while there is a writer.

use super::{OLD, historical, start};
use crate::kern::lwp::Arg;
use crate::mem::{Acquire, AtomicU16, Plain, Relaxed, Release, relax};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, broken_promise, runs};

const WRITER: u16 = 1;
const UPGRADED: u16 = 2;
const READER: u16 = 4;

/// A spin lock with one reader that can become the writer, and the words that it protects.
struct Upgradeable {
    lock: AtomicU16,
    left: Plain<u32>,
    right: Plain<u32>,
}

crate::fields!(Upgradeable { lock, left, right });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "upgrade-bit",
    summary: "a spinning rwlock of the program, with an upgradeable reader",
    about: "A thread is the upgradeable reader, becomes the writer and goes back. Another one tries to become \
            the upgradeable reader, and a third one reads.",
    variants: &[
        FIXED,
        historical("a failed try leaves its bit set, to be cleared by the writer"),
    ],
    setup: |kernel| {
        let world = Upgradeable {
            lock: AtomicU16::new(0),
            left: Plain::new(0),
            right: Plain::new(0),
        };
        let actors = [
            ("upgrader", 0, upgrade as fn(Arg)),
            ("tryer", 1, try_it),
            ("reader", 1, read),
        ];
        start(kernel, "world", world, &actors);
    },
    teardown: free_data::<Upgradeable>,
    ..PORTED
};

impl Upgradeable {
    fn try_upgradeable(&self) -> bool {
        if runs(OLD) {
            return self.lock.fetch_or(UPGRADED, Acquire) & (WRITER | UPGRADED) == 0;
        }
        let free = |word: u16| (word & (WRITER | UPGRADED) == 0).then_some(word | UPGRADED);
        self.lock.fetch_update(Acquire, Relaxed, free).is_ok()
    }

    fn upgradeable(&self) {
        while !self.try_upgradeable() {
            relax();
        }
    }

    fn upgrade(&self) {
        let swapped = || {
            self.lock
                .compare_exchange_weak(UPGRADED, WRITER, Acquire, Relaxed)
        };
        while swapped().is_err() {
            relax();
        }
    }

    /// From writer back to upgradeable.
    fn downgrade(&self) {
        let word = self.lock.load(Relaxed);
        if word & (WRITER | UPGRADED) != WRITER {
            broken_promise(
                "upgrade-word",
                format_args!("there is a writer, and the word of the lock is {word:#x}"),
            );
        }
        self.lock.fetch_add(UPGRADED - WRITER, Release);
    }

    fn leave_upgradeable(&self) {
        self.lock.fetch_and(!UPGRADED, Release);
    }

    fn read(&self) {
        while self.lock.fetch_add(READER, Acquire) & (WRITER | UPGRADED) != 0 {
            self.lock.fetch_sub(READER, Release);
            relax();
        }
    }

    fn leave_read(&self) {
        self.lock.fetch_sub(READER, Release);
    }
}

fn upgrade(world: Arg) {
    let world: &Upgradeable = shared(world);
    world.upgradeable();
    world.upgrade();
    world.left.set(1);
    world.right.set(1);
    world.downgrade();
    world.leave_upgradeable();
}

fn try_it(world: Arg) {
    let world: &Upgradeable = shared(world);
    if world.try_upgradeable() {
        world.leave_upgradeable();
    }
}

fn read(world: Arg) {
    let world: &Upgradeable = shared(world);
    world.read();
    let (left, right) = (world.left.get(), world.right.get());
    world.leave_read();
    if left != right {
        broken_promise(
            "upgrade-torn",
            format_args!("a reader sees {left} and {right}, which are written together"),
        );
    }
}
