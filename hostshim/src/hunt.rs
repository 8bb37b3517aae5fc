//! The hunt: runs many schedules of one scenario, up to the first that fails.
//!
//! # Overview
//!
//! Runs have numbers, and a strategy's choices in a run depend only on the seed and the run's number. Workers, each
//! with its own machine, take blocks of numbers in order. When a run fails, every run with a lower number is finished
//! first, and the failure with the lowest number counts. So the result does not depend on the number of workers.
//!
//! # Memory
//!
//! In a share of the runs some allocations fail ([`Scarce`]).
//!
//! # Wires
//!
//! If the kernel has network cards, the wire between them has mishaps in most runs. They are derived from the seed
//! and the run's number.
//!
//! # Programs
//!
//! The scenarios `ops` and `softnet` have no fixed program. A hunt generates one for every [`RUNS_A_PROGRAM`] runs
//! from the seed and the program's number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use kmod::config::Config;
use kmod::scenario::ops::{self, Language, MAX_LWPS, Program, Topics};
use kmod::scenario::{Scenario, Variant};

use crate::capture::Catch;
use crate::machine::{Census, Failure, Limits, Machine, Meeting, Races, Setup, Verdict};
use crate::replay::LIMITS;
use crate::schedule::{Allocations, Deviation, Granularity, MemoryModel, Refusal};
use crate::stopwatch::Stopwatch;
use crate::strategy::{
    Delays, Focus, Pct, Portfolio, Pos, Random, Rng, Scarce, Stall, Strategy, Urw,
};
use crate::wire::{Frame, Wire};

/// Number of runs in a block.
const BLOCK: u64 = 64;
/// Number of runs with the same program, for a scenario that runs programs.
pub const RUNS_A_PROGRAM: u64 = 256;
const _: () = assert!(
    RUNS_A_PROGRAM.is_multiple_of(BLOCK),
    "a block has one program"
);
/// Maximum number of operations of an LWP in such a program.
const OPS_A_SCRIPT: u64 = 10;

/// The strategy of a hunt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// All the others in turn.
    Portfolio,
    /// A random walk.
    Random,
    /// Probabilistic concurrency testing, of this depth or of 2 to 5 in turn.
    Pct(Option<u64>),
    /// A random walk in which one thread stands still for long.
    Stall,
    /// Partial order sampling, with this focus or with each in turn.
    Pos(Option<Focus>),
    /// A uniform random walk, with this focus or with each in turn.
    Urw(Option<Focus>),
}

impl Plan {
    /// The depths that PCT can have.
    const DEPTHS: std::ops::RangeInclusive<u64> = 1..=16;

