//! A host for the unit tests of this crate: one CPU, no interrupts, memory that is never given back.
//!
//! It is there so that the tests link, and for tests of code that neither blocks nor switches. What needs a
//! machine is tested on the simulated one.

extern crate std;

use core::alloc::Layout;
use core::fmt;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use crate::machine::{At, Context, Field, Machine, ObjectKind, Op, Stop};

struct TestHost;

static WORD: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

// SAFETY: (1) `word` is what `attach` was given; (2) memory comes from the global allocator, zeroed; (3) there is
// one context, which is never left; (4) nothing enters the kernel.
unsafe impl Machine for TestHost {
    fn ncpu() -> usize {
        1
    }
    fn attach(_: usize, word: *const ()) {
        WORD.store(word.cast_mut(), Relaxed);
    }
    fn word() -> *const () {
        WORD.load(Relaxed)
    }
    fn send_ipi(_: usize) {}
    fn wait_for_interrupt(_: &AtomicU32) {}
    fn interrupts_on() {}
    fn relax(_: At) {}
    fn context_create(_: &str, _: fn(*const ()) -> !, _: *const ()) -> Option<Context> {
        Some(Context(0))
    }
    unsafe fn context_switch(_: Context, _: Context) {
        panic!("the unit tests' host has one context");
    }
    unsafe fn context_destroy(_: Context) {}
    fn alloc(layout: Layout, _: &'static str, _: At) -> *mut u8 {
        // SAFETY: the kernel allocates nothing of size 0.
        unsafe { std::alloc::alloc_zeroed(layout) }
    }
    unsafe fn free(at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { std::alloc::dealloc(at, layout) }
    }
    fn console(text: fmt::Arguments<'_>) {
        std::print!("{text}");
    }
    fn stop(why: Stop, message: fmt::Arguments<'_>, at: At) -> ! {
        panic!("{why:?}: {message} ({at})");
    }
    fn point(op: Op, _: At) -> usize {
        op.addr
    }
    fn decide(_: Op, _: At) {}
    fn access(op: Op, _: At) -> usize {
        op.addr
    }
    fn ipl(_: u8) {}
    fn tracing() -> bool {
        false
    }
    fn note(_: fmt::Arguments<'_>) {}
    fn label(_: usize, _: usize, _: fmt::Arguments<'_>, _: &'static [Field], _: ObjectKind) {}
}

crate::bind_machine!(TestHost);
