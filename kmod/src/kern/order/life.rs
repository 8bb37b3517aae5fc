//! When threads began and ended, and what can therefore not happen beside each other.

use super::dependency::{APART, Actor};

/// Beginnings and ends of threads that are remembered.
const LIVES: usize = 96;

/// That a thread began, or ended.
#[derive(Clone, Copy)]
pub(super) struct Life {
    pub(super) who: Actor,
    /// Who created it, or waited for its end.
    pub(super) other: Actor,
    pub(super) when: u32,
    pub(super) began: bool,
}

/// Every beginning and end, as far as there is room.
pub(super) struct Lives([Option<Life>; LIVES]);

impl Lives {
    pub(super) const fn new() -> Lives {
        Lives([None; LIVES])
    }

    /// Adds one. Gives whether there was room.
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

    /// The threads that never run beside what `by` did between `first` and `last`: those that it, or a thread that it
    /// had created, creates later; and those for whose end it has waited before.
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

    /// Whether the thread that began with `life` was created by `ancestor` after `when`, or by one that was.
    fn descends(&self, life: &Life, ancestor: &Actor, when: u32) -> bool {
        let mut life = *life;
        // There are no more generations than lives.
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
