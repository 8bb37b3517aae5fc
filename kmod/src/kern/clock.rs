//! hardclock(9): the tick.
//!
//! Every CPU has its own clock interrupt, at IPL_SCHED, `hz` times a second. It turns the callout wheel of its CPU
//! and charges the running LWP. CPU 0 counts the time.
//!
//! Sources: hardclock(9); `sys/kern/kern_clock.c`.

use core::sync::atomic::Ordering::Relaxed;

use crate::kern::cpu::Cpu;
use crate::kern::hooks::{self, Hook};
use crate::kern::{callout, sched};
use crate::kernel::Kernel;
use crate::machine;

/// Ticks since the kernel was booted, as counted by CPU 0. They wrap.
///
/// Context: any. Reading the time is not a step: callers must treat it as approximate.
pub fn getticks(kernel: &Kernel) -> u32 {
    machine::unchecked(&kernel.ticks, false);
    kernel.ticks.load(Relaxed)
}

/// A clock interrupt has come to `ci`, this CPU: `waits`, if it is masked, and so was one that is pending already. Then the two are one
/// tick.
#[inline]
pub(crate) fn interrupted(ci: &Cpu, waits: bool) {
    if cfg!(feature = "contracts") && !waits {
        let count = ci.ci_clocks.load(Relaxed);
        ci.ci_clocks.store(count.wrapping_add(1), Relaxed);
    }
}

/// The clock interrupts that have come to `ci`, counted where the machine delivers them. Each is a tick once it has been handled.
/// In a kernel with contracts.
pub(crate) fn interrupts(ci: &Cpu) -> u32 {
    ci.ci_clocks.load(Relaxed)
}

/// The handler of the clock line.
pub(crate) fn hardclock(ci: &'static Cpu) {
    if ci.index() == 0 {
        machine::unchecked(&ci.kernel().ticks, true);
        ci.kernel().ticks.fetch_add(1, Relaxed);
    }
    callout::hardclock(ci);
    hooks::call(ci, Hook::Hardclock);
    sched::sched_tick(ci);
}
