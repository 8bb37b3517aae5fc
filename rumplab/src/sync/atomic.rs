//! `core::sync::atomic`: every access is a step, with the ordering that it states.
//!
//! Values are sequentially consistent whatever the orderings say, unless the test asks for store buffers
//! ([`Config::memory`](crate::Config::memory)); the orderings decide what counts as a data race.
//! `compare_exchange_weak` never fails without a reason.

use std::fmt;
use std::marker::PhantomData;

use kmod::machine::{Described, Field};
use kmod::mem;

pub use kmod::mem::fence;
pub use std::sync::atomic::{Ordering, compiler_fence};

macro_rules! atomic {
    ($name:ident($value:ty) $(, $more:ident)?) => {
        /// The type of this name in `core::sync::atomic`.
        #[repr(transparent)]
        #[derive(Default)]
        pub struct $name(mem::$name);

        impl $name {
            /// A cell that holds `value`.
            pub const fn new(value: $value) -> Self {
                Self(mem::$name::new(value))
            }

            /// Loads the value.
            #[inline(always)]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            /// Stores a value.
            #[inline(always)]
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                self.0.store(value, order);
            }

            /// Stores a value and returns the one before.
            #[inline(always)]
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                self.0.swap(value, order)
            }

            /// Stores `new` if the value is `current`. Returns the value before, as an error if it was another.
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(current, new, success, failure)
            }

            /// [`compare_exchange`](Self::compare_exchange).
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.0.compare_exchange(current, new, success, failure)
            }

            /// Loads the value, and stores what `update` makes of it unless that is `None`; again, if another thread was faster.
            #[inline(always)]
            #[track_caller]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.0.fetch_update(success, failure, update)
            }

            /// The value itself: nobody else has access.
            #[track_caller]
            pub fn get_mut(&mut self) -> &mut $value {
                crate::cell::owned(&self.0);
                // SAFETY: `self` is borrowed exclusively as long as the reference lives.
                unsafe { &mut *self.0.bare().as_ptr() }
            }

            /// The value, without its cell.
            #[track_caller]
            pub fn into_inner(mut self) -> $value {
                *self.get_mut()
            }

            /// The address of the value.
            pub fn as_ptr(&self) -> *mut $value {
                self.0.bare().as_ptr()
            }

            $(atomic!(@$more $value);)?
        }

        impl From<$value> for $name {
            fn from(value: $value) -> Self {
                Self::new(value)
            }
        }

        impl fmt::Debug for $name {
            /// The value, which is read without a step.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.peek().fmt(f)
            }
        }

        impl Described for $name {
            const FIELDS: &'static [Field] = &[];
        }
    };
    (@integer $value:ty) => {
        atomic!(@call $value: fetch_add "Adds, wrapping", fetch_sub "Subtracts, wrapping", fetch_max "Keeps the greater of the two",
            fetch_min "Keeps the smaller of the two");
        atomic!(@bits $value);
    };
    (@bits $value:ty) => {
        atomic!(@call $value: fetch_and "Bitwise and", fetch_or "Bitwise or", fetch_xor "Bitwise exclusive or",
            fetch_nand "The complement of bitwise and");
    };
    (@boolean $value:ty) => {
        atomic!(@bits $value);

        /// Negates. Returns the value before.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_not(&self, order: Ordering) -> bool {
            self.0.fetch_xor(true, order)
        }
    };
    (@call $value:ty: $($method:ident $what:literal),*) => {
        $(
            #[doc = concat!($what, ". Returns the value before.")]
            #[inline(always)]
            #[track_caller]
            pub fn $method(&self, value: $value, order: Ordering) -> $value {
                self.0.$method(value, order)
            }
        )*
    };
}

atomic!(AtomicU8(u8), integer);
atomic!(AtomicU16(u16), integer);
atomic!(AtomicU32(u32), integer);
atomic!(AtomicU64(u64), integer);
atomic!(AtomicUsize(usize), integer);
atomic!(AtomicI8(i8), integer);
atomic!(AtomicI16(i16), integer);
atomic!(AtomicI32(i32), integer);
atomic!(AtomicI64(i64), integer);
atomic!(AtomicIsize(isize), integer);
atomic!(AtomicBool(bool), boolean);

/// The type of this name in `core::sync::atomic`.
#[repr(transparent)]
pub struct AtomicPtr<T>(mem::AtomicPtr, PhantomData<*mut T>);

// SAFETY: the pointer is a word that any thread may have; what it points to is the business of who follows it.
unsafe impl<T> Send for AtomicPtr<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for AtomicPtr<T> {}

fn typed<T>(result: Result<*mut (), *mut ()>) -> Result<*mut T, *mut T> {
    match result {
        Ok(pointer) => Ok(pointer.cast()),
        Err(pointer) => Err(pointer.cast()),
    }
}

impl<T> AtomicPtr<T> {
    /// A cell that holds `pointer`.
    pub const fn new(pointer: *mut T) -> Self {
        AtomicPtr(mem::AtomicPtr::new(pointer.cast()), PhantomData)
    }

    /// Loads the pointer.
    #[inline(always)]
    #[track_caller]
    pub fn load(&self, order: Ordering) -> *mut T {
        self.0.load(order).cast()
    }

    /// Stores a pointer.
    #[inline(always)]
    #[track_caller]
    pub fn store(&self, pointer: *mut T, order: Ordering) {
        self.0.store(pointer.cast(), order);
    }

    /// Stores a pointer and returns the one before.
    #[inline(always)]
    #[track_caller]
    pub fn swap(&self, pointer: *mut T, order: Ordering) -> *mut T {
        self.0.swap(pointer.cast(), order).cast()
    }

    /// Stores `new` if the pointer is `current`. Returns the pointer before, as an error if it was another.
    #[inline(always)]
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let (current, new) = (current.cast(), new.cast());
        typed(self.0.compare_exchange(current, new, success, failure))
    }

    /// [`compare_exchange`](Self::compare_exchange).
    #[inline(always)]
    #[track_caller]
    pub fn compare_exchange_weak(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.compare_exchange(current, new, success, failure)
    }

    /// Loads the pointer, and stores what `update` makes of it unless that is `None`; again, if another thread was faster.
    #[inline(always)]
    #[track_caller]
    pub fn fetch_update(
        &self,
        success: Ordering,
        failure: Ordering,
        mut update: impl FnMut(*mut T) -> Option<*mut T>,
    ) -> Result<*mut T, *mut T> {
        let update = |pointer: *mut ()| update(pointer.cast()).map(<*mut T>::cast);
        typed(self.0.fetch_update(success, failure, update))
    }

    /// The pointer itself: nobody else has access.
    #[track_caller]
    pub fn get_mut(&mut self) -> &mut *mut T {
        crate::cell::owned(&self.0);
        // SAFETY: `self` is borrowed exclusively as long as the reference lives; the layout is the same.
        unsafe { &mut *self.0.bare().as_ptr().cast() }
    }

    /// The pointer, without its cell.
    #[track_caller]
    pub fn into_inner(mut self) -> *mut T {
        *self.get_mut()
    }
}

impl<T> Default for AtomicPtr<T> {
    /// The null pointer.
    fn default() -> Self {
        AtomicPtr::new(std::ptr::null_mut())
    }
}

impl<T> From<*mut T> for AtomicPtr<T> {
    fn from(pointer: *mut T) -> Self {
        AtomicPtr::new(pointer)
    }
}

impl<T> fmt::Debug for AtomicPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.peek().fmt(f)
    }
}

impl<T> Described for AtomicPtr<T> {
    const FIELDS: &'static [Field] = &[];
}
