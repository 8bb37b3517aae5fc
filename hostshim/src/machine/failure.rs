//! The results and limits of a run.

use std::fmt;

use super::faults::NO_STEP;

/// The kind of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// An API contract was broken.
    Contract,
    /// A scenario assertion failed.
    Oracle,
    /// An actor waits for something that cannot happen.
    Deadlock,
    /// The run did not end within its limit.
    Livelock,
    /// Two accesses by two CPUs, at least one a write, that nothing orders.
    DataRace,
    /// An access to memory that is not allocated, or was freed.
    UseAfterFree,
    /// Memory was freed twice.
    DoubleFree,
    /// Memory was never freed.
    Leak,
    /// The kernel panicked.
    Panic,
    /// A processor fault: an access to unmapped memory, or a stack overflow.
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
    /// The kind of the failure.
    pub kind: FailureKind,
    /// The name of the broken rule: `data-race`, `use-after-free`, the name of a contract.
    pub rule: String,
    /// A sentence with the values in it. No addresses, and no paths of the host.
    pub message: String,
    /// Where in the source: `kmod/src/kern/xcall.rs:88`.
    pub location: String,
    /// The CPU that detected it; of a CPU that idles and should not, that one.
    pub cpu: usize,
    /// The name of the context that detected it.
    pub context: String,
    /// For two conflicting accesses: the accesses.
    pub sides: Option<Box<Sides>>,
}

/// Two conflicting accesses. The later one is the failure's own: by its context, on its CPU, at its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sides {
    /// What both touch.
    pub object: String,
    /// What the later one does: `read`, `write`, `free`.
    pub later: &'static str,
    /// The earlier one.
    pub earlier: Side,
}

/// An access.
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
    /// Whether it was found when every CPU idled, although threads had not come to their end.
    pub(crate) fn is_of_idle_cpus(&self) -> bool {
        matches!(&*self.rule, "idle-queue" | "ipi-missing")
    }

    /// Whether detecting it took a long run.
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
    /// Every actor finished, and every check passed.
    Passed,
    /// A check failed.
    Failed(Failure),
}

/// The verdict of a run, and its length.
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

/// The limits of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Steps and interrupts, together, after which a run is a livelock. At most [`Limits::MAX_STEPS`]. With fine granularity it is
    /// four times as many.
    pub steps: u64,
    /// Clock interrupts that a strategy may cause early.
    pub early_ticks: u32,
}

impl Limits {
    /// The maximum number of steps that the clocks of the race detector can represent.
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
