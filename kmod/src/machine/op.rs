//! Visible operations: what a point announces.

use core::sync::atomic::Ordering;

/// What an operation does to the object at its address.
///
/// The first group are accesses to memory, and what the happens-before relation is made of; the
/// second group are operations of the kernel that do not touch one word alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Atomic load.
    Load,
    /// Atomic store.
    Store,
    /// Atomic read-modify-write.
    Rmw,
    /// Read of a plain cell: must be ordered after every write of another CPU.
    Read,
    /// Write of a plain cell: must be ordered after every access of another CPU.
    Write,
    /// `mutex_enter` or a try of it; the address is the mutex.
    MutexEnter,
    /// `mutex_exit`; the address is the mutex.
    MutexExit,
    /// The interrupt priority level was lowered; the address is the CPU's structure.
    Splx,
    /// A context switch is about to be made; the address is the LWP that goes on.
    Switch,
    /// Memory is returned to the allocator; the address is its first byte.
    Free,
    /// A step of a program that touches nothing of the kernel's: a place to be preempted.
    Yield,
    /// A memory fence. It touches no address, and is no point.
    Fence,
    /// Atomic read-modify-write that has stored what it found, as a lock that is held is tried.
    RmwSame,
}

impl Kind {
    /// The word that traces and replay files use.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Load => "load",
            Kind::Store => "store",
            Kind::Rmw | Kind::RmwSame => "rmw",
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::MutexEnter => "mutex_enter",
            Kind::MutexExit => "mutex_exit",
            Kind::Splx => "splx",
            Kind::Switch => "switch",
            Kind::Free => "free",
            Kind::Yield => "yield",
            Kind::Fence => "fence",
        }
    }

    /// Every kind that an operation is announced with, in the order of their numbers.
    pub const ALL: [Kind; 12] = [
        Kind::Load,
        Kind::Store,
        Kind::Rmw,
        Kind::Read,
        Kind::Write,
        Kind::MutexEnter,
        Kind::MutexExit,
        Kind::Splx,
        Kind::Switch,
        Kind::Free,
        Kind::Yield,
        Kind::Fence,
    ];

    /// Whether the operation can change what another CPU reads at the address.
    pub const fn writes(self) -> bool {
        matches!(self, Kind::Store | Kind::Rmw | Kind::Write | Kind::Free)
    }
}

/// One visible operation, announced before it happens.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// Address of the cell or object.
    pub addr: usize,
    /// What is about to be done to it.
    pub kind: Kind,
    /// C11 ordering of an atomic access; `Relaxed` for everything else.
    pub order: Ordering,
}
