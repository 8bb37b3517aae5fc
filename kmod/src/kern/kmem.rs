//! kmem(9): the kernel's allocator, a wrapper around the host's.
//!
//! # Overview
//!
//! Objects are in memory of the host. The simulated machine watches it: it reports accesses to freed memory, double
//! frees and leaks. Within a run it never reuses freed memory, so that a stale reference is always detected.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::kmem::{kmem_alloc, kmem_free};
//! use kmod::mem::Plain;
//!
//! run(|| {
//!     let number = kmem_alloc("number", Plain::new(7)).expect("memory");
//!     number.set(number.get() + 1);
//!     assert_eq!(number.get(), 8);
//!     // SAFETY: it came from `kmem_alloc`, and nobody else has a reference to it.
//!     unsafe { kmem_free(number) };
//! });
//! ```
//!
//! # Contexts
//!
//! Thread and softint; not a hard interrupt. Does not sleep.
//!
//! # Differences from NetBSD
//!
//! Nobody sleeps for memory: the caller gets it at once, or `None`.
//!
//! `KM_SLEEP` and `KM_NOSLEEP` are two functions. [`kmem_alloc`] returns `None` only if the host has no memory.
//! [`kmem_alloc_nosleep`] also does if the host *refuses* the allocation, which the simulated machine does when its
//! strategy says so, in order that the code after it runs. All code of `kern` and `net` that tells its caller about a lack
//! of memory allocates in this way; scenarios and tests use the other, unless they are about this one. A scenario that
//! cannot do without what such code makes says so in its configuration ([`Memory::Given`]).

use core::alloc::Layout;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::config::Memory;
use crate::contract;
use crate::kern::callout;
use crate::kern::lwp::{curcpu, curlwp};
use crate::kern::order;
use crate::kern::spl;
use crate::kernel::Kernel;
use crate::machine::{self, Kind, Stop};
use crate::mem;

/// The counters of a kernel's allocator.
#[derive(Default)]
pub struct Kmem {
    km_live: AtomicI64,
    km_allocated: AtomicU64,
}

impl Kmem {
    fn count(&self) {
        self.km_live.fetch_add(1, Relaxed);
        self.km_allocated.fetch_add(1, Relaxed);
    }
}