    /// The runs of `seed`. Without a granularity the portfolio mixes them, and without a word on allocations a share of the
    /// runs lacks memory.
    pub(crate) fn strategy(
        self,
        seed: u64,
        granularity: Option<Granularity>,
        allocations: Option<Allocations>,
    ) -> Box<dyn Strategy> {
        fn scarce<S: Strategy + 'static>(
            schedules: S,
            seed: u64,
            allocations: Option<Allocations>,
        ) -> Box<dyn Strategy> {
            match allocations {
                Some(Allocations::Never) => Box::new(schedules),
                _ => Box::new(Scarce::new(schedules, seed, allocations)),
            }
        }
        let portfolio = match granularity {
            Some(_) => Portfolio::new(seed).without_mixing(),
            None => Portfolio::new(seed),
        };
        match self {
            Plan::Portfolio => scarce(portfolio, seed, allocations),
            Plan::Random => scarce(Random::new(seed), seed, allocations),
            Plan::Pct(None) => scarce(Pct::new(seed), seed, allocations),
            Plan::Pct(Some(depth)) => scarce(Pct::with_depth(seed, depth), seed, allocations),
            Plan::Stall => scarce(Stall::new(seed), seed, allocations),
            Plan::Pos(None) => scarce(Pos::new(seed), seed, allocations),
            Plan::Pos(Some(focus)) => scarce(Pos::with_focus(seed, focus), seed, allocations),
            Plan::Urw(None) => scarce(Urw::new(seed), seed, allocations),
            Plan::Urw(Some(focus)) => scarce(Urw::with_focus(seed, focus), seed, allocations),
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Plan, String> {
        match text {
            "portfolio" => return Ok(Plan::Portfolio),
            "random" => return Ok(Plan::Random),
            "pct" => return Ok(Plan::Pct(None)),
            "stall" => return Ok(Plan::Stall),
            "pos" => return Ok(Plan::Pos(None)),
            "urw" => return Ok(Plan::Urw(None)),
            _ => {}
        }
        if let Some((name @ ("pos" | "urw"), focus)) = text.split_once(':') {
            let known = Focus::ALL.into_iter().find(|known| known.name() == focus);
            return match known {
                Some(focus) if name == "pos" => Ok(Plan::Pos(Some(focus))),
                Some(focus) => Ok(Plan::Urw(Some(focus))),
                None => Err(format!(
                    "the points of {name} can be program, modules or everything"
                )),
            };
        }
        let depth = text
            .strip_prefix("pct:")
            .and_then(|depth| depth.parse().ok());
        match depth.filter(|depth| Plan::DEPTHS.contains(depth)) {
            Some(depth) => Ok(Plan::Pct(Some(depth))),
            None => Err(
                "it can be portfolio, random, pct, pct:DEPTH with a depth of 1 to 16, stall, pos or urw, \
                 or pos:POINTS or urw:POINTS with program, modules or everything"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Plan::Portfolio => f.write_str("portfolio"),
            Plan::Random => f.write_str("random"),
            Plan::Pct(None) => f.write_str("pct"),
            Plan::Pct(Some(depth)) => write!(f, "pct:{depth}"),
            Plan::Stall => f.write_str("stall"),
            Plan::Pos(None) => f.write_str("pos"),
            Plan::Pos(Some(focus)) => write!(f, "pos:{}", focus.name()),
            Plan::Urw(None) => f.write_str("urw"),
            Plan::Urw(Some(focus)) => write!(f, "urw:{}", focus.name()),
        }
    }
}

/// When a hunt without a failure ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Budget {
    /// After so many schedules.
    Schedules(u64),
    /// After so long.
    Time(Duration),
}

/// The settings of a hunt.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The program.
    pub scenario: &'static Scenario,
    /// The variant of the code.
    pub variant: &'static Variant,
    /// CPUs and knobs; the history is the variant's.
    pub config: Config,
    /// Frames that come from outside in every run.
    pub frames: Vec<Frame>,
    /// The strategy.
    pub plan: Plan,
    /// What a step is. `None`: coarse, and in a share of the portfolio's schedules fine.
    pub granularity: Option<Granularity>,
    /// Whether allocations fail. `None`: in a share of the schedules.
    pub allocations: Option<Allocations>,
    /// The model of memory.
    pub memory: MemoryModel,
    /// The random seed.
    pub seed: u64,
    /// When the hunt ends.
    pub budget: Budget,
    /// Host threads.
    pub jobs: usize,
    /// The limits of a run.
    pub limits: Limits,
    /// What becomes of a run at a data race of foreign code.
    pub races: Races,
}

/// The progress of a hunt, for an observer on another thread; also stops the hunt.
#[derive(Default, Debug)]
pub struct Watch {
    /// Number of schedules run.
    pub schedules: AtomicU64,
    /// Number of steps in them.
    pub steps: AtomicU64,
    /// Set to end the hunt as soon as the current runs are over.
    pub stop: AtomicBool,
}

