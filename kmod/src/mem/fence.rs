//! Memory fences: C11's, and the names of membar_ops(3).
//!
//! # Overview
//!
//! A fence orders the accesses of one CPU on either side of it. Two CPUs are ordered by fences only if one of them reads what the other
//! has written to an atomic cell ([`fence`] says how). Without the feature `points` a fence is the processor's own.
//!
//! # Differences from NetBSD
//!
//! membar_ops(3) distinguishes stores from loads: `membar_producer` orders stores before stores, `membar_consumer` loads before
//! loads. C11 has no such fences. Here they are a release and an acquire fence, which are as cheap on x86-64. So the race detector
//! accepts a program that uses `membar_producer` where it needs `membar_release`.
//!
//! # Sources
//!
//! membar_ops(3), NetBSD 10; ISO C11, 7.17.4 and 5.1.2.4.

use core::sync::atomic;

use crate::machine::{self, Kind};
use crate::mem::Ordering::{self, Acquire, Release, SeqCst};

/// A memory fence, as C11's `atomic_thread_fence`.
///
/// * A *release* fence, then a relaxed store: whoever loads the stored value with acquire, or loads it relaxed and then makes an
///   acquire fence, is ordered after everything before the release fence.
/// * `AcqRel` is both. `SeqCst` is both, and all such fences have one order.
///
/// Context: any, interrupt handlers included. Panics: if `order` is `Relaxed`, as in [`core::sync::atomic::fence`].
///
/// ```
/// use kmod::mem::{Acquire, AtomicU32, Relaxed, Release, fence};
///
/// /// Drops a reference. Gives whether it was the last: then everything that others did with the object came before.
/// fn release(references: &AtomicU32) -> bool {
///     fence(Release);
///     let last = references.fetch_sub(1, Relaxed) == 1;
///     if last {
///         fence(Acquire);
///     }
///     last
/// }
/// # let _ = release;
/// ```
#[inline(always)]
#[track_caller]
pub fn fence(order: Ordering) {
    machine::access(0, Kind::Fence, order);
    atomic::fence(order);
}

/// Loads before it come before everything after it: an acquire fence.
#[inline(always)]
#[track_caller]
pub fn membar_acquire() {
    fence(Acquire);
}

/// Everything before it comes before stores after it: a release fence.
#[inline(always)]
#[track_caller]
pub fn membar_release() {
    fence(Release);
}

/// Stores before it come before stores after it.
#[inline(always)]
#[track_caller]
pub fn membar_producer() {
    fence(Release);
}

/// Loads before it come before loads after it.
#[inline(always)]
#[track_caller]
pub fn membar_consumer() {
    fence(Acquire);
}

/// A load before it comes before loads after it whose address depends on the value.
#[inline(always)]
#[track_caller]
pub fn membar_datadep_consumer() {
    fence(Acquire);
}

/// Everything before it comes before everything after it.
#[inline(always)]
#[track_caller]
pub fn membar_sync() {
    fence(SeqCst);
}
