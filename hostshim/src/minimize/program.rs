//! Fewer operations: whole LWPs are taken away, then single operations.
//!
//! Without an operation the names of later points change, and the schedule at hand may miss the failure although another
//! one meets it. So if it does, a few schedules are tried that anybody could have tried.

use kmod::scenario::ops::{MAX_LWPS, Program, Script};

use super::{Effort, Sameness, Search};
use crate::machine::Verdict;
use crate::names::name_schedule;
use crate::strategy::Portfolio;

/// Schedules that are tried anew for a shorter program.
const ANEW: u32 = 60;
/// The seed of those.
const SEED: u64 = 1;

impl Search<'_> {
    /// Takes operations away, until each of them is needed. Uses half of the effort at most: the schedule needs some too.
    pub(super) fn shorten_program(&mut self) {
        if self.best.program.is_none() {
            return;
        }
        let Effort { runs, points } = self.effort;
        self.effort = Effort {
            runs: runs / 2,
            points: points / 2,
        };
        // A short schedule fits more programs than a long one.
        self.shorten_schedule();
        for lwp in (0..MAX_LWPS).rev() {
            self.attempt_program(|program| {
                let script = &mut program.scripts[lwp];
                let had = !script.ops().is_empty();
                *script = Script::EMPTY;
                had
            });
        }
        while self.shorten_scripts() {}
        self.effort.runs += runs - runs / 2;
        self.effort.points += points - points / 2;
    }

    /// Tries to go without each single operation. Gives whether one was taken away.
    fn shorten_scripts(&mut self) -> bool {
        let mut shorter = false;
        for lwp in (0..MAX_LWPS).rev() {
            let length = |search: &Self| {
                search
                    .best
                    .program
                    .as_ref()
                    .map_or(0, |program| program.scripts[lwp].ops().len())
            };
            for index in (0..length(self)).rev() {
                shorter |=
                    self.attempt_program(|program| take_away(&mut program.scripts[lwp], index));
            }
        }
        shorter
    }

    /// Changes the program; keeps the change, and says so, if it made one and the failure is the same.
    fn attempt_program(&mut self, change: impl FnOnce(&mut Program) -> bool) -> bool {
        let Some(before) = self.best.program.clone() else {
            return false;
        };
        let mut shorter = before.clone();
        if self.is_spent() || !change(&mut shorter) {
            return false;
        }
        self.machine.load(&shorter);
        if self.attempt(self.best.schedule.clone()) || self.attempt_anew() {
            self.best.program = Some(shorter);
            return true;
        }
        self.machine.load(&before);
        false
    }

    /// Looks for the failure without knowing a schedule.
    pub(super) fn attempt_anew(&mut self) -> bool {
        let mut strategy = Portfolio::new(SEED);
        for _ in 0..ANEW {
            if self.is_spent() {
                return false;
            }
            let outcome = self.machine.run(&mut strategy, self.limits);
            self.account(&outcome);
            if let Verdict::Failed(failure) = &outcome.verdict
                && Sameness::of(failure) == self.wanted
            {
                let deviations = self.machine.deviations().to_vec();
                let (outcome, named) = name_schedule(self.machine, &deviations, self.limits);
                return self.keep(outcome, named);
            }
        }
        false
    }
}

/// The script without one operation. Gives whether it had it.
fn take_away(script: &mut Script, index: usize) -> bool {
    let mut rest = Script::EMPTY;
    for (_, op) in script
        .ops()
        .iter()
        .enumerate()
        .filter(|(at, _)| *at != index)
    {
        rest.push(*op);
    }
    let had = rest.ops().len() < script.ops().len();
    *script = rest;
    had
}
