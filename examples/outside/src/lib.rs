//! Three primitives, as a crate would have them: nothing here but the module `sys` knows of rumplab.

mod sys;

pub mod mailbox;
pub mod ring;
pub mod spinlock;
