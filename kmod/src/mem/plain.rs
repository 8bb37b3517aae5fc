//! Cells for data that is not atomic.

use core::cell::UnsafeCell;

use crate::machine::{self, Described, Field, Kind};
use crate::mem::{Relaxed, own};

/// A word that a lock or a protocol protects. Every access is a step, and is checked for data races.
///
/// The type does not prove that the protocol is followed; the simulated machine checks that.
#[repr(transparent)]
#[derive(Default)]
pub struct Plain<T: Copy>(UnsafeCell<T>);

// SAFETY: (1) values are copied in and out, no reference to the inside ever leaves; (2) that two
// CPUs do not touch the word at once is the protocol's duty, which the simulated machine checks.
unsafe impl<T: Copy> Sync for Plain<T> {}
// SAFETY: as above.
unsafe impl<T: Copy> Send for Plain<T> {}

impl<T: Copy> Plain<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Plain(UnsafeCell::new(value))
    }

    /// Reads the word.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self) -> T {
        let cell = machine::point_at(self, Kind::Read, Relaxed);
        // SAFETY: see the `Sync` implementation.
        unsafe { *cell.0.get() }
    }

    /// Writes the word.
    #[inline(always)]
    #[track_caller]
    pub fn set(&self, value: T) {
        let cell = machine::point_at(self, Kind::Write, Relaxed);
        // SAFETY: see the `Sync` implementation.
        unsafe { *cell.0.get() = value }
    }

    /// Writes the word and returns the old value: two steps, like a load and a store.
    #[inline(always)]
    #[track_caller]
    pub fn replace(&self, value: T) -> T {
        let old = self.get();
        self.set(value);
        old
    }

    /// Reads the word as part of the current step.
    #[inline(always)]
    #[track_caller]
    pub fn get_fused(&self) -> T {
        let cell = machine::access_at(self, Kind::Read, Relaxed);
        // SAFETY: see the `Sync` implementation.
        unsafe { *cell.0.get() }
    }

    /// Writes the word as part of the current step.
    #[inline(always)]
    #[track_caller]
    pub fn set_fused(&self, value: T) {
        let cell = machine::access_at(self, Kind::Write, Relaxed);
        // SAFETY: see the `Sync` implementation.
        unsafe { *cell.0.get() = value }
    }

    /// Reads the word without an access that the host sees. For reports, when the kernel has stopped.
    pub fn peek(&self) -> T {
        // SAFETY: the kernel has stopped; a torn value can only spoil a report.
        unsafe { own(self).0.get().read_volatile() }
    }
}

#[cfg(feature = "points")]
impl<T: Copy> Drop for Plain<T> {
    fn drop(&mut self) {
        machine::dropped(self);
    }
}

#[cfg(not(feature = "points"))]
impl Plain<i64> {
    /// Adds `DELTA`, atomically with respect to interrupts of this CPU. For a count that only its CPU accesses, with
    /// preemption off.
    #[inline(always)]
    pub fn add_local<const DELTA: i64>(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the address is that of a live word, which no other CPU touches meanwhile.
        unsafe {
            core::arch::asm!(
                "add qword ptr [{word}], {delta}",
                word = in(reg) self.0.get(),
                delta = const DELTA,
                options(nostack),
            );
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            // SAFETY: the address is that of a live word.
            let word = unsafe { core::sync::atomic::AtomicI64::from_ptr(self.0.get()) };
            word.fetch_add(DELTA, Relaxed);
        }
    }
}

impl<T: Copy> Described for Plain<T> {
    const FIELDS: &'static [Field] = &[];
}

/// A word that only its own CPU, or its own LWP, accesses. Checked for data races, but an access is not a step.
#[repr(transparent)]
#[derive(Default)]
pub struct Local<T: Copy>(Plain<T>);

impl<T: Copy> Local<T> {
    /// A cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Local(Plain::new(value))
    }

    /// Reads the word.
    #[inline(always)]
    #[track_caller]
    pub fn get(&self) -> T {
        self.0.get_fused()
    }

    /// Reads the word without an access that the host sees. For contracts, which read words of CPUs and LWPs very
    /// often, on its own CPU or in its own LWP. Not for a word that may be in a `static`.
    #[inline(always)]
    pub(crate) fn look(&self) -> T {
        // SAFETY: see the `Sync` implementation of `Plain`. Volatile: an interrupt may change it meanwhile.
        unsafe { self.0.0.get().read_volatile() }
    }

    /// Writes the word.
    #[inline(always)]
    #[track_caller]
    pub fn set(&self, value: T) {
        self.0.set_fused(value);
    }

    /// Reads the word without an access that the host sees. For reports, when the kernel has stopped.
    pub fn peek(&self) -> T {
        self.0.peek()
    }
}

impl<T: Copy> Described for Local<T> {
    const FIELDS: &'static [Field] = &[];
}

/// A word that is accessed only with one particular spin mutex held. Checked for data races, but an access is not a
/// step: code that follows the rule cannot run in between, and code that does not is reported as a race.
pub type Guarded<T> = Local<T>;

/// A word that only its own LWP accesses, while it runs: not shared memory, and not announced to the host. It is never
/// in a `static`.
#[repr(transparent)]
#[derive(Default)]
pub(crate) struct Private<T: Copy>(UnsafeCell<T>);

// SAFETY: as for `Plain`: values are copied, and only one LWP, on one CPU at a time, touches the word.
unsafe impl<T: Copy> Sync for Private<T> {}
// SAFETY: as above.
unsafe impl<T: Copy> Send for Private<T> {}

impl<T: Copy> Private<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Private(UnsafeCell::new(value))
    }

    /// Reads the word.
    #[inline(always)]
    pub(crate) fn get(&self) -> T {
        // SAFETY: see the `Sync` implementation. Volatile: an interrupt on top of the LWP may change it meanwhile.
        unsafe { self.0.get().read_volatile() }
    }

    /// Writes the word.
    #[inline(always)]
    pub(crate) fn set(&self, value: T) {
        // SAFETY: as for `get`.
        unsafe { self.0.get().write_volatile(value) }
    }
}

impl Private<i32> {
    /// Adds 1 in place, unchecked: whether the count is balanced is asserted where it matters. An interrupt on top of the LWP restores the word, and the caller's fences keep the counted
    /// section between them.
    #[inline(always)]
    pub(crate) fn increment(&self) {
        // SAFETY: see the `Sync` implementation.
        let word = unsafe { &mut *self.0.get() };
        *word = word.wrapping_add(1);
    }

    /// Subtracts 1 in place, and returns the result.
    #[inline(always)]
    pub(crate) fn decrement(&self) -> i32 {
        // SAFETY: see the `Sync` implementation.
        let word = unsafe { &mut *self.0.get() };
        *word = word.wrapping_sub(1);
        *word
    }
}

impl<T: Copy> Described for Private<T> {
    const FIELDS: &'static [Field] = &[];
}
