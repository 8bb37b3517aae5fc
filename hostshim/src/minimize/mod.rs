//! Makes a failing run as short as possible, ending with the same failure.
//!
//! # Overview
//!
//! The minimizer works on named departures (forced switches), because numbers of points change when anything before
//! them is removed. An attempt is a run along the remaining list, as far as the run reaches its points
//! ([`Follower::loose`]). If it fails in the same way, the points that it reached are the new list. First chunks are
//! removed, each half as long as the last; then single departures, until each of the rest is needed. The shortest
//! possible schedule has one departure, and there are few of those, so all are tried. If none of them fails, pairs
//! are removed, because a switch to another CPU and the switch back may be needed only together. Also other failing
//! schedules are searched and cut, in case one of them becomes shorter.
//!
//! A run of fine steps is first looked for in coarse ones, one with store buffers without them, and one that lacks memory with all
//! of it. If the scenario runs programs, the program is shortened before its schedule (`program`). Then CPUs are removed (`cpus`),
//! failures of allocations (`memory`), events on the wire (`wire`), and delays of stores (`buffers`). All of this is repeated until
//! nothing becomes shorter.
//!
//! The same run and kernel give the same result.

use crate::machine::{Failure, FailureKind, Limits, Machine, Outcome, Recording, Verdict, View};
use crate::names::{Departure, Follower, name_schedule};
use crate::replay::ReplayFile;
use crate::schedule::{Deviation, Granularity};
use crate::strategy::{Answer, Replay, Strategy};

mod buffers;
mod cpus;
mod memory;
mod program;
mod wire;

/// The limits of a minimization. These are counts, not times, because the result must not depend on the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Runs.
    pub runs: u32,
    /// Points in all runs together. In a run whose points are not named, a point costs a [`PLAIN`]th.
    pub points: u64,
}

impl Effort {
    /// No effort, except for the one run that shows the failure.
    pub const NONE: Effort = Effort {
        runs: 1,
        points: u64::MAX,
    };
}

/// How much faster a run without names is than one with names.
pub const PLAIN: u64 = 5;

impl Default for Effort {
    fn default() -> Self {
        Effort {
            runs: 200_000,
            points: 20_000_000,
        }
    }
}

/// A run from which nothing can be removed, or the shortest one found within the effort.
#[derive(Clone, Debug)]
pub struct Minimized {
    /// What runs, on how many CPUs, and its departures from the default schedule.
    pub file: ReplayFile,
    /// The failure that it ends with.
    pub failure: Failure,
    /// Number of runs used.
    pub runs: u32,
}

/// Shortens the run of `file`, which ends with `failure` on `machine`. The machine must be booted for the file.
///
/// Leaves the machine booted for the shortest run. Returns `None` if the run does not end with this failure, because
/// it was made on another kernel.
pub fn minimize(
    machine: &mut Machine,
    file: &ReplayFile,
    failure: &Failure,
    limits: &Limits,
    effort: Effort,
) -> Option<Minimized> {
    machine.record(Recording::Names);
    let mut search = Search {
        machine,
        wanted: Sameness::of(failure),
        limits,
        effort,
        best: Minimized {
            file: file.clone(),
            failure: failure.clone(),
            runs: 0,
        },
    };
    let same = search.attempt(file.schedule.clone());
    if same {
        search.shorten();
    }
    let best = search.best;
    machine.record(Recording::Trace);
    same.then_some(best)
}

/// The properties by which two failures are the same.
#[derive(PartialEq, Eq)]
struct Sameness {
    kind: FailureKind,
    rule: String,
    /// For a deadlock: the cycles.
    cycles: Vec<String>,
}

