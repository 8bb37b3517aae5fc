//! The heap: one allocator with a lock, and a separate arena for the last report.
//!
//! A report reads debugging information, which needs memory, at a moment when the CPU that holds the heap's lock may
//! have been stopped for ever. So a report uses the arena.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use talc::DefaultBinning;
use talc::base::Talc;
use talc::source::Manual;

use crate::sync::IrqLock;

/// Size of the arena, in bytes: several times what reading the kernel's own debugging information takes.
const ARENA_BYTES: usize = 32 << 20;

/// Areas smaller than this, in bytes, are not added.
const SMALLEST_BYTES: usize = 64 << 10;

struct Heap {
    talc: IrqLock<Talc<Manual, DefaultBinning>>,
    /// The report has begun: the lock may never be released.
    reporting: AtomicBool,
    arena_next: AtomicUsize,
    arena_end: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap {
    talc: IrqLock::new(Talc::new(Manual)),
    reporting: AtomicBool::new(false),
    arena_next: AtomicUsize::new(0),
    arena_end: AtomicUsize::new(0),
};

/// Adds physical memory to the heap.
///
/// # Safety
///
/// The area is mapped and not in use.
pub(super) unsafe fn give(area: Range<usize>) {
    if area.len() < SMALLEST_BYTES {
        return;
    }
    let start = ptr::with_exposed_provenance_mut(area.start);
    // SAFETY: the caller's promise.
    let end = unsafe { HEAP.talc.lock().claim(start, area.len()) };
    assert!(end.is_some(), "the heap refused {area:#x?}");
}

/// Reserves the arena. Panics if there is not enough memory.
pub(crate) fn reserve_arena() {
    let start = alloc(Layout::new::<[u8; ARENA_BYTES]>());
    assert!(
        !start.is_null(),
        "less than {} MiB of memory are free",
        ARENA_BYTES >> 20
    );
    let start = start.expose_provenance();
    HEAP.arena_next.store(start, Relaxed);
    HEAP.arena_end.store(start + ARENA_BYTES, Relaxed);
}

/// From now on memory comes from the arena and is not freed.
pub(crate) fn begin_report() {
    HEAP.reporting.store(true, SeqCst);
}

/// Memory of `layout`, or null.
pub(crate) fn alloc(layout: Layout) -> *mut u8 {
    if layout.size() == 0 {
        return ptr::without_provenance_mut(layout.align());
    }
    // SAFETY: the size is not 0.
    unsafe { HEAP.alloc(layout) }
}

/// Frees memory.
///
/// # Safety
///
/// `at` came from [`alloc`] with the same layout, and is not used any more.
pub(crate) unsafe fn free(at: *mut u8, layout: Layout) {
    if layout.size() != 0 {
        // SAFETY: the caller's promise.
        unsafe { HEAP.dealloc(at, layout) };
    }
}

impl Heap {
    fn take_from_arena(&self, layout: Layout) -> *mut u8 {
        let take = |next: usize| {
            let start = next.next_multiple_of(layout.align());
            let end = start.checked_add(layout.size())?;
            (end <= self.arena_end.load(Relaxed)).then_some((start, end))
        };
        let next = self
            .arena_next
            .fetch_update(Relaxed, Relaxed, |next| Some(take(next)?.1));
        match next.ok().and_then(take) {
            Some((start, _)) => ptr::with_exposed_provenance_mut(start),
            None => ptr::null_mut(),
        }
    }
}

// SAFETY: (1) talc gives memory that nobody else has, under its lock; (2) so does the arena, by an
// atomic step; (3) what is given back after the report began is kept for good.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.reporting.load(Relaxed) {
            return self.take_from_arena(layout);
        }
        let mut talc = self.talc.lock();
        // SAFETY: the caller's promise: the size is not 0.
        unsafe { talc.allocate(layout) }.map_or(ptr::null_mut(), ptr::NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if self.reporting.load(Relaxed) {
            return;
        }
        let mut talc = self.talc.lock();
        // SAFETY: the caller's promise: `at` came from here with this layout.
        unsafe { talc.deallocate(at, layout) }
    }
}
