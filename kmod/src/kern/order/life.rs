//! When threads were created and ended, and so which of them never run at the same time.

use super::dependency::{APART, Actor};

/// Maximum number of recorded creations and ends.
const LIVES: usize = 96;

/// The creation or the end of a thread.
#[derive(Clone, Copy)]
pub(super) struct Life {
    pub(super) who: Actor,
    /// The thread that created it, or waited for its end.
    pub(super) other: Actor,
    pub(super) when: u32,
    pub(super) began: bool,
}

/// Every creation and end, up to the limit.
pub(super) struct Lives([Option<Life>; LIVES]);

impl Lives {
    pub(super) const fn new() -> Lives {
        Lives([None; LIVES])
    }

    /// Adds one. Returns whether there was room.
    pub(super) fn push(&mut self, life: Life) -> bool {
        let free = self.0.iter_mut().find(|place| place.is_none());
        free.is_some_and(|place| {
            *place = Some(life);
            true
        })
    }

    /// Every thread in it.
    pub(super) fn actors(&mut self) -> impl Iterator<Item = &mut Actor> {
        let lives = self.0.iter_mut().flatten();
        lives.flat_map(|life| [&mut life.who, &mut life.other])
    }

    /// The threads that never run at the same time as what `by` did between `first` and `last`: those that it (or a
    /// thread created by it) creates later, and those whose end it has waited for before.
    pub(super) fn apart(&self, by: &Actor, first: u32, last: u32) -> [Option<Actor>; APART] {
        let mut apart = [None; APART];
        let later = |life: &&Life| match life.began {
            true => self.descends(life, by, last),
            false => life.other == *by && life.when < first,
        };
        for (place, life) in apart.iter_mut().zip(self.0.iter().flatten().filter(later)) {
            *place = Some(life.who);
        }
        apart
    }

    /// Whether the thread that was created with `life` was created by `ancestor` after `when`, or by a thread that
    /// was.
    fn descends(&self, life: &Life, ancestor: &Actor, when: u32) -> bool {
        let mut life = *life;
        // There are no more generations than recorded lives.
        for _ in 0..LIVES {
            if life.other == *ancestor {
                return life.when > when;
            }
            let creator = |l: &&Life| l.began && l.who == life.other;
            match self.0.iter().flatten().find(creator) {
                Some(creator) => life = *creator,
                None => return false,
            }
        }
        false
    }
}