impl Sameness {
    fn of(failure: &Failure) -> Sameness {
        let is_cycle =
            |line: &&str| failure.kind == FailureKind::Deadlock && line.starts_with("cycle");
        Sameness {
            kind: failure.kind,
            rule: failure.rule.clone(),
            cycles: failure
                .message
                .lines()
                .filter(is_cycle)
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// The seeds for other schedules: the first, and their number.
const FIRST_SEED: u64 = 1;
const OTHERS: u64 = 16;

/// Maximum number of departures of which all pairs are tried.
const PAIRS_OF: usize = 24;

struct Search<'a> {
    machine: &'a mut Machine,
    wanted: Sameness,
    limits: &'a Limits,
    effort: Effort,
    best: Minimized,
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.effort.runs == 0 || self.effort.points == 0
    }

    /// Runs along the list. If the failure is the same, keeps the list and returns true.
    fn attempt(&mut self, list: Vec<Departure>) -> bool {
        if self.is_spent() {
            return false;
        }
        let (outcome, done) = Follower::loose(&list, self.machine, self.limits);
        self.keep(outcome, done)
    }

    /// Counts a run. If the failure is the same, keeps its schedule and returns true.
    fn keep(&mut self, outcome: Outcome, schedule: Vec<Departure>) -> bool {
        self.account(outcome.points);
        match outcome.verdict {
            Verdict::Failed(failure) if Sameness::of(&failure) == self.wanted => {
                self.best.failure = failure;
                self.best.file.schedule = schedule;
                self.best.file.refusals = self.machine.refused().to_vec();
                true
            }
            Verdict::Failed(_) | Verdict::Passed => false,
        }
    }

    /// Makes a run without recording. If it fails in the same way, repeats it with names, and returns that one.
    fn run_plainly(&mut self, strategy: &mut dyn Strategy) -> Option<(Outcome, Vec<Departure>)> {
        self.machine.record(Recording::Nothing);
        let outcome = self.machine.run(strategy, self.limits);
        self.machine.record(Recording::Names);
        self.account(outcome.points / PLAIN);
        match outcome.verdict {
            Verdict::Failed(failure) if Sameness::of(&failure) == self.wanted => {}
            Verdict::Failed(_) | Verdict::Passed => return None,
        }
        let deviations = self.machine.deviations().to_vec();
        Some(name_schedule(self.machine, &deviations, self.limits))
    }

    fn account(&mut self, points: u64) {
        self.best.runs += 1;
        self.effort.runs = self.effort.runs.saturating_sub(1);
        self.effort.points = self.effort.points.saturating_sub(points);
    }

    /// Removes whatever can be removed: operations first, then failures of allocations and events on the wire, then departures.
    fn shorten(&mut self) {
        self.coarsen();
        self.do_without_buffers();
        self.give_memory();
        loop {
            let before = self.size();
            self.shorten_program();
            self.shorten_cpus();
            self.shorten_memory();
            self.shorten_wire();
            self.shorten_delays();
            self.shorten_schedule();
            self.delay_later();
            if self.size() >= before || self.is_spent() {
                return;
            }
        }
    }

    /// Looks for the failure in coarse steps, which are fewer and are easier to read. A fine schedule may not need its steps.
    fn coarsen(&mut self) {
        if self.best.file.granularity == Granularity::Coarse {
            return;
        }
        let before = self.best.file.clone();
        self.choose(Granularity::Coarse);
        if !(self.attempt(before.schedule.clone()) || self.attempt_anew(FIRST_SEED)) {
            self.best.file = before;
            self.choose(Granularity::Fine);
        }
    }

    fn choose(&mut self, granularity: Granularity) {
        self.best.file.granularity = granularity;
        self.machine.set_granularity(granularity);
    }

    /// What should become smaller, the most important first.
    fn size(&self) -> (usize, usize, usize, usize, (usize, usize)) {
        let file = &self.best.file;
        let scripts = file.program.iter().flat_map(|program| &program.scripts);
        (
            scripts.map(|script| script.ops().len()).sum(),
            file.config.ncpu,
            file.refusals.len(),
            file.wire.frames.len() + file.wire.mishaps.len(),
            (self.delays(), self.len()),
        )
    }

    /// Runs `work` with at most half of the remaining effort.
    fn with_half<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let Effort { runs, points } = self.effort;
        self.effort = Effort {
            runs: runs / 2,
            points: points / 2,
        };
        let result = work(self);
        self.effort.runs += runs - runs / 2;
        self.effort.points += points - points / 2;
        result
    }

