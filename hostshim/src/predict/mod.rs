//! Prediction: deadlocks of which runs that did not fail give warning.
//!
//! # Overview
//!
//! Every run is recorded ([`kmod::kern::order`]): who held or occupied what when it waited for something else. Cycles among
//! that are looked for in each run by itself; and among all runs together, for what is the same in every one: the threads
//! and objects that were there when the actors were released lie at the same addresses.
//!
//! Runs that fail are set aside: they are the business of [`crate::hunt`].
//!
//! # Confirmation
//!
//! A cycle says what could happen if nothing else orders its parts. So each is tried: a strategy ([`Meet`]) holds every thread
//! of the cycle back where it is about to wait, until all of them are there. A schedule that ends in that very cycle confirms
//! it, and is kept; if none does in so many, that is said.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use kmod::config::Config;
use kmod::kern::order::{self, Dependency, Line, LineBy, Lost, Witnesses};
use kmod::scenario::ops::{self, Program};
use kmod::scenario::{Scenario, Variant};

use crate::capture::Catch;
use crate::hunt::{Found, Plan, Watch, random_program};
use crate::machine::{Failure, FailureKind, Limits, Machine, Setup, Verdict};
use crate::wire::Wire;

mod meet;

pub use meet::{Meet, Place};

/// Runs that a worker takes at once.
const BLOCK: u64 = 64;

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The program.
    pub scenario: &'static Scenario,
    /// Which code of it.
    pub variant: &'static Variant,
    /// CPUs and knobs; the history is the variant's, or more.
    pub config: Config,
    /// Who chooses the schedules.
    pub plan: Plan,
    /// Which of all sequences of schedules.
    pub seed: u64,
    /// How many schedules. For the scenario `ops`, each has a program of its own.
    pub schedules: u64,
    /// Schedules in which each prediction is tried.
    pub tries: u64,
    /// Host threads.
    pub jobs: usize,
    /// What bounds a run.
    pub limits: Limits,
}

/// A deadlock that did not happen.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// The cycle, as the wait-for graph would tell it: `softnet_lock => pserialize_perform => kpause => …`.
    pub line: String,
    /// The same with who keeps what.
    pub by: String,
    /// Who waited for what, where, and held what since where: lines.
    pub witnesses: String,
    /// The run that shows it, or of several that show it together, the last.
    pub run: u64,
    /// Whether no run by itself shows all of it.
    pub together: bool,
    /// How many cycles read like this one.
    pub alike: u64,
    /// What the actors of `ops` ran.
    pub program: Option<Box<Program>>,
    /// Where its threads wait.
    pub places: Vec<Place>,
}

/// What the runs gave.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    /// One of each kind, in the order of their runs.
    pub list: Vec<Predicted>,
    /// Runs that were made.
    pub schedules: u64,
    /// How many of them failed by themselves and were set aside.
    pub failed: u64,
    /// Dependencies that are the same in every run.
    pub dependencies: usize,
    /// What was not recorded, of all runs together.
    pub lost: Lost,
    /// Whether somebody stopped it before its end.
    pub interrupted: bool,
}

/// What some runs gave.
#[derive(Default)]
struct Harvest {
    predicted: BTreeMap<String, Predicted>,
    /// Dependencies that are the same in every run, and the first run with each.
    lasting: Vec<(Dependency, u64)>,
    failed: u64,
    lost: Lost,
}

impl Harvest {
    /// Adds the cycles among some dependencies.
    fn look<D>(&mut self, all: &D, run: u64, together: bool, program: Option<&Program>)
    where
        D: order::Dependencies + ?Sized,
    {
        order::cycles(all, &mut |cycle| {
            let line = Line(cycle).to_string();
            let new = || Predicted {
                line: line.clone(),
                by: LineBy(cycle).to_string(),
                witnesses: Witnesses(cycle).to_string(),
                run,
                together,
                alike: 0,
                program: program.copied().map(Box::new),
                places: cycle
                    .edges()
                    .map(|edge| place_of(edge.dependency))
                    .collect(),
            };
            let known = self.predicted.entry(line.clone()).or_insert_with(new);
            known.alike += 1;
        });
    }