/// A data race that a run went on past: the first run that met it, and its schedule.
#[derive(Clone, Debug)]
pub struct Raced {
    /// How it is told from others.
    pub meeting: Meeting,
    /// The number of the run, from 0.
    pub run: u64,
    /// What its steps were.
    pub granularity: Granularity,
    /// The allocations that failed in it.
    pub refusals: Vec<Refusal>,
    /// Its schedule.
    pub deviations: Vec<Deviation>,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number, from 0.
    pub run: u64,
    /// How it failed.
    pub failure: Failure,
    /// Its schedule.
    pub deviations: Vec<Deviation>,
    /// What a step was.
    pub granularity: Granularity,
    /// The model of memory.
    pub memory: MemoryModel,
    /// The allocations that failed.
    pub refusals: Vec<Refusal>,
    /// What the actors ran, if the scenario runs programs.
    pub program: Option<Box<Program>>,
    /// What happened on the wire.
    pub wire: Wire,
}

impl Found {
    /// The failure with its code and kernel configuration, to be kept.
    pub fn catch<'a>(
        &'a self,
        scenario: &'static Scenario,
        variant: &'static Variant,
        config: Config,
        races: &'a Races,
    ) -> Catch<'a> {
        Catch {
            scenario,
            variant,
            config,
            program: self.program.as_deref(),
            wire: &self.wire,
            races,
            deviations: &self.deviations,
            granularity: self.granularity,
            memory: self.memory,
            refusals: &self.refusals,
            failure: &self.failure,
        }
    }
}

/// The result of a hunt.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The failure with the lowest number, if there was one.
    pub found: Option<Found>,
    /// The data races that runs up to that went on past, by run.
    pub races: Vec<Raced>,
    /// Number of schedules run. With several workers this includes some after the one that failed.
    pub schedules: u64,
    /// Whether it was stopped before its budget was used.
    pub interrupted: bool,
    /// What ever happened in the schedules, for those who want to know what a hunt that found nothing has seen.
    pub census: Census,
}

impl Hunt {
    /// A hunt with the portfolio, seed 1 and one thread, on the scenario's default number of CPUs.
    pub fn new(scenario: &'static Scenario, variant: &'static Variant, budget: Budget) -> Hunt {
        Hunt {
            scenario,
            variant,
            config: scenario.config(Config::small(scenario.default_cpus), variant),
            frames: Vec::new(),
            plan: Plan::Portfolio,
            granularity: None,
            allocations: None,
            memory: MemoryModel::Sc,
            seed: 1,
            budget,
            jobs: 1,
            limits: LIMITS,
            races: Races::Stop,
        }
    }

    /// Runs until something fails, the budget is used, or [`Watch::stop`] is set.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    ///
    /// # Panics
    ///
    /// If the host has no more threads or no more address space.
    pub fn run(&self, watch: &Watch) -> Result<Hunted, Failure> {
        let pursuit = Pursuit {
            hunt: self,
            watch,
            clock: Stopwatch::start(),
            next: AtomicU64::new(0),
            bound: AtomicU64::new(match self.budget {
                Budget::Schedules(count) => count,
                Budget::Time(_) => u64::MAX,
            }),
            found: Mutex::new(None),
            races: Mutex::default(),
            census: Mutex::default(),
        };
        thread::scope(|scope| {
            let workers = Vec::from_iter((1..self.jobs).map(|_| scope.spawn(|| pursuit.work())));
            let first = pursuit.work();
            let others = workers.into_iter().map(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            others.fold(first, Result::and)
        })?;
        let found = pursuit
            .found
            .into_inner()
            .unwrap_or_else(|broken| broken.into_inner());
        let races = pursuit
            .races
            .into_inner()
            .unwrap_or_else(|broken| broken.into_inner());
        let mut races = Vec::from_iter(races.into_values());
        // With several workers some runs after the one that failed are made.
        races.retain(|race| found.as_ref().is_none_or(|found| race.run <= found.run));
        races.sort_by_key(|race| (race.run, race.meeting));
        Ok(Hunted {
            races,
            schedules: watch.schedules.load(Relaxed),
            interrupted: found.is_none() && watch.stop.load(Relaxed),
            found,
            census: pursuit
                .census
                .into_inner()
                .unwrap_or_else(|broken| broken.into_inner()),
        })
    }

    /// Limits the hunt to the number of schedules that make about this many steps, unless its budget is smaller.
    ///
    /// That number depends only on the scenario and its configuration, and is a round number, so that a few steps
    /// more or less do not change it.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    pub fn within(mut self, steps: u64) -> Result<Hunt, Failure> {
        let mut machine = Machine::new();
        machine.boot(&Setup {
            scenario: self.scenario,
            config: self.config,
            trace: false,
        })?;
        let most = round(steps / machine.length(self.granularity.unwrap_or_default()).max(1));
        self.budget = match self.budget {
            Budget::Schedules(count) => Budget::Schedules(count.min(most)),
            Budget::Time(_) => Budget::Schedules(most),
        };
        Ok(self)
    }

