//! Records which waiting operations an LWP is in, by name. For reports.
//!
//! A sleeping LWP records what it sleeps on; that alone does not show that it sleeps on behalf of `localcount_drain`.
//! So operations that wait record themselves while they run (`inside`). If what they wait for is not clear from what
//! they sleep on, they record that too (`inside_for`). Nothing depends on these records, and only the LWP itself
//! writes them.

use crate::kern::lwp::{Arg, curlwp};
use crate::machine::{Described, Field};
use crate::mem::Private;

/// Maximum number of recorded nested operations.
const DEPTH: usize = 3;

/// What an operation waits for when it sleeps on its condition variable. It exists as long as the operation lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// Nothing that is in the graph.
    Unknown,
    /// The last passive reference to a target: a `PsrefTarget`.
    Psrefs(Arg),
    /// The last reference of a `Localcount`, whose release broadcasts on a `Kcondvar`.
    Localcount(Arg, Arg),
    /// Until a count of references, an `AtomicU32` of the object that they are to, is at most so many; whoever releases one
    /// broadcasts on a `Kcondvar`.
    Count {
        /// What they are references to.
        of: &'static str,
        /// The count.
        count: Arg,
        /// How many may be left.
        left: u32,
        /// The condition variable.
        cv: Arg,
    },
    /// Work of a queue: a `workqueue::Queue`.
    Work(Arg),
    /// Until something is so; whoever makes it so signals a `Kcondvar`.
    Until {
        /// What it is, for reports: "there is a frame".
        what: &'static str,
        /// Whether it is so, of `arg`. Called at rest. It reads without steps.
        holds: fn(Arg) -> bool,
        /// The object that it is about.
        arg: Arg,
        /// The condition variable.
        cv: Arg,
    },
}

/// The operations that an LWP is in, the outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Operations {
    names: [&'static str; DEPTH],
    depth: usize,
}

impl Operations {
    /// No operations.
    #[cfg(test)]
    pub(crate) const NONE: Operations = Operations {
        names: [""; DEPTH],
        depth: 0,
    };

    /// Their names, the outermost first.
    pub fn names(&self) -> &[&'static str] {
        &self.names[..self.depth.min(DEPTH)]
    }
}

/// An LWP's record of the operations that it is in. Separate words: it is written often, and rarely read.
pub(crate) struct Nest {
    names: [Private<&'static str>; DEPTH],
    depth: Private<usize>,
    awaited: Private<Awaited>,
}

impl Described for Nest {
    const FIELDS: &'static [Field] = &[];
}

impl Nest {
    /// No operations.
    pub(crate) const fn new() -> Self {
        Nest {
            names: [const { Private::new("") }; DEPTH],
            depth: Private::new(0),
            awaited: Private::new(Awaited::Unknown),
        }
    }

    /// The operations.
    pub(crate) fn operations(&self) -> Operations {
        Operations {
            names: core::array::from_fn(|index| self.names[index].get()),
            depth: self.depth.get(),
        }
    }

    /// What the innermost operation waits for.
    pub(crate) fn awaited(&self) -> Awaited {
        self.awaited.get()
    }
}

/// The current LWP is in an operation as long as this value exists.
#[must_use = "the operation ends when this is dropped"]
pub(crate) struct Inside {
    /// What the enclosing operation waits for.
    awaited: Awaited,
}

/// Records that the current LWP is in `operation`.
#[inline]
pub(crate) fn inside(operation: &'static str) -> Inside {
    inside_for(operation, Awaited::Unknown)
}

/// Records that the current LWP is in `operation`, which waits for something.
#[inline]
pub(crate) fn inside_for(operation: &'static str, awaited: Awaited) -> Inside {
    let nest = &curlwp().l_inside;
    let depth = nest.depth.get();
    if let Some(name) = nest.names.get(depth) {
        name.set(operation);
    }
    nest.depth.set(depth + 1);
    let outer = nest.awaited.get();
    nest.awaited.set(awaited);
    Inside { awaited: outer }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        let nest = &curlwp().l_inside;
        nest.depth.set(nest.depth.get() - 1);
        nest.awaited.set(self.awaited);
    }
}
