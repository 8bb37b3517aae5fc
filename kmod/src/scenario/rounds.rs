//! Repeated rounds on one kernel: how the booted machine runs a scenario.
//!
//! The simulated machine starts each schedule from the image of a kernel whose actors are about to run. A booted
//! kernel keeps running: a thread, `rounds`, starts the actors, waits for their end, checks, and sets up the next
//! round.

use crate::kern::kthread::{self, Options};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::{condvar::Kcondvar, mutex::Kmutex, order, spl::Ipl};
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{AtomicBool, Plain, Relaxed};

/// Called after each round with the number of rounds so far: whether to run another.
pub type Again = fn(u64) -> bool;

/// The rounds of a kernel.
pub(crate) struct Rounds {
    lock: Kmutex,
    ended: Kcondvar,
    again: Plain<Option<Again>>,
    on: AtomicBool,
}

impl Rounds {
    pub(crate) const fn new() -> Self {
        Rounds {
            lock: Kmutex::new("rounds", Ipl::None),
            ended: Kcondvar::new("rounds"),
            again: Plain::new(None),
            on: AtomicBool::new(false),
        }
    }
}

/// See [`crate::entry::rounds`]. A separate function: see [`machine::Machine::word`].
#[inline(never)]
pub(crate) fn start(kernel: &'static Kernel, again: Again) {
    super::of(kernel).rounds.again.set(Some(again));
    super::of(kernel).rounds.on.store(true, Relaxed);
    let options = Options {
        cpu: Some(0),
        ..Options::default()
    };
    let created = kthread::kthread_create(kernel, &options, run, Arg::NONE, format_args!("rounds"));
    if created.is_none() {
        machine::stop(
            Stop::Contract("boot-memory"),
            format_args!("no memory for the thread of the rounds"),
        );
    }
}

/// Whether this kernel runs repeated rounds, as a booted one does.
pub(crate) fn are_repeated(kernel: &'static Kernel) -> bool {
    super::of(kernel).rounds.on.load_fused(Relaxed)
}

/// Whether to continue, for a scenario with one long round. On the simulated machine: no.
pub(crate) fn time_is_left(kernel: &'static Kernel) -> bool {
    are_repeated(kernel)
        && super::of(kernel)
            .rounds
            .again
            .get()
            .is_some_and(|again| again(0))
}

/// The last actor of a round has finished.
pub(crate) fn actors_ended(kernel: &'static Kernel) {
    // On the simulated machine no thread waits for it.
    if are_repeated(kernel) {
        super::of(kernel).rounds.lock.enter();
        super::of(kernel).rounds.ended.broadcast();
        super::of(kernel).rounds.lock.exit();
    }
}

fn run(_: Arg) {
    let kernel = curlwp().kernel();
    let rounds = &super::of(kernel).rounds;
    let mut number = 0;
    loop {
        super::release(kernel);
        rounds.lock.enter();
        while !super::finished(kernel) {
            rounds.ended.wait(&rounds.lock);
        }
        rounds.lock.exit();
        super::quiesce();
        super::verify(kernel);
        order::round_ends(kernel, number);
        number += 1;
        if !rounds.again.get().is_some_and(|again| again(number)) {
            machine::stop(Stop::Passed, format_args!("{number} rounds"));
        }
        (super::of(kernel).scenario.setup)(kernel);
    }
}
