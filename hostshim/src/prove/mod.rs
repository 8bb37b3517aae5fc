//! Exhaustive search: whether any schedule fails, among all with at most so many forced switches.
//!
//! # Overview
//!
//! [`crate::hunt`] samples schedules, and proves nothing. A [`Proof`] tries *every* schedule with at most `bound` forced switches
//! from the machine's [default](crate::schedule::Deviation), for each bound from 0 on. Interrupts are choices like any other:
//! to put one off costs one, and so does a clock tick before its time, of which there are as many as the scope allows. What is
//! found first has the fewest forced switches that show it.
//!
//! | module | contents |
//! |---|---|
//! | `search` | depth first, each state once |
//! | `past` | what happened before what, and its fingerprint |
//! | `known` | what several searches know together |
//!
//! # What "complete" means
//!
//! All schedules of the scope were executed, or led to a state from which everything was executed, and:
//!
//! * no run was cut off at the limit of steps;
//! * no repeated part of a run went otherwise than the first time;
//! * the search was not stopped.
//!
//! Two states count as the same if a hash of 64 bits is the same: with a million states the chance that any two different ones
//! have the same hash is 1 in 37 million.

mod known;
mod past;
mod search;
mod segment;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;

use kmod::config::Config;
use kmod::scenario::{Scenario, Variant};

use crate::hunt::{Found, Watch};
use crate::machine::{Failure, FailureKind, Limits, Machine, Setup, Verdict};
use crate::schedule::Granularity;
use crate::wire::Wire;
use known::Known;
use search::{End, Extent, Search, Task};

/// Points after which a run is cut off: then the search is not complete. Below the number at which the machine lets clocks tick by
/// itself.
const LONGEST: u64 = 4000;

/// What is to be proved, and how.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The program.
    pub scenario: &'static Scenario,
    /// The variant of the code.
    pub variant: &'static Variant,
    /// CPUs and knobs.
    pub config: Config,
    /// What a step is.
    pub granularity: Granularity,
    /// Clock ticks before their time, in each schedule.
    pub early_ticks: u32,
    /// The part of the work that is done: number, and number of parts.
    pub shard: (u64, u64),
    /// Host threads.
    pub jobs: usize,
    /// Whether schedules with the same trace are run only once, as far as that is known beforehand. Without it every schedule is.
    pub reduces: bool,
}

/// What came of one bound.
#[derive(Clone, Debug)]
pub struct Proved {
    /// Forced switches.
    pub bound: u32,
    /// Runs, also those that ended where everything was known.
    pub executions: u64,
    /// Runs that were cut off at the limit of steps.
    pub cut: u64,
    /// Runs in which a repeated part went otherwise.
    pub diverged: u64,
    /// Points of the longest run.
    pub longest: u64,
    /// States that were reached.
    pub states: u64,
    /// The fingerprints of all traces, in order.
    pub traces: Vec<u64>,
    /// A run that failed. Then the search ended there.
    pub found: Option<Found>,
    /// Whether it was stopped before it was complete.
    pub interrupted: bool,
}

impl Proved {
    /// Whether every schedule was tried, and none failed.
    pub fn is_complete(&self) -> bool {
        self.found.is_none() && !self.interrupted && self.cut == 0 && self.diverged == 0
    }
}

impl Proof {
    /// Tries every schedule with at most `bound` forced switches.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    ///
    /// # Panics
    ///
    /// If the host has no more threads or no more address space.
    pub fn run(&self, bound: u32, watch: &Watch) -> Result<Proved, Failure> {
        let shard = self.shard;
        let campaign = Campaign {
            proof: self,
            extent: Extent {
                reduces: self.reduces,
                bound,
                shard,
            },
            watch,
            known: Known::new(),
            work: Mutex::new(Work {
                tasks: vec![Task::whole()],
                idle: 0,
                is_over: false,
            }),
            changed: Condvar::new(),
            executions: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            diverged: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            found: Mutex::new(None),
        };
        thread::scope(|scope| {
            let others = (1..self.jobs).map(|_| scope.spawn(|| campaign.work()));
            let others = Vec::from_iter(others);
            let first = campaign.work();
            let others = others.into_iter().map(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            others.fold(first, Result::and)
        })?;
        let found = lock(&campaign.found).take();
        Ok(Proved {
            bound,
            executions: campaign.executions.load(Relaxed),
            cut: campaign.cut.load(Relaxed),
            diverged: campaign.diverged.load(Relaxed),
            longest: campaign.longest.load(Relaxed),
            states: campaign.known.states() as u64,
            traces: campaign.known.traces(),
            interrupted: found.is_none() && watch.stop.load(Relaxed),
            found,
        })
    }
}

/// The work that nobody has begun.
struct Work {
    tasks: Vec<Task>,
    /// Workers without work.
    idle: usize,
    is_over: bool,
}

/// A proof under way, with one bound.
struct Campaign<'a> {
    proof: &'a Proof,
    extent: Extent,
    watch: &'a Watch,
    known: Known,
    work: Mutex<Work>,
    changed: Condvar,
    executions: AtomicU64,
    cut: AtomicU64,
    diverged: AtomicU64,
    longest: AtomicU64,
    found: Mutex<Option<Found>>,
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(|broken| broken.into_inner())
}

