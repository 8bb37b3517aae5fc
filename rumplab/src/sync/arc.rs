//! Shared ownership, with counts that the machine sees.
//!
//! # How it works
//!
//! The value is in an `Arc` of the standard library, which every handle has a clone of: so it can be of any type. Beside it are two
//! counts in cells of the machine. Changes of them are steps, with the orderings of the standard library. Its own counts follow
//! within the same step: when the last handle has counted itself out, its clone is the last, too.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync as bare;

use kmod::mem::{Acquire, AtomicUsize, Ordering, Relaxed, Release, SeqCst, fence};

use crate::world::World;

/// The visible counts of a value.
struct Counts {
    strong: AtomicUsize,
    /// Weak handles, and one for all strong ones.
    weak: AtomicUsize,
}

/// A pointer to counts that live at least as long as whoever has it: one of those that `weak` counts.
struct Counted(NonNull<Counts>);

impl Counted {
    fn new(strong: usize, weak: usize) -> Counted {
        let counts = Box::new(Counts {
            strong: AtomicUsize::new(strong),
            weak: AtomicUsize::new(weak),
        });
        Counted(NonNull::from(Box::leak(counts)))
    }

    /// The same counts, which the caller has counted.
    fn copy(&self) -> Counted {
        Counted(self.0)
    }
}

impl Deref for Counted {
    type Target = Counts;

    fn deref(&self) -> &Counts {
        // SAFETY: see the type.
        unsafe { self.0.as_ref() }
    }
}

/// Adds to a count, also outside of a run, where nobody watches. Returns the count before.
#[track_caller]
fn add(count: &AtomicUsize, delta: isize, order: Ordering) -> usize {
    let delta = delta.cast_unsigned();
    match hostshim::machine::is_running() {
        true => count.fetch_add(delta, order),
        false => count.bare().fetch_add(delta, SeqCst),
    }
}

/// What orders the end of something after everything that was done with it.
#[track_caller]
fn acquire() {
    if hostshim::machine::is_running() {
        fence(Acquire);
    }
}

impl Counts {
    /// A weak handle is gone. Frees the counts with the last.
    ///
    /// # Safety
    ///
    /// The caller was counted, and does not use them any more.
    #[track_caller]
    unsafe fn leave(counts: NonNull<Counts>) {
        // SAFETY: they are there as long as the caller is counted.
        let weak = unsafe { &counts.as_ref().weak };
        if add(weak, -1, Release) == 1 {
            acquire();
            // SAFETY: they come from a box, and nobody is counted any more.
            drop(unsafe { Box::from_raw(counts.as_ptr()) });
        }
    }
}

/// `std::sync::Arc`.
pub struct Arc<T: ?Sized> {
    value: ManuallyDrop<bare::Arc<T>>,
    counts: Counted,
}

/// `std::sync::Weak`.
pub struct Weak<T: ?Sized> {
    value: bare::Weak<T>,
    /// None if there never was a value.
    counts: Option<Counted>,
}

// SAFETY: as for the standard library's: the handle gives shared access, and the last one drops the value.
unsafe impl<T: ?Sized + Sync + Send> Send for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync + Send> Sync for Arc<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync + Send> Send for Weak<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync + Send> Sync for Weak<T> {}

impl<T> Arc<T> {
    /// Moves a value to where it can be shared.
    pub fn new(value: T) -> Arc<T> {
        Arc::from_std(bare::Arc::new(value))
    }

    /// A value that can have a weak handle of itself.
    pub fn new_cyclic(make: impl FnOnce(&Weak<T>) -> T) -> Arc<T> {
        let counts = Counted::new(0, 2);
        let mut own = None;
        let value = bare::Arc::new_cyclic(|value| {
            let weak = own.insert(Weak {
                value: value.clone(),
                counts: Some(counts.copy()),
            });
            make(weak)
        });
        counts.strong.store(1, Release);
        drop(own);
        Arc {
            value: ManuallyDrop::new(value),
            counts,
        }
    }

    /// A value in its place for ever.
    pub fn pin(value: T) -> std::pin::Pin<Arc<T>> {
        // SAFETY: nothing moves the value of an `Arc`.
        unsafe { std::pin::Pin::new_unchecked(Arc::new(value)) }
    }

