//! The only clock of this crate: for progress lines and `--seconds`, never for a decision of a run.

use std::time::{Duration, Instant};

/// Time since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a hunt takes is told to its user; no run can see it"
    )]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Time that went by.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
