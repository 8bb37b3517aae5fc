//! Whose code a thread executes: the guest's, or the machine's own.
//!
//! # Overview
//!
//! The guest is the kernel and its programs. Its code runs on the stacks of contexts. So do the hypercalls that it
//! makes, but they are the machine's code: they allocate memory of the host, and hold exclusive borrows. The
//! difference matters in two places:
//!
//! * A fault or a timer may end a run anywhere in the guest ([`super::faults`]), but not in the middle of the
//!   machine's own code, because its locks and borrows would never be released.
//! * What the guest allocates from Rust's own heap is the machine's memory ([`super::heap`]).
//!
//! While a [`Host`] lives, the thread executes the machine's code. The hypercalls of every step create none: they
//! neither allocate nor borrow.

use std::cell::Cell;

thread_local! {
    static IN_GUEST: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread executes code of the guest.
#[inline]
pub(crate) fn in_guest() -> bool {
    IN_GUEST.get()
}

/// Code of the guest begins, on a stack of its own.
#[inline]
pub(crate) fn enter_guest() {
    IN_GUEST.set(true);
}

/// The machine's own stack is in use again, however the guest's stack was left.
#[inline]
pub(crate) fn leave_guest() {
    IN_GUEST.set(false);
}

/// Calls `f` as code of the guest, from the machine's code.
#[inline]
pub(crate) fn as_guest<R>(f: impl FnOnce() -> R) -> R {
    let before = IN_GUEST.replace(true);
    let result = f();
    IN_GUEST.set(before);
    result
}

/// The machine's own code executes as long as this lives.
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
