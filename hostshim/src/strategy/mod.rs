//! Strategies: they decide at each point.
//!
//! # Overview
//!
//! The machine knows no policy, and a policy knows no primitive. At a point a [`Strategy`] gets a [`View`] of all
//! CPUs and answers with one [`Choice`], and with the number of points for which it does not want to be asked. For
//! those the machine keeps to its default, which costs almost nothing.
//!
//! | strategy | what it does |
//! |---|---|
//! | [`Random`] | a random walk, with more or fewer switches from run to run |
//! | [`Pct`] | probabilistic concurrency testing: priorities with few changes |
//! | [`Stall`] | a random walk in which one thread stands still for long |
//! | [`Pos`] | partial order sampling, at the points of the program or of the modules that a run draws |
//! | [`Urw`] | a uniform random walk at such points: each thread weighs what it has still to do |
//! | [`Portfolio`] | these three in turn: the default, because none is enough alone |
//! | [`Bytes`] | a fuzzer's input: few deviations, then the default |
//! | [`Replay`] | a list of deviations |
//! | [`Fair`] | the default throughout |
//! | [`Scarce`] | as another one, and some allocations fail |
//! | [`Delays`] | as another one, and some stores stay in store buffers |
//!
//! # Time
//!
//! By default the clock ticks only when nothing else can happen. A seeded strategy also makes it tick early:
//! sometimes once, and in some runs several times in a row at one place (a *lapse*). Otherwise a timer of several
//! ticks would never fire in the middle of a program that takes a few hundred steps.
//!
//! # Runs and seeds
//!
//! A seeded strategy's choices in its run number `i` depend only on the seed and `i`. It counts its runs;
//! [`Strategy::seek`] sets the next one, so that several machines can share the runs of one campaign.

mod bytes;
mod delays;
mod focus;
mod lapse;
mod pct;
mod portfolio;
mod pos;
mod random;
mod rehearsal;
mod replay;
mod rng;
mod sampling;
mod scarce;
mod stall;
mod urw;

pub use bytes::Bytes;
pub use delays::Delays;
pub use focus::Focus;
pub use pct::Pct;
pub use portfolio::Portfolio;
pub use pos::Pos;
pub use random::Random;
pub(crate) use rehearsal::Rehearse;
pub use rehearsal::{Rehearsal, Steps};
pub use replay::{Fair, Replay};
pub use rng::Rng;
pub use sampling::Sampling;
pub use scarce::Scarce;
pub use stall::Stall;
pub use urw::Urw;

use kmod::machine::At;

use crate::machine::View;
use crate::schedule::{Choice, Granularity};

/// The guess at a run's length, in points, until it is known: see [`Strategy::expect`].
const LENGTH: u64 = 500;

/// A strategy's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What happens now. A choice that is not possible ([`View::allows`]) is replaced by the default.
    pub choice: Choice,
    /// For how many points after this one the default is kept without asking.
    pub quiet: u64,
}

impl Answer {
    /// This choice now; and ask again at the next point.
    pub fn now(choice: Choice) -> Answer {
        Answer { choice, quiet: 0 }
    }

    /// The default now and for `quiet` points more.
    pub fn keep(view: &View<'_>, quiet: u64) -> Answer {
        Answer {
            choice: view.default_choice(),
            quiet,
        }
    }
}

/// An allocation that may fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    /// How many came before it in this run.
    pub number: u64,
    /// What the memory is for: the object's name.
    pub what: &'static str,
    /// Where in the source.
    pub at: At,
}

/// Decides at the points of a run.
pub trait Strategy {
    /// A run begins.
    fn begin(&mut self) {}

    /// Chooses what happens at a point. Called on the stack of whatever runs there, so it keeps its frames small.
    fn choose(&mut self, view: &View<'_>) -> Answer;

    /// Whether, in the run that was just begun, a quiet period ends early as soon as a CPU or an interrupt becomes
    /// able to act, or the running CPU cannot continue or reports that it spins.
    fn wants_alerts(&self) -> bool {
        false
    }

    /// Whether, in the run that was just begun, a quiet period is extended while the running CPU has interrupts
    /// masked.
    fn wants_low_only(&self) -> bool {
        false
    }

    /// Whether, in the run that was just begun, a CPU that reports that it spins is held back exactly if nothing was written that it
    /// has looked at, and one that has not reported it never is; and whether clocks never tick for the number of steps. Then what a CPU
    /// does depends only on what it reads.
    fn wants_exact_spinning(&self) -> bool {
        false
    }

    /// Whether, in the run that was just begun, it is asked at each allocation that may fail.
    fn wants_requests(&self) -> bool {
        false
    }

    /// Whether this allocation fails. Called only if it [wants](Self::wants_requests) that.
    fn refuses(&mut self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// Whether, in the run that was just begun, [`Strategy::stores`] is called. Only with
    /// [`MemoryModel::Tso`](crate::MemoryModel::Tso).
    fn wants_stores(&self) -> bool {
        false
    }

    /// What happens at a point where `choice` would be made: this choice, or a [`Choice::Delay`] in place of a step, or a
    /// [`Choice::Drain`] before it. Called at every point, if it is [wanted](Self::wants_stores).
    fn stores(&mut self, view: &View<'_>, choice: Choice) -> Choice {
        let _ = view;
        choice
    }

    /// What a step is in the next run. `None`: what the machine was told
    /// ([`Machine::set_granularity`](crate::Machine::set_granularity)).
    fn granularity(&self) -> Option<Granularity> {
        None
    }

    /// Whether [`Strategy::expect`] should be called.
    fn wants_rehearsal(&self) -> bool {
        false
    }

    /// The next run is about as the default run from the same image.
    fn expect(&mut self, rehearsal: &Rehearsal) {
        let _ = rehearsal;
    }

    /// The next run is number `run`.
    fn seek(&mut self, run: u64) {
        let _ = run;
    }
}
