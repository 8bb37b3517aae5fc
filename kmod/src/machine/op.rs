//! Visible operations, which points announce.

use core::sync::atomic::Ordering;

/// The effect of an operation on the object at its address.
///
/// The first group are memory accesses, which define the happens-before relation. The second group are operations of
/// the kernel that concern more than one word.
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
    /// `mutex_enter` or an attempt; the address is the mutex.
    MutexEnter,
    /// `mutex_exit`; the address is the mutex.
    MutexExit,
    /// The interrupt priority level was lowered; the address is the CPU's structure.
    Splx,
    /// A context switch is about to happen; the address is the LWP that runs next.
    Switch,
    /// Memory is freed; the address is its first byte.
    Free,
    /// A step that touches nothing of the kernel: a place for preemption.
    Yield,
    /// Kernel preemption is about to be switched off, or was switched on; the address is the LWP. A point only where accesses
    /// inside of a step are points, too.
    Kpreempt,
    /// A memory fence. It touches no address, and is not a step.
    Fence,
    /// Atomic read-modify-write that stored the value it found, such as an attempt to take a lock that is held.
    RmwSame,
}

impl Kind {
    /// The name in traces and replay files.
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
            Kind::Kpreempt => "kpreempt",
            Kind::Fence => "fence",
        }
    }

    /// Every kind that an operation is announced with, in the order of their numbers.
    pub const ALL: [Kind; 13] = [
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
        Kind::Kpreempt,
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
    /// The kind of the operation.
    pub kind: Kind,
    /// The C11 ordering of an atomic access; `Relaxed` for everything else.
    pub order: Ordering,
    /// Bytes that an access to a cell reads or writes; 0 if that is not known, or it is no such access.
    pub size: u8,
}

impl Op {
    /// An operation of which no size is known.
    #[inline(always)]
    pub const fn new(addr: usize, kind: Kind, order: Ordering) -> Op {
        Op {
            addr,
            kind,
            order,
            size: 0,
        }
    }

    /// An access to this cell.
    #[cfg(feature = "points")]
    #[inline(always)]
    pub(crate) fn on<T>(cell: &T, kind: Kind, order: Ordering) -> Op {
        // A cell is one word. Nothing else is accessed at once.
        let size = if size_of::<T>() <= 8 {
            size_of::<T>()
        } else {
            0
        };
        Op {
            size: size as u8,
            ..Op::new(core::ptr::from_ref(cell).addr(), kind, order)
        }
    }
}
