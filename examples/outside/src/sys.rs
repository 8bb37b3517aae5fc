//! What the primitives are made of: the standard library's, or rumplab's under test.

#[cfg(feature = "rumplab")]
pub(crate) use rumplab::{cell, hint, sync};

#[cfg(not(feature = "rumplab"))]
pub(crate) use std::{hint, sync};

/// `UnsafeCell` with the two methods that a checked cell has.
#[cfg(not(feature = "rumplab"))]
pub(crate) mod cell {
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
