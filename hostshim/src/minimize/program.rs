//! Fewer operations: removes whole LWPs, then single operations.
//!
//! Without an operation the names of later points change, and the current schedule may miss a failure that another
//! schedule meets. So if it does, a few other schedules are tried as well.

use std::ops::Range;

use kmod::scenario::ops::{MAX_LWPS, Program, Script};

use super::{Effort, FIRST_SEED, PLAIN, Search};
use crate::schedule::MemoryModel;
use crate::strategy::{Delays, Random, Strategy};

/// The limits for other schedules of a shorter program: runs, and points in all of them together.
const ANEW: Effort = Effort {
    runs: 400,
    points: 200_000,
};

/// The seeds for other schedules of a program that is short already.
const SEEDS: Range<u64> = FIRST_SEED..FIRST_SEED + 6;

impl Search<'_> {
    /// Removes operations, until each of the rest is needed. Uses at most half of the effort: the schedule needs some
    /// too.
    pub(super) fn shorten_program(&mut self) {
        if self.best.file.program.is_some() {
            self.with_half(Self::take_operations_away);
        }
    }

    fn take_operations_away(&mut self) {
        // A short schedule fits more programs than a long one.
        self.cut();
        for lwp in (0..MAX_LWPS).rev() {
            let length = self.script(lwp);
            self.attempt_program(|program| take_away(&mut program.scripts[lwp], 0..length));
        }
        for lwp in (0..MAX_LWPS).rev() {
            self.halve_script(lwp);
        }
        // Each of the rest may be needed only by the schedules that were tried: a few operations are worth more.
        for seed in SEEDS {
            while self.shorten_scripts(seed) {}
        }
    }

    /// How many operations an LWP has.
    fn script(&self, lwp: usize) -> usize {
        let program = self.best.file.program.as_ref();
        program.map_or(0, |program| program.scripts[lwp].ops().len())
    }

    /// Removes half of a script, then a quarter, and so on, while it is long.
    fn halve_script(&mut self, lwp: usize) {
        let mut size = self.script(lwp) / 2;
        while size > 1 {
            let mut end = self.script(lwp);
            while end > 0 {
                let start = end.saturating_sub(size);
                self.attempt_program(|program| take_away(&mut program.scripts[lwp], start..end));
                end = start;
            }
            size = size.min(self.script(lwp)) / 2;
        }
    }

    /// Tries to remove each single operation. Returns whether one was removed.
    fn shorten_scripts(&mut self, seed: u64) -> bool {
        let mut shorter = false;
        for lwp in (0..MAX_LWPS).rev() {
            for index in (0..self.script(lwp)).rev() {
                let this = index..index + 1;
                shorter |=
                    self.attempt_seeded(seed, |program| take_away(&mut program.scripts[lwp], this));
            }
        }
        shorter
    }

    fn attempt_program(&mut self, change: impl FnOnce(&mut Program) -> bool) -> bool {
        self.attempt_seeded(FIRST_SEED, change)
    }

    /// Changes the program. If that made a difference and the failure is the same, in the current schedule or one of this seed,
    /// keeps the change and returns true.
    fn attempt_seeded(&mut self, seed: u64, change: impl FnOnce(&mut Program) -> bool) -> bool {
        let Some(before) = self.best.file.program.clone() else {
            return false;
        };
        let mut shorter = before.clone();
        if self.is_spent() || !change(&mut shorter) {
            return false;
        }
        self.machine.load(&shorter);
        if self.attempt(self.best.file.schedule.clone()) || self.attempt_anew(seed) {
            self.best.file.program = Some(shorter);
            return true;
        }
        self.machine.load(&before);
        false
    }

    /// Looks for the failure without a given schedule, by random walks: these are short, and easily cut.
    pub(super) fn attempt_anew(&mut self, seed: u64) -> bool {
        let mut strategy: Box<dyn Strategy> = Box::new(Random::new(seed));
        if self.best.file.memory == MemoryModel::Tso {
            strategy = Box::new(Delays::new(strategy, seed));
        }
        let spent = self.effort.points.saturating_sub(ANEW.points / PLAIN);
        for _ in 0..ANEW.runs {
            if self.is_spent() || self.effort.points <= spent {
                return false;
            }
            if let Some((outcome, named)) = self.run_plainly(&mut *strategy) {
                return self.keep(outcome, named);
            }
        }
        false
    }
}

/// Removes these operations of a script. Returns whether it had any of them.
fn take_away(script: &mut Script, gone: Range<usize>) -> bool {
    let mut rest = Script::EMPTY;
    let ops = script.ops().iter().enumerate();
    for (_, op) in ops.filter(|(at, _)| !gone.contains(at)) {
        rest.push(*op);
    }
    let had = rest.ops().len() < script.ops().len();
    *script = rest;
    had
}
