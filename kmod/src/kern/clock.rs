//! hardclock(9): the tick.
//!
//! Every CPU has its own clock interrupt, at IPL_SCHED, `hz` times a second. It turns the callout
//! wheel of its CPU and charges the LWP that it found running.
//!
//! Sources: hardclock(9); `sys/kern/kern_clock.c`.

use crate::kern::cpu::Cpu;
use crate::kern::{callout, sched};

/// The handler of the clock line.
pub(crate) fn hardclock(ci: &'static Cpu) {
    callout::hardclock(ci);
    sched::sched_tick(ci);
}
