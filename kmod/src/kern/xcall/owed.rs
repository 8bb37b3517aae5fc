//! What `xc_wait` promises, kept apart from the counts by which it keeps it.
//!
//! # Overview
//!
//! A box counts functions, and waits by the counts. If the counts are wrong it is others who fail: storage is freed that a
//! function still uses, an average is taken of half of the CPUs. So each CPU also says by name what it still *owes* a box: the
//! ticket that it was asked for, and the one that it has begun. When `xc_wait` is about to return, no CPU may owe the
//! ticket, or an earlier one.
//!
//! Nothing is ever decided by it, and no access to it is a point. Without the feature `contracts` nobody writes it.
//!
//! # Memory order
//!
//! A debt is paid in the step that counts the function, just before: who has seen the count has seen this.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::Config;
use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::curlwp;

/// What the CPUs owe a box.
pub(super) struct Owed([Debt; Config::MAXCPUS]);

/// What a CPU owes: tickets, and 0 for none.
struct Debt {
    /// Asked for, and not begun. If another is asked for meanwhile, this one stays.
    asked: AtomicU64,
    /// Begun, and not returned.
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

    /// The function of `ticket` was asked for on `ci`.
    pub(super) fn ask(&self, ci: &Cpu, ticket: u64) {
        if cfg!(feature = "contracts") {
            let asked = &self.0[ci.index()].asked;
            if asked.load(Relaxed) == 0 {
                asked.store(ticket, Relaxed);
            }
        }
    }

    /// `ci` has picked up what it was asked for.
    pub(super) fn begin(&self, ci: &Cpu) {
        if cfg!(feature = "contracts") {
            let Debt { asked, begun } = &self.0[ci.index()];
            begun.store(asked.load(Relaxed), Relaxed);
            asked.store(0, Relaxed);
        }
    }

    /// What `ci` has begun has returned.
    pub(super) fn end(&self, ci: &Cpu) {
        if cfg!(feature = "contracts") {
            self.0[ci.index()].begun.store(0, Relaxed);
        }
    }

    /// `xc_wait(ticket)` is about to return; the box was asked for `head` functions, and counts `done`.
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
