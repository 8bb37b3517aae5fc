//! Contexts: a stack and the registers on it.
//!
//! # Overview
//!
//! A context is identified by the number of its stack. While it is not running, everything that a call preserves is
//! on its stack: the callee-saved registers, the control words of SSE and of the x87. The caller saves everything
//! else, or, if an interrupt switched, it is in the interrupt's frame further up.
//!
//! # Contexts
//!
//! [`switch`] with interrupts on or off; it does not change that. An interrupt may come in the middle: it pushes
//! below whichever of the two stacks is current, and both are consistent at every instruction.

use core::arch::naked_asm;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kmod::machine::Context;

use crate::cpu;
use crate::memory::stack::Stack;

/// Maximum number of contexts: one for each stack.
const MAX_CONTEXTS: usize = crate::memory::stack::MAX_STACKS;

/// Stack pointer of each context that is not running, by number.
static SAVED: [AtomicUsize; MAX_CONTEXTS] = [const { AtomicUsize::new(0) }; MAX_CONTEXTS];

/// The data on a stack, from its stack pointer on, that [`switch_stacks`] restores.
#[repr(C)]
struct Saved {
    mxcsr: u32,
    x87_control: u32,
    r15: usize,
    r14: usize,
    r13: usize,
    r12: usize,
    rbx: usize,
    rbp: usize,
    rip: usize,
}

/// The initial state that the ABI requires: all exceptions masked, round to nearest.
const MXCSR: u32 = 0x1f80;
const X87_CONTROL: u32 = 0x037f;

/// Creates a context that begins with `entry(arg)`, with interrupts unchanged. Nothing if there is no memory.
pub(crate) fn create(name: &str, entry: fn(*const ()) -> !, arg: *const ()) -> Option<Context> {
    let stack = Stack::take(name)?;
    // When all of it has been popped the stack is empty, and aligned as a call requires.
    let top = stack.range().end - size_of::<Saved>();
    let first = Saved {
        mxcsr: MXCSR,
        x87_control: X87_CONTROL,
        r15: 0,
        r14: 0,
        r13: arg.expose_provenance(),
        r12: (entry as *const ()).expose_provenance(),
        rbx: 0,
        rbp: 0,
        rip: (begin_stub as *const ()).expose_provenance(),
    };
    let at = core::ptr::with_exposed_provenance_mut::<Saved>(top);
    // SAFETY: the top of a stack that was taken just now and that nobody runs on.
    unsafe { at.write(first) };
    SAVED[stack.number()].store(top, Relaxed);
    Some(Context(stack.number()))
}

/// Leaves the calling context `from` for `to`.
///
/// # Safety
///
/// 1. `from` is the calling context. 2. `to` runs on no CPU and its stack was not released.
pub(crate) unsafe fn switch(from: Context, to: Context) {
    let load = SAVED[to.0].load(Relaxed);
    cpu::this().context.store(to.0, Relaxed);
    // SAFETY: the caller's promise; `load` is what the last switch away from `to`, or `create`, left.
    unsafe { switch_stacks(SAVED[from.0].as_ptr(), load) }
}

/// Leaves the stack on which this CPU was started, for ever, and starts its first context.
///
/// # Safety
///
/// `to` runs on no CPU and its stack was not released.
pub(crate) unsafe fn begin(to: Context) -> ! {
    let nowhere = AtomicUsize::new(0);
    cpu::this().context.store(to.0, Relaxed);
    let load = SAVED[to.0].load(Relaxed);
    // SAFETY: the caller's promise.
    unsafe { switch_stacks(nowhere.as_ptr(), load) };
    unreachable!("a CPU went back to the stack on which it was started")
}

/// Runs `entry` on `stack` and never returns. For the boot processor, before there are contexts.
///
/// # Safety
///
/// Nobody runs on the stack.
pub(crate) unsafe fn move_to(stack: Stack, entry: extern "C" fn() -> !) -> ! {
    // SAFETY: the caller's promise; a call pushes its return address on a stack aligned to 16.
    unsafe {
        core::arch::asm!("mov rsp, {top}", "xor ebp, ebp", "call {entry}", "ud2",
            top = in(reg) stack.range().end, entry = in(reg) entry, options(noreturn))
    }
}

/// Destroys a context.
///
/// # Safety
///
/// The context runs on no CPU and is never switched to again.
pub(crate) unsafe fn destroy(context: Context) {
    // SAFETY: the caller's promise.
    unsafe { Stack::from_number(context.0).release() }
}

#[unsafe(naked)]
unsafe extern "C" fn switch_stacks(save: *mut usize, load: usize) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// First instructions of a context: it has no caller (rbp is 0).
#[unsafe(naked)]
extern "C" fn begin_stub() {
    naked_asm!(
        "mov rdi, r12",
        "mov rsi, r13",
        "call {begin_context}",
        "ud2",
        begin_context = sym begin_context,
    )
}

extern "C" fn begin_context(entry: *const (), arg: *const ()) -> ! {
    // SAFETY: `create` put a function of this type there.
    let entry = unsafe { core::mem::transmute::<*const (), fn(*const ()) -> !>(entry) };
    entry(arg)
}
