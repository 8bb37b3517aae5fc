//! What a policy may choose, and how a schedule is kept.

use kmod::machine::Line;

/// One decision at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// This CPU makes its pending step.
    Step(usize),
    /// This CPU takes the interrupt of this line before its pending step.
    Take(usize, Line),
}

/// A decision that differs from what the machine would have done by itself.
///
/// By itself the machine is *fair and eager*: it takes an asserted interrupt at once (the highest line
/// first), else goes on with the same CPU, else with the next CPU in turn that can step, else lets the clock
/// of every CPU tick. A schedule is the list of its deviations from that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// The number of the point (of the decision), counted from the release of the actors.
    pub point: u64,
    /// What was chosen there.
    pub choice: Choice,
}
