//! `std::sync`: the kernel's primitives with the signatures of the standard library.
//!
//! A lock is a lock of the kernel that sleeps ([`kmod::kern::mutex`], [`kmod::kern::rwlock`]). Threads take them. Softints,
//! interrupts and callouts must not: they use a [`Kmutex`](kmod::kern::mutex::Kmutex) of their level, or atomics.
//!
//! # Differences from `std`
//!
//! * A panic fails the run. So nothing is ever poisoned, and each result that could say so is `Ok`.
//! * Timeouts are in ticks of 10 ms, rounded up. A wait never ends without a reason.
//! * [`Arc`] has no coercion to `Arc<dyn Trait>`, which only the standard library's can have: [`Arc::from_std`] makes one.

pub mod atomic;

mod arc;
mod condvar;
pub mod mpsc;
mod mutex;
mod once;
mod rwlock;

pub use arc::{Arc, Weak};
pub use condvar::{Barrier, BarrierWaitResult, Condvar, WaitTimeoutResult};
pub use mutex::{Mutex, MutexGuard};
pub use once::{LazyLock, Once, OnceLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult};

use kmod::mem::own;

/// Where the data next to `lock` is on this machine: a `static` has a copy in each.
fn beside<L, T: ?Sized>(lock: &L, data: *mut T) -> *mut T {
    let here = std::ptr::from_ref(lock).addr();
    let there = std::ptr::from_ref(own(lock)).addr();
    data.wrapping_byte_add(there.wrapping_sub(here))
}

/// A duration in ticks, at least one.
pub(crate) fn ticks_of(time: std::time::Duration) -> u32 {
    let ticks = time.as_millis().div_ceil(10).max(1);
    // The kernel's longest.
    u32::try_from(ticks)
        .unwrap_or(u32::MAX)
        .min(i32::MAX as u32)
}
