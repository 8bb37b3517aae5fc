//! What must not be left when every CPU idles.
//!
//! A machine is at rest when no CPU can step and no interrupt is asserted: nothing more happens unless time passes. Then work that
//! somebody could do at once, and nobody will, is a fault, although no assertion of a program may notice:
//!
//! | name | what is left |
//! |---|---|
//! | `ipi-missing` | something that another CPU was asked for with an interrupt, which was never sent or never taken |
//! | `idle-queue` | an LWP on the run queue of a CPU that idles: nobody has told the CPU |
//! | `wake-missing` | an LWP that sleeps for something that is so already: nobody has woken it, and who should have is asleep or gone |
//! | `softint-pending` | a soft interrupt that was scheduled and has not run, or that sleeps while all actors have ended |
//! | `callout-due` | a callout that is due by the clock of its CPU and has not run |
//! | `thread-unjoined` | a thread that has ended and waits for [`kthread_join`](crate::kern::kthread::kthread_join), while all actors have ended |
//! | `clock-ticks` | a clock interrupt that was not counted as one tick, by `getticks` or by the callouts of its CPU |
//!
//! The first three, and callouts that are due, are looked for whenever the machine is at rest, because a tick of the clock would hide them.
//! The others are looked for when all actors have ended. What is attached to the kernel has checks of its own
//! ([`Kernel::check_at_rest`]).

use core::sync::atomic::Ordering::Relaxed as Bare;

use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Lwp, Stat};
use crate::kern::{clock, ipi, softint, waits};
use crate::kernel::Kernel;
use crate::machine::{self, Place, Stop};

/// Stops the machine if a CPU was asked for something and no interrupt tells it, or if an LWP is runnable and nobody will run it.
/// Every CPU waits for an interrupt.
///
/// A machine on which CPUs do not take turns is asked for reports, when it was stopped. Then this says nothing.
pub(crate) fn assert_nobody_is_forgotten(kernel: &'static Kernel) {
    if !machine::takes_turns() {
        return;
    }
    for ci in kernel.cpus() {
        if let Some(what) = ipi::missing(ci) {
            machine::stop(
                Stop::Idles("ipi-missing", ci.index()),
                format_args!(
                    "cpu{} was asked for {what}, and the interrupt that tells it so was never sent or never taken",
                    ci.index()
                ),
            );
        }
        // Behind a handler that sleeps all others wait.
        if ci.ci_callout.peek_lwp().is_none() {
            assert_none_due(ci);
        }
    }
    kernel.attached_rests();
    assert_none_sleeps_for_what_is_so(kernel);
    let left = |ci: &&Cpu| {
        ci.ci_schedstate.spc_count.peek() > 0 && ci.ci_curlwp.peek().is_some_and(Lwp::is_idle)
    };
    // Nobody looks at LWPs unless something is left: there are many of them, and a run is at rest more than once.
    let Some(idle) = kernel.cpus().iter().find(left) else {
        return;
    };
    let runnable = |l: &&Lwp| l.l_stat.peek() == Stat::Run && !l.is_idle();
    let of_idle = |l: &&Lwp| core::ptr::eq(l.cpu_unlocked(), idle);
    if let Some(l) = kernel.lwps().filter(runnable).find(of_idle) {
        machine::stop(
            Stop::Idles("idle-queue", l.cpu_unlocked().index()),
            format_args!(
                "{} is on the run queue of cpu{}, which idles: nobody has interrupted it, or it has not looked",
                l.name(),
                l.cpu_unlocked().index()
            ),
        );
    }
}

/// An LWP that says what it waits for ([`Awaited`](crate::kern::inside::Awaited)) does not sleep for what is so. Who has made it so may still
/// be on the way to the wake-up, if it waits for a lock.
fn assert_none_sleeps_for_what_is_so(kernel: &'static Kernel) {
    let forgotten = |l: &'static Lwp| Some((l, waits::forgotten(l)?));
    let Some((l, what)) = kernel.lwps().find_map(forgotten) else {
        return;
    };
    if kernel.lwps().any(waits::wants_lock) {
        return;
    }
    let operations = l.operations();
    machine::stop(
        Stop::Oracle("wake-missing"),
        format_args!(
            "{} sleeps in {} until {what}, and that is so: nobody has woken it",
            l.name(),
            operations.names().last().copied().unwrap_or("an operation")
        ),
    );
}

/// Stops the machine if work is left, after all actors have ended.
pub(crate) fn verify(kernel: &'static Kernel) {
    for ci in kernel.cpus() {
        if let Some((level, l)) = softint::left(ci) {
            machine::stop(
                Stop::Oracle("softint-pending"),
                format_args!(
                    "a soft interrupt of level {} is left on cpu{}: {}",
                    level.name(),
                    ci.index(),
                    match l.l_stat.peek() {
                        Stat::Sleep => "its handler sleeps, and all actors have ended",
                        _ => "it was scheduled and nobody runs it",
                    }
                ),
            );
        }
        assert_none_due(ci);
        assert_ticks_are_counted(ci);
    }
    kernel.attached_rests();
    if kernel.unjoined.load(Bare) == 0 {
        return;
    }
    let waits = |l: &&Lwp| l.l_exited.peek() && l.l_stat.peek() == Stat::Sleep;
    if let Some(l) = kernel.lwps().find(waits) {
        machine::stop(
            Stop::Oracle("thread-unjoined"),
            format_args!(
                "{} has ended, and {}",
                l.name(),
                match l.l_joinable.peek() {
                    true => "nobody will join it: it was created to be joined",
                    false => "was joined, and nobody has told it",
                }
            ),
        );
    }
}

fn assert_none_due(ci: &Cpu) {
    if let Some((callout, late)) = ci.ci_callout.due() {
        machine::stop(
            Stop::Oracle("callout-due"),
            format_args!(
                "a callout that was scheduled at {} is due on cpu{} since {late} of its ticks, and has not run",
                Place(callout.scheduled()),
                ci.index(),
            ),
        );
    }
}

/// Each clock interrupt of a CPU was a tick of its callouts, and of `getticks` if the CPU is the first.
fn assert_ticks_are_counted(ci: &Cpu) {
    if !cfg!(feature = "contracts") {
        return;
    }
    let came = clock::interrupts(ci);
    let counts = [
        ("its callouts have", Some(ci.ci_callout.peek_ticks())),
        (
            "getticks has",
            (ci.index() == 0).then(|| clock::getticks(ci.kernel())),
        ),
    ];
    for (who, ticks) in counts {
        if let Some(ticks) = ticks.filter(|ticks| *ticks != came) {
            machine::stop(
                Stop::Oracle("clock-ticks"),
                format_args!(
                    "{came} clock interrupts have come to cpu{}, and {who} counted {ticks} ticks",
                    ci.index()
                ),
            );
        }
    }
}
