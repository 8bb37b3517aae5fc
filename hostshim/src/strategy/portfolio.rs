//! Several strategies in turn.

use super::{Answer, Focus, Pct, Pos, Random, Rehearsal, Stall, Strategy, Urw};
use crate::machine::View;
use crate::schedule::Granularity;

/// The members, in the order of their runs.
///
/// The shares are those with which no bug of `cargo bench --bench bugs` needs more than some three times the schedules of the member
/// that finds it first. A stall, a random walk and PCT find nothing there much earlier than the others; they are for what is not there.
const TURNS: [Member; 32] = [
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Modules),
    Member::Stall,
    Member::Urw(Focus::Everything),
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Program),
    Member::Urw(Focus::Modules),
    Member::Pos(Focus::Modules),
    Member::Urw(Focus::Program),
    Member::Stall,
    Member::Random,
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Modules),
    Member::Urw(Focus::Everything),
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Program),
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Modules),
    Member::Stall,
    Member::Urw(Focus::Everything),
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Program),
    Member::Urw(Focus::Modules),
    Member::Pos(Focus::Modules),
    Member::Urw(Focus::Program),
    Member::Stall,
    Member::Pct,
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Modules),
    Member::Urw(Focus::Everything),
    Member::Urw(Focus::Program),
    Member::Pos(Focus::Program),
];

/// Of so many runs in a row all are of fine granularity, or none.
const BLOCK: u64 = 16;
/// Of so many blocks one is of fine granularity.
const FINE_EVERY: u64 = 8;
/// Which of them.
const FINE_BLOCK: u64 = 2;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Member {
    Random,
    Pct,
    Stall,
    Pos(Focus),
    Urw(Focus),
}

/// Several strategies in turn: [`Urw`], [`Pos`], [`Stall`], [`Random`] and [`Pct`].
///
/// Of 128 runs 16 are of [fine](Granularity::Fine) granularity, unless it was told otherwise.
#[derive(Clone, Debug)]
pub struct Portfolio {
    random: Random,
    pct: Pct,
    stall: Stall,
    pos: Pos,
    urw: Urw,
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
            pos: Pos::new(seed),
            urw: Urw::new(seed),
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
            Member::Pos(_) => &self.pos,
            Member::Urw(_) => &self.urw,
        }
    }

    fn current_mut(&mut self) -> &mut dyn Strategy {
        match self.member {
            Member::Random => &mut self.random,
            Member::Pct => &mut self.pct,
            Member::Stall => &mut self.stall,
            Member::Pos(_) => &mut self.pos,
            Member::Urw(_) => &mut self.urw,
        }
    }
}

impl Strategy for Portfolio {
    fn begin(&mut self) {
        let turns = TURNS.len() as u64;
        let (round, turn) = (self.run / turns, (self.run % turns) as usize);
        self.member = TURNS[turn];
        match self.member {
            Member::Pos(focus) => self.pos.set_focus(focus),
            Member::Urw(focus) => self.urw.set_focus(focus),
            Member::Random | Member::Pct | Member::Stall => {}
        }
        // How many runs of this member are in a round, and how many of them came before.
        let kind = std::mem::discriminant(&self.member);
        let is_its = |member: &&Member| std::mem::discriminant(*member) == kind;
        let all = TURNS.iter().filter(is_its).count() as u64;
        let before = TURNS[..turn].iter().filter(is_its).count() as u64;
        self.run += 1;
        let strategy = self.current_mut();
        strategy.seek(round * all + before);
        strategy.begin();
    }

    fn granularity(&self) -> Option<Granularity> {
        let block = self.run / BLOCK % FINE_EVERY;
        (self.mixes && block == FINE_BLOCK).then_some(Granularity::Fine)
    }

    fn wants_alerts(&self) -> bool {
        self.current().wants_alerts()
    }

    fn wants_low_only(&self) -> bool {
        self.current().wants_low_only()
    }

    fn wants_rehearsal(&self) -> bool {
        true
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.random.expect(rehearsal);
        self.pct.expect(rehearsal);
        self.stall.expect(rehearsal);
        self.pos.expect(rehearsal);
        self.urw.expect(rehearsal);
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        match self.member {
            Member::Random => self.random.choose(view),
            Member::Pct => self.pct.choose(view),
            Member::Stall => self.stall.choose(view),
            Member::Pos(_) => self.pos.choose(view),
            Member::Urw(_) => self.urw.choose(view),
        }
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
