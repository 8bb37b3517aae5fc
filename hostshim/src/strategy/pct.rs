//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, 2010), for CPUs and interrupts.
//!
//! # Overview
//!
//! Everything that can go on by itself has a priority: each CPU, and each CPU's interrupts from others. The one with the highest
//! that can go on does, until one of `depth - 1` change points, where it falls to the bottom. A bug
//! that needs `d` ordering constraints is found in a run of `k` points and `n` priorities with a probability of
//! at least 1 / (n k^(d-1)).
//!
//! # Differences from the paper
//!
//! The length of the run is not known beforehand, and must not be learned from earlier runs (a run depends on the image,
//! seed and number alone): the length of the default run is taken, times a factor that each run draws. A change point
//! is, now and then, an early tick. A CPU that says that it spins falls to the bottom, too, or nobody would do what it waits
//! for; and the clock is nobody's rival: a tick that is due is taken.

use kmod::config::Config;
use kmod::machine::Line;

use super::{Answer, Rng, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// The depths that are gone through.
const DEPTHS: std::ops::RangeInclusive<u64> = 2..=5;
/// The guess at a run's length as long as nobody has told.
const LENGTH: u64 = 500;
/// A run's length is guessed between this many fourths of the default run's.
const FOURTHS: std::ops::RangeInclusive<u64> = 3..=5;
/// So many runs of four change priorities only where no interrupt is masked: about half of the points.
const LOW_ONLY_FOURTHS: u64 = 3;
/// One change point in so many is an early tick.
const TICK_ODDS: u64 = 8;
/// CPUs, and their lines for interrupts from others.
const ENTITIES: usize = 2 * Config::MAXCPUS;

/// Runs by priorities that change at few points.
#[derive(Clone, Debug)]
pub struct Pct {
    seed: u64,
    run: u64,
    /// Points of the default run.
    length: u64,
    /// The depth of every run; `None`: they go through [`DEPTHS`].
    depth: Option<u64>,
    rng: Rng,
    /// CPU `c` is `c`, its interrupt line is `c + MAXCPUS`. Higher goes first.
    priorities: [i64; ENTITIES],
    /// The next priority below all others.
    bottom: i64,
    /// After how many points something falls to the bottom, the next one last.
    changes: Vec<u64>,
    /// Whether changes happen only where no interrupt is masked, and only such points count.
    low_only: bool,
    /// Points that counted so far.
    counted: u64,
}

impl Pct {
    /// The runs of `seed`, of depth 2, 3, 4, 5 and over again.
    pub fn new(seed: u64) -> Pct {
        Pct {
            seed,
            run: 0,
            length: LENGTH,
            depth: None,
            rng: Rng::new(seed, 0),
            priorities: [0; ENTITIES],
            bottom: 0,
            changes: Vec::new(),
            low_only: false,
            counted: 0,
        }
    }

    /// The runs of `seed`, all of this depth.
    pub fn with_depth(seed: u64, depth: u64) -> Pct {
        Pct {
            depth: Some(depth.max(1)),
            ..Pct::new(seed)
        }
    }

    fn depth_of(&self, run: u64) -> u64 {
        let cycle = DEPTHS.end() - DEPTHS.start() + 1;
        self.depth.unwrap_or(DEPTHS.start() + run % cycle)
    }

    /// Gives every entity a priority, in random order, above all that entities can fall to.
    fn shuffle(&mut self) {
        self.bottom = 0;
        for (priority, value) in self.priorities.iter_mut().zip(1..) {
            *priority = value;
        }
        for last in (1..ENTITIES).rev() {
            self.priorities
                .swap(last, self.rng.below(last as u64 + 1) as usize);
        }
    }

    fn fall(&mut self, entity: usize) {
        self.priorities[entity] = self.bottom;
        self.bottom -= 1;
    }

    fn plan(&mut self, depth: u64) {
        let fourths = FOURTHS.start() + self.rng.below(FOURTHS.end() - FOURTHS.start() + 1);
        self.low_only = self.rng.below(4) < LOW_ONLY_FOURTHS;
        self.counted = 0;
        let halves = if self.low_only { 1 } else { 2 };
        let length = (self.length * halves * fourths / 8).max(1);
        self.changes.clear();
        for _ in 1..depth {
            self.changes.push(self.rng.below(length));
        }
        self.changes.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// The entity of the highest priority that can go on.
    fn highest(&self, view: &View<'_>) -> usize {
        let mut able = view.runnable() | view.asserted(Line::Ipi) << Config::MAXCPUS;
        let mut highest = able.trailing_zeros() as usize;
        while able != 0 {
            let entity = able.trailing_zeros() as usize;
            able &= able - 1;
            if self.priorities[entity] > self.priorities[highest] {
                highest = entity;
            }
        }
        highest
    }
}
const _: () = assert!(ENTITIES == 32, "a set of entities is a word");

fn choice_of(entity: usize) -> Choice {
    match entity.checked_sub(Config::MAXCPUS) {
        None => Choice::Step(entity),
        Some(cpu) => Choice::Take(cpu, Line::Ipi),
    }
}

impl Strategy for Pct {
    fn begin(&mut self) {
        let depth = self.depth_of(self.run);
        self.rng = Rng::new(self.seed, self.run);
        self.run += 1;
        self.shuffle();
        self.plan(depth);
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if view.asserted(Line::Clock) != 0 || view.runnable() == 0 {
            return Answer::keep(view, 0);
        }
        let counts = !self.low_only || view.ipl(view.current()) == 0;
        self.counted += u64::from(counts);
        if counts
            && self
                .changes
                .last()
                .is_some_and(|&change| change < self.counted)
        {
            self.changes.pop();
            let early = view.takeable(Line::Clock);
            if early != 0 && self.rng.once_in(TICK_ODDS) {
                return Answer::now(Choice::Take(self.rng.member(early), Line::Clock));
            }
            self.fall(self.highest(view));
        }
        if view.is_yielding() {
            self.fall(view.current());
        }
        Answer::now(choice_of(self.highest(view)))
    }

    fn wants_length(&self) -> bool {
        true
    }

    fn expect(&mut self, points: u64) {
        self.length = points;
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
