//! Fewer mishaps on the wire, and fewer frames from outside.

use super::Search;
use crate::wire::Wire;

impl Search<'_> {
    /// Removes events on the wire, one after the other, until each of the rest is needed.
    pub(super) fn shorten_wire(&mut self) {
        if self.best.file.wire.is_plain() {
            return;
        }
        // The last one first, because removing it moves nothing else.
        for index in (0..self.best.file.wire.mishaps.len()).rev() {
            self.attempt_wire(|wire| {
                wire.mishaps.remove(index);
            });
        }
        for index in (0..self.best.file.wire.frames.len()).rev() {
            self.attempt_wire(|wire| without_frame(wire, index));
        }
    }

    /// Changes the wire; keeps the change if the failure is the same.
    fn attempt_wire(&mut self, change: impl FnOnce(&mut Wire)) {
        let before = self.best.file.wire.clone();
        let mut fewer = before.clone();
        change(&mut fewer);
        if self.is_spent() {
            return;
        }
        self.machine.connect(&fewer);
        if self.attempt(self.best.file.schedule.clone()) || self.attempt_anew(super::FIRST_SEED) {
            self.best.file.wire = fewer;
        } else {
            self.machine.connect(&before);
        }
    }
}

/// Removes a frame from outside. The numbers of the frames after it decrease by one, and they keep their mishaps.
fn without_frame(wire: &mut Wire, index: usize) {
    wire.frames.remove(index);
    let gone = index as u32;
    wire.mishaps.retain(|(number, _)| *number != gone);
    for (number, _) in &mut wire.mishaps {
        *number -= u32::from(*number > gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, Mishap};

    #[test]
    fn mishaps_go_with_their_frames() {
        let frame = |card| Frame {
            card,
            bytes: vec![0; 14],
        };
        let mut wire = Wire {
            frames: vec![frame(0), frame(1), frame(2)],
            mishaps: vec![(0, Mishap::Lost), (1, Mishap::Twice), (5, Mishap::Late)],
        };
        without_frame(&mut wire, 1);
        assert_eq!(wire.frames, [frame(0), frame(2)]);
        assert_eq!(wire.mishaps, [(0, Mishap::Lost), (4, Mishap::Late)]);
    }
}
