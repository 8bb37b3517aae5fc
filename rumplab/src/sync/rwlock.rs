//! A lock for one writer or many readers, and its data.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use kmod::kern::rwlock::{Krw, Krwlock};
use kmod::machine::{Described, Field, ObjectKind};
use kmod::mem::own;

use super::{LockResult, TryLockError, TryLockResult, beside};

/// `std::sync::RwLock`. A writer that waits goes before new readers.
pub struct RwLock<T: ?Sized> {
    lock: Krwlock,
    data: UnsafeCell<T>,
}

// SAFETY: it moves with its data.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: readers have shared access to the data, and a writer has it alone.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

/// The lock is held for reading as long as this lives.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized + 'a> {
    lock: &'a Krwlock,
    data: *const T,
    _borrow: PhantomData<&'a T>,
}

/// The lock is held for writing as long as this lives.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized + 'a> {
    lock: &'a Krwlock,
    data: *mut T,
    _borrow: PhantomData<&'a mut T>,
}

// SAFETY: a shared guard gives shared access to the data.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            lock: Krwlock::new("RwLock"),
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

impl<T: ?Sized> RwLock<T> {
    /// Takes the lock for reading, and waits for it if need be. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        own(&self.lock).enter(Krw::Reader);
        Ok(self.read_guard())
    }

    /// Takes the lock for writing, and waits for it if need be. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// None: see [`sync`](super).
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        own(&self.lock).enter(Krw::Writer);
        Ok(self.write_guard())
    }

    /// Takes the lock for reading if it can be had. Context: thread.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it cannot.
    #[track_caller]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        match own(&self.lock).tryenter(Krw::Reader) {
            true => Ok(self.read_guard()),
            false => Err(TryLockError::WouldBlock),
        }
    }

    /// Takes the lock for writing if it can be had. Context: thread.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if it cannot.
    #[track_caller]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        match own(&self.lock).tryenter(Krw::Writer) {
            true => Ok(self.write_guard()),
            false => Err(TryLockError::WouldBlock),
        }
    }

    fn read_guard(&self) -> RwLockReadGuard<'_, T> {
        RwLockReadGuard {
            lock: own(&self.lock),
            data: beside(&self.lock, self.data.get()),
            _borrow: PhantomData,
        }
    }

    fn write_guard(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard {
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

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held for reading.
        unsafe { &*self.data }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held for writing.
        unsafe { &*self.data }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held for writing, and the guard is borrowed exclusively.
        unsafe { &mut *self.data }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[track_caller]
    fn drop(&mut self) {
        self.lock.exit();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[track_caller]
    fn drop(&mut self) {
        self.lock.exit();
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        RwLock::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    /// Without the data: to look at it would be a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RwLock { .. }")
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Described for RwLock<T> {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Lock;
}
