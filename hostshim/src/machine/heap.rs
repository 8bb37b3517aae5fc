//! Rust's heap inside a run: memory that the guest allocates there is memory of the machine.
//!
//! # Overview
//!
//! A scenario may use the crate `alloc`: `Box`, `Vec`, `Arc`. If the program's allocator is [`Heap`], the guest's
//! allocations come from the machine's arena. So every run begins with the same heap, addresses are the same
//! everywhere, and an access to a cell in freed memory is detected. All other code gets memory of the system.
//!
//! # What is not checked
//!
//! * That a free comes after all accesses: `Arc` orders it by a count that the machine does not see.
//! * Leaks. Only the kernel's allocator keeps accounts.
//! * Accesses outside cells, such as the elements of a `Vec<u32>`. In safe Rust two threads can write only to cells.

use std::alloc::{GlobalAlloc, Layout, System};

use super::footprint::Thing;
use super::host::current;
use super::side::{Host, in_guest};

/// The allocator for a program that runs scenarios: the system's allocator, except for code of the guest.
///
/// ```
/// #[global_allocator]
/// static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;
/// ```
pub struct Heap;

impl Heap {
    /// Whether this object was allocated by it inside a run. If not, the program has another allocator.
    pub fn gave<T>(object: &T) -> bool {
        is_machines(std::ptr::from_ref(object).cast_mut().cast())
    }
}

/// Whether this is memory of the machine that runs on this thread.
fn is_machines(at: *mut u8) -> bool {
    current().is_some_and(|engine| engine.memory(|memory| memory.offset(at.addr())).is_some())
}

// SAFETY: (1) the arena satisfies the layout, and returns no memory twice in a run; (2) all other memory comes from
// the system's allocator, and is freed there.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !in_guest() {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        let _host = Host::begin();
        match current() {
            Some(engine) => {
                engine.touch_thing(Thing::Allocator);
                engine.memory(|memory| memory.alloc_heap(layout, "heap"))
            }
            // SAFETY: the caller's promise.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if in_guest() {
            // SAFETY: the caller's promise. Memory of the arena is zeroed.
            return unsafe { self.alloc(layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_machines(at) {
            // SAFETY: the caller's promise; it was given out by the system's.
            return unsafe { System.realloc(at, layout, size) };
        }
        // SAFETY: the caller's promise: the size, rounded up, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the caller's promise: the size is not 0.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both have that many bytes, and the new ones have no other user.
            unsafe { new.copy_from_nonoverlapping(at, layout.size().min(size)) };
            // SAFETY: the caller's promise.
            unsafe { self.dealloc(at, layout) };
        }
        new
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_machines(at) {
            let _host = Host::begin();
            if let Some(engine) = current() {
                engine.touch_range(at.addr(), layout.size(), true);
                engine.memory(|memory| memory.free_heap(at.addr()));
            }
            return;
        }
        // SAFETY: the caller's promise; it was given out by the system's.
        unsafe { System.dealloc(at, layout) };
    }
}