    fn keep(&mut self, dependency: &Dependency, run: u64) {
        let known = self
            .lasting
            .iter_mut()
            .find(|(old, _)| old.is_alike(dependency));
        match known {
            Some((_, first)) => *first = run.min(*first),
            None => self.lasting.push((*dependency, run)),
        }
    }

    fn merge(&mut self, other: Harvest) {
        for (dependency, run) in other.lasting {
            self.keep(&dependency, run);
        }
        for (line, new) in other.predicted {
            match self.predicted.get_mut(&line) {
                Some(old) => {
                    let alike = old.alike + new.alike;
                    if new.run < old.run {
                        *old = new;
                    }
                    old.alike = alike;
                }
                None => {
                    self.predicted.insert(line, new);
                }
            }
        }
        self.failed += other.failed;
        self.add_lost(other.lost);
    }

    fn add_lost(&mut self, lost: Lost) {
        self.lost.dependencies += lost.dependencies;
        self.lost.holds += lost.holds;
        self.lost.lives += lost.lives;
    }
}

fn place_of(dependency: &Dependency) -> Place {
    Place {
        context: dependency.by.name.to_string(),
        at: dependency.at,
    }
}

impl Prediction {
    fn setup(&self, predict: bool) -> Setup {
        Setup {
            scenario: self.scenario,
            config: Config {
                predict,
                ..self.config
            },
            trace: false,
        }
    }

    fn has_programs(&self) -> bool {
        self.scenario.name == ops::SCENARIO.name
    }

