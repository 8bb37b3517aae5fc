//! What an LWP is inside of: the operations that wait for others, by name, for reports.
//!
//! An LWP that sleeps says on what; from that alone nobody can tell that it does so on behalf of
//! `localcount_drain`. So operations that wait for others say so while they do (`inside`), and if what they wait for
//! cannot be told from what they sleep on, they say that, too (`inside_for`). Nothing is ever decided by it, and only the
//! LWP itself writes it.

use crate::kern::lwp::{Arg, curlwp};
use crate::machine::{Described, Field};
use crate::mem::Private;

/// Operations inside of each other that are remembered.
const DEPTH: usize = 3;

/// What an operation waits for when it sleeps on its condition variable. Alive as long as the operation lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited {
    /// Nothing that the graph knows.
    Unknown,
    /// The last passive reference to a target: a `PsrefTarget`.
    Psrefs(Arg),
    /// The last reference of a `Localcount`, whose release broadcasts on a `Kcondvar`.
    Localcount(Arg, Arg),
    /// Work of a queue: a `workqueue::Queue`.
    Work(Arg),
}

/// What an LWP is inside of, the outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Operations {
    names: [&'static str; DEPTH],
    depth: usize,
}

impl Operations {
    /// Of nothing.
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

/// What an LWP keeps of the operations that it is inside of. A word at a time: it is written often, and hardly ever read.
pub(crate) struct Nest {
    names: [Private<&'static str>; DEPTH],
    depth: Private<usize>,
    awaited: Private<Awaited>,
}

impl Described for Nest {
    const FIELDS: &'static [Field] = &[];
}

impl Nest {
    /// Inside of nothing.
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

    /// What the innermost of them waits for.
    pub(crate) fn awaited(&self) -> Awaited {
        self.awaited.get()
    }
}

/// The current LWP is inside of an operation for as long as this lives.
#[must_use = "the operation ends when this is dropped"]
pub(crate) struct Inside {
    /// What the operation around it waits for.
    awaited: Awaited,
}

/// Says that the current LWP is inside of `operation` from now on.
#[inline]
pub(crate) fn inside(operation: &'static str) -> Inside {
    inside_for(operation, Awaited::Unknown)
}

/// Says that the current LWP is inside of `operation` from now on, which waits for something.
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
