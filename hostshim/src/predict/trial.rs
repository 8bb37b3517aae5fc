//! Schedules that try to make a prediction happen.

use std::sync::atomic::Ordering::Relaxed;

use kmod::scenario::ops::Program;

use super::{Meet, Place, Predicted, Prediction};
use crate::capture::Catch;
use crate::hunt::{Found, Watch};
use crate::machine::{Failure, FailureKind, Limits, Machine, Races, Verdict};
use crate::schedule::Granularity;

impl Prediction {
    /// Tries to make the prediction happen. Returns a run that ends in that very cycle, if one of the tried schedules
    /// does, and the number of schedules.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    pub fn confirm(
        &self,
        predicted: &Predicted,
        watch: &Watch,
    ) -> Result<(Option<Found>, u64), Failure> {
        let mut machine = Machine::new();
        machine.boot(&self.setup(false))?;
        let mut trial = Trial {
            prediction: self,
            machine: &mut machine,
            program: predicted.program.as_deref(),
            watch,
        };
        Ok(trial.meet(&predicted.places, self.tries, &|failure| {
            ends_in(failure, &predicted.line) || !predicted.drawn && keeps(failure, predicted)
        }))
    }

    /// The run that confirmed a prediction, to be kept.
    pub fn catch<'a>(&self, found: &'a Found) -> Catch<'a> {
        found.catch(self.scenario, self.variant, self.config, &Races::Stop)
    }
}

/// Schedules in which some threads meet.
pub(super) struct Trial<'a> {
    pub(super) prediction: &'a Prediction,
    pub(super) machine: &'a mut Machine,
    pub(super) program: Option<&'a Program>,
    pub(super) watch: &'a Watch,
}

/// A run may be this many times as long as the default run; and at least this long.
const LONGER: u64 = 20;
const STEPS: u64 = 20_000;

impl Trial<'_> {
    /// The limits of a run. A run that is stuck in another way (for example, a thread sleeps a tick repeatedly) is
    /// given up sooner than in a hunt.
    fn limits(&mut self) -> Limits {
        let usual = self.prediction.limits;
        let steps = (LONGER * self.machine.length(Granularity::Coarse)).max(STEPS);
        Limits {
            steps: usual.steps.min(steps),
            ..usual
        }
    }

    /// Returns the first of `tries` runs that fails as predicted, and how many were made.
    pub(super) fn meet(
        &mut self,
        places: &[Place],
        tries: u64,
        wanted: &dyn Fn(&Failure) -> bool,
    ) -> (Option<Found>, u64) {
        if let Some(program) = self.program {
            self.machine.load(program);
        }
        let mut strategy = Meet::new(places.to_vec(), self.prediction.seed);
        let limits = self.limits();
        for run in 0..tries {
            if self.watch.stop.load(Relaxed) {
                return (None, run);
            }
            let wire = self.prediction.wire(run);
            if let Some(wire) = &wire {
                self.machine.connect(wire);
            }
            let outcome = self.machine.run(&mut strategy, &limits);
            self.watch.schedules.fetch_add(1, Relaxed);
            self.watch.steps.fetch_add(outcome.steps, Relaxed);
            if let Verdict::Failed(failure) = outcome.verdict
                && wanted(&failure)
            {
                let found = Found {
                    run,
                    failure,
                    deviations: self.machine.deviations().to_vec(),
                    granularity: self.machine.granularity(),
                    memory: self.machine.memory(),
                    refusals: Vec::new(),
                    program: self.program.copied().map(Box::new),
                    wire: wire.unwrap_or_default(),
                };
                return (Some(found), run + 1);
            }
        }
        (None, tries)
    }
}

/// Whether a failure is a deadlock with this cycle, whichever station comes first.
fn ends_in(failure: &Failure, line: &str) -> bool {
    failure.kind == FailureKind::Deadlock
        && failure
            .message
            .lines()
            .filter_map(|told| told.trim().strip_prefix("cycle: "))
            .any(|told| is_same_cycle(told, line))
}

/// Whether all threads of a prediction wait for ever at the end. For a cycle that the wait-for graph does not
/// contain.
fn keeps(failure: &Failure, predicted: &Predicted) -> bool {
    let waits = |place: &Place| {
        let begin = format!("{} on cpu", place.context);
        failure.message.lines().any(|line| line.starts_with(&begin))
    };
    failure.kind == FailureKind::Deadlock && predicted.places.iter().all(waits)
}

/// Whether two lines are the same cycle: the same stations in the same order, starting anywhere.
fn is_same_cycle(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    // Locks of one name have numbers, which depend on the first station.
    let name = |station: &str| station.split('#').next().unwrap_or("").to_owned();
    let stations = |line: &str| Vec::from_iter(line.split(" => ").map(name));
    let (one, mut other) = (stations(one), stations(other));
    let closed = |line: &[String]| line.len() > 1 && line.first() == line.last();
    if one.len() != other.len() || !closed(&one) || !closed(&other) {
        return false;
    }
    other.pop();
    (0..other.len()).any(|_| {
        other.rotate_left(1);
        one[..one.len() - 1] == other[..]
    })
}

#[cfg(test)]
mod tests {
    use super::is_same_cycle;

    #[test]
    fn a_cycle_is_the_same_wherever_its_telling_begins() {
        assert!(is_same_cycle("a => b => a", "b => a => b"));
        assert!(is_same_cycle("a => x => b => a", "b => a => x => b"));
        assert!(is_same_cycle("l => l#2 => a => l", "a => l => l => a"));
        assert!(!is_same_cycle("a => x => b => a", "b => x => a => b"));
        assert!(!is_same_cycle("a => b => a", "a => b => c => a"));
        let open = "localcount_drain => xc => mtx => xc";
        assert!(is_same_cycle(open, open));
        assert!(!is_same_cycle(open, "localcount_drain => mtx => xc => mtx"));
    }
}