    /// The value, if this is the only handle.
    ///
    /// # Errors
    ///
    /// If it is not: the handle.
    #[track_caller]
    pub fn try_unwrap(this: Arc<T>) -> Result<T, Arc<T>> {
        let count = &this.counts.strong;
        let ended = match hostshim::machine::is_running() {
            true => count.compare_exchange(1, 0, Relaxed, Relaxed),
            false => count.bare().compare_exchange(1, 0, SeqCst, SeqCst),
        };
        if ended.is_err() {
            return Err(this);
        }
        acquire();
        let mut this = ManuallyDrop::new(this);
        // SAFETY: `this` is not dropped, so it is taken once.
        let value = unsafe { ManuallyDrop::take(&mut this.value) };
        // SAFETY: this was the last handle, and counts for all of them.
        unsafe { Counts::leave(this.counts.0) };
        match bare::Arc::try_unwrap(value) {
            Ok(value) => Ok(value),
            Err(_) => unreachable!("the counts of the standard library follow"),
        }
    }

    /// The value, if this is the last handle; otherwise the handle is dropped.
    #[track_caller]
    pub fn into_inner(this: Arc<T>) -> Option<T> {
        let mut this = ManuallyDrop::new(this);
        let is_last = add(&this.counts.strong, -1, Release) == 1;
        // SAFETY: `this` is not dropped, so it is taken once.
        let value = unsafe { ManuallyDrop::take(&mut this.value) };
        if !is_last {
            drop(value);
            return None;
        }
        let value = bare::Arc::into_inner(value);
        acquire();
        // SAFETY: this was the last handle, and counts for all of them.
        unsafe { Counts::leave(this.counts.0) };
        value
    }
}

impl<T: ?Sized> Arc<T> {
    /// Makes one of an `Arc` of the standard library, for instance of an `Arc<dyn Trait>`. Panics if that has clones.
    ///
    /// ```
    /// use rumplab::sync::Arc;
    ///
    /// rumplab::check(|program| {
    ///     program.actor("one", || {
    ///         let draw: std::sync::Arc<dyn Fn() -> u32 + Send + Sync> = std::sync::Arc::new(|| 4);
    ///         let draw = Arc::from_std(draw);
    ///         let other = Arc::clone(&draw);
    ///         assert_eq!(rumplab::thread::spawn(move || other()).join().unwrap(), draw());
    ///     });
    /// });
    /// ```
    #[track_caller]
    pub fn from_std(value: bare::Arc<T>) -> Arc<T> {
        assert!(
            bare::Arc::strong_count(&value) == 1,
            "Arc::from_std of an Arc that has clones, which the machine would not see"
        );
        Arc {
            value: ManuallyDrop::new(value),
            counts: Counted::new(1, 1),
        }
    }

    /// How many handles there are.
    #[track_caller]
    pub fn strong_count(this: &Arc<T>) -> usize {
        this.counts.strong.load(Relaxed)
    }

    /// How many weak handles there are.
    #[track_caller]
    pub fn weak_count(this: &Arc<T>) -> usize {
        this.counts.weak.load(Relaxed) - 1
    }

    /// A weak handle.
    #[track_caller]
    pub fn downgrade(this: &Arc<T>) -> Weak<T> {
        add(&this.counts.weak, 1, Relaxed);
        Weak {
            value: bare::Arc::downgrade(&this.value),
            counts: Some(this.counts.copy()),
        }
    }

    /// The value for writing, if this is the only handle and there is no weak one.
    #[track_caller]
    pub fn get_mut(this: &mut Arc<T>) -> Option<&mut T> {
        // As the standard library: while `weak` is this number, nobody can make a weak handle.
        let alone = this.counts.weak.load(Acquire) == 1 && this.counts.strong.load(Acquire) == 1;
        match alone {
            true => bare::Arc::get_mut(&mut this.value),
            false => None,
        }
    }

    /// Whether both are handles of one value.
    pub fn ptr_eq(this: &Arc<T>, other: &Arc<T>) -> bool {
        bare::Arc::ptr_eq(&this.value, &other.value)
    }

    /// The address of the value.
    pub fn as_ptr(this: &Arc<T>) -> *const T {
        bare::Arc::as_ptr(&this.value)
    }

    /// The handle as a pointer, for [`from_raw`](Self::from_raw). In a run.
    pub fn into_raw(this: Arc<T>) -> *const T {
        let this = ManuallyDrop::new(this);
        let at = bare::Arc::as_ptr(&this.value);
        let counts = this.counts.0.as_ptr().expose_provenance();
        World::current().remember(at.addr(), counts);
        at
    }

