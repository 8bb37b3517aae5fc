//! The choices of a strategy, what a step is, and how a schedule is represented.

use std::fmt;

use kmod::machine::Line;

use crate::replay::token::Name;

/// One decision at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// This CPU makes its pending step.
    Step(usize),
    /// This CPU takes the interrupt of this line before its pending step.
    Take(usize, Line),
    /// This CPU makes its pending step, and its atomic stores go to its store buffer. Only with [`MemoryModel::Tso`].
    Delay(usize),
    /// The oldest store in this CPU's store buffer becomes visible to others. Then the next choice is made.
    Drain(usize),
}

impl Choice {
    /// The CPU that acts.
    pub fn cpu(self) -> usize {
        match self {
            Choice::Step(cpu) | Choice::Take(cpu, _) | Choice::Delay(cpu) | Choice::Drain(cpu) => {
                cpu
            }
        }
    }
}

/// A decision that differs from the machine's default.
///
/// By default the machine is *fair and eager*. It takes an asserted interrupt at once (the highest line first);
/// otherwise it continues with the same CPU, or with the next CPU in turn that can step; otherwise the clocks of all
/// CPUs tick. A schedule is the list of its deviations from that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// The number of the point (of the decision), counted from the release of the actors.
    pub point: u64,
    /// What was chosen there.
    pub choice: Choice,
}

/// What a step is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Granularity {
    /// What the kernel announces: one access to shared memory, or one operation on a lock, with the accesses that belong to it.
    #[default]
    Coarse,
    /// Each access to a cell is a step of its own, also those inside of an operation and those to cells that only one CPU or the
    /// holder of a lock should access. So is each change of kernel preemption.
    Fine,
}

impl Granularity {
    /// Both, the usual one first.
    pub const ALL: [Granularity; 2] = [Granularity::Coarse, Granularity::Fine];

    /// The name in replay files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Granularity::Coarse => "coarse",
            Granularity::Fine => "fine",
        }
    }
}

/// The model of memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum MemoryModel {
    /// Sequentially consistent: every CPU sees a store at once.
    #[default]
    Sc,
    /// That of x86-64: a store may stay in the store buffer of its CPU for a while, and no other CPU sees it until then.
    Tso,
}

impl MemoryModel {
    /// Both, the usual one first.
    pub const ALL: [MemoryModel; 2] = [MemoryModel::Sc, MemoryModel::Tso];

    /// The name in replay files and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            MemoryModel::Sc => "sc",
            MemoryModel::Tso => "tso",
        }
    }
}

/// Whether allocations of the kernel fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Allocations {
    /// There is always memory.
    #[default]
    Never,
    /// In each run a few fail, as far as their callers are told of it.
    Fail,
}

/// An allocation that fails, although there is memory.
///
/// A list of them belongs to a schedule, as its deviations do. But they are not numbered: so the same ones fail when other
/// choices of the schedule are taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The name of the context that makes it.
    pub context: String,
    /// What the memory is for: the object's name.
    pub what: String,
    /// How many of these allocations the context has made in this run, with this one.
    pub occurrence: u32,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (context, what) = (Name(&self.context), Name(&self.what));
        write!(f, "{context} {what} #{}", self.occurrence)
    }
}
