//! What a run ends with, and what bounds it.

use std::fmt;

use super::faults::NO_STEP;

/// What sort of promise was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// A primitive was used against its contract.
    Contract,
    /// The program found that a promise made to it was not kept.
    Oracle,
    /// Somebody waits for what can never come.
    Deadlock,
    /// Steps without end.
    Livelock,
    /// Two accesses of two CPUs, one of them a write, that nothing orders.
    DataRace,
    /// Memory was used that is not allocated, or no longer.
    UseAfterFree,
    /// Memory was given back twice.
    DoubleFree,
    /// Memory was never given back.
    Leak,
    /// The kernel panicked.
    Panic,
    /// The kernel did what the processor does not let it: it touched memory that is not there, or used up a stack.
    Fault,
}

impl FailureKind {
    /// The stable word for programs.
    pub const fn name(self) -> &'static str {
        match self {
            FailureKind::Contract => "contract",
            FailureKind::Oracle => "oracle",
            FailureKind::Deadlock => "deadlock",
            FailureKind::Livelock => "livelock",
            FailureKind::DataRace => "data race",
            FailureKind::UseAfterFree => "use after free",
            FailureKind::DoubleFree => "double free",
            FailureKind::Leak => "leak",
            FailureKind::Panic => "panic",
            FailureKind::Fault => "fault",
        }
    }

    /// The words that reports use.
    pub const fn words(self) -> &'static str {
        match self {
            FailureKind::Contract => "API contract",
            FailureKind::Oracle => "scenario assertion",
            _ => self.name(),
        }
    }
}

/// How a run failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What sort of promise was broken.
    pub kind: FailureKind,
    /// A stable word for the promise: `data-race`, `use-after-free`, the name of a contract.
    pub rule: String,
    /// A sentence with the values in it. No addresses, no paths of this machine.
    pub message: String,
    /// Where in the source: `kmod/src/kern/xcall.rs:88`.
    pub location: String,
    /// The CPU that found out.
    pub cpu: usize,
    /// The name of the context that found out.
    pub context: String,
    /// Of two accesses that do not go together: which they are.
    pub sides: Option<Box<Sides>>,
}

/// Two accesses that do not go together. The later one is the failure's own: by its context, on its CPU, at its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sides {
    /// What both touch.
    pub object: String,
    /// What the later one does: `read`, `write`, `free`.
    pub later: &'static str,
    /// The earlier one.
    pub earlier: Side,
}

/// An access, and whose it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side {
    /// What it did: `read`, `write`, `free`, `allocation`.
    pub what: &'static str,
    /// On which CPU.
    pub cpu: usize,
    /// In which context.
    pub context: String,
    /// Where in the source.
    pub location: String,
}

impl Failure {
    /// Whether the run had to be watched for a long time to see it.
    pub fn takes_long(&self) -> bool {
        self.rule == NO_STEP
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} (cpu{}, {}, at {})",
            self.rule, self.message, self.cpu, self.context, self.location
        )
    }
}

impl std::error::Error for Failure {}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Every actor came to its end, and every check held.
    Passed,
    /// A check did not hold.
    Failed(Failure),
}

/// The verdict of a run and how long it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How the run ended.
    pub verdict: Verdict,
    /// Steps that CPUs made.
    pub steps: u64,
    /// Decisions: steps, and interrupts taken.
    pub points: u64,
    /// Clock interrupts taken, on all CPUs together.
    pub ticks: u64,
}

/// What bounds a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Steps and interrupts, together, after which a run is a livelock. At most [`Limits::MAX_STEPS`] are honoured.
    pub steps: u64,
    /// Clock interrupts that a strategy may let happen before their time.
    pub early_ticks: u32,
}

impl Limits {
    /// The most steps that the clocks of the race detector can tell apart.
    pub const MAX_STEPS: u64 = 1 << 24;
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            steps: 2_000_000,
            early_ticks: 64,
        }
    }
}
