//! Programs in the ways in which kernel code is written elsewhere: loops that wait for a word, global variables, Rust's heap,
//! words on a stack.
//!
//! Most variants are correct, and must never be reported. The others have a bug on purpose.

use crate::history::Own;
use crate::scenario::{FIXED, Variant};

pub mod globals;
pub mod heap;
pub mod lent_words;
pub mod spin_loops;

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
