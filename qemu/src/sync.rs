//! A lock of the host itself: held with interrupts off, and only for a few instructions.
//!
//! It has no owner and no priority level, so it is never one of the kernel's mutexes. It protects the heap, the pool
//! of stacks, the console and the queues of network cards.

use core::ops::{Deref, DerefMut};

use x86_64::instructions::interrupts;

/// Interrupts are off while this exists; then they are as they were before.
pub(crate) struct InterruptsOff {
    were_on: bool,
}

impl InterruptsOff {
    /// Turns interrupts off on this CPU.
    pub(crate) fn new() -> Self {
        let were_on = interrupts::are_enabled();
        interrupts::disable();
        InterruptsOff { were_on }
    }
}

impl Drop for InterruptsOff {
    fn drop(&mut self) {
        if self.were_on {
            interrupts::enable();
        }
    }
}

/// A value behind a spin lock that is held with interrupts off.
pub(crate) struct IrqLock<T>(spin::Mutex<T>);

/// The lock is held while this exists.
pub(crate) struct IrqGuard<'a, T> {
    // Fields are dropped in this order: the lock is released before interrupts are on again.
    inner: spin::MutexGuard<'a, T>,
    _off: InterruptsOff,
}

impl<T> IrqLock<T> {
    /// A lock that is free.
    pub(crate) const fn new(value: T) -> Self {
        IrqLock(spin::Mutex::new(value))
    }

    /// Waits for the lock, spinning with interrupts off.
    pub(crate) fn lock(&self) -> IrqGuard<'_, T> {
        let off = InterruptsOff::new();
        IrqGuard {
            inner: self.0.lock(),
            _off: off,
        }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let off = InterruptsOff::new();
        Some(IrqGuard {
            inner: self.0.try_lock()?,
            _off: off,
        })
    }

    /// Releases the lock, whoever holds it.
    ///
    /// # Safety
    ///
    /// The holder never resumes: every other CPU has been stopped.
    pub(crate) unsafe fn break_open(&self) {
        if self.0.is_locked() {
            // SAFETY: the caller's promise.
            unsafe { self.0.force_unlock() };
        }
    }
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
