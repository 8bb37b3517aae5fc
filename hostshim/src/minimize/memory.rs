//! Fewer allocations that fail.

use super::{FIRST_SEED, Search};
use crate::schedule::Refusal;

impl Search<'_> {
    /// Looks for the failure with all memory, at once: most failures are not about a lack of it.
    pub(super) fn give_memory(&mut self) {
        if self.best.file.refusals.len() > 1 {
            self.attempt_refusals(&[]);
        }
    }

    /// Lets allocations succeed, one after the other, until each of those that fail is needed.
    pub(super) fn shorten_memory(&mut self) {
        let mut index = self.best.file.refusals.len();
        while index > 0 {
            index -= 1;
            let mut fewer = self.best.file.refusals.clone();
            fewer.remove(index);
            self.attempt_refusals(&fewer);
            index = index.min(self.best.file.refusals.len());
        }
    }

    /// Lets only these allocations fail; keeps that if the failure is the same.
    fn attempt_refusals(&mut self, fewer: &[Refusal]) {
        if self.is_spent() {
            return;
        }
        let before = self.best.file.refusals.clone();
        self.machine.refuse(fewer);
        if !(self.attempt(self.best.file.schedule.clone()) || self.attempt_anew(FIRST_SEED)) {
            self.machine.refuse(&before);
        }
    }
}
