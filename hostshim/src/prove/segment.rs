//! What a forced switch brought about until the CPU that was left went on.

use crate::machine::Touch;

/// Everything that was touched from a forced switch on until the CPU that was left went on, in every schedule that was tried.
#[derive(Default)]
pub(super) struct Segment {
    touches: Vec<Touch>,
    /// Whether that is not known: the CPU did not go on in some schedule, or could have taken an interrupt first.
    is_spoilt: bool,
}

impl Segment {
    /// A step was made that touched this.
    pub(super) fn add(&mut self, touches: &[Touch]) {
        if !self.is_spoilt {
            self.touches.extend_from_slice(touches);
        }
    }

    /// It says nothing.
    pub(super) fn spoil(&mut self) {
        self.is_spoilt = true;
        self.touches = Vec::new();
    }

    /// Whether everything in it is independent of a step of another CPU that touched this.
    pub(super) fn is_independent_of(&self, step: &[Touch]) -> bool {
        let depends = |touch: &Touch| step.iter().any(|other| touch.depends_on(*other));
        !self.is_spoilt && !self.touches.iter().any(depends)
    }
}
