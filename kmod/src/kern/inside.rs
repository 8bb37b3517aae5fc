//! What an LWP is inside of: the operations that wait for others, by name, for reports.
//!
//! An LWP that sleeps says on what; from that alone nobody can tell that it does so on behalf of
//! `localcount_drain`. So operations that wait for others say so while they do (`inside`), and if what they wait for
//! cannot be told from what they sleep on, they say that, too (`inside_for`). Nothing is ever decided by it, and only the
//! LWP itself writes it.

use crate::kern::lwp::{Arg, curlwp};

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
    awaited: Awaited,
}

impl Operations {
    /// Of nothing.
    pub(crate) const NONE: Operations = Operations {
        names: [""; DEPTH],
        depth: 0,
        awaited: Awaited::Unknown,
    };

    /// Their names, the outermost first.
    pub fn names(&self) -> &[&'static str] {
        &self.names[..self.depth.min(DEPTH)]
    }

    /// What the innermost of them waits for.
    pub(crate) fn awaited(&self) -> Awaited {
        self.awaited
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
    let l = curlwp();
    let mut operations = l.l_inside.get();
    let outer = core::mem::replace(&mut operations.awaited, awaited);
    if let Some(name) = operations.names.get_mut(operations.depth) {
        *name = operation;
    }
    operations.depth += 1;
    l.l_inside.set(operations);
    Inside { awaited: outer }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        let l = curlwp();
        let mut operations = l.l_inside.get();
        operations.depth -= 1;
        operations.awaited = self.awaited;
        l.l_inside.set(operations);
    }
}
