//! Functions of other code that the kernel calls where NetBSD calls its own.
//!
//! A program in C can replace a service of the kernel, such as pserialize(9) or xcall(9), for itself. Some services are called by the
//! rest of the kernel: at every context switch, in every clock interrupt, by an interrupt of another CPU. A [`Hook`] is such a place.
//! The kernel's own service runs besides.

use crate::kern::cpu::Cpu;
use crate::kern::ipi;
use crate::kern::lwp::Arg;
use crate::kernel::Kernel;
use crate::mem::Local;

/// A function and its argument.
pub type Function = (fn(Arg), Arg);

/// Where the kernel calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// At a context switch, where `pserialize_switchpoint` is called.
    Switchpoint = 0,
    /// In the clock interrupt, where `callout_hardclock` is called.
    Hardclock = 1,
    /// In the interrupt by which [`send_xcall`] tells a CPU of a cross call (`xc_ipi_handler`).
    Xcall = 2,
}

/// The hooks of a kernel.
pub(crate) struct Hooks([Local<Option<Function>>; 3]);

impl Hooks {
    pub(crate) const fn new() -> Self {
        Hooks([const { Local::new(None) }; 3])
    }
}

/// Has `function` called at `hook`, from now on. For a kernel that boots.
pub fn set(kernel: &Kernel, hook: Hook, function: Function) {
    kernel.hooks.0[hook as usize].set(Some(function));
}

/// Whether a function is called at `hook`.
pub(crate) fn is_set(kernel: &Kernel, hook: Hook) -> bool {
    kernel.hooks.0[hook as usize].peek().is_some()
}

/// Calls what is set.
#[inline]
pub(crate) fn call(ci: &Cpu, hook: Hook) {
    if let Some((func, arg)) = ci.kernel().hooks.0[hook as usize].peek() {
        func(arg);
    }
}

/// Has [`Hook::Xcall`] called on `ci`, or on all other CPUs (`xc_send_ipi`).
///
/// Context: any, preemption off. Panics: contract `ipi-preempt`.
#[track_caller]
pub fn send_xcall(ci: Option<&'static Cpu>) {
    ipi::foreign_trigger(ci);
}
