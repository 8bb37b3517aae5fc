//! Turns numbers into names by repeating a run.

use super::{Action, Departure, Namer};
use crate::machine::{Limits, Machine, Outcome, View};
use crate::schedule::Deviation;
use crate::strategy::{Answer, Strategy};

/// Repeats a run and returns its schedule in names.
///
/// `machine` must have been booted with its trace on, and otherwise in the same way as for the run with these
/// deviations.
pub fn name_schedule(
    machine: &mut Machine,
    deviations: &[Deviation],
    limits: &Limits,
) -> (Outcome, Vec<Departure>) {
    name(machine, deviations, limits, false)
}

/// The same for a run with [exact spinning](Strategy::wants_exact_spinning).
pub(crate) fn name_exactly(
    machine: &mut Machine,
    deviations: &[Deviation],
    limits: &Limits,
) -> (Outcome, Vec<Departure>) {
    name(machine, deviations, limits, true)
}

fn name(
    machine: &mut Machine,
    deviations: &[Deviation],
    limits: &Limits,
    exact_spinning: bool,
) -> (Outcome, Vec<Departure>) {
    let mut recorder = Recorder {
        deviations,
        exact_spinning,
        namer: Namer::default(),
        departures: Vec::new(),
    };
    let outcome = machine.run(&mut recorder, limits);
    (outcome, recorder.departures)
}

struct Recorder<'a> {
    /// The deviations that are still to come.
    deviations: &'a [Deviation],
    exact_spinning: bool,
    namer: Namer,
    departures: Vec<Departure>,
}

impl Strategy for Recorder<'_> {
    fn wants_exact_spinning(&self) -> bool {
        self.exact_spinning
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        let key = self.namer.name(view);
        let mut choice = view.default_choice();
        if let Some((next, rest)) = self.deviations.split_first()
            && next.point == view.point()
        {
            self.deviations = rest;
            choice = next.choice;
            let action = Action::of(choice, view);
            let point = key.name(view);
            self.departures.push(Departure { point, action });
        }
        // A name depends on every point before it, so no point may be skipped.
        Answer { choice, quiet: 0 }
    }
}
