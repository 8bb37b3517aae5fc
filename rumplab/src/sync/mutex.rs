//! A lock that sleeps, and its data.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::Ipl;
use kmod::machine::{Described, Field, ObjectKind};
use kmod::mem::own;

use super::{LockResult, TryLockError, TryLockResult, beside};

/// `std::sync::Mutex`.
pub struct Mutex<T: ?Sized> {
    lock: Kmutex,
    data: UnsafeCell<T>,
}

// SAFETY: it moves with its data.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: only who holds the lock has access to the data.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The lock is held as long as this lives.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized + 'a> {
    pub(super) lock: &'a Kmutex,
    pub(super) data: *mut T,
    _borrow: PhantomData<&'a mut T>,
}

// SAFETY: a shared guard gives shared access to the data.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            lock: Kmutex::new("Mutex", Ipl::None),
            data: UnsafeCell::new(value),
        }
    }

    /// The data, without its lock.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    pub fn into_inner(self) -> LockResult<T> {
        Ok(self.data.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock, and waits for it if need be. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        own(&self.lock).enter();
        Ok(self.guard())
    }

    /// Takes the lock if nobody holds it. Context: thread.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if somebody holds it.
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        match own(&self.lock).tryenter() {
            true => Ok(self.guard()),
            false => Err(TryLockError::WouldBlock),
        }
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            lock: own(&self.lock),
            data: beside(&self.lock, self.data.get()),
            _borrow: PhantomData,
        }
    }

    /// The data: nobody else has access.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        Ok(self.data.get_mut())
    }

    /// Whether a thread has panicked with the lock: never.
    pub fn is_poisoned(&self) -> bool {
        false
    }

    /// Does nothing: it is never poisoned.
    pub fn clear_poison(&self) {}
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.data }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and the guard is borrowed exclusively.
        unsafe { &mut *self.data }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[track_caller]
    fn drop(&mut self) {
        self.lock.exit();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    /// Without the data: to look at it would be a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mutex { .. }")
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Described for Mutex<T> {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Lock;
}
