//! Atomic cells: the types of `core::sync::atomic`, announced to the host.

use core::marker::PhantomData;
use core::sync::atomic as bare;

use crate::machine::{self, Described, Field, Kind};
use crate::mem::{Ordering, own};

/// The kind of a read-modify-write, which depends on whether it stored the value that it found.
#[inline(always)]
fn made_of(same: bool) -> Kind {
    if same { Kind::RmwSame } else { Kind::Rmw }
}

macro_rules! atomic {
    ($(#[$doc:meta])* $name:ident($bare:ty) of $value:ty $(, $arithmetic:ident)?) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Default)]
        pub struct $name($bare);

        impl $name {
            /// A cell that holds `value`.
            pub const fn new(value: $value) -> Self {
                Self(<$bare>::new(value))
            }

            fn addr(&self) -> usize {
                core::ptr::from_ref(self).addr()
            }

            #[inline(always)]
            fn cell(&self) -> &$bare {
                &own(self).0
            }

            /// Loads the word.
            #[inline(always)]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                let cell = machine::point_at(self, Kind::Load, order);
                cell.0.load(order)
            }

            /// Stores the word.
            #[inline(always)]
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                let cell = machine::point_at(self, Kind::Store, order);
                cell.0.store(value, order);
            }

            /// Stores the word, after `before` has run in the same step; `before` must not contain a step.
            #[inline(always)]
            #[track_caller]
            pub fn store_after(&self, value: $value, order: Ordering, before: impl FnOnce()) {
                let cell = machine::point_at(self, Kind::Store, order);
                before();
                cell.0.store(value, order);
            }

            /// Stores the word and returns the old value, in one step.
            #[inline(always)]
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                let cell = own(self);
                machine::decide(cell.addr(), Kind::Rmw, order);
                let old = cell.0.swap(value, order);
                machine::made(cell, made_of(old == value), order);
                old
            }

            /// Stores `new` if the word is `current`, in one step. Returns the old value.
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let cell = own(self);
                machine::decide(cell.addr(), Kind::Rmw, success);
                cell.exchange(current, new, success, failure)
            }

            /// [`compare_exchange`](Self::compare_exchange) for loops that try again: it may fail although the word is `current`.
            ///
            /// That never happens here. x86 has no such failure, and the simulated machine makes none up: a loop that is right
            /// only because of that is not found out.
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            /// Stores `update(word)` if that is `Some`, and returns the previous word; returns the word as an error if it is `None`.
            ///
            /// This is a load, and an attempt to store for each call of `update`, each a step. If another CPU changes the
            /// word in between, it tries again.
            ///
            /// ```
            /// use kmod::mem::{AtomicU32, Acquire, Relaxed};
            ///
            /// hostshim::example::run(|| {
            ///     let free = AtomicU32::new(1);
            ///     let take = |free: u32| free.checked_sub(1);
            ///     assert_eq!(free.fetch_update(Acquire, Relaxed, take), Ok(1));
            ///     assert_eq!(free.fetch_update(Acquire, Relaxed, take), Err(0));
            /// });
            /// ```
            #[inline(always)]
            #[track_caller]
            pub fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                mut update: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut current = self.load(failure);
                while let Some(new) = update(current) {
                    match self.compare_exchange_weak(current, new, success, failure) {
                        Ok(was) => return Ok(was),
                        Err(now) => current = now,
                    }
                }
                Err(current)
            }

            /// [`compare_exchange`](Self::compare_exchange) as part of the current step.
            #[inline(always)]
            #[track_caller]
            pub fn compare_exchange_fused(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                own(self).exchange(current, new, success, failure)
            }

            #[inline(always)]
            #[track_caller]
            fn exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let outcome = self.0.compare_exchange(current, new, success, failure);
                match outcome {
                    Ok(_) => machine::accessed(self, Kind::Rmw, success),
                    Err(_) => machine::accessed(self, Kind::Load, failure),
                };
                outcome
            }

            /// Loads the word as part of the current step.
            #[inline(always)]
            #[track_caller]
            pub fn load_fused(&self, order: Ordering) -> $value {
                let cell = machine::access_at(self, Kind::Load, order);
                cell.0.load(order)
            }

            /// Stores the word as part of the current step.
            #[inline(always)]
            #[track_caller]
            pub fn store_fused(&self, value: $value, order: Ordering) {
                let cell = machine::access_at(self, Kind::Store, order);
                cell.0.store(value, order);
            }

            /// Reads the word without an access that the host sees. For reports, when the kernel has stopped.
            pub fn peek(&self) -> $value {
                self.cell().load(Ordering::Relaxed)
            }

            /// The bare word, whose accesses the host does not see: for the host itself
            /// ([`machine::wait_for_interrupt`]), and where the access orders nothing.
            pub fn bare(&self) -> &$bare {
                self.cell()
            }

            $(atomic!(@$arithmetic $value);)?
        }

        impl Described for $name {
            const FIELDS: &'static [Field] = &[];
        }

        #[cfg(feature = "points")]
        impl Drop for $name {
            fn drop(&mut self) {
                machine::dropped(self);
            }
        }
    };
    (@integer $value:ty) => {
        atomic!(@bits $value);

        /// Adds, wrapping, and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::point_at(self, Kind::Rmw, order);
            cell.0.fetch_add(value, order)
        }

        /// Subtracts, wrapping, and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::point_at(self, Kind::Rmw, order);
            cell.0.fetch_sub(value, order)
        }

        /// Keeps the greater of the word and `value`, and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::point_at(self, Kind::Rmw, order);
            cell.0.fetch_max(value, order)
        }

        /// Keeps the smaller of the word and `value`, and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_min(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::point_at(self, Kind::Rmw, order);
            cell.0.fetch_min(value, order)
        }

        /// [`fetch_or`](Self::fetch_or) as part of the current step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_or_fused(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::access_at(self, Kind::Rmw, order);
            cell.0.fetch_or(value, order)
        }

        /// [`fetch_and`](Self::fetch_and) as part of the current step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_and_fused(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::access_at(self, Kind::Rmw, order);
            cell.0.fetch_and(value, order)
        }
    };
    (@bits $value:ty) => {
        /// Sets bits and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
            let cell = own(self);
                machine::decide(cell.addr(), Kind::Rmw, order);
            let old = cell.0.fetch_or(value, order);
            machine::made(cell, made_of(old == old | value), order);
            old
        }

        /// Keeps the bits of `value` and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
            let cell = own(self);
                machine::decide(cell.addr(), Kind::Rmw, order);
            let old = cell.0.fetch_and(value, order);
            machine::made(cell, made_of(old == old & value), order);
            old
        }

        /// Turns the bits of `value` around and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_xor(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::point_at(self, Kind::Rmw, order);
            cell.0.fetch_xor(value, order)
        }

        /// Stores the complement of the bits that the word and `value` share, and returns the old value, in one step.
        #[inline(always)]
        #[track_caller]
        pub fn fetch_nand(&self, value: $value, order: Ordering) -> $value {
            let cell = machine::point_at(self, Kind::Rmw, order);
            cell.0.fetch_nand(value, order)
        }
    };
}

