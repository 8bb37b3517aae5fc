//! Where the host enters the kernel.
//!
//! # Contexts
//!
//! | entry | where the host may call it |
//! |---|---|
//! | [`boot`] | on CPU 0, once, before anything else; nothing runs yet |
//! | [`idle_context`] | after `boot`; each CPU starts in its idle context |
//! | [`release`], or [`rounds`] | on CPU 0, at any time after `boot` |
//! | [`interrupt`] | on the CPU whose line is asserted, on the stack of the running LWP, with interrupts off; the kernel calls [`machine::interrupts_on`] when it has raised its level |
//! | [`idle`], [`progress`], [`verify`], [`deadlock`], [`waits()`] | when every CPU waits for an interrupt (or the kernel has stopped), outside all contexts |

use core::fmt;

use crate::config::Config;
use crate::kern::sleepq::has_backstop;
use crate::kern::{rest, sched, spl, waits};
use crate::kernel::Kernel;
use crate::machine::{self, Context, Line, Stop};
use crate::scenario::Scenario;
use crate::scenario::rounds::Again;

/// Builds a kernel (its CPUs, their idle LWPs, softints and cross-call threads), then runs the scenario's setup.
///
/// Attaches every CPU ([`machine::attach`]). Nothing runs until the host switches to the idle contexts. To tear the
/// kernel down, the caller frees all memory that was allocated since.
///
/// Panics: contracts `boot-memory`, `scenario-cpus`, and those of the scenario's setup.
pub fn boot(config: &Config, scenario: &'static Scenario) -> &'static Kernel {
    match try_boot(config, scenario) {
        Some(kernel) => kernel,
        None => machine::stop(
            Stop::Contract("boot-memory"),
            format_args!("no memory for a kernel of {} CPUs", config.ncpu),
        ),
    }
}

fn try_boot(config: &Config, scenario: &'static Scenario) -> Option<&'static Kernel> {
    let kernel = crate::kernel::create(config)?;
    crate::net::attach(kernel)?;
    crate::scenario::attach(kernel, scenario)?;
    crate::scenario::set_up(kernel);
    kernel.go_online();
    Some(kernel)
}

/// The context in which CPU `cpu` starts.
pub fn idle_context(kernel: &'static Kernel, cpu: usize) -> Context {
    kernel.cpu(cpu).idle_context()
}

/// Makes the actors of the scenario runnable.
pub fn release(kernel: &'static Kernel) {
    crate::scenario::release(kernel);
}

/// Runs the scenario round after round, in a thread of the kernel, until `again` returns false; then stops with
/// [`Stop::Passed`]. Call it on CPU 0 after [`boot`], instead of [`release`].
pub fn rounds(kernel: &'static Kernel, again: Again) {
    crate::scenario::rounds::start(kernel, again);
}

/// Takes an interrupt on this CPU: runs its handler now, or marks it pending if the priority level masks it.
#[inline]
pub fn interrupt(line: Line) {
    spl::interrupt(line);
}

/// What a kernel whose CPUs are all idle waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// Every actor has finished: [`verify`] may be called.
    Finished,
    /// Actors wait, and a callout is pending that is not a backstop: time must advance.
    Clock,
    /// Actors wait, and no clock or interrupt will ever wake them: call [`deadlock`].
    Stuck,
}

/// What the kernel waits for. Every CPU is idle. Ends in [`machine::stop`] if one of them should not be (`kern::rest`).
pub fn idle(kernel: &'static Kernel) -> Idle {
    rest::assert_nobody_is_forgotten(kernel);
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

/// Whether an LWP other than an idle one was running when the CPUs were stopped.
pub fn runs(kernel: &'static Kernel) -> bool {
    waits::running(kernel).next().is_some()
}

/// A number that grows whenever an actor makes progress. For a watchdog.
pub fn progress(kernel: &'static Kernel) -> u64 {
    kernel.progress()
}

/// Checks what must hold at rest: the scenario's assertions, the counts, and that nothing leaked.
///
/// Returns if everything holds; otherwise ends in [`machine::stop`].
pub fn verify(kernel: &'static Kernel) {
    rest::verify(kernel);
    crate::scenario::verify(kernel);
}

/// Ends the run with the wait-for graph: an actor waits for something that cannot happen.
pub fn deadlock(kernel: &'static Kernel) -> ! {
    let why = match kernel.lwps().any(has_backstop) {
        true => Stop::Backstop,
        false => Stop::Deadlock,
    };
    machine::stop(why, format_args!("{}", waits::Graph(kernel)))
}

/// The wait-for graph as text: every LWP, what it waits for, and the cycles.
pub fn waits(kernel: &'static Kernel, out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "{}", waits::Graph(kernel))
}
