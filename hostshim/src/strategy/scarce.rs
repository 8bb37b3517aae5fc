//! Runs that lack memory.
//!
//! Code that undoes what it has half done hardly ever runs, because there is always memory. So in a share of the runs
//! some allocations fail: one, two or three, at places that are drawn from all of the run. The schedule stays that of the
//! strategy that is wrapped, so that the other runs are as they would be without this.

use super::{Answer, Rehearsal, Request, Rng, Strategy};
use crate::machine::View;
use crate::schedule::{Allocations, Granularity};

/// The seed of failures is combined with this.
const SEED: u64 = 0x6d65_6d6f_7279;
/// Of so many runs one lacks memory. It is odd, so that each member of a portfolio has its turn.
const EVERY: u64 = 17;
/// Which of them.
const TURN: u64 = 13;
/// At most so many allocations of a run fail.
const MOST: u64 = 3;

/// The runs of another strategy, some or all of which lack memory.
#[derive(Clone, Debug)]
pub struct Scarce<S> {
    schedules: S,
    seed: u64,
    /// `None`: in a share of the runs.
    allocations: Option<Allocations>,
    run: u64,
    /// Allocations of the default run that may fail.
    expected: u64,
    /// The numbers of those that fail in this run.
    fail: [Option<u64>; MOST as usize],
}

impl<S: Strategy> Scarce<S> {
    /// The runs of `schedules`. Allocations fail in all of them, in none, or in a share.
    pub fn new(schedules: S, seed: u64, allocations: Option<Allocations>) -> Scarce<S> {
        Scarce {
            schedules,
            seed,
            allocations,
            run: 0,
            expected: 0,
            fail: [None; MOST as usize],
        }
    }

    fn lacks_memory(&self) -> bool {
        match self.allocations {
            Some(allocations) => allocations == Allocations::Fail,
            None => self.run % EVERY == TURN,
        }
    }

    fn draw(&mut self) {
        let mut rng = Rng::new(self.seed ^ SEED, self.run);
        // Other schedules may allocate more than the default one does.
        let among = self.expected + self.expected / 4 + 1;
        let count = 1 + rng.below(MOST) as usize;
        for place in &mut self.fail[..count] {
            *place = Some(rng.below(among));
        }
    }
}

impl<S: Strategy> Strategy for Scarce<S> {
    fn begin(&mut self) {
        self.fail = [None; MOST as usize];
        if self.lacks_memory() {
            self.draw();
        }
        self.run += 1;
        self.schedules.begin();
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        self.schedules.choose(view)
    }

    fn wants_alerts(&self) -> bool {
        self.schedules.wants_alerts()
    }

    fn wants_low_only(&self) -> bool {
        self.schedules.wants_low_only()
    }

    fn wants_requests(&self) -> bool {
        self.fail[0].is_some()
    }

    fn refuses(&mut self, request: &Request) -> bool {
        self.fail.contains(&Some(request.number))
    }

    fn granularity(&self) -> Option<Granularity> {
        self.schedules.granularity()
    }

    fn wants_rehearsal(&self) -> bool {
        true
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.expected = rehearsal.requests;
        self.schedules.expect(rehearsal);
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
        self.schedules.seek(run);
    }
}
