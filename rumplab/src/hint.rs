//! `core::hint`.

pub use std::hint::{black_box, unreachable_unchecked};

/// One turn of a loop that waits for another thread.
///
/// A loop that loads the same words again and again is held back until one of them is written, with or without this.
#[inline]
#[track_caller]
pub fn spin_loop() {
    if hostshim::machine::is_running() {
        kmod::mem::relax();
    }
}