    /// The failure, to be kept.
    pub fn catch<'a>(&'a self, found: &'a Found) -> Catch<'a> {
        found.catch(self.scenario, self.variant, self.config, &self.races)
    }

    /// The program of a run, if the scenario runs programs.
    fn program(&self, run: u64) -> Option<Box<Program>> {
        let language = Language::of(self.scenario)?;
        Some(random_program(language, self.seed, run / RUNS_A_PROGRAM))
    }

    /// The events on the wire of a run, if there is a wire.
    fn wire(&self, run: u64) -> Option<Wire> {
        (self.config.nics > 0).then(|| Wire {
            frames: self.frames.clone(),
            ..Wire::random(self.seed, run)
        })
    }
}

/// A hunt in progress.
struct Pursuit<'a> {
    hunt: &'a Hunt,
    watch: &'a Watch,
    clock: Stopwatch,
    /// The first run that was not taken yet.
    next: AtomicU64,
    /// Runs from this number on are not needed: the budget, or the number of a run that failed.
    bound: AtomicU64,
    found: Mutex<Option<Found>>,
    races: Mutex<BTreeMap<Meeting, Raced>>,
    census: Mutex<Census>,
}

impl Pursuit<'_> {
    fn work(&self) -> Result<(), Failure> {
        let mut machine = Machine::new();
        let Hunt {
            scenario, config, ..
        } = *self.hunt;
        machine.boot(&Setup {
            scenario,
            config,
            trace: false,
        })?;
        machine.at_races(&self.hunt.races);
        machine.set_granularity(self.hunt.granularity.unwrap_or_default());
        let Hunt {
            plan,
            seed,
            granularity,
            allocations,
            ..
        } = *self.hunt;
        machine.set_memory(self.hunt.memory);
        let mut strategy = plan.strategy(seed, granularity, allocations);
        if self.hunt.memory == MemoryModel::Tso {
            strategy = Box::new(Delays::new(strategy, seed));
        }
        let mut known = BTreeSet::new();
        while !self.is_over() {
            let first = self.next.fetch_add(BLOCK, Relaxed);
            if first >= self.bound.load(Relaxed) {
                break;
            }
            self.block(first, &mut machine, &mut *strategy, &mut known);
        }
        let mut census = self
            .census
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        census.merge(machine.census());
        Ok(())
    }

    fn is_over(&self) -> bool {
        let late = match self.hunt.budget {
            Budget::Schedules(_) => false,
            Budget::Time(limit) => self.clock.elapsed() >= limit,
        };
        late || self.watch.stop.load(Relaxed)
    }

    /// Makes the runs of a block, starting with `first`, up to the first that fails. `known` are the races that this worker
    /// has met.
    fn block(
        &self,
        first: u64,
        machine: &mut Machine,
        strategy: &mut dyn Strategy,
        known: &mut BTreeSet<Meeting>,
    ) {
        let program = self.hunt.program(first);
        if let Some(program) = &program {
            machine.load(program);
        }
        strategy.seek(first);
        for run in first..first + BLOCK {
            // A run with a lower number than a failed one is still made, even if the hunt is stopped: the lowest
            // number counts.
            let stop = self.watch.stop.load(Relaxed) && !self.has_found();
            if run >= self.bound.load(Relaxed) || stop {
                return;
            }
            let wire = self.hunt.wire(run);
            if let Some(wire) = &wire {
                machine.connect(wire);
            }
            let outcome = machine.run(strategy, &self.hunt.limits);
            self.watch.schedules.fetch_add(1, Relaxed);
            self.watch.steps.fetch_add(outcome.steps, Relaxed);
            for meeting in machine.met() {
                if known.insert(meeting) {
                    self.note(Raced {
                        meeting,
                        run,
                        granularity: machine.granularity(),
                        refusals: machine.refused().to_vec(),
                        deviations: machine.deviations().to_vec(),
                    });
                }
            }
            if let Verdict::Failed(failure) = outcome.verdict {
                let deviations = machine.deviations().to_vec();
                return self.offer(Found {
                    run,
                    failure,
                    deviations,
                    granularity: machine.granularity(),
                    memory: machine.memory(),
                    refusals: machine.refused().to_vec(),
                    program,
                    wire: wire.unwrap_or_default(),
                });
            }
        }
    }

    fn has_found(&self) -> bool {
        self.found.lock().is_ok_and(|found| found.is_some())
    }

    /// Keeps the race, unless a run with a lower number has met it.
    fn note(&self, race: Raced) {
        let mut races = self
            .races
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        let known = races.get(&race.meeting);
        if known.is_none_or(|other| race.run < other.run) {
            races.insert(race.meeting, race);
        }
    }

    /// Keeps the failure, unless there is one with a lower number.
    fn offer(&self, new: Found) {
        self.bound.fetch_min(new.run, Relaxed);
        let mut found = self
            .found
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        if found.as_ref().is_none_or(|old| new.run < old.run) {
            *found = Some(new);
        }
    }
}

