//! A thread spins until another one has stored a word, with every form of loop.

use super::{broken, sound};
use crate::history::Own;
use crate::kern::lwp::Arg;
use crate::kern::synch::{kpause, preempt_point, yield_now};
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicU32, Plain, Relaxed, Release, relax};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, actor, runs, share};

/// The forms. None of them is a bare loop of loads.
const FORMS: [(Own, fn()); 5] = [
    (HINT, core::hint::spin_loop),
    (YIELD, yield_now),
    (PREEMPT, preempt_point),
    (RELAX, relax),
    (PAUSE, || kpause("spin", 1, None)),
];
const HINT: Own = Own::piece(0);
const YIELD: Own = Own::piece(1);
const PREEMPT: Own = Own::piece(2);
const RELAX: Own = Own::piece(3);
const PAUSE: Own = Own::piece(4);
/// The loop tries to take the word with `swap`.
const SWAP: Own = Own::piece(5);
/// The same with `compare_exchange`.
const COMPARE: Own = Own::piece(6);
/// The loop counts its iterations in a shared word.
const COUNT: Own = Own::piece(7);
/// The word is stored with the wrong value.
const NEVER: Own = Own::piece(8);

struct World {
    word: AtomicU32,
    data: Plain<u32>,
    rounds: AtomicU32,
}

crate::fields!(World { word, data, rounds });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "spin-loops",
    summary: "a thread spins until another one has stored a word",
    about: "One thread writes data and stores a word with release. The other loads the word with acquire until it is there, and \
            reads the data.",
    variants: &[
        FIXED,
        sound("hint", "the loop calls core::hint::spin_loop", HINT),
        sound("yield", "the loop calls yield_now", YIELD),
        sound("preempt-point", "the loop can be preempted", PREEMPT),
        sound("relax", "the loop calls mem::relax", RELAX),
        sound("kpause", "the loop sleeps a tick", PAUSE),
        sound("swap", "the loop is a test-and-set", SWAP),
        sound(
            "compare-exchange",
            "the loop tries to change the word",
            COMPARE,
        ),
        sound("count", "the loop counts its rounds in another word", COUNT),
        broken("never", "what the loop waits for is never stored", NEVER),
    ],
    setup: |kernel| {
        let world = World {
            word: AtomicU32::new(0),
            data: Plain::new(0),
            rounds: AtomicU32::new(0),
        };
        let world = share("world", world);
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        actor(kernel, "waiter", 0, wait, Arg::of(world));
        actor(kernel, "storer", 1, store, Arg::of(world));
    },
    teardown: free_data::<World>,
    ..PORTED
};

fn store(world: Arg) {
    let world: &World = shared(world);
    world.data.set(7);
    let value = if runs(NEVER) { 2 } else { 1 };
    world.word.store(value, Release);
}

fn wait(world: Arg) {
    let world: &World = shared(world);
    let in_between = FORMS.iter().find(|(form, _)| runs(*form));
    let in_between = in_between.map_or(nothing as fn(), |&(_, call)| call);
    let is_there = || {
        if runs(SWAP) {
            world.word.swap(0, Acquire) == 1
        } else if runs(COMPARE) {
            world.word.compare_exchange(1, 2, AcqRel, Relaxed).is_ok()
        } else {
            world.word.load(Acquire) == 1
        }
    };
    while !is_there() {
        if runs(COUNT) {
            world.rounds.fetch_add(1, Relaxed);
        }
        in_between();
    }
    assert_eq!(world.data.get(), 7);
}

fn nothing() {}
