//! What an LWP is inside of: the operations that wait for others, by name, for reports.
//!
//! An LWP that sleeps says on what; from that alone nobody can tell that it does so on behalf of
//! `localcount_drain`. So operations that wait for others say so while they do (`inside`). Nothing is ever decided
//! by it, and only the LWP itself writes it.

use crate::kern::lwp::curlwp;

/// Operations inside of each other that are remembered.
const DEPTH: usize = 3;

/// What an LWP is inside of, the outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Operations {
    names: [&'static str; DEPTH],
    depth: usize,
}

impl Operations {
    /// Of nothing.
    pub(crate) const NONE: Operations = Operations {
        names: [""; DEPTH],
        depth: 0,
    };

    /// Their names, the outermost first.
    pub fn names(&self) -> &[&'static str] {
        &self.names[..self.depth.min(DEPTH)]
    }
}

/// The current LWP is inside of an operation for as long as this lives.
#[must_use = "the operation ends when this is dropped"]
pub(crate) struct Inside(());

/// Says that the current LWP is inside of `operation` from now on.
#[inline]
pub(crate) fn inside(operation: &'static str) -> Inside {
    let l = curlwp();
    let mut operations = l.l_inside.get();
    if let Some(name) = operations.names.get_mut(operations.depth) {
        *name = operation;
    }
    operations.depth += 1;
    l.l_inside.set(operations);
    Inside(())
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        let l = curlwp();
        let mut operations = l.l_inside.get();
        operations.depth -= 1;
        l.l_inside.set(operations);
    }
}
