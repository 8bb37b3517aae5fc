//! The guarantee of `xc_wait`, recorded separately from the counters that implement it.
//!
//! # Overview
//!
//! A box counts functions, and waits by the counters. If the counters are wrong, the damage shows elsewhere: storage
//! is freed that a function still uses, or an average covers half of the CPUs. So each CPU also records by name what
//! it still *owes* a box: the ticket that it was asked for, and the one that it has started. When `xc_wait` is about
//! to return, no CPU may owe that ticket or an earlier one.
//!
//! Nothing depends on this record, and no access to it is a step. Without the feature `contracts` it is not written.
//!
//! # Memory order
//!
//! An entry is cleared in the step that counts the function, just before the count: a caller that sees the count also
//! sees this.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::contract;
use crate::kern::lwp::curlwp;
use crate::machine;

/// What a CPU owes a box: tickets, or 0 for none.
pub(super) struct Owed {
    /// Requested, and not started. If another is requested in the meantime, this one stays.
    asked: AtomicU64,
    /// Started, and not returned.
    begun: AtomicU64,
}

impl Owed {
    pub(super) const fn new() -> Self {
        Owed {
            asked: AtomicU64::new(0),
            begun: AtomicU64::new(0),
        }
    }

    /// Records that the function of `ticket` was requested on this CPU.
    pub(super) fn ask(&self, ticket: u64) {
        if cfg!(feature = "contracts") && read(&self.asked) == 0 {
            write(&self.asked, ticket);
        }
    }

    /// Whether a function was requested on this CPU and has not begun.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Relaxed) != 0
    }

    /// Records that the CPU has picked up its request.
    pub(super) fn begin(&self) {
        if cfg!(feature = "contracts") {
            write(&self.begun, read(&self.asked));
            write(&self.asked, 0);
        }
    }

    /// Records that the function that the CPU has started has returned.
    pub(super) fn end(&self) {
        if cfg!(feature = "contracts") {
            write(&self.begun, 0);
        }
    }
}

fn read(word: &AtomicU64) -> u64 {
    machine::unchecked(word, false);
    word.load(Relaxed)
}

fn write(word: &AtomicU64, value: u64) {
    machine::unchecked(word, true);
    word.store(value, Relaxed);
}

/// `xc_wait(ticket)` is about to return; `head` functions of the box were requested, and `done` are counted as
/// returned. `debts` are what each CPU owes the box.
///
/// Panics: contract `xcall-early`.
pub(super) fn check<'a>(debts: impl Iterator<Item = &'a Owed>, ticket: u64, head: u64, done: u64) {
    for (index, Owed { asked, begun }) in debts.enumerate() {
        for (debt, what) in [(begun, "returned"), (asked, "begun")] {
            let owed = read(debt);
            contract!(
                owed == 0 || owed > ticket,
                "xcall-early",
                "xc_wait(ticket {ticket}) returned to {}, but the function of ticket {owed} has not {what} on cpu{index} \
                 (xc_headp {head}, xc_donep {done}: {} in flight)",
                curlwp().name(),
                if head > ticket {
                    "two requests"
                } else {
                    "one request"
                },
            );
        }
    }
}
