//! ipi(9): inter-processor interrupts.
//!
//! The machine has one line for them; which interrupt is meant is a bit in the target's `ci_ipis`.
//! Several of a kind that are sent before the first is served are one.
//!
//! # Contexts
//!
//! [`ipi_trigger`]: any. Handlers run in hard interrupt context at IPL_HIGH.
//!
//! # Memory order
//!
//! The bit is set with release and taken with acquire: the handler sees what the sender wrote before.
//!
//! # Sources
//!
//! ipi(9); `sys/kern/subr_ipi.c`.

use crate::kern::cpu::Cpu;
use crate::kern::{softint, xcall};
use crate::machine;
use crate::mem::{AcqRel, Acquire};

/// Look at the run queue. Its work is done by the way out of the interrupt.
pub const KPREEMPT: u32 = 0;
/// Schedule softints that another CPU asked for.
pub const SOFTINT: u32 = 1;
/// Run a high-priority cross call.
pub const XCALL: u32 = 2;

/// Sends interrupt `id` to `ci`, another CPU.
///
/// Context: any, preemption off.
#[track_caller]
pub fn ipi_trigger(id: u32, ci: &'static Cpu) {
    let old = ci.ci_ipis.fetch_or(1 << id, AcqRel);
    if old == 0 {
        ci.kernel().counters.ipis.incr();
        machine::send_ipi(ci.index());
    }
}

/// The handler of the line.
pub(crate) fn intr(ci: &'static Cpu) {
    let wanted = ci.ci_ipis.swap(0, Acquire);
    if wanted & (1 << SOFTINT) != 0 {
        softint::remote_intr(ci);
    }
    if wanted & (1 << XCALL) != 0 {
        xcall::ipi_handler(ci);
    }
}
