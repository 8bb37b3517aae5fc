//! Programs that show one thing each.
//!
//! A scenario is a few *actors* (kernel threads), what they share, and a check of its own. It is
//! the same program in all worlds: simulated, fuzzed, booted. It never asks which variant runs.

use crate::config::Config;
use crate::history::History;
use crate::kernel::Kernel;

/// A named choice of historical code.
#[derive(Debug)]
pub struct Variant {
    /// The word of the command line.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// The old code that runs.
    pub history: History,
}

/// Today's code.
pub const FIXED: Variant =
    Variant { name: "fixed", summary: "today's code", history: History::NONE };

/// A program with its check.
#[derive(Debug)]
pub struct Scenario {
    /// The word of the command line.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// What it does and what it shows, a paragraph or two.
    pub about: &'static str,
    /// The variants it has. The first is `fixed`.
    pub variants: &'static [Variant],
    /// CPUs it needs at least.
    pub min_cpus: usize,
    /// CPUs it runs on if nobody says otherwise.
    pub default_cpus: usize,
    /// Whether a failure is what it is for: a broken program, for teaching and benchmarks (`abba`), or a
    /// provoked fault. `all` leaves it out.
    pub broken: bool,
    /// Changes the knobs it depends on.
    pub configure: fn(&mut Config),
    /// Builds what the actors share, and the actors. Must not sleep.
    pub setup: fn(&'static Kernel),
    /// Checks what must hold when all actors have come to their end. Ends in
    /// [`machine::stop`](crate::machine::stop) if it does not.
    pub verify: fn(&'static Kernel),
}
