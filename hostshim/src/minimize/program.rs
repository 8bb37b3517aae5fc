//! Fewer operations: whole LWPs are taken away, then single operations.
//!
//! Without an operation the names of later points change, and the schedule at hand may miss the failure although another
//! one meets it. So if it does, a few schedules are tried that anybody could have tried.

use std::ops::Range;

use kmod::scenario::ops::{MAX_LWPS, Program, Script};

use super::{Effort, FIRST_SEED, PLAIN, Search};
use crate::strategy::Portfolio;

/// What the schedules may cost that are tried anew for a shorter program: runs, and points in all of them together.
const ANEW: Effort = Effort {
    runs: 400,
    points: 200_000,
};

impl Search<'_> {
    /// Takes operations away, until each of them is needed. Uses half of the effort at most: the schedule needs some too.
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
        while self.shorten_scripts() {}
    }

    /// How many operations an LWP has.
    fn script(&self, lwp: usize) -> usize {
        let program = self.best.file.program.as_ref();
        program.map_or(0, |program| program.scripts[lwp].ops().len())
    }

    /// Takes away half of a script, or a quarter of it, and so on, while it is long.
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

    /// Tries to go without each single operation. Gives whether one was taken away.
    fn shorten_scripts(&mut self) -> bool {
        let mut shorter = false;
        for lwp in (0..MAX_LWPS).rev() {
            for index in (0..self.script(lwp)).rev() {
                let this = index..index + 1;
                shorter |=
                    self.attempt_program(|program| take_away(&mut program.scripts[lwp], this));
            }
        }
        shorter
    }

    /// Changes the program; keeps the change, and says so, if it made one and the failure is the same.
    fn attempt_program(&mut self, change: impl FnOnce(&mut Program) -> bool) -> bool {
        let Some(before) = self.best.file.program.clone() else {
            return false;
        };
        let mut shorter = before.clone();
        if self.is_spent() || !change(&mut shorter) {
            return false;
        }
        self.machine.load(&shorter);
        if self.attempt(self.best.file.schedule.clone()) || self.attempt_anew(FIRST_SEED) {
            self.best.file.program = Some(shorter);
            return true;
        }
        self.machine.load(&before);
        false
    }

    /// Looks for the failure without knowing a schedule.
    pub(super) fn attempt_anew(&mut self, seed: u64) -> bool {
        let mut strategy = Portfolio::new(seed);
        let spent = self.effort.points.saturating_sub(ANEW.points / PLAIN);
        for _ in 0..ANEW.runs {
            if self.is_spent() || self.effort.points <= spent {
                return false;
            }
            if let Some((outcome, named)) = self.run_plainly(&mut strategy) {
                return self.keep(outcome, named);
            }
        }
        false
    }
}

/// Takes these operations of a script away. Gives whether it had any of them.
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