/// The largest of 1, 2, 5, 10, 20, 50 and so on that is at most `number`; at least 1.
fn round(number: u64) -> u64 {
    let scale = 10u64.pow(number.max(1).ilog10());
    match number / scale {
        0 | 1 => scale,
        2..=4 => 2 * scale,
        _ => 5 * scale,
    }
}

/// Program `number` of a seed: a few LWPs with a few operations each, of a few kinds.
pub(crate) fn random_program(language: Language, seed: u64, number: u64) -> Box<Program> {
    let mut rng = Rng::new(seed, number);
    // With few kinds of operations in one program, related operations meet more often.
    let [a, b, c, ..] = rng.bits().to_le_bytes();
    let topics = Topics::decode(language, [a, b, c]);
    let kinds: [u8; 6] = std::array::from_fn(|_| rng.bits() as u8);
    let mut program = Box::<Program>::default();
    let lwps = 2 + rng.below(MAX_LWPS as u64 - 1) as usize;
    for script in &mut program.scripts[..lwps] {
        for _ in 0..=rng.below(OPS_A_SCRIPT) {
            let kind = kinds[rng.below(kinds.len() as u64) as usize];
            let [a, b, ..] = rng.bits().to_le_bytes();
            script.push(ops::Op::decode(topics, [kind, a, b]));
        }
    }
    program
}

#[cfg(test)]
mod tests {
    use super::round;

    #[test]
    fn round_numbers_are_ones_twos_and_fives() {
        let cases = [
            (0, 1),
            (1, 1),
            (3, 2),
            (9, 5),
            (10, 10),
            (49, 20),
            (7_959, 5_000),
            (18_337, 10_000),
        ];
        for (number, expected) in cases {
            assert_eq!(round(number), expected, "{number}");
        }
    }
}