atomic! {
    /// An atomic byte.
    AtomicU8(bare::AtomicU8) of u8, integer
}
atomic! {
    /// An atomic 16-bit word.
    AtomicU16(bare::AtomicU16) of u16, integer
}
atomic! {
    /// An atomic 32-bit word.
    AtomicU32(bare::AtomicU32) of u32, integer
}
atomic! {
    /// An atomic 64-bit word.
    AtomicU64(bare::AtomicU64) of u64, integer
}
atomic! {
    /// An atomic word of the machine's size.
    AtomicUsize(bare::AtomicUsize) of usize, integer
}
atomic! {
    /// An atomic signed byte.
    AtomicI8(bare::AtomicI8) of i8, integer
}
atomic! {
    /// An atomic signed 16-bit word.
    AtomicI16(bare::AtomicI16) of i16, integer
}
atomic! {
    /// An atomic signed 32-bit word.
    AtomicI32(bare::AtomicI32) of i32, integer
}
atomic! {
    /// An atomic signed 64-bit word.
    AtomicI64(bare::AtomicI64) of i64, integer
}
atomic! {
    /// An atomic signed word of the machine's size.
    AtomicIsize(bare::AtomicIsize) of isize, integer
}
atomic! {
    /// An atomic truth value.
    AtomicBool(bare::AtomicBool) of bool, bits
}
atomic! {
    /// An atomic pointer of unspecified type.
    AtomicPtr(bare::AtomicPtr<()>) of *mut ()
}

impl AtomicU32 {
    /// Reads the word without an access that the host sees. For a word of the current CPU, where an old value does no
    /// harm, and which is never in a `static`. Not an atomic load, because the compiler never makes that an operand.
    #[inline(always)]
    pub(crate) fn look(&self) -> u32 {
        // SAFETY: the address is that of a live word, which is read in one piece. Volatile: it changes meanwhile.
        unsafe { self.0.as_ptr().read_volatile() }
    }
}

#[cfg(not(feature = "points"))]
impl AtomicUsize {
    /// Stores `new` with release if the word is `current`, and returns whether it was. Atomic with respect to
    /// interrupts of this CPU only: another CPU may write in between.
    #[inline(always)]
    pub fn compare_exchange_local(&self, current: usize, new: usize) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            // SAFETY: the address is that of a live word. Not `pure`, and memory is clobbered: it is a release on
            // x86, where stores are not reordered with what comes before them.
            unsafe {
                core::arch::asm!(
                    "cmpxchg qword ptr [{word}], {new}",
                    "jne {other}",
                    word = in(reg) self.0.as_ptr(),
                    new = in(reg) new,
                    inout("rax") current => _,
                    other = label { return false },
                    options(nostack),
                );
            }
            true
        }
        #[cfg(not(target_arch = "x86_64"))]
        self.0
            .compare_exchange(current, new, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}

