//! Schedules in words: points are named after what was about to happen there, instead of numbered.
//!
//! # Overview
//!
//! A schedule in numbers ([`Deviation`](crate::schedule::Deviation)) is exact but says nothing, and any change of the
//! code changes its numbers. A schedule in names says *before which operation of which LWP* it departs from the
//! machine's default:
//!
//! ```text
//! before r1 on cpu0 mutex_enter xc_low.xc_lock #3: cpu1 steps
//! ```
//!
//! The name of a point says what the current CPU, the one that stepped last, is about to do there: the context that
//! it runs, the kind of the operation, its object, and how often that context has been about to do this. A CPU with
//! nothing to do is about to `wait`, one that reads in a loop to `spin`. There can be several decisions before one
//! operation (an interrupt is taken, then another CPU continues); from the second on `look 2` and so on distinguishes
//! them. So every point of a run has exactly one name, and no two points have the same.
//!
//! # The two directions
//!
//! * [`name_schedule`] repeats a run and writes down the names of its deviations;
//! * [`Follower`] is a strategy that departs from the default at the points of a list.
//!
//! Both need a machine that was booted with its trace on, because only that one knows the names of objects.

use std::collections::BTreeMap;
use std::fmt;

use kmod::machine::Line;

use crate::machine::{View, Word};
use crate::replay::token::Name;
use crate::schedule::Choice;

mod follow;
mod record;

pub use follow::{Follower, Miss, Reached};
pub(crate) use record::name_exactly;
pub use record::name_schedule;

/// The word for a CPU that waits for an interrupt.
pub const WAIT: &str = "wait";
/// The word for a CPU that reads in a loop.
pub const SPIN: &str = "spin";

/// The name of a point.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PointName {
    /// The context that the current CPU runs.
    pub context: String,
    /// The current CPU.
    pub cpu: usize,
    /// The operation that it is about to do: the name of a [`kmod::machine::Kind`], or [`WAIT`], or [`SPIN`].
    pub what: String,
    /// The operation's object; empty for a CPU that waits or spins.
    pub object: String,
    /// How often the context has been about to do that in this run, from 1. A CPU that has waited since before the
    /// run began waits for the 0th time.
    pub occurrence: u32,
    /// The number of the decision before that operation, from 1.
    pub look: u32,
}

impl fmt::Display for PointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on cpu{} {}",
            Name(&self.context),
            self.cpu,
            self.what
        )?;
        if !self.object.is_empty() {
            write!(f, " {}", Name(&self.object))?;
        }
        write!(f, " #{}", self.occurrence)?;
        if self.look > 1 {
            write!(f, " look {}", self.look)?;
        }
        Ok(())
    }
}

/// What a schedule does at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The CPU makes its step.
    Steps(usize),
    /// The CPU takes the interrupt of the line before its step.
    Takes(usize, Line),
    /// The CPU makes its step although the interrupt of the line is asserted, and defers the interrupt.
    Defers(usize, Line),
    /// The CPU makes its step, and its atomic stores stay in its store buffer.
    Delays(usize),
    /// The oldest store in the CPU's store buffer becomes visible.
    Drains(usize),
}

impl Action {
    /// The strategy's answer.
    pub fn choice(self) -> Choice {
        match self {
            Action::Steps(cpu) | Action::Defers(cpu, _) => Choice::Step(cpu),
            Action::Takes(cpu, line) => Choice::Take(cpu, line),
            Action::Delays(cpu) => Choice::Delay(cpu),
            Action::Drains(cpu) => Choice::Drain(cpu),
        }
    }

    /// Whether it is one of store buffers.
    pub fn needs_buffers(self) -> bool {
        matches!(self, Action::Delays(_) | Action::Drains(_))
    }

    /// The CPU that acts.
    pub fn cpu(self) -> usize {
        self.choice().cpu()
    }

    /// The action for a choice, in the situation that `view` shows.
    pub fn of(choice: Choice, view: &View<'_>) -> Action {
        match (choice, view.default_choice()) {
            (Choice::Take(cpu, line), _) => Action::Takes(cpu, line),
            (Choice::Delay(cpu), _) => Action::Delays(cpu),
            (Choice::Drain(cpu), _) => Action::Drains(cpu),
            (Choice::Step(cpu), Choice::Take(other, line)) if cpu == other => {
                Action::Defers(cpu, line)
            }
            (Choice::Step(cpu), _) => Action::Steps(cpu),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Steps(cpu) => write!(f, "cpu{cpu} steps"),
            Action::Takes(cpu, line) => write!(f, "cpu{cpu} takes {}", line.name()),
            Action::Defers(cpu, line) => write!(f, "cpu{cpu} defers {}", line.name()),
            Action::Delays(cpu) => write!(f, "cpu{cpu} delays"),
            Action::Drains(cpu) => write!(f, "cpu{cpu} drains"),
        }
    }
}

/// A departure from the machine's default.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Departure {
    /// The point.
    pub point: PointName,
    /// The action there.
    pub action: Action,
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "before {}: {}", self.point, self.action)
    }
}

/// A [`PointName`] in words of a machine: names are compared at every point of a run, and rarely printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    context: Word,
    cpu: usize,
    what: Word,
    object: Word,
    occurrence: u32,
    look: u32,
}

impl Key {
    /// The key of a name.
    fn of(name: &PointName, view: &View<'_>) -> Key {
        Key {
            context: view.word(&name.context),
            cpu: name.cpu,
            what: view.word(&name.what),
            object: view.word(&name.object),
            occurrence: name.occurrence,
            look: name.look,
        }
    }

    /// The name that has this key.
    fn name(self, view: &View<'_>) -> PointName {
        PointName {
            context: view.text(self.context),
            cpu: self.cpu,
            what: view.text(self.what),
            object: view.text(self.object),
            occurrence: self.occurrence,
            look: self.look,
        }
    }
}

/// Names the points of one run, which it must see one after the other.
#[derive(Default)]
struct Namer {
    /// Number of decisions so far by name, with `look` 0.
    looks: BTreeMap<Key, u32>,
}

impl Namer {
    fn name(&mut self, view: &View<'_>) -> Key {
        let cpu = view.current();
        let at = view.name(cpu);
        let mut key = Key {
            context: at.context,
            cpu,
            what: at.what,
            object: at.object,
            // An operation is counted when it is made; waiting and spinning when they begin.
            occurrence: at.occurrence + u32::from(view.op(cpu).is_some()),
            look: 0,
        };
        let looks = self.looks.entry(key).or_insert(0);
        *looks += 1;
        key.look = *looks;
        key
    }
}
