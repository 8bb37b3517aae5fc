//! Global variables: a counter, a lock, and data that the lock protects.

use super::{broken, sound};
use crate::history::Own;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::mem::{AtomicU32, Plain, Relaxed};
use crate::scenario::{FIXED, PORTED, Scenario, actor, broken_promise, runs};

static COUNTER: AtomicU32 = AtomicU32::new(3);
static LOCK: Kmutex = Kmutex::new("lock", Ipl::None);
static PROTECTED: Plain<u64> = Plain::new(5);
static TABLE: [Plain<u16>; 6] = [const { Plain::new(9) }; 6];

/// The variables must have the values that the program gives them.
const INITIAL: Own = Own::piece(0);
/// The counter is loaded and stored, not incremented atomically.
const LOST_UPDATE: Own = Own::piece(1);
/// The lock is not taken.
const RACE: Own = Own::piece(2);

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "globals",
    summary: "two threads add to global variables",
    about: "Each thread adds 1 to a global counter, and to a global variable under a global mutex, and writes an \
            element of its own of a global array.",
    variants: &[
        FIXED,
        sound(
            "initial",
            "setup stores nothing: on a booted machine this holds for one round",
            INITIAL,
        ),
        broken(
            "lost-update",
            "the counter is loaded, and then stored",
            LOST_UPDATE,
        ),
        broken("race", "the lock is not taken", RACE),
    ],
    setup: |kernel| {
        if !kernel.config().own.has(INITIAL) {
            COUNTER.store(3, Relaxed);
            PROTECTED.set(5);
            TABLE.iter().for_each(|element| element.set(9));
        }
        actor(kernel, "t0", 0, add, Arg(0));
        actor(kernel, "t1", 1, add, Arg(1));
    },
    verify: |_| {
        let sums = (COUNTER.peek(), PROTECTED.peek());
        if sums != (5, 7) {
            broken_promise(
                "globals-sums",
                format_args!("two threads added 1 to each of 3 and 5, and they are {sums:?}"),
            );
        }
        let elements = TABLE.iter().map(Plain::peek);
        if !elements.eq([0, 9, 9, 1, 9, 9]) {
            broken_promise(
                "globals-table",
                format_args!("an element is not as it was left"),
            );
        }
    },
    ..PORTED
};

fn add(number: Arg) {
    if runs(LOST_UPDATE) {
        COUNTER.store(COUNTER.load(Relaxed) + 1, Relaxed);
    } else {
        COUNTER.fetch_add(1, Relaxed);
    }
    TABLE[3 * number.0].set(number.0 as u16);
    let locked = !runs(RACE);
    if locked {
        LOCK.enter();
    }
    PROTECTED.set(PROTECTED.get() + 1);
    if locked {
        LOCK.exit();
    }
}
