//! Several strategies in turn.

use super::{Answer, Pct, Random, Stall, Strategy};
use crate::machine::View;
use crate::schedule::Granularity;

/// The members, in the order of their runs. Stalls find most bugs earlier than the others; but not all.
const TURNS: [Member; 4] = [Member::Random, Member::Stall, Member::Pct, Member::Stall];

/// Of so many rounds one is of fine granularity.
const FINE_EVERY: u64 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Member {
    Random,
    Pct,
    Stall,
}

/// A random walk, stalls, PCT, and stalls again.
///
/// Of four runs the first is one of [`Random`], the third one of [`Pct`], the others are of [`Stall`]. Each counts its own runs.
/// Of 32 runs the last four are of [fine](Granularity::Fine) granularity, unless it was told otherwise.
#[derive(Clone, Debug)]
pub struct Portfolio {
    random: Random,
    pct: Pct,
    stall: Stall,
    run: u64,
    /// Whose run this is.
    member: Member,
    /// Whether some runs are of fine granularity.
    mixes: bool,
}

impl Portfolio {
    /// The runs of `seed`.
    pub fn new(seed: u64) -> Portfolio {
        Portfolio {
            random: Random::new(seed),
            pct: Pct::new(seed),
            stall: Stall::new(seed),
            run: 0,
            member: Member::Random,
            mixes: true,
        }
    }

    /// All runs are of the granularity that the machine was told.
    pub fn without_mixing(self) -> Portfolio {
        Portfolio {
            mixes: false,
            ..self
        }
    }

    fn current(&self) -> &dyn Strategy {
        match self.member {
            Member::Random => &self.random,
            Member::Pct => &self.pct,
            Member::Stall => &self.stall,
        }
    }

    fn current_mut(&mut self) -> &mut dyn Strategy {
        match self.member {
            Member::Random => &mut self.random,
            Member::Pct => &mut self.pct,
            Member::Stall => &mut self.stall,
        }
    }
}

impl Strategy for Portfolio {
    fn begin(&mut self) {
        let turns = TURNS.len() as u64;
        let (round, turn) = (self.run / turns, (self.run % turns) as usize);
        self.member = TURNS[turn];
        // How many runs of this member are in a round, and how many of them came before.
        let is_its = |member: &&Member| **member == self.member;
        let all = TURNS.iter().filter(is_its).count() as u64;
        let before = TURNS[..turn].iter().filter(is_its).count() as u64;
        self.run += 1;
        let strategy = self.current_mut();
        strategy.seek(round * all + before);
        strategy.begin();
    }

    fn granularity(&self) -> Option<Granularity> {
        let round = self.run / TURNS.len() as u64;
        (self.mixes && round % FINE_EVERY == FINE_EVERY - 1).then_some(Granularity::Fine)
    }

    fn wants_alerts(&self) -> bool {
        self.current().wants_alerts()
    }

    fn wants_low_only(&self) -> bool {
        self.current().wants_low_only()
    }

    fn wants_length(&self) -> bool {
        true
    }

    fn expect(&mut self, points: u64) {
        self.random.expect(points);
        self.pct.expect(points);
        self.stall.expect(points);
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        match self.member {
            Member::Random => self.random.choose(view),
            Member::Pct => self.pct.choose(view),
            Member::Stall => self.stall.choose(view),
        }
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
