//! Objects that are found without a lock while somebody removes them.
//!
//! A reader finds an object and takes a reference inside of [`read_section`]; who removes the object unlinks it,
//! lets all readers that may have found it leave with [`wait_for_readers`], and then waits for the references.

use crate::kern::spl;
use crate::kern::xcall::{self, Priority};
use crate::mem::{AcqRel, Acquire, AtomicRef, Relaxed, Release};

/// Runs `section` so that [`wait_for_readers`] waits for it. It must not sleep.
///
/// This is the reader's side of passive serialization: a softint of the serial level cannot run on this CPU meanwhile.
#[track_caller]
pub fn read_section<R>(section: impl FnOnce() -> R) -> R {
    let s = spl::splsoftserial();
    let result = section();
    spl::splx(s);
    result
}

/// Waits until all sections that have begun have ended: until a softint of the serial level has run on every CPU.
///
/// Context: thread that may sleep.
#[track_caller]
pub fn wait_for_readers() {
    xcall::barrier(Priority::HIGH);
}

/// A place where an object can be found.
pub struct Place<T: 'static>(AtomicRef<T>);

impl<T> crate::machine::Described for Place<T> {
    const FIELDS: &'static [crate::machine::Field] = &[];
}

impl<T> Place<T> {
    /// A place where there is nothing.
    pub const fn new() -> Self {
        Place(AtomicRef::new())
    }

    /// Lets `object` be found.
    #[track_caller]
    pub fn publish(&self, object: &'static T) {
        self.0.store(Some(object), Release);
    }

    /// Finds the object, if there is one, and has `take` take a reference to it.
    #[track_caller]
    pub fn find<R>(&self, take: impl FnOnce(&'static T) -> R) -> Option<R> {
        read_section(|| self.0.load(Acquire).map(take))
    }

    /// Takes the object away, if nobody else did: nobody finds it any more, and all who did have their reference.
    #[track_caller]
    pub fn retract(&self) -> Option<&'static T> {
        self.replace(None)
    }

    /// As [`retract`](Self::retract), with another object to be found from now on.
    #[track_caller]
    pub fn replace(&self, new: Option<&'static T>) -> Option<&'static T> {
        let old = self.0.load(Acquire);
        let mine = old.is_some() && self.0.compare_exchange(old, new, AcqRel, Relaxed);
        if !mine {
            return None;
        }
        wait_for_readers();
        old
    }

    /// The object, when nothing runs.
    pub fn peek(&self) -> Option<&'static T> {
        self.0.peek()
    }
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self::new()
    }
}
