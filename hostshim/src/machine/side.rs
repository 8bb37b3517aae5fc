//! Whose code a thread runs: the guest's, or the machine's own.
//!
//! # Overview
//!
//! The guest is the kernel and its programs. Its code runs on the stacks of contexts, and so do the hypercalls that it makes, which
//! are the machine's code: they allocate memory of the host, and borrow what only one may borrow. Two things must know the
//! difference:
//!
//! * A fault, or a timer, may end a run wherever the guest is ([`super::faults`]), but not in the middle of the machine's own code:
//!   whatever that holds would be held for ever.
//! * What the guest allocates from Rust's own heap is the machine's memory ([`super::heap`]).
//!
//! A [`Host`] is the machine's side of the border, for as long as it lives. The hypercalls that come at every step make none: they
//! neither allocate nor borrow.

use std::cell::Cell;

thread_local! {
    static IN_GUEST: Cell<bool> = const { Cell::new(false) };
}

/// Whether the code of the guest runs on this thread.
#[inline]
pub(crate) fn in_guest() -> bool {
    IN_GUEST.get()
}

/// The code of the guest begins, on a stack of its own.
#[inline]
pub(crate) fn enter_guest() {
    IN_GUEST.set(true);
}

/// The machine's own stack is in use again, however the guest's was left.
#[inline]
pub(crate) fn leave_guest() {
    IN_GUEST.set(false);
}

/// Lets the guest do something, from the machine's code.
#[inline]
pub(crate) fn as_guest<R>(f: impl FnOnce() -> R) -> R {
    let before = IN_GUEST.replace(true);
    let result = f();
    IN_GUEST.set(before);
    result
}

/// The machine's own code runs as long as this lives.
pub(crate) struct Host(bool);

impl Host {
    #[inline]
    pub(crate) fn begin() -> Host {
        Host(IN_GUEST.replace(false))
    }
}

impl Drop for Host {
    #[inline]
    fn drop(&mut self) {
        IN_GUEST.set(self.0);
    }
}
