//! Runs whose stores stay in store buffers.
//!
//! In most runs some steps leave their stores in the [buffer](crate::MemoryModel::Tso) of their CPU, for a few points, for many, or
//! until something drains them. How often is drawn for each run. The schedule is that of the strategy that is wrapped, which knows
//! nothing of it; in every fourth run no store is delayed.

use kmod::config::Config;
use kmod::machine::Kind;
use kmod::mem::Ordering;

use super::{Answer, Rehearsal, Request, Rng, Strategy};
use crate::machine::{View, members};
use crate::schedule::{Choice, Granularity};

/// The seed of delays is combined with this.
const SEED: u64 = 0x6275_6666_6572;
/// Of so many runs one delays nothing.
const PLAIN_EVERY: u64 = 4;
/// A run delays one of so many stores; each run draws one of these.
const ODDS: [u64; 3] = [2, 6, 24];
/// The longest short delay and the longest long one, in points.
const POINTS: [u64; 2] = [12, 120];
/// A store that only its CPU drains, or the machine.
const NEVER: u64 = u64::MAX;

/// The runs of another strategy, with stores that are delayed.
pub struct Delays {
    schedules: Box<dyn Strategy>,
    seed: u64,
    run: u64,
    rng: Rng,
    /// One of so many stores of this run is delayed. `None`: no store is.
    odds: Option<u64>,
    /// The point at which what is in the buffer of each CPU is drained.
    until: [u64; Config::MAXCPUS],
}

impl Delays {
    /// The runs of `schedules`.
    pub fn new(schedules: Box<dyn Strategy>, seed: u64) -> Delays {
        Delays {
            schedules,
            seed,
            run: 0,
            rng: Rng::new(seed, 0),
            odds: None,
            until: [NEVER; Config::MAXCPUS],
        }
    }

    /// The point up to which a store that is made at `point` is delayed.
    fn draw_end(&mut self, point: u64) -> u64 {
        let [short, long] = POINTS;
        match self.rng.below(4) {
            0 => point + 1 + self.rng.below(short),
            1 => point + 1 + self.rng.below(long),
            _ => NEVER,
        }
    }
}

/// Whether the step that this CPU is about to make stores to an atomic word, and does not drain it.
fn stores(view: &View<'_>, cpu: usize) -> bool {
    view.op(cpu).is_some_and(|(op, _)| match op.kind {
        Kind::Store => op.order != Ordering::SeqCst,
        Kind::MutexExit => true,
        _ => false,
    })
}

impl Strategy for Delays {
    fn begin(&mut self) {
        self.rng = Rng::new(self.seed ^ SEED, self.run);
        self.until = [NEVER; Config::MAXCPUS];
        let delays = self.run % PLAIN_EVERY != PLAIN_EVERY - 1;
        let odds = ODDS[self.rng.below(ODDS.len() as u64) as usize];
        self.odds = delays.then_some(odds);
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
        self.schedules.wants_requests()
    }

    fn refuses(&mut self, request: &Request) -> bool {
        self.schedules.refuses(request)
    }

    fn wants_stores(&self) -> bool {
        self.odds.is_some()
    }

    fn stores(&mut self, view: &View<'_>, choice: Choice) -> Choice {
        let drainable = view.drainable();
        if let Some(cpu) = members(drainable).find(|&cpu| view.point() >= self.until[cpu]) {
            self.until[cpu] = NEVER;
            return Choice::Drain(cpu);
        }
        let Some(odds) = self.odds else { return choice };
        match choice {
            Choice::Step(cpu) if stores(view, cpu) && self.rng.once_in(odds) => {
                if drainable & 1 << cpu == 0 {
                    self.until[cpu] = self.draw_end(view.point());
                }
                Choice::Delay(cpu)
            }
            choice => choice,
        }
    }

    fn granularity(&self) -> Option<Granularity> {
        self.schedules.granularity()
    }

    fn wants_rehearsal(&self) -> bool {
        self.schedules.wants_rehearsal()
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.schedules.expect(rehearsal);
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
        self.schedules.seek(run);
    }
}
