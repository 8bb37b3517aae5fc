//! `loom::cell`: cells whose accesses are checked for data races.

use std::{cell, fmt};

use kmod::machine::{self, Kind};
use kmod::mem::{Relaxed, own};

pub use std::cell::{Cell, OnceCell, RefCell};

/// The type of this name in `core::cell`, with the methods of loom's.
///
/// An access is a step. It must be ordered after each write by another thread, and a write after each access.
#[repr(transparent)]
#[derive(Default)]
pub struct UnsafeCell<T: ?Sized>(cell::UnsafeCell<T>);

// SAFETY: as `core::cell::UnsafeCell`; the methods give raw pointers only.
unsafe impl<T: ?Sized + Send> Send for UnsafeCell<T> {}

impl<T> UnsafeCell<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        UnsafeCell(cell::UnsafeCell::new(value))
    }

    /// The value, without its cell.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T> UnsafeCell<T> {
    /// Calls `f` with a pointer for reading, which must not be used after that.
    #[inline]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(*self.get())
    }

    /// Calls `f` with a pointer for reading and writing, which must not be used after that.
    #[inline]
    #[track_caller]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(*self.get_mut())
    }

    /// A pointer for reading. This is the access that is checked.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> ConstPtr<T> {
        ConstPtr(self.access(Kind::Read))
    }

    /// A pointer for reading and writing. This is the access that is checked.
    #[inline]
    #[track_caller]
    pub fn get_mut(&self) -> MutPtr<T> {
        MutPtr(self.access(Kind::Write))
    }

    #[inline]
    #[track_caller]
    fn access(&self, kind: Kind) -> *mut T {
        let own = own(&self.0);
        machine::point(std::ptr::from_ref(own).addr(), kind, Relaxed);
        own.get()
    }
}

impl<T> From<T> for UnsafeCell<T> {
    fn from(value: T) -> Self {
        UnsafeCell::new(value)
    }
}

impl<T: ?Sized> fmt::Debug for UnsafeCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnsafeCell { .. }")
    }
}

/// A pointer to the value of an [`UnsafeCell`], for reading.
pub struct ConstPtr<T>(*const T);

/// A pointer to the value of an [`UnsafeCell`], for reading and writing.
pub struct MutPtr<T>(*mut T);

impl<T> ConstPtr<T> {
    /// Calls `f` with the pointer.
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0)
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// Nobody writes it meanwhile.
    pub unsafe fn deref(&self) -> &T {
        // SAFETY: the caller's promise.
        unsafe { &*self.0 }
    }
}

impl<T> MutPtr<T> {
    /// Calls `f` with the pointer.
    pub fn with<R>(&mut self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0)
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// Nobody else accesses it meanwhile.
    #[allow(clippy::mut_from_ref, reason = "as in loom")]
    pub unsafe fn deref(&self) -> &mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0 }
    }
}

impl<T> std::ops::Deref for ConstPtr<T> {
    type Target = *const T;

    fn deref(&self) -> &*const T {
        &self.0
    }
}

impl<T> std::ops::Deref for MutPtr<T> {
    type Target = *mut T;

    fn deref(&self) -> &*mut T {
        &self.0
    }
}

/// Checks an access by someone who has the cell to himself: that he is ordered after all others. Not a step.
#[track_caller]
pub(crate) fn owned<T>(cell: &T) {
    if hostshim::machine::is_running() {
        machine::access(std::ptr::from_ref(own(cell)).addr(), Kind::Write, Relaxed);
    }
}
