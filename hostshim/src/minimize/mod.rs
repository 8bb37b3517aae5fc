//! Makes a failing run as short as it can be made, with the same failure at its end.
//!
//! # Overview
//!
//! Works on named departures, because numbers of points mean nothing any more once something before them is taken away.
//! The shortest schedule of all has one departure, and there are few of them: all are tried, in order. If none fails, the
//! list at hand is cut down. A try is a run along what is left of it, as far as it comes by ([`Follower::loose`]); if
//! it fails in the same way, what it came by is the new list. First chunks are taken away, each half as long as the
//! last; then single departures, until each of them is needed; then pairs, since going to another CPU and coming back
//! is needed together or not at all.
//!
//! If the scenario runs programs, the one at hand is made shorter before its schedule (`program`); then what happens on the wire
//! is, if anything does (`wire`).
//!
//! The same run and kernel give the same result.

use kmod::scenario::ops::Program;

use crate::machine::{Failure, FailureKind, Limits, Machine, Outcome, Verdict, View};
use crate::names::{Departure, Follower, name_schedule};
use crate::schedule::Deviation;
use crate::strategy::{Answer, Strategy};
use crate::wire::Wire;

mod program;
mod wire;

/// What a minimization may cost. Counts, and no time: the result must not depend on the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Runs.
    pub runs: u32,
    /// Points in all of them together.
    pub points: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Effort {
            runs: 12_000,
            points: 8_000_000,
        }
    }
}

/// A run from which nothing can be taken away, or the shortest one that the effort allowed.
#[derive(Clone, Debug)]
pub struct Minimized {
    /// What the actors run, if the scenario runs programs.
    pub program: Option<Box<Program>>,
    /// What happens on the wire.
    pub wire: Wire,
    /// Its departures from the default schedule.
    pub schedule: Vec<Departure>,
    /// The failure that it ends with.
    pub failure: Failure,
    /// Runs that it took to find.
    pub runs: u32,
}

/// Shortens the run of `program` along `schedule`, which ends with `failure` on `machine`; that must be booted with its
/// trace on.
///
/// Leaves the shortest program loaded, and the wire connected. Gives `None` if the run does not end so: then it was made on another kernel.
pub fn minimize(
    machine: &mut Machine,
    program: Option<&Program>,
    wire: &Wire,
    schedule: Vec<Departure>,
    failure: &Failure,
    limits: &Limits,
    effort: Effort,
) -> Option<Minimized> {
    let program = program.copied().map(Box::new);
    if let Some(program) = &program {
        machine.load(program);
    }
    machine.connect(wire);
    let mut search = Search {
        machine,
        wanted: Sameness::of(failure),
        limits,
        effort,
        best: Minimized {
            program,
            wire: wire.clone(),
            schedule: Vec::new(),
            failure: failure.clone(),
            runs: 0,
        },
    };
    if !search.attempt(schedule) {
        return None;
    }
    search.shorten_program();
    search.shorten_wire();
    search.shorten_schedule();
    Some(search.best)
}

/// What two failures must have in common to be the same.
#[derive(PartialEq, Eq)]
struct Sameness {
    kind: FailureKind,
    rule: String,
    /// Of a deadlock: who waits for whom.
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

/// The most departures of which all pairs are tried.
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

    /// Runs along the list; keeps it, and says so, if the failure is the same.
    fn attempt(&mut self, list: Vec<Departure>) -> bool {
        if self.is_spent() {
            return false;
        }
        let (outcome, done) = Follower::loose(&list, self.machine, self.limits);
        self.keep(outcome, done)
    }

    /// Accounts for a run; keeps its schedule, and says so, if the failure is the same.
    fn keep(&mut self, outcome: Outcome, schedule: Vec<Departure>) -> bool {
        self.account(&outcome);
        match outcome.verdict {
            Verdict::Failed(failure) if Sameness::of(&failure) == self.wanted => {
                self.best.failure = failure;
                self.best.schedule = schedule;
                true
            }
            Verdict::Failed(_) | Verdict::Passed => false,
        }
    }

    fn account(&mut self, outcome: &Outcome) {
        self.best.runs += 1;
        self.effort.runs = self.effort.runs.saturating_sub(1);
        self.effort.points = self.effort.points.saturating_sub(outcome.points);
    }

    fn len(&self) -> usize {
        self.best.schedule.len()
    }

    /// The best list without those whose index is in `gone`.
    fn without(&self, gone: impl Fn(usize) -> bool) -> Vec<Departure> {
        let kept = self
            .best
            .schedule
            .iter()
            .enumerate()
            .filter(|(index, _)| !gone(*index));
        kept.map(|(_, departure)| departure.clone()).collect()
    }

    fn shorten_schedule(&mut self) {
        if self.singles() {
            return;
        }
        self.beginnings();
        self.chunks();
        self.pairs();
    }

    /// Looks for the shortest beginning: what comes after the fault was made is seldom needed.
    fn beginnings(&mut self) {
        let mut length = 0;
        while length < self.len() {
            if self.attempt(self.best.schedule[..length].to_vec()) {
                return;
            }
            length = 2 * length + 1;
        }
    }

    /// Takes chunks away, large ones first, until every single departure is needed.
    fn chunks(&mut self) {
        let mut size = self.len().div_ceil(2);
        while size > 0 {
            let before = self.len();
            // From the end: to take something away there moves nothing else.
            let mut end = self.len();
            while end > 0 {
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

    /// Takes pairs away, until every departure is needed together with each other.
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

    /// Tries every schedule of one departure, unless there is no more than one already. Gives whether that is so now.
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
            let (outcome, named) = name_schedule(self.machine, &[deviation], self.limits);
            if self.keep(outcome, named) {
                return true;
            }
        }
        false
    }
}

/// Makes the run without departures, and lists everything that could have been done otherwise in it.
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
