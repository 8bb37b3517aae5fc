//! A function lends words of its stack to another thread, through a pointer in shared memory.

use super::broken;
use crate::history::Own;
use crate::kern::lwp::Arg;
use crate::kern::synch::kpause;
use crate::machine;
use crate::mem::{Acquire, AtomicUsize, Plain, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, actor, runs, share};

/// The function returns without having the word back.
const EARLY: Own = Own::piece(0);

const WORDS: usize = 16;
/// Nothing is lent: a word has an address that is a multiple of 8.
const NONE: usize = 0;
/// Nothing will be lent any more.
const END: usize = 1;

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "lent-words",
    summary: "a function lends words of its stack to another thread",
    about: "A function has an array on its stack, stores the address of one of its words where another thread finds it, and \
            waits until that has written the word and given it back. Then it returns, and is called for the next word.",
    variants: &[
        FIXED,
        broken(
            "early",
            "the function sleeps a tick instead, and returns",
            EARLY,
        ),
    ],
    setup: |kernel| {
        let lent = share("lent", AtomicUsize::new(NONE));
        machine::label(lent, format_args!("lent"));
        kernel.set_data(Arg::of(lent));
        actor(kernel, "lender", 0, lend_all, Arg::of(lent));
        actor(kernel, "borrower", 1, borrow, Arg::of(lent));
    },
    teardown: free_data::<AtomicUsize>,
    ..PORTED
};

fn lend_all(lent: Arg) {
    let lent: &AtomicUsize = shared(lent);
    for word in 0..WORDS {
        lend(lent, word);
        if runs(EARLY) {
            kpause("lend", 1, None);
        }
    }
    lent.store(END, Release);
}

#[inline(never)]
fn lend(lent: &AtomicUsize, word: usize) {
    let words = [const { Plain::new(0_usize) }; WORDS];
    lent.store(
        core::ptr::from_ref(&words[word]).expose_provenance(),
        Release,
    );
    if !runs(EARLY) {
        while lent.load(Acquire) != NONE {
            kpause("lent", 1, None);
        }
        assert_eq!(words[word].get(), 1);
    }
}

fn borrow(lent: Arg) {
    let lent: &AtomicUsize = shared(lent);
    loop {
        match lent.load(Acquire) {
            NONE => {}
            END => return,
            address => {
                let word: &Plain<usize> = shared(Arg(address));
                word.set(word.get() | 1);
                if !runs(EARLY) {
                    lent.store(NONE, Release);
                }
            }
        }
        kpause("borrow", 1, None);
    }
}
