//! The hunt: many schedules of one scenario, up to the first that fails.
//!
//! # Overview
//!
//! Runs have numbers, and what a strategy does in a run depends on the seed and the run's number alone. Workers, a
//! machine each, take blocks of numbers in order. When a run fails, every lower number was taken already and is
//! finished first, and the failure with the lowest number counts: so what is found does not depend on how many
//! workers there are.
//!
//! # Wires
//!
//! If the kernel has network cards, the wire between them has mishaps in most runs, made of the seed and the run's number.
//!
//! # Programs
//!
//! The scenarios `ops` and `softnet` have no program of their own. A hunt gives them one for every [`RUNS_A_PROGRAM`] runs, made of the
//! seed and the program's number.

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
use crate::machine::{Failure, Limits, Machine, Setup, Verdict};
use crate::replay::LIMITS;
use crate::schedule::Deviation;
use crate::stopwatch::Stopwatch;
use crate::strategy::{Pct, Portfolio, Random, Rng, Strategy};
use crate::wire::{Frame, Wire};

/// Runs that a worker takes at once.
const BLOCK: u64 = 64;
/// Runs of a scenario that wants a program that have the same program.
pub const RUNS_A_PROGRAM: u64 = 256;
const _: () = assert!(
    RUNS_A_PROGRAM.is_multiple_of(BLOCK),
    "a block has one program"
);
/// Operations of an LWP in such a program, at most.
const OPS_A_SCRIPT: u64 = 10;

/// Which strategy hunts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Several in turn.
    Portfolio,
    /// A random walk.
    Random,
    /// Probabilistic concurrency testing, of this depth or of 2 to 5 in turn.
    Pct(Option<u64>),
}

impl Plan {
    /// The depths that PCT can have.
    const DEPTHS: std::ops::RangeInclusive<u64> = 1..=16;

    pub(crate) fn strategy(self, seed: u64) -> Box<dyn Strategy> {
        match self {
            Plan::Portfolio => Box::new(Portfolio::new(seed)),
            Plan::Random => Box::new(Random::new(seed)),
            Plan::Pct(None) => Box::new(Pct::new(seed)),
            Plan::Pct(Some(depth)) => Box::new(Pct::with_depth(seed, depth)),
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
            _ => {}
        }
        let depth = text
            .strip_prefix("pct:")
            .and_then(|depth| depth.parse().ok());
        match depth.filter(|depth| Plan::DEPTHS.contains(depth)) {
            Some(depth) => Ok(Plan::Pct(Some(depth))),
            None => Err(
                "it can be portfolio, random, pct, or pct:DEPTH with a depth of 1 to 16".to_owned(),
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
        }
    }
}

/// When a hunt ends that finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Budget {
    /// After so many schedules.
    Schedules(u64),
    /// After so long.
    Time(Duration),
}

/// What is hunted, and how.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// The program.
    pub scenario: &'static Scenario,
    /// Which code of it.
    pub variant: &'static Variant,
    /// CPUs and knobs; the history is the variant's.
    pub config: Config,
    /// Frames that come from outside in every run.
    pub frames: Vec<Frame>,
    /// Which strategy.
    pub plan: Plan,
    /// Which of its sequences of runs.
    pub seed: u64,
    /// When to end.
    pub budget: Budget,
    /// Host threads.
    pub jobs: usize,
    /// What bounds a run.
    pub limits: Limits,
}

/// How far a hunt has come, for whoever watches it from another thread; and how to stop it.
#[derive(Default, Debug)]
pub struct Watch {
    /// Schedules that were run.
    pub schedules: AtomicU64,
    /// Steps in them.
    pub steps: AtomicU64,
    /// Set to end the hunt as soon as the runs under way are over.
    pub stop: AtomicBool,
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
    /// What the actors ran, if the scenario runs programs.
    pub program: Option<Box<Program>>,
    /// What happened on the wire.
    pub wire: Wire,
}

impl Found {
    /// The failure of this code on such a kernel, to be kept.
    pub fn catch(
        &self,
        scenario: &'static Scenario,
        variant: &'static Variant,
        config: Config,
    ) -> Catch<'_> {
        Catch {
            scenario,
            variant,
            config,
            program: self.program.as_deref(),
            wire: &self.wire,
            deviations: &self.deviations,
            failure: &self.failure,
        }
    }
}