    /// The handle that [`into_raw`](Self::into_raw) has made a pointer of. In a run.
    ///
    /// # Safety
    ///
    /// The pointer is from there, and is used once.
    #[track_caller]
    pub unsafe fn from_raw(at: *const T) -> Arc<T> {
        let Some(counts) = World::current().recall(at.addr()) else {
            panic!("Arc::from_raw of a pointer that is not from Arc::into_raw")
        };
        let counts = std::ptr::with_exposed_provenance_mut(counts);
        // SAFETY: the caller's promise: its handle was not dropped.
        let value = unsafe { bare::Arc::from_raw(at) };
        // SAFETY: `into_raw` has put it there.
        let counts = Counted(unsafe { NonNull::new_unchecked(counts) });
        Arc {
            value: ManuallyDrop::new(value),
            counts,
        }
    }
}

impl<T: Clone> Arc<T> {
    /// The value for writing; a clone of it, if this is not the only handle.
    #[track_caller]
    pub fn make_mut(this: &mut Arc<T>) -> &mut T {
        if Arc::get_mut(this).is_none() {
            *this = Arc::new((**this).clone());
        }
        match bare::Arc::get_mut(&mut this.value) {
            Some(value) => value,
            None => unreachable!("it is the only handle"),
        }
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        add(&self.counts.strong, 1, Relaxed);
        Arc {
            value: self.value.clone(),
            counts: self.counts.copy(),
        }
    }
}

impl<T: ?Sized> Drop for Arc<T> {
    #[track_caller]
    fn drop(&mut self) {
        let is_last = add(&self.counts.strong, -1, Release) == 1;
        if is_last {
            acquire();
        }
        // SAFETY: it is dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.value) };
        if is_last {
            // SAFETY: this was the last handle, and counts for all of them.
            unsafe { Counts::leave(self.counts.0) };
        }
    }
}

impl<T> Weak<T> {
    /// A handle of nothing.
    pub const fn new() -> Weak<T> {
        Weak {
            value: bare::Weak::new(),
            counts: None,
        }
    }
}

impl<T: ?Sized> Weak<T> {
    /// A handle of the value, if it is still there.
    #[track_caller]
    pub fn upgrade(&self) -> Option<Arc<T>> {
        let counts = self.counts.as_ref()?;
        let one_more = |count: usize| (count > 0).then_some(count + 1);
        counts
            .strong
            .fetch_update(Acquire, Relaxed, one_more)
            .ok()?;
        let value = self.value.upgrade()?;
        Some(Arc {
            value: ManuallyDrop::new(value),
            counts: counts.copy(),
        })
    }

    /// How many handles of the value there are.
    #[track_caller]
    pub fn strong_count(&self) -> usize {
        self.counts
            .as_ref()
            .map_or(0, |counts| counts.strong.load(Relaxed))
    }

    /// Whether both are handles of one value, or of none.
    pub fn ptr_eq(&self, other: &Weak<T>) -> bool {
        self.value.ptr_eq(&other.value)
    }
}

impl<T: ?Sized> Clone for Weak<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        let counts = self.counts.as_ref().map(|counts| {
            add(&counts.weak, 1, Relaxed);
            counts.copy()
        });
        Weak {
            value: self.value.clone(),
            counts,
        }
    }
}

impl<T: ?Sized> Drop for Weak<T> {
    #[track_caller]
    fn drop(&mut self) {
        if let Some(counts) = &self.counts {
            // SAFETY: this handle was counted.
            unsafe { Counts::leave(counts.0) };
        }
    }
}

impl<T> Default for Weak<T> {
    fn default() -> Self {
        Weak::new()
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> AsRef<T> for Arc<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: ?Sized> std::borrow::Borrow<T> for Arc<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: Default> Default for Arc<T> {
    fn default() -> Self {
        Arc::new(T::default())
    }
}

impl<T> From<T> for Arc<T> {
    fn from(value: T) -> Self {
        Arc::new(value)
    }
}

impl<T: ?Sized + PartialEq> PartialEq for Arc<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: ?Sized + Eq> Eq for Arc<T> {}

impl<T: ?Sized + PartialOrd> PartialOrd for Arc<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: ?Sized + Ord> Ord for Arc<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: ?Sized + Hash> Hash for Arc<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized> fmt::Debug for Weak<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}
