//! From numbers to names: a run is made again, and watched.

use super::{Action, Departure, Namer};
use crate::machine::{Limits, Machine, Outcome, View};
use crate::schedule::Deviation;
use crate::strategy::{Answer, Strategy};

/// Makes a run again and gives its schedule in names.
///
/// `machine` must have been booted with its trace on, and otherwise as for the run that had these deviations.
pub fn name_schedule(
    machine: &mut Machine,
    deviations: &[Deviation],
    limits: &Limits,
) -> (Outcome, Vec<Departure>) {
    let mut recorder = Recorder {
        deviations,
        namer: Namer::default(),
        departures: Vec::new(),
    };
    let outcome = machine.run(&mut recorder, limits);
    (outcome, recorder.departures)
}

struct Recorder<'a> {
    /// Those that are still to come.
    deviations: &'a [Deviation],
    namer: Namer,
    departures: Vec<Departure>,
}

impl Strategy for Recorder<'_> {
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
        // A name depends on every point before it, so none may be passed over.
        Answer { choice, quiet: 0 }
    }
}
