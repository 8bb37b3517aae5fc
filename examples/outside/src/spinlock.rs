//! A lock that spins.

use crate::sys::cell::UnsafeCell;
use crate::sys::hint::spin_loop;
use crate::sys::sync::atomic::{AtomicBool, Ordering};

/// A lock that spins, with what it protects.
pub struct SpinLock<T> {
    is_held: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: only who holds the lock has access to the data.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A lock that nobody holds.
    pub const fn new(data: T) -> Self {
        SpinLock {
            is_held: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }

    /// Calls `f` with the data while the lock is held.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        while self.is_held.swap(true, Ordering::Acquire) {
            while self.is_held.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
        let result = self.data.with_mut(|data| {
            // SAFETY: the lock is held.
            f(unsafe { &mut *data })
        });
        self.is_held.store(false, Ordering::Release);
        result
    }
}
