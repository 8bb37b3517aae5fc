//! Objects that are found without a lock while another thread removes them.
//!
//! A reader finds an object and takes a reference inside a read section of pserialize(9). A thread that removes the
//! object unlinks it, waits for the readers that may have found it, and then for the references.

use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::spl::Ipl;
use crate::mem::{Acquire, AtomicRef, Relaxed, Release};

/// A place where an object can be found.
pub struct Place<T: 'static> {
    object: AtomicRef<T>,
    /// Allows one writer at a time, as pserialize required until 2021.
    writer: Kmutex,
    psz: Pserialize,
}

impl<T> crate::machine::Described for Place<T> {
    const FIELDS: &'static [crate::machine::Field] = &[];
}

impl<T> Place<T> {
    /// An empty place.
    pub const fn new() -> Self {
        Place {
            object: AtomicRef::new(),
            writer: Kmutex::new("place.writer", Ipl::None),
            psz: Pserialize::new(),
        }
    }

    /// Publishes `object`.
    #[track_caller]
    pub fn publish(&self, object: &'static T) {
        self.object.store(Some(object), Release);
    }

    /// Finds the object, if there is one, and calls `take` to take a reference to it.
    #[track_caller]
    pub fn find<R>(&self, take: impl FnOnce(&'static T) -> R) -> Option<R> {
        let s = read_enter();
        let taken = self.object.load(Acquire).map(take);
        read_exit(s);
        taken
    }

    /// Removes the object, unless another thread did. When this returns, no thread finds it, and all that found it
    /// have taken their reference.
    #[track_caller]
    pub fn retract(&self) -> Option<&'static T> {
        self.replace(None)
    }

    /// As [`retract`](Self::retract), and publishes another object.
    #[track_caller]
    pub fn replace(&self, new: Option<&'static T>) -> Option<&'static T> {
        self.writer.enter();
        let old = self.object.load(Relaxed);
        if old.is_some() {
            self.object.store(new, Release);
            self.psz.perform();
        }
        self.writer.exit();
        old
    }

    /// The object, when nothing runs.
    pub fn peek(&self) -> Option<&'static T> {
        self.object.peek()
    }
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self::new()
    }
}
