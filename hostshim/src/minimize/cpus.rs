//! Fewer CPUs: the failure may not need all of them.

use super::{FIRST_SEED, Search};
use crate::machine::Recording;

impl Search<'_> {
    /// Looks for the smallest machine that still shows the failure. Uses at most half of the effort.
    pub(super) fn shorten_cpus(&mut self) {
        let file = &self.best.file;
        let fewer = file.scenario.min_cpus..file.config.ncpu;
        self.with_half(|search| {
            let _found = fewer.into_iter().any(|ncpu| search.attempt_cpus(ncpu));
        });
    }

    /// Tries a machine of `ncpu` CPUs. If the failure is the same there, keeps it and returns true.
    fn attempt_cpus(&mut self, ncpu: usize) -> bool {
        if self.is_spent() {
            return false;
        }
        let before = self.best.file.clone();
        self.best.file.config.ncpu = ncpu;
        if self.boot() && (self.attempt(before.schedule.clone()) || self.attempt_anew(FIRST_SEED)) {
            return true;
        }
        self.best.file = before;
        // It has booted before.
        let _booted = self.boot();
        false
    }

    /// Boots the machine for the best file. Returns whether it booted.
    fn boot(&mut self) -> bool {
        let booted = self.best.file.boot(self.machine).is_ok();
        self.machine.record(Recording::Names);
        booted
    }
}