impl Campaign<'_> {
    /// A worker: a machine that takes tasks until there are none.
    fn work(&self) -> Result<(), Failure> {
        let mut machine = Machine::new();
        let Proof {
            scenario, config, ..
        } = *self.proof;
        let booted = machine.boot(&Setup {
            scenario,
            config,
            trace: false,
        });
        if let Err(failure) = booted {
            self.end();
            return Err(failure);
        }
        machine.set_granularity(self.proof.granularity);
        // What the first run of a machine finds out about fences must not make one of the search's be repeated.
        machine.length(self.proof.granularity);
        while let Some(task) = self.take() {
            self.search(&mut machine, task);
        }
        Ok(())
    }

    /// Waits for a task. `None`: there will be none.
    fn take(&self) -> Option<Task> {
        let mut work = lock(&self.work);
        work.idle += 1;
        loop {
            if work.is_over || self.watch.stop.load(Relaxed) {
                return None;
            }
            if let Some(task) = work.tasks.pop() {
                work.idle -= 1;
                return Some(task);
            }
            if work.idle == self.proof.jobs {
                work.is_over = true;
                self.changed.notify_all();
                return None;
            }
            work = self
                .changed
                .wait(work)
                .unwrap_or_else(|broken| broken.into_inner());
        }
    }

    /// Nobody goes on.
    fn end(&self) {
        lock(&self.work).is_over = true;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        self.watch.stop.load(Relaxed) || lock(&self.work).is_over
    }

    fn search(&self, machine: &mut Machine, task: Task) {
        let ncpu = self.proof.config.cpus();
        let mut search = Search::new(ncpu, self.extent, &self.known, task);
        let limits = Limits {
            steps: LONGEST,
            early_ticks: self.proof.early_ticks,
        };
        let mut last = Vec::new();
        loop {
            let outcome = machine.run(&mut search, &limits);
            machine.take_footprint(&mut last);
            let (end, trace) = search.ended(&mut last);
            self.executions.fetch_add(1, Relaxed);
            self.watch.schedules.fetch_add(1, Relaxed);
            self.watch.steps.fetch_add(outcome.steps, Relaxed);
            self.longest.fetch_max(outcome.points, Relaxed);
            match (end, outcome.verdict) {
                (End::Known, _) => {}
                (End::Diverged, _) => {
                    self.diverged.fetch_add(1, Relaxed);
                }
                (End::Whole, Verdict::Passed) => self.known.complete(trace),
                (End::Whole, Verdict::Failed(failure)) if is_cut(&failure) => {
                    self.cut.fetch_add(1, Relaxed);
                }
                (End::Whole, Verdict::Failed(failure)) => {
                    self.found(machine, failure);
                    return;
                }
            }
            if self.is_over() || !search.next() {
                return;
            }
            self.give(&mut search);
        }
    }

    /// Gives a part of the work away if somebody has none.
    fn give(&self, search: &mut Search<'_>) {
        if self.proof.jobs == 1 {
            return;
        }
        let mut work = lock(&self.work);
        if work.idle > work.tasks.len()
            && let Some(task) = search.share()
        {
            work.tasks.push(task);
            self.changed.notify_one();
        }
    }

    fn found(&self, machine: &Machine, failure: Failure) {
        let mut found = lock(&self.found);
        found.get_or_insert_with(|| Found {
            run: self.executions.load(Relaxed) - 1,
            failure,
            deviations: machine.deviations().to_vec(),
            granularity: machine.granularity(),
            refusals: Vec::new(),
            program: None,
            wire: Wire::default(),
        });
        drop(found);
        self.end();
    }
}

/// Whether a run was ended only because it was too long.
fn is_cut(failure: &Failure) -> bool {
    failure.kind == FailureKind::Livelock
}
