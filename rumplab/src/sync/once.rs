//! What is done or made once.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::Deref;

use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::Ipl;
use kmod::mem::{Acquire, AtomicBool, Release, own};

use super::beside;

/// `std::sync::Once`.
pub struct Once(OnceLock<()>);

impl Once {
    /// One that was not called yet.
    pub const fn new() -> Once {
        Once(OnceLock::new())
    }

    /// Calls `f`, unless that was done before; waits if another thread does it now. Context: thread that may sleep.
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        self.0.get_or_init(f);
    }

    /// Whether it was called.
    #[track_caller]
    pub fn is_completed(&self) -> bool {
        self.0.get().is_some()
    }
}

impl Default for Once {
    fn default() -> Self {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once { .. }")
    }
}

/// `std::sync::OnceLock`.
pub struct OnceLock<T> {
    is_set: AtomicBool,
    /// Held by who sets it.
    lock: Kmutex,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: it moves with its value.
unsafe impl<T: Send> Send for OnceLock<T> {}
// SAFETY: the value is written once, with the lock held, before the flag is set; shared after that.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// One that is not set.
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            is_set: AtomicBool::new(false),
            lock: Kmutex::new("OnceLock", Ipl::None),
            value: UnsafeCell::new(None),
        }
    }

    fn place(&self) -> *mut Option<T> {
        beside(&self.lock, self.value.get())
    }

    /// The value, if it is set.
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        if !self.is_set.load(Acquire) {
            return None;
        }
        // SAFETY: once it is set nobody writes it, as long as this is shared.
        unsafe { (*self.place()).as_ref() }
    }

    /// Sets it. Context: thread that may sleep.
    ///
    /// # Errors
    ///
    /// If it is set already: the value that was given.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| match value.take() {
            Some(value) => value,
            None => unreachable!("it is called once"),
        });
        value.map_or(Ok(()), Err)
    }

    /// The value; if it is not set, what `init` makes, in one thread. Context: thread that may sleep.
    #[track_caller]
    pub fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let lock = own(&self.lock);
        lock.enter();
        if !self.is_set.load(Acquire) {
            let value = init();
            // SAFETY: the lock is held, and it is not set: nobody reads it.
            unsafe { *self.place() = Some(value) };
            self.is_set.store(true, Release);
        }
        lock.exit();
        match self.get() {
            Some(value) => value,
            None => unreachable!("it is set"),
        }
    }

    /// The value, if it is set: nobody else has access.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// The value, without its cell.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value away.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        OnceLock {
            is_set: AtomicBool::new(true),
            value: UnsafeCell::new(Some(value)),
            ..OnceLock::new()
        }
    }
}

impl<T> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnceLock { .. }")
    }
}

/// `std::sync::LazyLock`.
pub struct LazyLock<T, F = fn() -> T> {
    value: OnceLock<T>,
    init: F,
}

impl<T, F: Fn() -> T> LazyLock<T, F> {
    /// A value that `init` makes when it is needed.
    pub const fn new(init: F) -> LazyLock<T, F> {
        LazyLock {
            value: OnceLock::new(),
            init,
        }
    }

    /// The value. Context: thread that may sleep.
    #[track_caller]
    pub fn force(this: &LazyLock<T, F>) -> &T {
        this.value.get_or_init(&this.init)
    }
}

impl<T, F: Fn() -> T> Deref for LazyLock<T, F> {
    type Target = T;

    #[track_caller]
    fn deref(&self) -> &T {
        LazyLock::force(self)
    }
}

impl<T, F> fmt::Debug for LazyLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LazyLock { .. }")
    }
}