/// What a hunt came to.
#[derive(Clone, Debug)]
pub struct Hunted {
    /// The failure with the lowest number, if there was one.
    pub found: Option<Found>,
    /// Schedules that were run: with several workers, some of them after the one that failed.
    pub schedules: u64,
    /// Whether it was stopped before its budget was used up.
    pub interrupted: bool,
}

impl Hunt {
    /// A hunt of the portfolio with seed 1 on one thread, on as many CPUs as the scenario usually has.
    pub fn new(scenario: &'static Scenario, variant: &'static Variant, budget: Budget) -> Hunt {
        Hunt {
            scenario,
            variant,
            config: scenario.config(Config::small(scenario.default_cpus), variant),
            frames: Vec::new(),
            plan: Plan::Portfolio,
            seed: 1,
            budget,
            jobs: 1,
            limits: LIMITS,
        }
    }

    /// Hunts until something fails, the budget is used up, or [`Watch::stop`] is set.
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
        Ok(Hunted {
            schedules: watch.schedules.load(Relaxed),
            interrupted: found.is_none() && watch.stop.load(Relaxed),
            found,
        })
    }

    /// The same hunt with a budget of schedules, as many as make about so many steps; unless there are fewer already.
    ///
    /// How many that are depends on the scenario and its knobs alone, and is a round number, so that a step more or less
    /// changes nothing.
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
        let most = round(steps / machine.length().max(1));
        self.budget = match self.budget {
            Budget::Schedules(count) => Budget::Schedules(count.min(most)),
            Budget::Time(_) => Budget::Schedules(most),
        };
        Ok(self)
    }

    /// What was found, to be kept.
    pub fn catch<'a>(&self, found: &'a Found) -> Catch<'a> {
        found.catch(self.scenario, self.variant, self.config)
    }

    /// The program of a run, if the scenario wants one.
    fn program(&self, run: u64) -> Option<Box<Program>> {
        let language = Language::of(self.scenario)?;
        Some(random_program(language, self.seed, run / RUNS_A_PROGRAM))
    }

    /// What happens on the wire of a run, if there is one.
    fn wire(&self, run: u64) -> Option<Wire> {
        (self.config.nics > 0).then(|| Wire {
            frames: self.frames.clone(),
            ..Wire::random(self.seed, run)
        })
    }
}

/// A hunt under way.
struct Pursuit<'a> {
    hunt: &'a Hunt,
    watch: &'a Watch,
    clock: Stopwatch,
    /// The first run that nobody took.
    next: AtomicU64,
    /// Runs from this on need not be made: the budget, or the number of a run that failed.
    bound: AtomicU64,
    found: Mutex<Option<Found>>,
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
        let mut strategy = self.hunt.plan.strategy(self.hunt.seed);
        while !self.is_over() {
            let first = self.next.fetch_add(BLOCK, Relaxed);
            if first >= self.bound.load(Relaxed) {
                break;
            }
            self.block(first, &mut machine, &mut *strategy);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let late = match self.hunt.budget {
            Budget::Schedules(_) => false,
            Budget::Time(limit) => self.clock.elapsed() >= limit,
        };
        late || self.watch.stop.load(Relaxed)
    }

    /// Makes the runs from `first` on, up to the end of the block or to the first that fails.
    fn block(&self, first: u64, machine: &mut Machine, strategy: &mut dyn Strategy) {
        let program = self.hunt.program(first);
        if let Some(program) = &program {
            machine.load(program);
        }
        strategy.seek(first);
        for run in first..first + BLOCK {
            // A run below a failed one is made all the same, even if the hunt is to stop: the lowest number counts.
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
            if let Verdict::Failed(failure) = outcome.verdict {
                let deviations = machine.deviations().to_vec();
                return self.offer(Found {
                    run,
                    failure,
                    deviations,
                    program,
                    wire: wire.unwrap_or_default(),
                });
            }
        }
    }

    fn has_found(&self) -> bool {
        self.found.lock().is_ok_and(|found| found.is_some())
    }

    /// Keeps the failure, unless one with a lower number is there.
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

/// The largest of 1, 2, 5, 10, 20, 50 and so on that is not above `number`; at least 1.
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
    // Few kinds of operations in one program meet more often than many do.
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
