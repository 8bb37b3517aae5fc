//! A random walk.

use kmod::machine::Line;

use super::{Answer, Rng, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// Points between two early ticks, on average, unless somebody says otherwise.
const TICK_ODDS: u64 = 256;
/// Points between two interventions, on average; a run draws one of these.
const CALM: [u64; 4] = [1, 4, 64, 128];
/// So many runs of four intervene only where no interrupt is masked.
const LOW_ONLY_FOURTHS: u64 = 3;

/// Chooses evenly among what is possible.
///
/// A run that chooses anew at every point seldom lets one thread get far, so some runs are calmer: they leave the
/// machine to its default for a while between two choices.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    run: u64,
    tick_odds: u64,
    rng: Rng,
    calm: u64,
    /// Whether the walk leaves the machine to its default where interrupts are masked.
    low_only: bool,
}

impl Random {
    /// The walks of `seed`.
    pub fn new(seed: u64) -> Random {
        Random {
            seed,
            run: 0,
            tick_odds: TICK_ODDS,
            rng: Rng::new(seed, 0),
            calm: 1,
            low_only: false,
        }
    }

    /// The same, with an early tick once in `points` choices.
    #[must_use]
    pub fn with_ticks_every(self, points: u64) -> Random {
        Random {
            tick_odds: points.max(1),
            ..self
        }
    }

    fn draw(&mut self, view: &View<'_>) -> Choice {
        let early = view.takeable(Line::Clock);
        if early != 0 && self.rng.once_in(self.tick_odds) {
            return Choice::Take(self.rng.member(early), Line::Clock);
        }
        let steps = view.runnable();
        let sets = [view.asserted(Line::Ipi), view.asserted(Line::Clock)];
        let interrupts = sets[0].count_ones() + sets[1].count_ones();
        if interrupts == 0 {
            return Choice::Step(self.rng.member(steps));
        }
        let drawn = self.rng.below(u64::from(steps.count_ones() + interrupts));
        let steps_count = u64::from(steps.count_ones());
        if drawn < steps_count {
            Choice::Step(self.rng.member(steps))
        } else if drawn < steps_count + u64::from(sets[0].count_ones()) {
            Choice::Take(self.rng.member(sets[0]), Line::Ipi)
        } else {
            Choice::Take(self.rng.member(sets[1]), Line::Clock)
        }
    }
}

impl Strategy for Random {
    fn begin(&mut self) {
        self.rng = Rng::new(self.seed, self.run);
        self.run += 1;
        self.calm = CALM[self.rng.below(CALM.len() as u64) as usize];
        self.low_only = self.rng.below(4) < LOW_ONLY_FOURTHS;
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if self.low_only && view.ipl(view.current()) != 0 {
            return Answer::keep(view, 0);
        }
        let choice = self.draw(view);
        let quiet = if self.calm == 1 {
            0
        } else {
            self.rng.below(2 * self.calm)
        };
        Answer { choice, quiet }
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