    /// Makes the runs and gives what they predict: the same for the same arguments, whatever `jobs` is.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    ///
    /// # Panics
    ///
    /// If the host has no more threads or no more address space.
    pub fn run(&self, watch: &Watch) -> Result<Predictions, Failure> {
        let next = AtomicU64::new(0);
        let whole = Mutex::new(Harvest::default());
        thread::scope(|scope| {
            let work = || self.work(&next, watch, &whole);
            let workers = Vec::from_iter((1..self.jobs).map(|_| scope.spawn(work)));
            let first = work();
            workers.into_iter().fold(first, |result, worker| {
                let joined = worker.join();
                result.and(joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })?;
        let mut whole = whole
            .into_inner()
            .unwrap_or_else(|broken| broken.into_inner());
        // In one order, whoever came first.
        whole.lasting.sort_by_key(|(_, run)| *run);
        let lasting = Vec::from_iter(whole.lasting.iter().map(|(dependency, _)| *dependency));
        let last = whole.lasting.last().map_or(0, |(_, run)| *run);
        let mut together = Harvest::default();
        together.look(&lasting[..], last, true, None);
        for (line, predicted) in together.predicted {
            whole.predicted.entry(line).or_insert(predicted);
        }
        let mut list = Vec::from_iter(whole.predicted.into_values());
        list.sort_by_key(|predicted| predicted.run);
        Ok(Predictions {
            list,
            schedules: watch.schedules.load(Relaxed),
            failed: whole.failed,
            dependencies: lasting.len(),
            lost: whole.lost,
            interrupted: watch.stop.load(Relaxed),
        })
    }

    fn work(&self, next: &AtomicU64, watch: &Watch, whole: &Mutex<Harvest>) -> Result<(), Failure> {
        let mut machine = Machine::new();
        machine.boot(&self.setup(true))?;
        let mut strategy = self.plan.strategy(self.seed);
        let mut harvest = Harvest::default();
        loop {
            let first = next.fetch_add(BLOCK, Relaxed);
            if first >= self.schedules || watch.stop.load(Relaxed) {
                break;
            }
            strategy.seek(first);
            for run in first..(first + BLOCK).min(self.schedules) {
                self.one(run, &mut machine, &mut *strategy, &mut harvest, watch);
            }
        }
        let mut whole = whole.lock().unwrap_or_else(|broken| broken.into_inner());
        whole.merge(harvest);
        Ok(())
    }

    /// Makes one run and looks at it.
    fn one(
        &self,
        run: u64,
        machine: &mut Machine,
        strategy: &mut dyn crate::Strategy,
        harvest: &mut Harvest,
        watch: &Watch,
    ) {
        let program = self.has_programs().then(|| random_program(self.seed, run));
        if let Some(program) = &program {
            machine.load(program);
        }
        if let Some(wire) = self.wire(run) {
            machine.connect(&wire);
        }
        let outcome = machine.run(strategy, &self.limits);
        watch.schedules.fetch_add(1, Relaxed);
        watch.steps.fetch_add(outcome.steps, Relaxed);
        if outcome.verdict != Verdict::Passed {
            harvest.failed += 1;
            return;
        }
        let recorded = machine.dependencies();
        harvest.add_lost(recorded.lost);
        let all = Vec::from_iter(recorded.list.iter().map(|(dependency, _)| *dependency));
        harvest.look(&all[..], run, false, program.as_deref());
        // Two programs are no two runs of the same.
        if program.is_none() {
            for (dependency, _) in recorded.list.iter().filter(|(_, lasting)| *lasting) {
                harvest.keep(dependency, run);
            }
        }
    }

    fn wire(&self, run: u64) -> Option<Wire> {
        (self.config.nics > 0).then(|| Wire::random(self.seed, run))
    }

    /// Tries to have what was predicted happen: gives a run that ends in that very cycle, if there is one in as many
    /// schedules as are to be tried; and how many were made.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    pub fn confirm(
        &self,
        predicted: &Predicted,
        watch: &Watch,
    ) -> Result<(Option<Found>, u64), Failure> {
        let mut machine = Machine::new();
        machine.boot(&self.setup(false))?;
        if let Some(program) = &predicted.program {
            machine.load(program);
        }
        let mut strategy = Meet::new(predicted.places.clone(), self.seed);
        for run in 0..self.tries {
            if watch.stop.load(Relaxed) {
                return Ok((None, run));
            }
            let wire = self.wire(run);
            if let Some(wire) = &wire {
                machine.connect(wire);
            }
            let outcome = machine.run(&mut strategy, &self.limits);
            watch.schedules.fetch_add(1, Relaxed);
            watch.steps.fetch_add(outcome.steps, Relaxed);
            let Verdict::Failed(failure) = outcome.verdict else {
                continue;
            };
            if ends_in(&failure, &predicted.line) {
                let found = Found {
                    run,
                    failure,
                    deviations: machine.deviations().to_vec(),
                    program: predicted.program.clone(),
                    wire: wire.unwrap_or_default(),
                };
                return Ok((Some(found), run + 1));
            }
        }
        Ok((None, self.tries))
    }
}

impl Prediction {
    /// What confirmed a prediction, to be kept.
    pub fn catch<'a>(&self, found: &'a Found) -> Catch<'a> {
        Catch {
            scenario: self.scenario,
            variant: self.variant,
            config: self.config,
            program: found.program.as_deref(),
            wire: &found.wire,
            deviations: &found.deviations,
            failure: &found.failure,
        }
    }
}

/// Whether a failure is a deadlock with this cycle, wherever the telling of it begins.
fn ends_in(failure: &Failure, line: &str) -> bool {
    failure.kind == FailureKind::Deadlock
        && failure
            .message
            .lines()
            .filter_map(|told| told.trim().strip_prefix("cycle: "))
            .any(|told| is_same_cycle(told, line))
}

/// Whether two lines tell the same cycle: the same stations in the same order, from whichever on.
fn is_same_cycle(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let stations = |line: &str| Vec::from_iter(line.split(" => ").map(str::to_owned));
    let (one, mut other) = (stations(one), stations(other));
    let closed = |line: &[String]| line.len() > 1 && line.first() == line.last();
    if one.len() != other.len() || !closed(&one) || !closed(&other) {
        return false;
    }
    other.pop();
    (0..other.len()).any(|_| {
        other.rotate_left(1);
        one[..one.len() - 1] == other[..]
    })
}

#[cfg(test)]
mod tests;
