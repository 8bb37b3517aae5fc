//! The choices of a strategy, and how a schedule is represented.

use kmod::machine::Line;

/// One decision at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// This CPU makes its pending step.
    Step(usize),
    /// This CPU takes the interrupt of this line before its pending step.
    Take(usize, Line),
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
