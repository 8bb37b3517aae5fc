//! Programs in the ways in which kernel code is written elsewhere: loops that wait for a word, global variables, Rust's heap,
//! words on a stack.
//!
//! Most variants are correct, and must never be reported. The others have a bug on purpose.

use crate::history::Own;
use crate::scenario::{FIXED, Kind, Scenario, Variant};

pub mod globals;
pub mod heap;
pub mod lent_words;
pub mod spin_loops;

/// The common parts of these programs.
const STYLE: Scenario = Scenario {
    name: "",
    summary: "",
    about: "",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Ported,
    configure: |_| {},
    setup: |_| {},
    verify: |_| {},
    teardown: |_| {},
};

/// A variant that is correct.
const fn sound(name: &'static str, summary: &'static str, own: Own) -> Variant {
    Variant {
        name,
        summary,
        own,
        ..FIXED
    }
}

/// A variant with a bug.
const fn broken(name: &'static str, summary: &'static str, own: Own) -> Variant {
    Variant {
        fails: true,
        ..sound(name, summary, own)
    }
}
