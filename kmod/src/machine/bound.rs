//! How the hypercalls are bound: the macro that a host uses, and what it defines.

use super::{
    At, Context, Field, Layout, Mark, Nic, NicCounts, NicQueue, ObjectKind, Occasion, Op, Stop, fmt,
};
unsafe extern "Rust" {
    pub(super) safe fn kmod_machine_ncpu() -> usize;
    pub(super) safe fn kmod_machine_attach(cpu: usize, word: *const ());
    pub(super) safe fn kmod_machine_word() -> *const ();
    pub(super) safe fn kmod_machine_send_ipi(cpu: usize);
    pub(super) safe fn kmod_machine_halts(cpu: usize) -> bool;
    pub(super) safe fn kmod_machine_wait_for_interrupt(unless: &core::sync::atomic::AtomicU32);
    pub(super) safe fn kmod_machine_context_create(
        name: &str,
        entry: fn(*const ()) -> !,
        arg: *const (),
    ) -> Option<Context>;
    pub(super) fn kmod_machine_context_switch(from: Context, to: Context);
    pub(super) fn kmod_machine_context_destroy(context: Context);
    pub(super) safe fn kmod_machine_alloc(layout: Layout, what: &'static str, at: At) -> *mut u8;
    pub(super) fn kmod_machine_free(at: *mut u8, layout: Layout);
    pub(super) safe fn kmod_machine_console(text: fmt::Arguments<'_>);
    pub(super) safe fn kmod_machine_stop(why: Stop, message: fmt::Arguments<'_>, at: At) -> !;
    pub(super) safe fn kmod_machine_place(address: usize, out: &mut dyn fmt::Write) -> fmt::Result;
    pub(super) safe fn kmod_machine_interrupts_on();
    pub(super) safe fn kmod_machine_nics() -> usize;
    #[cfg(feature = "stages")]
    pub(super) safe fn kmod_machine_stage(stage: usize);
    pub(super) safe fn kmod_machine_nic(unit: usize) -> Nic;
    pub(super) safe fn kmod_machine_nic_transmit(unit: usize, frame: &[u8]) -> bool;
    pub(super) safe fn kmod_machine_nic_receive(
        unit: usize,
        queue: usize,
        frame: &mut [u8],
    ) -> Option<usize>;
    pub(super) safe fn kmod_machine_nic_counts() -> Option<NicCounts>;
    pub(super) safe fn kmod_machine_nic_queue(unit: usize, queue: usize) -> Option<NicQueue>;
    pub(super) safe fn kmod_machine_relax(at: At);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_refuses(what: &'static str, at: At) -> bool;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_point(op: Op, at: At) -> usize;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_decide(op: Op, at: At);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_access(op: Op, at: At) -> usize;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_accessed(op: Op, at: At);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_between(op: Op, at: At);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_made(op: Op, at: At);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_unchecked(addr: usize, writes: bool);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_ipl(level: u8);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_tracing() -> bool;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_note(text: fmt::Arguments<'_>);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_mark(mark: Mark);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_happened(occasion: Occasion);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_own(addr: usize) -> usize;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_lasting(at: At) -> At;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_dropped(addr: usize, size: usize);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_takes_turns() -> bool;
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_moved(from: usize, to: usize, size: usize);
    #[cfg(feature = "points")]
    pub(super) safe fn kmod_machine_label(
        addr: usize,
        size: usize,
        name: fmt::Arguments<'_>,
        fields: &'static [Field],
        sort: ObjectKind,
    );
}
#[cfg(not(feature = "points"))]
const _: Option<(Op, &[Field], Mark, Occasion, ObjectKind)> = None;

/// Binds a [`Machine`](crate::machine::Machine) into this binary.
///
/// Used exactly once per binary, by the host.
#[macro_export]
macro_rules! bind_machine {
    ($host:ty) => {
        // The compiler passes `inline` on to LLVM, which uses it when it optimizes the whole program. (It also warns
        // that the attribute is ignored.) Without it the simulated machine takes 1.4 times as long for a schedule.
        #[allow(unused_attributes, reason = "the entries are called at every access")]
        const _: () = {
            use $crate::machine::{At, Context, Field, Machine, Op, Stop};
            type Host = $host;
            type Text<'a> = core::fmt::Arguments<'a>;
            #[unsafe(no_mangle)]
            fn kmod_machine_ncpu() -> usize {
                <Host as Machine>::ncpu()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_attach(cpu: usize, word: *const ()) {
                <Host as Machine>::attach(cpu, word)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_word() -> *const () {
                <Host as Machine>::word()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_send_ipi(cpu: usize) {
                <Host as Machine>::send_ipi(cpu)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_wait_for_interrupt(unless: &core::sync::atomic::AtomicU32) {
                <Host as Machine>::wait_for_interrupt(unless)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_interrupts_on() {
                <Host as Machine>::interrupts_on()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_relax(at: At) {
                <Host as Machine>::relax(at)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_context_create(
                name: &str,
                entry: fn(*const ()) -> !,
                arg: *const (),
            ) -> Option<Context> {
                <Host as Machine>::context_create(name, entry, arg)
            }
            #[unsafe(no_mangle)]
            unsafe fn kmod_machine_context_switch(from: Context, to: Context) {
                // SAFETY: the caller's promise is the trait's.
                unsafe { <Host as Machine>::context_switch(from, to) }
            }
            #[unsafe(no_mangle)]
            unsafe fn kmod_machine_context_destroy(context: Context) {
                // SAFETY: the caller's promise is the trait's.
                unsafe { <Host as Machine>::context_destroy(context) }
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_alloc(
                layout: core::alloc::Layout,
                what: &'static str,
                at: At,
            ) -> *mut u8 {
                <Host as Machine>::alloc(layout, what, at)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_refuses(what: &'static str, at: At) -> bool {
                <Host as Machine>::refuses(what, at)
            }
            #[unsafe(no_mangle)]
            unsafe fn kmod_machine_free(at: *mut u8, layout: core::alloc::Layout) {
                // SAFETY: the caller's promise is the trait's.
                unsafe { <Host as Machine>::free(at, layout) }
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_console(text: Text<'_>) {
                <Host as Machine>::console(text)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_stop(why: Stop, message: Text<'_>, at: At) -> ! {
                <Host as Machine>::stop(why, message, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_point(op: Op, at: At) -> usize {
                <Host as Machine>::point(op, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_decide(op: Op, at: At) {
                <Host as Machine>::decide(op, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_access(op: Op, at: At) -> usize {
                <Host as Machine>::access(op, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_accessed(op: Op, at: At) {
                <Host as Machine>::accessed(op, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_between(op: Op, at: At) {
                <Host as Machine>::between(op, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_made(op: Op, at: At) {
                <Host as Machine>::made(op, at)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_unchecked(addr: usize, writes: bool) {
                <Host as Machine>::unchecked(addr, writes)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_ipl(level: u8) {
                <Host as Machine>::ipl(level)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_tracing() -> bool {
                <Host as Machine>::tracing()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_note(text: Text<'_>) {
                <Host as Machine>::note(text)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_mark(mark: $crate::machine::Mark) {
                <Host as Machine>::mark(mark)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_takes_turns() -> bool {
                <Host as Machine>::takes_turns()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_halts(cpu: usize) -> bool {
                <Host as Machine>::halts(cpu)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_moved(from: usize, to: usize, size: usize) {
                <Host as Machine>::moved(from, to, size)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_happened(occasion: $crate::machine::Occasion) {
                <Host as Machine>::happened(occasion)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_label(
                addr: usize,
                size: usize,
                name: Text<'_>,
                fields: &'static [Field],
                sort: $crate::machine::ObjectKind,
            ) {
                <Host as Machine>::label(addr, size, name, fields, sort)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_own(addr: usize) -> usize {
                <Host as Machine>::own(addr)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_lasting(at: $crate::machine::At) -> $crate::machine::At {
                <Host as Machine>::lasting(at)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_dropped(addr: usize, size: usize) {
                <Host as Machine>::dropped(addr, size)
            }
            #[unsafe(no_mangle)]
            #[inline(always)]
            fn kmod_machine_stage(stage: usize) {
                <Host as Machine>::stage(stage)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_place(
                address: usize,
                out: &mut dyn core::fmt::Write,
            ) -> core::fmt::Result {
                <Host as Machine>::place(address, out)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_nics() -> usize {
                <Host as Machine>::nics()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_nic(unit: usize) -> $crate::machine::Nic {
                <Host as Machine>::nic(unit)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_nic_transmit(unit: usize, frame: &[u8]) -> bool {
                <Host as Machine>::nic_transmit(unit, frame)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_nic_receive(
                unit: usize,
                queue: usize,
                frame: &mut [u8],
            ) -> Option<usize> {
                <Host as Machine>::nic_receive(unit, queue, frame)
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_nic_counts() -> Option<$crate::machine::NicCounts> {
                <Host as Machine>::nic_counts()
            }
            #[unsafe(no_mangle)]
            fn kmod_machine_nic_queue(
                unit: usize,
                queue: usize,
            ) -> Option<$crate::machine::NicQueue> {
                <Host as Machine>::nic_queue(unit, queue)
            }
        };
    };
}
