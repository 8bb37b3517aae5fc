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

use crate::config::Config;
use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::curlwp;

/// What each CPU owes a box.
pub(super) struct Owed([Debt; Config::MAXCPUS]);

/// What a CPU owes: tickets, or 0 for none.
struct Debt {
    /// Requested, and not started. If another is requested in the meantime, this one stays.
    asked: AtomicU64,
    /// Started, and not returned.
    begun: AtomicU64,
}

impl Owed {
    pub(super) const fn new() -> Self {
        Owed(
            [const {
                Debt {
                    asked: AtomicU64::new(0),
                    begun: AtomicU64::new(0),
                }
            }; Config::MAXCPUS],
        )
    }

    /// Records that the function of `ticket` was requested on `ci`.
    pub(super) fn ask(&self, ci: &Cpu, ticket: u64) {
        if cfg!(feature = "contracts") {
            let asked = &self.0[ci.index()].asked;
            if asked.load(Relaxed) == 0 {
                asked.store(ticket, Relaxed);
            }
        }
    }

    /// Records that `ci` has picked up its request.
    pub(super) fn begin(&self, ci: &Cpu) {
        if cfg!(feature = "contracts") {
            let Debt { asked, begun } = &self.0[ci.index()];
            begun.store(asked.load(Relaxed), Relaxed);
            asked.store(0, Relaxed);
        }
    }

    /// Records that the function that `ci` has started has returned.
    pub(super) fn end(&self, ci: &Cpu) {
        if cfg!(feature = "contracts") {
            self.0[ci.index()].begun.store(0, Relaxed);
        }
    }

    /// `xc_wait(ticket)` is about to return; `head` functions of the box were requested, and `done` are counted as
    /// returned.
    ///
    /// Panics: contract `xcall-early`.
    pub(super) fn check(&self, ticket: u64, head: u64, done: u64) {
        for (index, Debt { asked, begun }) in self.0.iter().enumerate() {
            for (debt, what) in [(begun, "returned"), (asked, "begun")] {
                let owed = debt.load(Relaxed);
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
}