/// An atomic optional reference to an object that lives as long as its kernel.
#[repr(transparent)]
pub struct AtomicRef<T: 'static>(AtomicPtr, PhantomData<Option<&'static T>>);

impl<T> Default for AtomicRef<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> AtomicRef<T> {
    /// A cell that refers to nothing.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()), PhantomData)
    }

    fn of(value: Option<&'static T>) -> *mut () {
        value.map_or(core::ptr::null_mut(), |r| {
            core::ptr::from_ref(r).cast_mut().cast()
        })
    }

    fn back(pointer: *mut ()) -> Option<&'static T> {
        // SAFETY: the cell is only ever filled by `of`, from a `&'static T` or nothing.
        unsafe { pointer.cast::<T>().cast_const().as_ref() }
    }

    /// Loads the reference.
    #[inline(always)]
    #[track_caller]
    pub fn load(&self, order: Ordering) -> Option<&'static T> {
        Self::back(self.0.load(order))
    }

    /// Loads the reference as part of the current step.
    #[inline(always)]
    #[track_caller]
    pub fn load_fused(&self, order: Ordering) -> Option<&'static T> {
        Self::back(self.0.load_fused(order))
    }

    /// Stores the reference.
    #[inline(always)]
    #[track_caller]
    pub fn store(&self, value: Option<&'static T>, order: Ordering) {
        self.0.store(Self::of(value), order);
    }

    /// Stores the reference as part of the current step.
    #[inline(always)]
    #[track_caller]
    pub fn store_fused(&self, value: Option<&'static T>, order: Ordering) {
        self.0.store_fused(Self::of(value), order);
    }

    /// Stores the reference and returns the old value, in one step.
    #[inline(always)]
    #[track_caller]
    pub fn swap(&self, value: Option<&'static T>, order: Ordering) -> Option<&'static T> {
        Self::back(self.0.swap(Self::of(value), order))
    }

    /// Stores `new` if the cell contains `current`, in one step. Returns whether it did.
    #[inline(always)]
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: Option<&'static T>,
        new: Option<&'static T>,
        success: Ordering,
        failure: Ordering,
    ) -> bool {
        self.0
            .compare_exchange(Self::of(current), Self::of(new), success, failure)
            .is_ok()
    }

    /// Reads the reference without an access that the host sees. For the CPU of an LWP, which is read very often. Not for a
    /// word that may be in a `static`.
    #[inline(always)]
    pub(crate) fn look(&self) -> Option<&'static T> {
        Self::back(self.0.0.load(Ordering::Relaxed))
    }

    /// Reads the reference without an access that the host sees. For reports, when the kernel has stopped.
    pub fn peek(&self) -> Option<&'static T> {
        Self::back(self.0.peek())
    }
}

impl<T> Described for AtomicRef<T> {
    const FIELDS: &'static [Field] = &[];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::{AcqRel, Relaxed};

    #[test]
    fn each_operation_gives_what_was_there() {
        let word = AtomicI16::new(6);
        assert_eq!(word.fetch_xor(3, AcqRel), 6);
        assert_eq!(word.fetch_nand(4, AcqRel), 5);
        assert_eq!(word.fetch_max(-2, AcqRel), !4);
        assert_eq!(word.fetch_min(-7, AcqRel), -2);
        assert_eq!(word.fetch_sub(i16::MAX, AcqRel), -7);
        assert_eq!(word.peek(), (-7_i16).wrapping_sub(i16::MAX));
        let flag = AtomicBool::new(true);
        assert!(flag.fetch_nand(true, AcqRel));
        assert!(!flag.fetch_xor(true, AcqRel));
        assert!(flag.peek());
    }

    #[test]
    fn an_update_of_nothing_stores_nothing() {
        let word = AtomicU8::new(u8::MAX);
        let next = |word: u8| word.checked_add(1);
        assert_eq!(word.fetch_update(AcqRel, Relaxed, next), Err(u8::MAX));
        word.store(7, Relaxed);
        assert_eq!(word.fetch_update(AcqRel, Relaxed, next), Ok(7));
        assert_eq!(word.peek(), 8);
    }

    #[test]
    fn a_reference_is_swapped() {
        static ONE: u32 = 1;
        let cell = AtomicRef::new();
        assert!(cell.swap(Some(&ONE), AcqRel).is_none());
        assert_eq!(cell.swap(None, AcqRel), Some(&ONE));
        assert!(cell.peek().is_none());
    }
}
