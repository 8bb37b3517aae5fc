//! Probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, 2010), for CPUs and interrupts.
//!
//! # Overview
//!
//! Everything that can act on its own has a priority: each CPU, each CPU's interrupts from other CPUs, and the wire
//! that delivers frames to network cards. The one with the highest priority that can act does, until one of `depth -
//! 1` change points, where it drops to the lowest priority. A bug
//! that needs `d` ordering constraints is found in a run of `k` points and `n` priorities with a probability of
//! at least 1 / (n k^(d-1)).
//!
//! # Differences from the paper
//!
//! The length of the run is not known in advance, and must not be learned from earlier runs (a run depends only on
//! the image, the seed and its number). So the length of the default run is used, times a factor that each run draws.
//! Some change points are early ticks instead, or several of them. A CPU that reports that it spins also drops to the
//! lowest priority, so that the CPU for which it waits can run. The clock has no priority: a tick that is due is
//! taken.

use kmod::config::Config;
use kmod::machine::Line;

use super::lapse::Lapse;
use super::{Answer, LENGTH, Rehearsal, Rng, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// The depths that are used in turn.
const DEPTHS: std::ops::RangeInclusive<u64> = 2..=5;
/// The guess at a run's length, in quarters of the default run's length.
const FOURTHS: std::ops::RangeInclusive<u64> = 3..=5;
/// How many of four runs change priorities only where no interrupt is masked.
const LOW_ONLY_FOURTHS: u64 = 3;
/// A change point that is not allowed where it is moves on by at most this many points, repeatedly.
const DETOUR: u64 = 16;
/// One change point in this many is an early tick.
const TICK_ODDS: u64 = 8;
/// One early tick in this many is followed by others at the same place.
const LAPSE_ODDS: u64 = 8;
/// The seed of lapses is combined with this.
const LAPSE_SEED: u64 = 0x6c61_7073_6501;
/// The seed for the wire's priorities is combined with this.
const WIRE_SEED: u64 = 0x7769_7265;
/// CPUs, and their lines for interrupts from other CPUs.
const ENTITIES: usize = 2 * Config::MAXCPUS;
/// The wire, which comes after the CPUs and their lines.
const WIRE: usize = ENTITIES;

/// Makes runs with priorities that change at few points.
#[derive(Clone, Debug)]
pub struct Pct {
    seed: u64,
    run: u64,
    /// Points of the default run.
    length: u64,
    /// The depth of every run; `None`: they go through [`DEPTHS`].
    depth: Option<u64>,
    rng: Rng,
    /// CPU `c` is `c`, its interrupt line is `c + MAXCPUS`, the last is the wire. The highest goes first.
    priorities: [i64; ENTITIES + 1],
    /// The next priority that is lower than all others.
    bottom: i64,
    /// The points at which an entity drops to the lowest priority, the next one last.
    changes: Vec<u64>,
    /// Whether changes happen only where no interrupt is masked.
    low_only: bool,
    /// The current lapse.
    lapse: Lapse,
}

impl Pct {
    /// The runs of `seed`, with depths 2, 3, 4 and 5 in turn.
    pub fn new(seed: u64) -> Pct {
        Pct {
            seed,
            run: 0,
            length: LENGTH,
            depth: None,
            rng: Rng::new(seed, 0),
            priorities: [0; ENTITIES + 1],
            bottom: 0,
            changes: Vec::new(),
            low_only: false,
            lapse: Lapse::default(),
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

    /// Gives every entity a priority, in random order, above all priorities that entities can drop to.
    fn shuffle(&mut self) {
        self.bottom = 0;
        for (priority, value) in self.priorities.iter_mut().zip(1..) {
            *priority = value;
        }
        for last in (1..ENTITIES).rev() {
            self.priorities
                .swap(last, self.rng.below(last as u64 + 1) as usize);
        }
        // From a separate generator, so that runs without cards do not change. Next to one of the others, and before
        // it.
        let mut rng = Rng::new(self.seed ^ WIRE_SEED, self.run);
        self.priorities[WIRE] = rng.below(ENTITIES as u64 + 1) as i64;
    }

    fn fall(&mut self, entity: usize) {
        self.priorities[entity] = self.bottom;
        self.bottom -= 1;
    }

    fn plan(&mut self, depth: u64) {
        let fourths = FOURTHS.start() + self.rng.below(FOURTHS.end() - FOURTHS.start() + 1);
        self.low_only = self.rng.below(4) < LOW_ONLY_FOURTHS;
        let length = (self.length * fourths / 4).max(1);
        self.changes.clear();
        for _ in 1..depth {
            self.changes.push(self.rng.below(length));
        }
        self.changes.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Whether the next change happens at this point. In a run that spares points with masked interrupts, a change
    /// that is due at such a point moves on by a few points, and not just to the end of the mask; otherwise all
    /// changes would gather there.
    fn is_due(&mut self, view: &View<'_>) -> bool {
        let Some(next) = self
            .changes
            .last_mut()
            .filter(|next| **next <= view.point())
        else {
            return false;
        };
        if self.low_only && view.ipl(view.current()) != 0 {
            *next = view.point() + 1 + self.rng.below(DETOUR);
            return false;
        }
        true
    }

    /// An early tick on one of these CPUs, or the beginning of a lapse.
    fn early_tick(&mut self, early: u32, view: &View<'_>) -> Choice {
        let tick = Choice::Take(self.rng.member(early), Line::Clock);
        let mut rng = Rng::new(self.seed ^ LAPSE_SEED, self.run ^ view.point() << 32);
        if !rng.once_in(LAPSE_ODDS) {
            return tick;
        }
        self.lapse = Lapse::draw(&mut rng, view);
        self.lapse.go_on(view).unwrap_or(tick)
    }

    /// For how many points after `choice` the machine's default agrees with the priorities, unless there is an alert.
    fn quiet_after(&self, choice: Choice, view: &View<'_>) -> u64 {
        match choice {
            Choice::Step(_) if choice == view.default_choice() => {
                let change = self.changes.last().copied().unwrap_or(u64::MAX);
                change.saturating_sub(view.point() + 1)
            }
            // A preempted LWP, or a deferred interrupt, may not be the only one.
            _ => 0,
        }
    }

    /// The entity with the highest priority that can act.
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
        let frames = view.asserted(Line::Net) != 0;
        if frames && self.priorities[WIRE] >= self.priorities[highest] {
            return WIRE;
        }
        highest
    }
}
const _: () = assert!(ENTITIES == 32, "a set of entities is a word");

fn choice_of(entity: usize, view: &View<'_>) -> Choice {
    if entity == WIRE {
        // It delivers to one CPU at a time.
        return Choice::Take(
            view.asserted(Line::Net).trailing_zeros() as usize,
            Line::Net,
        );
    }
    match entity.checked_sub(Config::MAXCPUS) {
        None => Choice::Step(entity),
        Some(cpu) => Choice::Take(cpu, Line::Ipi),
    }
}

impl Strategy for Pct {
    fn begin(&mut self) {
        let depth = self.depth_of(self.run);
        self.rng = Rng::new(self.seed, self.run);
        self.lapse = Lapse::default();
        self.run += 1;
        self.shuffle();
        self.plan(depth);
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if view.asserted(Line::Clock) != 0 || view.runnable() == 0 {
            return Answer::keep(view, 0);
        }
        if let Some(choice) = self.lapse.go_on(view) {
            return Answer::now(choice);
        }
        if self.is_due(view) {
            self.changes.pop();
            let early = view.takeable(Line::Clock);
            if early != 0 && self.rng.once_in(TICK_ODDS) {
                return Answer::now(self.early_tick(early, view));
            }
            self.fall(self.highest(view));
        }
        if view.is_yielding() {
            self.fall(view.current());
        }
        let choice = choice_of(self.highest(view), view);
        Answer {
            choice,
            quiet: self.quiet_after(choice, view),
        }
    }

    fn wants_alerts(&self) -> bool {
        true
    }

    fn wants_rehearsal(&self) -> bool {
        true
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.length = rehearsal.points;
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
