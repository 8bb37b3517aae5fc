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
//! | `segment` | why a switch one step earlier need not be tried |
//! | `known` | what several searches know together |
//! | [`certificate`] | what is kept of a proof |
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

pub mod certificate;
mod known;
mod past;
mod search;
mod segment;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use kmod::config::Config;
use kmod::scenario::{Scenario, Variant};

use crate::hunt::{Found, Watch};
use crate::machine::{Failure, FailureKind, Limits, Machine, Races, Setup, Verdict};
use crate::names::{Follower, name_exactly};
use crate::replay::{LIMITS, ReplayFile};
use crate::schedule::{Granularity, MemoryModel};
use crate::wire::Wire;
use known::Known;
use search::{End, Extent, Search, Task};

/// Points after which a run is cut off: then the search is not complete. Below the number from which on the machine asks no strategy.
pub const LONGEST: u64 = 20_000;

/// How often a worker without work looks whether the proof was stopped.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is to be proved, and how.
#[derive(Clone, Copy, Debug)]
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
    /// The part of the work that is done.
    pub shard: Shard,
    /// Host threads.
    pub jobs: usize,
    /// Whether schedules with the same trace are run only once, as far as that is known beforehand. Without it every schedule is.
    pub reduces: bool,
}

/// A part of a proof: together all parts are the whole of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shard {
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Shard = Shard { number: 1, of: 1 };

    /// The points of the first forced switch. The default run has `length` points: the earlier one is forced, the more there is to
    /// try behind it.
    fn points(self, length: u64, bound: u32) -> (u64, u64) {
        let begin = |part: u32| {
            let left = 1.0 - f64::from(part) / f64::from(self.of);
            let share = 1.0 - left.powf(1.0 / f64::from(bound.max(1)));
            (length as f64 * share) as u64
        };
        let end = match self.number == self.of {
            true => u64::MAX,
            false => begin(self.number),
        };
        (begin(self.number - 1), end)
    }
}

/// How far a proof has come that is not over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What is left.
    tasks: Vec<Task>,
    /// The fingerprints of the executions so far.
    traces: Vec<u64>,
    /// Runs so far that were cut off.
    cut: u64,
}

impl Progress {
    /// Nothing was tried.
    fn none() -> Progress {
        Progress {
            tasks: vec![Task::whole()],
            traces: Vec::new(),
            cut: 0,
        }
    }
}

/// What came of one bound.
#[derive(Clone, Debug)]
pub struct Proved {
    /// Forced switches.
    pub bound: u32,
    /// Schedules that were run, also those that ended where everything was known.
    pub runs: u64,
    /// Runs that were cut off at the limit of steps.
    pub cut: u64,
    /// Runs in which a repeated part went otherwise.
    pub diverged: u64,
    /// Points of the longest run.
    pub longest: u64,
    /// States that were reached.
    pub states: u64,
    /// The fingerprints of the executions, in order: runs that differ in more than the order of independent steps.
    pub executions: Vec<u64>,
    /// A run that failed. Then the search ended there.
    pub found: Option<Found>,
    /// What was not tried, if it was stopped before it was complete.
    pub left: Option<Progress>,
}

impl Proved {
    /// Whether every schedule was tried, and none failed.
    pub fn is_complete(&self) -> bool {
        self.found.is_none() && self.left.is_none() && self.cut == 0 && self.diverged == 0
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
        self.go_on(bound, Progress::none(), watch)
    }

    /// [`run`](Self::run) from where it was stopped.
    ///
    /// # Errors
    ///
    /// As for `run`.
    pub fn go_on(&self, bound: u32, progress: Progress, watch: &Watch) -> Result<Proved, Failure> {
        let length = self.machine()?.length(self.granularity);
        let known = Known::new();
        for trace in progress.traces {
            known.complete(trace);
        }
        let campaign = Campaign {
            proof: self,
            extent: Extent {
                reduces: self.reduces,
                bound,
                first: self.shard.points(length, bound),
            },
            watch,
            known,
            work: Mutex::new(Work {
                tasks: progress.tasks,
                idle: 0,
                is_over: false,
            }),
            changed: Condvar::new(),
            runs: AtomicU64::new(0),
            cut: AtomicU64::new(progress.cut),
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
        let found = found.map(|found| self.with_usual_spinning(found));
        let tasks = std::mem::take(&mut lock(&campaign.work).tasks);
        let traces = campaign.known.traces();
        Ok(Proved {
            bound,
            runs: campaign.runs.load(Relaxed),
            cut: campaign.cut.load(Relaxed),
            diverged: campaign.diverged.load(Relaxed),
            longest: campaign.longest.load(Relaxed),
            states: campaign.known.states() as u64,
            left: (found.is_none() && !tasks.is_empty()).then(|| Progress {
                tasks,
                traces: traces.clone(),
                cut: campaign.cut.load(Relaxed),
            }),
            executions: traces,
            found,
        })
    }

    /// The failure with a schedule for a machine on which CPUs spin as they usually do: what they do while they wait can have other
    /// numbers there.
    fn with_usual_spinning(&self, found: Found) -> Found {
        let mut machine = Machine::new();
        let file = ReplayFile {
            scenario: self.scenario,
            variant: self.variant,
            config: self.config,
            granularity: self.granularity,
            memory: MemoryModel::Sc,
            refusals: Vec::new(),
            program: None,
            wire: Wire::default(),
            races: Races::Stop,
            schedule: Vec::new(),
        };
        if file.boot(&mut machine).is_err() {
            return found;
        }
        let (_, named) = name_exactly(&mut machine, &found.deviations, &LIMITS);
        match Follower::loose(&named, &mut machine, &LIMITS).0.verdict {
            Verdict::Failed(failure) if failure.rule == found.failure.rule => Found {
                failure,
                deviations: machine.deviations().to_vec(),
                ..found
            },
            _ => found,
        }
    }

    /// A machine that has booted the program.
    fn machine(&self) -> Result<Machine, Failure> {
        let mut machine = Machine::new();
        machine.boot(&Setup {
            scenario: self.scenario,
            config: self.config,
            trace: false,
        })?;
        machine.set_granularity(self.granularity);
        // What the first run of a machine finds out about fences must not make one of the search's be repeated.
        machine.length(self.granularity);
        Ok(machine)
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
    runs: AtomicU64,
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
        let mut machine = match self.proof.machine() {
            Ok(machine) => machine,
            Err(failure) => {
                self.end();
                return Err(failure);
            }
        };
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
            // A stop wakes nobody up, so everybody looks from time to time.
            let waited = self.changed.wait_timeout(work, LOOK_EVERY);
            work = waited.unwrap_or_else(|broken| broken.into_inner()).0;
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
        let mut search = Search::new(ncpu, self.extent.clone(), &self.known, task);
        let limits = Limits {
            steps: LONGEST,
            early_ticks: self.proof.early_ticks,
        };
        let mut last = Vec::new();
        loop {
            let outcome = machine.run(&mut search, &limits);
            if machine.has_copied() {
                search.be_steady();
            }
            machine.take_footprint(&mut last);
            let (end, trace) = search.ended(&mut last);
            #[cfg(test)]
            if end == End::Whole {
                tests::ended(trace, &outcome.verdict);
            }
            self.runs.fetch_add(1, Relaxed);
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
            if self.is_over() {
                lock(&self.work).tasks.extend(search.rest());
                return;
            }
            if !search.next() {
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
            run: self.runs.load(Relaxed) - 1,
            failure,
            deviations: machine.deviations().to_vec(),
            granularity: machine.granularity(),
            memory: MemoryModel::Sc,
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
