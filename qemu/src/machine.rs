//! The hypercalls of the kernel component, implemented by this machine.

use core::alloc::Layout;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use kmod::machine::{At, Context, Field, Machine, Nic, NicCounts, ObjectKind, Op, Stop};
use x86_64::instructions::interrupts;

use crate::memory::heap;
use crate::report::{self, Cause};
use crate::{console, context, cpu, net, perturb, run};

/// The machine of this binary.
struct Booted;

kmod::bind_machine!(Booted);

// SAFETY: (1) the word lies in the block of its CPU, which GS points to; (2) the heap gives memory that
// nobody else has, and `alloc` zeroes it; (3) `context::switch` keeps stacks and callee-saved registers;
// (4) the kernel is entered in `cpu::interrupt` and in `run`, through its entries only.
unsafe impl Machine for Booted {
    fn ncpu() -> usize {
        cpu::count()
    }

    #[inline]
    fn attach(cpu: usize, word: *const ()) {
        cpu::of(cpu).set_word(word);
    }

    #[inline(always)]
    fn word() -> *const () {
        cpu::word()
    }

    fn send_ipi(cpu: usize) {
        cpu::apic::send_ipi(cpu::of(cpu).apic_id.load(Relaxed));
    }

    fn wait_for_interrupt(unless: &AtomicU32) {
        interrupts::disable();
        if unless.load(Relaxed) == 0 {
            let cpu = cpu::this();
            cpu.waits.store(true, Relaxed);
            // The processor takes no interrupt between the two instructions of this.
            interrupts::enable_and_hlt();
            cpu.waits.store(false, Relaxed);
        } else {
            interrupts::enable();
        }
    }

    #[inline(always)]
    fn interrupts_on() {
        interrupts::enable();
    }

    #[inline]
    fn relax(_: At) {
        core::hint::spin_loop();
    }

    fn context_create(name: &str, entry: fn(*const ()) -> !, arg: *const ()) -> Option<Context> {
        context::create(name, entry, arg)
    }

    unsafe fn context_switch(from: Context, to: Context) {
        // SAFETY: the caller's promise.
        unsafe { context::switch(from, to) }
    }

    unsafe fn context_destroy(context: Context) {
        // SAFETY: the caller's promise.
        unsafe { context::destroy(context) }
    }

    fn alloc(layout: Layout, _: &'static str, _: At) -> *mut u8 {
        let at = heap::alloc(layout);
        if !at.is_null() {
            // SAFETY: memory of this layout that nobody else has.
            unsafe { at.write_bytes(0, layout.size()) };
        }
        at
    }

    unsafe fn free(at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { heap::free(at, layout) }
    }

    fn console(text: fmt::Arguments<'_>) {
        console::write(text);
    }

    fn stop(why: Stop, message: fmt::Arguments<'_>, at: At) -> ! {
        match why {
            Stop::Passed => run::passed(),
            _ => report::begin(&Cause::Stop { why, message, at }),
        }
    }

    #[inline]
    fn point(op: Op, _: At) -> usize {
        perturb::point();
        op.addr
    }

    #[inline]
    fn decide(_: Op, _: At) {
        perturb::point();
    }

    #[inline(always)]
    fn access(op: Op, _: At) -> usize {
        op.addr
    }

    #[inline(always)]
    fn ipl(_: u8) {}

    #[inline(always)]
    fn tracing() -> bool {
        false
    }

    fn note(_: fmt::Arguments<'_>) {}

    fn label(_: usize, _: usize, _: fmt::Arguments<'_>, _: &'static [Field], _: ObjectKind) {}

    #[cfg(feature = "cost")]
    #[inline(always)]
    fn stage(stage: usize) {
        crate::stages::note(stage);
    }

    fn nics() -> usize {
        net::count()
    }

    fn nic(unit: usize) -> Nic {
        net::nic(unit)
    }

    fn nic_transmit(unit: usize, frame: &[u8]) -> bool {
        net::transmit(unit, frame)
    }

    fn nic_receive(unit: usize, queue: usize, frame: &mut [u8]) -> Option<usize> {
        net::receive(unit, queue, frame)
    }

    fn nic_counts() -> Option<NicCounts> {
        Some(net::counts())
    }
}
