//! Fewer stores that stay in store buffers.

use std::collections::BTreeSet;

use super::{FIRST_SEED, Search};
use crate::fences::unseen;
use crate::machine::{Recording, TraceEvent};
use crate::names::{Action, Departure, name_schedule};
use crate::schedule::{Choice, Deviation, MemoryModel};

impl Search<'_> {
    /// Looks for the failure without store buffers: it may not need them.
    pub(super) fn do_without_buffers(&mut self) {
        if self.best.file.memory == MemoryModel::Sc {
            return;
        }
        let before = self.best.file.clone();
        let steps = before.schedule.iter().filter_map(stepping);
        let steps = Vec::from_iter(steps);
        self.choose_memory(MemoryModel::Sc);
        if !(self.attempt(steps) || self.attempt_anew(FIRST_SEED)) {
            self.choose_memory(before.memory);
            self.best.file = before;
        }
    }

    /// Lets stores be visible at once, one step after the other, until each delay is needed.
    pub(super) fn shorten_delays(&mut self) {
        let mut index = self.len();
        while index > 0 {
            index = (index - 1).min(self.len());
            let mut schedule = self.best.file.schedule.clone();
            let Some(departure) = schedule.get_mut(index) else {
                continue;
            };
            if let Action::Delays(cpu) = departure.action {
                departure.action = Action::Steps(cpu);
                self.attempt(schedule);
            }
        }
    }

    /// Delays the stores that another CPU does not see, in place of earlier ones that keep them in the buffer.
    pub(super) fn delay_later(&mut self) {
        if self.delays() == 0 || self.is_spent() {
            return;
        }
        self.machine.record(Recording::Trace);
        let same = self.attempt(self.best.file.schedule.clone());
        self.machine.record(Recording::Names);
        if !same {
            return;
        }
        let trace = self.machine.trace().to_vec();
        let deviations = self.machine.deviations().to_vec();
        let unseen = BTreeSet::from_iter(unseen(&trace));
        for store in unseen {
            let TraceEvent { point, cpu, .. } = trace[store];
            if let Some(later) = with_later(&deviations, point, cpu)
                && !self.is_spent()
            {
                let (outcome, named) = name_schedule(self.machine, &later, self.limits);
                if self.keep(outcome, named) {
                    let schedule = self.best.file.schedule.clone();
                    // What is the default there is no departure.
                    self.attempt(schedule);
                    return;
                }
            }
        }
    }

    /// Steps whose stores are delayed.
    pub(super) fn delays(&self) -> usize {
        let is_delay = |departure: &&Departure| matches!(departure.action, Action::Delays(_));
        self.best.file.schedule.iter().filter(is_delay).count()
    }

    fn choose_memory(&mut self, model: MemoryModel) {
        self.best.file.memory = model;
        self.machine.set_memory(model);
    }
}

/// The schedule in which the last delay of this CPU before that point comes there. `None`: there is none before it.
fn with_later(deviations: &[Deviation], point: u64, cpu: usize) -> Option<Vec<Deviation>> {
    let choice = Choice::Delay(cpu);
    let before = |deviation: &Deviation| deviation.point <= point && deviation.choice == choice;
    let last = deviations.iter().rposition(before)?;
    if deviations[last].point == point {
        return None;
    }
    let mut later = deviations.to_vec();
    later[last].choice = Choice::Step(cpu);
    let place = later.partition_point(|deviation| deviation.point < point);
    let deviation = Deviation { point, choice };
    match later.get_mut(place).filter(|there| there.point == point) {
        Some(there) => *there = deviation,
        None => later.insert(place, deviation),
    }
    Some(later)
}

/// The departure on a machine without store buffers, if there is anything left of it.
fn stepping(departure: &Departure) -> Option<Departure> {
    let action = match departure.action {
        Action::Delays(cpu) => Action::Steps(cpu),
        Action::Drains(_) => return None,
        action => action,
    };
    Some(Departure {
        action,
        ..departure.clone()
    })
}
