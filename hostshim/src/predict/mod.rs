//! Prediction: deadlocks and races that were possible in runs that passed.
//!
//! # Overview
//!
//! Every run is recorded ([`kmod::kern::order`]): what each thread held or occupied when it waited for something
//! else. Cycles are searched in each run separately, and among all runs together for what is the same in each:
//! threads and objects that existed when the actors started have the same addresses in every run.
//!
//! Runs that fail are set aside; [`crate::hunt`] is for those.
//!
//! # Confirmation
//!
//! A cycle says what could happen if nothing else orders its parts. So each cycle is tried: a strategy ([`Meet`])
//! holds every thread of the cycle back where it is about to wait, until all of them are there. A schedule that ends
//! in that very cycle confirms it and is kept. If none of the tried schedules does, the report says so. Pairs of
//! accesses without a common lock are tried in the same way (`race`).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use kmod::config::Config;
use kmod::kern::order::{self, Dependency, Line, LineBy, Lost, Witnesses};
use kmod::scenario::ops::{Language, Program};
use kmod::scenario::{Scenario, Variant};

use crate::hunt::{Plan, Watch, random_program};
use crate::machine::{Failure, Limits, Machine, Setup, Verdict, place};
use crate::schedule::{Allocations, Granularity};
use crate::wire::Wire;

mod meet;
mod race;
mod trial;

pub use meet::{Meet, Place};
pub use race::{LuckyPair, Pair, Races, Touch};

/// Number of runs in a block.
const BLOCK: u64 = 64;

/// The settings of a prediction.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The program.
    pub scenario: &'static Scenario,
    /// The variant of the code.
    pub variant: &'static Variant,
    /// CPUs and knobs; the history is the variant's, or more.
    pub config: Config,
    /// The strategy.
    pub plan: Plan,
    /// The random seed.
    pub seed: u64,
    /// Number of schedules. For the scenario `ops`, each has its own program.
    pub schedules: u64,
    /// Number of schedules in which each prediction is tried.
    pub tries: u64,
    /// Host threads.
    pub jobs: usize,
    /// The limits of a run.
    pub limits: Limits,
}

/// A deadlock that did not happen.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// The cycle, as in the wait-for graph: `softnet_lock => pserialize_perform => kpause => …`.
    pub line: String,
    /// The same, with the LWP that holds each.
    pub by: String,
    /// Lines that say which thread waited for what and where, and what it held since where.
    pub witnesses: String,
    /// The run that shows it, or the last of several that show it together.
    pub run: u64,
    /// Whether no single run shows all of it.
    pub together: bool,
    /// How many cycles have the same line.
    pub alike: u64,
    /// What the actors of `ops` ran.
    pub program: Option<Box<Program>>,
    /// Where its threads wait.
    pub places: Vec<Place>,
    /// Whether the wait-for graph contains all of it.
    pub drawn: bool,
}

/// The result of the runs.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    /// One of each kind, in the order of their runs.
    pub list: Vec<Predicted>,
    /// Runs that were made.
    pub schedules: u64,
    /// How many of them failed and were set aside.
    pub failed: u64,
    /// Dependencies that are the same in every run.
    pub dependencies: usize,
    /// What was not recorded, in all runs together.
    pub lost: Lost,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

/// The result of some runs.
#[derive(Default)]
struct Harvest {
    predicted: BTreeMap<String, Predicted>,
    /// Dependencies that are the same in every run, with the first run that showed each and its position there.
    lasting: Vec<(Dependency, (u64, usize))>,
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
                drawn: cycle
                    .edges()
                    .all(|edge| edge.holds.resource.sort.is_drawn()),
            };
            let known = self.predicted.entry(line.clone()).or_insert_with(new);
            known.alike += 1;
        });
    }

    fn keep(&mut self, dependency: &Dependency, shown: (u64, usize)) {
        let mut lasting = self.lasting.iter_mut();
        match lasting.find(|(old, _)| old.is_alike(dependency)) {
            Some(old) if old.1 <= shown => {}
            Some(old) => *old = (*dependency, shown),
            None => self.lasting.push((*dependency, shown)),
        }
    }

    fn merge(&mut self, other: Harvest) {
        for (dependency, shown) in other.lasting {
            self.keep(&dependency, shown);
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
    Place::new(&dependency.by.name.to_string(), &place(dependency.at))
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

    /// The program of a run, if the scenario runs programs: a different one in each run.
    fn program(&self, run: u64) -> Option<Box<Program>> {
        Language::of(self.scenario).map(|language| random_program(language, self.seed, run))
    }

    /// Makes the runs and returns their predictions. The result does not depend on `jobs`.
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
        // In one order, whichever came first.
        whole.lasting.sort_by_key(|(_, shown)| *shown);
        let lasting = Vec::from_iter(whole.lasting.iter().map(|(dependency, _)| *dependency));
        let last = whole.lasting.last().map_or(0, |(_, (run, _))| *run);
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
        let mut strategy = self.plan.strategy(
            self.seed,
            Some(Granularity::Coarse),
            Some(Allocations::Never),
        );
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

    /// Makes one run and examines it.
    fn one(
        &self,
        run: u64,
        machine: &mut Machine,
        strategy: &mut dyn crate::Strategy,
        harvest: &mut Harvest,
        watch: &Watch,
    ) {
        let program = self.program(run);
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
        // Runs of two different programs cannot be combined.
        if program.is_none() {
            for (place, (dependency, lasting)) in recorded.list.iter().enumerate() {
                if *lasting {
                    harvest.keep(dependency, (run, place));
                }
            }
        }
    }

    fn wire(&self, run: u64) -> Option<Wire> {
        (self.config.nics > 0).then(|| Wire::random(self.seed, run))
    }
}

#[cfg(test)]
mod tests;
