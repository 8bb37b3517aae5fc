//! Schedules that are known in advance.

use super::{Answer, Strategy};
use crate::machine::View;
use crate::schedule::Deviation;

/// Deviates at the points of a list, and nowhere else.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    deviations: Vec<Deviation>,
    next: usize,
    impossible: Option<usize>,
}

impl Replay {
    /// The schedule with these deviations, in the order of their points.
    pub fn new(deviations: Vec<Deviation>) -> Replay {
        Replay {
            deviations,
            next: 0,
            impossible: None,
        }
    }

    /// How many of the deviations were reached.
    pub fn reached(&self) -> usize {
        self.next
    }

    /// The first deviation that was not possible at its point, if there is one: there the default was kept.
    pub fn impossible(&self) -> Option<usize> {
        self.impossible
    }

    /// Points after `point` before the next deviation.
    fn quiet_after(&self, point: u64) -> u64 {
        match self.deviations.get(self.next) {
            Some(next) => next.point.saturating_sub(point + 1),
            None => u64::MAX,
        }
    }
}

impl Strategy for Replay {
    fn begin(&mut self) {
        self.next = 0;
        self.impossible = None;
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        let point = view.point();
        let mut choice = view.default_choice();
        if let Some(deviation) = self.deviations.get(self.next).filter(|d| d.point <= point) {
            if deviation.point == point && view.allows(deviation.choice) {
                choice = deviation.choice;
            } else {
                self.impossible.get_or_insert(self.next);
            }
            self.next += 1;
        }
        Answer {
            choice,
            quiet: self.quiet_after(point),
        }
    }
}

/// The machine's default throughout.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fair;

impl Strategy for Fair {
    fn choose(&mut self, view: &View<'_>) -> Answer {
        Answer::keep(view, u64::MAX)
    }
}
