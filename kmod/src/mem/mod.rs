//! The cells for all shared memory.
//!
//! # Overview
//!
//! Memory that two LWPs, or an LWP and an interrupt handler, can access is kept in one of four kinds of cell:
//!
//! * the atomics ([`AtomicU32`], [`AtomicRef`], …), with the C11 orderings of the caller;
//! * [`Guarded`], for data that is accessed only with one particular spin mutex held;
//! * [`Local`], for data that only its own CPU or its own LWP accesses, and that an interrupt restores.
//!
//! Data that only the running LWP itself accesses is not shared, and not announced (`Private`).
//!
//! An access to one of the first two is a *step* (see [`crate::machine`]): another CPU, or an interrupt, may run
//! before it. An access to one of the last two is checked, but is not a step. Without the feature `points` all of
//! them compile to the bare access.
//!
//! # Fused accesses
//!
//! A lock operation announces itself as one operation (`mutex_enter`), and then accesses its own word with the
//! `*_fused` methods. These are checked and they order memory, but they belong to the step that the announcement
//! began.
//!
//! # Cells on a stack
//!
//! A cell may be a local variable, and others may be given its address: that is how a thread waits for an event of its own. When the
//! function returns, the cell is dropped and tells the host. The simulated machine reports every later access to it.
//!
//! # Cells in a `static`
//!
//! A cell may also be a `static`, or part of one. Each simulated machine has its own copy, which has its initial
//! value at the beginning of every run. A booted machine has one, which keeps its value from round to round, so
//! `setup` must set it.
//!
//! # Differences from the machine
//!
//! The simulated machine is sequentially consistent, unless it is asked for store buffers (`--memory tso`). It uses the orderings for
//! *checking*: a plain access that is not ordered by happens-before is reported even if the value was right.

mod atomic;
mod fence;
mod plain;

pub use atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicPtr, AtomicRef,
    AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};
pub use core::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};
pub use fence::{
    fence, membar_acquire, membar_consumer, membar_datadep_consumer, membar_producer,
    membar_release, membar_sync,
};
pub(crate) use plain::Private;
pub use plain::{Guarded, Local, Plain};

/// The object at `at`, an address that was read from shared memory.
///
/// If a guarantee under test was broken, there may be none. An address that cannot be valid is reported to the host,
/// which checks it like an access. Any other is checked when the object's cells are accessed.
///
/// # Safety
///
/// 1. `at` is the address of a `T`, unless a guarantee under test was broken. 2. The `T` is alive, with the same
///    exception.
#[inline(always)]
#[track_caller]
pub unsafe fn object<T>(at: *const T) -> &'static T {
    if cfg!(feature = "points") && (at.is_null() || !at.is_aligned()) {
        crate::machine::access(at.addr(), crate::machine::Kind::Read, Relaxed);
    }
    // SAFETY: the caller's promise.
    unsafe { &*at }
}

/// All global variables of a program are below this address, and all memory of machines is above it.
///
/// A program is mapped at the bottom or in the middle of the address space. Linux maps everything else at the top.
#[cfg(feature = "points")]
const GLOBALS_END: usize = 0x6000_0000_0000;

/// The object to use in place of this one: if it is a `static`, or a part of one, the copy of the machine that runs.
///
/// A process can have many machines, so each has its own. The cells of this module ask by themselves.
#[inline(always)]
pub fn own<T>(cell: &T) -> &T {
    #[cfg(feature = "points")]
    if core::ptr::from_ref(cell).addr() < GLOBALS_END {
        return crate::machine::own(cell);
    }
    cell
}

/// One iteration of a spin loop that only reads: see [`crate::machine::relax`].
#[inline]
#[track_caller]
pub fn relax() {
    crate::machine::relax();
}
