//! Where the host enters the kernel.
//!
//! # Contexts
//!
//! | entry | where the host may call it |
//! |---|---|
//! | [`boot`] | on CPU 0, once, before anything else; nothing runs yet |
//! | [`idle_context`] | after `boot`; the host lets every CPU go on with its idle context |
//! | [`release`], or [`rounds`] | on CPU 0: after `boot` as soon as the host likes |
//! | [`interrupt`] | on the CPU whose line is asserted, on the stack of whatever runs there, with interrupts off: the kernel calls [`machine::interrupts_on`] when it has raised its level |
//! | [`idle`], [`progress`], [`verify`], [`deadlock`], [`waits()`] | when every CPU waits for an interrupt (or the kernel has stopped), from outside of all contexts |

use core::fmt;

use crate::config::Config;
use crate::kern::{sched, spl, waits};
use crate::kernel::Kernel;
use crate::machine::{self, Context, Line, Stop};
use crate::scenario::Scenario;
use crate::scenario::rounds::Again;

/// Builds a kernel: its CPUs, their idle LWPs, softints and cross-call threads; then lets the scenario set up.
///
/// Attaches every CPU ([`machine::attach`]). Nothing runs before the host switches to the idle contexts.
/// The caller takes it down again by giving all memory back that was allocated meanwhile.
pub fn boot(config: &Config, scenario: &'static Scenario) -> &'static Kernel {
    crate::kernel::boot(config, scenario)
}

/// The context in which CPU `cpu` begins.
pub fn idle_context(kernel: &'static Kernel, cpu: usize) -> Context {
    kernel.cpu(cpu).idle_context()
}

/// Makes the actors of the scenario runnable.
pub fn release(kernel: &'static Kernel) {
    crate::scenario::release(kernel);
}

/// Runs the scenario round after round, in a thread of the kernel's, until `again` says no; then stops with
/// [`Stop::Passed`]. Instead of [`release`], on CPU 0 after [`boot`].
pub fn rounds(kernel: &'static Kernel, again: Again) {
    crate::scenario::rounds::start(kernel, again);
}

/// Takes an interrupt on this CPU: runs its handler now, or marks it pending if the priority level masks it.
#[inline]
pub fn interrupt(line: Line) {
    spl::interrupt(line);
}

/// What a kernel waits for when all of its CPUs are idle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// Every actor has come to its end: [`verify`] may be called.
    Finished,
    /// Actors wait, and a callout is pending: the clock must go on.
    Clock,
    /// Actors wait, and no clock and no interrupt will ever wake them: [`deadlock`] tells the rest.
    Stuck,
}

/// Says what the kernel waits for. Every CPU is idle.
pub fn idle(kernel: &'static Kernel) -> Idle {
    if crate::scenario::finished(kernel) {
        Idle::Finished
    } else if waits::deadlocked(kernel) {
        Idle::Stuck
    } else if sched::clock_can_help(kernel) {
        Idle::Clock
    } else {
        Idle::Stuck
    }
}

/// Whether somebody is on a CPU, when they have been stopped.
pub fn runs(kernel: &'static Kernel) -> bool {
    waits::running(kernel).next().is_some()
}

/// A number that grows whenever an actor goes on: what a watchdog watches.
pub fn progress(kernel: &'static Kernel) -> u64 {
    kernel.progress()
}

/// Checks what must hold at rest: the scenario's own oracles, the counts, and that nothing leaked.
///
/// Returns if all holds, else ends in [`machine::stop`].
pub fn verify(kernel: &'static Kernel) {
    crate::scenario::verify(kernel);
}

/// Ends the run with the wait-for graph: somebody waits for what can never come.
pub fn deadlock(kernel: &'static Kernel) -> ! {
    machine::stop(Stop::Deadlock, format_args!("{}", waits::Graph(kernel)))
}

/// The wait-for graph as text: every LWP, what it waits for, and the cycles.
pub fn waits(kernel: &'static Kernel, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{}", waits::Graph(kernel))
}