/// Allocates memory and moves `value` into it. `what` names the object in reports.
///
/// Context: thread or softint. Panics (contract `kmem-context`) in a hard interrupt.
#[track_caller]
pub fn kmem_alloc<T>(what: &'static str, value: T) -> Option<&'static T> {
    contract!(
        !spl::cpu_intr_p(),
        "kmem-context",
        "kmem_alloc({what}) was called in a hard interrupt on {}",
        curlwp().name()
    );
    let object = boot_alloc(what, value)?;
    curcpu().kernel().kmem.count();
    Some(object)
}

/// As [`kmem_alloc`], for a caller that goes on without the memory: the host may refuse it.
#[track_caller]
pub fn kmem_alloc_nosleep<T>(what: &'static str, value: T) -> Option<&'static T> {
    match is_refused(curcpu().kernel(), what) {
        true => None,
        false => kmem_alloc(what, value),
    }
}

/// Whether an allocation of `what` fails, although the host has memory.
#[track_caller]
pub(crate) fn is_refused(kernel: &Kernel, what: &'static str) -> bool {
    kernel.config().memory == Memory::Scarce && machine::refuses(what)
}

/// Frees the memory of `object`.
///
/// Context: as [`kmem_alloc`]. Panics: contracts `kmem-context`, and `callout-freed` if a callout in it is pending.
///
/// # Safety
///
/// 1. `object` came from [`kmem_alloc`]. 2. It is not used any more. The simulated machine checks this.
#[track_caller]
pub unsafe fn kmem_free<T>(object: &'static T) {
    contract!(
        !spl::cpu_intr_p(),
        "kmem-context",
        "kmem_free was called in a hard interrupt on {}",
        curlwp().name()
    );
    curcpu().kernel().kmem.km_live.fetch_sub(1, Relaxed);
    let at = core::ptr::from_ref(object).cast_mut();
    machine::decide(at as usize, Kind::Free, mem::Relaxed);
    order::forgets(at as usize, size_of::<T>());
    callout::assert_none_pending(at as usize, size_of::<T>(), core::any::type_name::<T>());
    // SAFETY: (1) the layout is that of the allocation; (2) the caller's promise.
    unsafe { machine::free(at.cast(), Layout::new::<T>()) }
}

/// As [`kmem_alloc_nosleep`], for `count` values that are made one after another.
#[track_caller]
pub(crate) fn kmem_alloc_slice_nosleep<T>(
    what: &'static str,
    count: usize,
    make: impl FnMut(usize) -> T,
) -> Option<&'static [T]> {
    if is_refused(curcpu().kernel(), what) {
        return None;
    }
    contract!(
        !spl::cpu_intr_p(),
        "kmem-context",
        "kmem_alloc({what}) was called in a hard interrupt on {}",
        curlwp().name()
    );
    let objects = boot_alloc_slice(what, count, make)?;
    curcpu().kernel().kmem.count();
    Some(objects)
}

/// Frees the memory of `objects`.
///
/// # Safety
///
/// 1. `objects` came from [`kmem_alloc_slice_nosleep`]. 2. They are not used any more.
#[track_caller]
pub(crate) unsafe fn kmem_free_slice<T>(objects: &'static [T]) {
    contract!(
        !spl::cpu_intr_p(),
        "kmem-context",
        "kmem_free was called in a hard interrupt on {}",
        curlwp().name()
    );
    curcpu().kernel().kmem.km_live.fetch_sub(1, Relaxed);
    let at = objects.as_ptr().cast_mut();
    machine::decide(at as usize, Kind::Free, mem::Relaxed);
    order::forgets(at as usize, size_of_val(objects));
    callout::assert_none_pending(
        at as usize,
        size_of_val(objects),
        core::any::type_name::<[T]>(),
    );
    // SAFETY: (1) the layout is that of the allocation; (2) the caller's promise.
    unsafe { machine::free(at.cast(), Layout::for_value(objects)) }
}

/// Allocates zeroed memory of `layout`; null if there is none. For code that has no Rust types; free it with
/// [`raw_free`]. `what` names the object in reports.
///
/// Context, panics: as [`kmem_alloc`].
#[track_caller]
pub fn raw_alloc(what: &'static str, layout: Layout) -> *mut u8 {
    contract!(
        !spl::cpu_intr_p(),
        "kmem-context",
        "kmem_alloc({what}) was called in a hard interrupt on {}",
        curlwp().name()
    );
    let at = machine::alloc(layout, what);
    if !at.is_null() {
        curcpu().kernel().kmem.count();
    }
    at
}

/// As [`raw_alloc`], for a caller that goes on without the memory: the host may refuse it.
#[track_caller]
pub fn raw_alloc_nosleep(what: &'static str, layout: Layout) -> *mut u8 {
    match machine::refuses(what) {
        true => core::ptr::null_mut(),
        false => raw_alloc(what, layout),
    }
}

/// Frees memory of [`raw_alloc`]. `what` names the object if a callout in it is pending.
///
/// Context, panics: as [`kmem_free`].
///
/// # Safety
///
/// 1. `at` came from [`raw_alloc`] with this layout. 2. It is not used any more. The simulated machine checks this.
#[track_caller]
pub unsafe fn raw_free(what: &'static str, at: *mut u8, layout: Layout) {
    contract!(
        !spl::cpu_intr_p(),
        "kmem-context",
        "kmem_free was called in a hard interrupt on {}",
        curlwp().name()
    );
    curcpu().kernel().kmem.km_live.fetch_sub(1, Relaxed);
    machine::decide(at as usize, Kind::Free, mem::Relaxed);
    order::forgets(at as usize, layout.size());
    callout::assert_none_pending(at as usize, layout.size(), what);
    // SAFETY: the caller's promise.
    unsafe { machine::free(at, layout) }
}

/// Moves `value` into memory that is never freed: for objects that live as long as their kernel.
#[track_caller]
pub(crate) fn boot_alloc<T>(what: &'static str, value: T) -> Option<&'static T> {
    let at = machine::alloc(Layout::new::<T>(), what).cast::<T>();
    if at.is_null() {
        return None;
    }
    // SAFETY: the host gave memory of this layout that nobody else has.
    unsafe { at.write(value) };
    // SAFETY: it was written just now, and lives until it is freed or its kernel ends.
    Some(unsafe { &*at })
}

/// As [`boot_alloc`], for `count` values that are made one after another.
#[track_caller]
pub(crate) fn boot_alloc_slice<T>(
    what: &'static str,
    count: usize,
    mut make: impl FnMut(usize) -> T,
) -> Option<&'static [T]> {
    let layout = Layout::array::<T>(count).ok()?;
    let at = machine::alloc(layout, what).cast::<T>();
    if at.is_null() {
        return None;
    }
    for index in 0..count {
        // SAFETY: `index` is inside the array that the host gave.
        let slot = unsafe { at.add(index) };
        // SAFETY: memory of this layout that nobody else has.
        unsafe { slot.write(make(index)) };
    }
    // SAFETY: all `count` elements were written.
    Some(unsafe { core::slice::from_raw_parts(at, count) })
}

/// Frees memory of [`boot_alloc`] of which nobody came to know.
///
/// # Safety
///
/// 1. `object` came from [`boot_alloc`]. 2. It is not used any more. The simulated machine checks this.
#[track_caller]
pub(crate) unsafe fn boot_free<T>(object: &'static T) {
    // SAFETY: the caller's promise.
    unsafe { boot_free_slice(core::slice::from_ref(object)) };
}

/// Frees memory of [`boot_alloc_slice`] that was replaced by a larger allocation.
///
/// # Safety
///
/// 1. `slice` came from [`boot_alloc_slice`]. 2. It is not used any more. The simulated machine checks this.
#[track_caller]
pub(crate) unsafe fn boot_free_slice<T>(slice: &'static [T]) {
    let at = slice.as_ptr().cast_mut();
    machine::decide(at as usize, Kind::Free, mem::Relaxed);
    // SAFETY: (1) the layout is that of the allocation; (2) the caller's promise.
    unsafe { machine::free(at.cast(), Layout::for_value(slice)) }
}

/// Number of objects that were allocated and not freed.
pub fn live(kernel: &Kernel) -> i64 {
    kernel.kmem.km_live.load(Relaxed)
}

/// Number of objects that were ever allocated.
pub fn allocated(kernel: &Kernel) -> u64 {
    kernel.kmem.km_allocated.load(Relaxed)
}

/// Marks everything allocated so far as the kernel's own: it is no leak. At boot.
pub fn keep(kernel: &Kernel) {
    kernel.kmem.km_live.store(0, Relaxed);
}

/// Checks at rest that everything the scenario allocated was freed.
pub(crate) fn verify(kernel: &Kernel) {
    let live = live(kernel);
    if live != 0 {
        machine::stop(
            Stop::Oracle("leak"),
            format_args!("{live} objects of kmem were never freed"),
        );
    }
}