    fn len(&self) -> usize {
        self.best.file.schedule.len()
    }

    /// The best list without the entries for which `gone` is true.
    fn without(&self, gone: impl Fn(usize) -> bool) -> Vec<Departure> {
        let kept = self
            .best
            .file
            .schedule
            .iter()
            .enumerate()
            .filter(|(index, _)| !gone(*index));
        kept.map(|(_, departure)| departure.clone()).collect()
    }

    fn shorten_schedule(&mut self) {
        self.cut();
        if self.with_half(Self::singles) {
            return;
        }
        self.pairs();
        self.with_half(Self::others);
    }

    /// Removes departures that can be removed on their own.
    fn cut(&mut self) {
        self.beginnings();
        self.chunks();
    }

    /// Looks for other schedules, which may become shorter than this one.
    fn others(&mut self) {
        for seed in 0..OTHERS {
            if self.len() < 2 || self.is_spent() {
                return;
            }
            let (best, delays) = (self.best.clone(), self.delays());
            if self.attempt_anew(FIRST_SEED + seed) {
                self.cut();
            }
            if (self.delays(), self.len()) >= (delays, best.file.schedule.len()) {
                let runs = self.best.runs;
                self.best = Minimized { runs, ..best };
            }
        }
    }

    /// Looks for the shortest beginning: what comes after the fault is seldom needed.
    fn beginnings(&mut self) {
        let mut length = 0;
        while length < self.len() && !self.is_spent() {
            if self.attempt(self.best.file.schedule[..length].to_vec()) {
                return;
            }
            length = 2 * length + 1;
        }
    }

    /// Removes chunks, large ones first, until every single departure is needed.
    fn chunks(&mut self) {
        let mut size = self.len().div_ceil(2);
        // Without effort not even a list is made: for a livelock there would be thousands of long ones.
        while size > 0 && !self.is_spent() {
            let before = self.len();
            // From the end, because removing something there moves nothing else.
            let mut end = self.len();
            while end > 0 && !self.is_spent() {
                let start = end.saturating_sub(size);
                self.attempt(self.without(|index| (start..end).contains(&index)));
                end = start.min(self.len());
            }
            size = match size {
                1 if self.len() < before => 1,
                _ => size / 2,
            };
        }
    }

    /// Removes pairs, until every departure is needed together with every other.
    fn pairs(&mut self) {
        if self.len() > PAIRS_OF {
            return;
        }
        while self.pair() {
            self.chunks();
        }
    }

    fn pair(&mut self) -> bool {
        let length = self.len();
        for first in (0..length).rev() {
            for second in (0..first).rev() {
                if self.attempt(self.without(|index| index == first || index == second)) {
                    return true;
                }
            }
        }
        false
    }

    /// Tries every schedule with one departure, unless there is at most one already. Returns whether there is now.
    fn singles(&mut self) -> bool {
        if self.len() < 2 {
            return true;
        }
        let mut list = Alternatives::default();
        self.machine.run(&mut list, self.limits);
        for deviation in list.0 {
            if self.is_spent() {
                return false;
            }
            let mut replay = Replay::new(vec![deviation]);
            if let Some((outcome, named)) = self.run_plainly(&mut replay)
                && self.keep(outcome, named)
            {
                return true;
            }
        }
        false
    }
}

/// Makes the run without departures, and lists every possible deviation in it.
#[derive(Default)]
struct Alternatives(Vec<Deviation>);

impl Strategy for Alternatives {
    fn choose(&mut self, view: &View<'_>) -> Answer {
        let default = view.default_choice();
        let others = view.choices().filter(|choice| *choice != default);
        let point = view.point();
        self.0
            .extend(others.map(|choice| Deviation { point, choice }));
        Answer::now(default)
    }
}
