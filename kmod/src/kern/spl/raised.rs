//! Raising and lowering the level around a few instructions, for callers that stay on their CPU.
//!
//! # Overview
//!
//! Like [`splraise`](super::splraise) and [`splx`](super::splx), with three differences: preemption need not be off
//! for the raise; a caller at level none is known to be at that level when the level is lowered; and one check covers
//! both pending interrupts and the work that the instructions request.

use core::sync::atomic::compiler_fence;

use super::{Ipl, level_of, lower_again, lowered_at_once, set_level};
use crate::kern::cpu::Cpu;
use crate::kern::lwp::curlwp;
use crate::mem::SeqCst;

/// A bit that requests work after the level is lowered. The pending word does not use it.
pub(crate) const AFTERWARDS: u32 = 1 << 31;

/// `raised!(level, |ci| f)` evaluates `f` at `level`, or at the level of the caller if that is higher: like
/// `splraise` and `splx` around it, for callers that stay on the CPU, which is `ci`. Those are an LWP that is bound,
/// a softint, and a caller with preemption off.
///
/// `raised!(level, |ci| f, after)`: `f` returns 0, or [`AFTERWARDS`] to have `after` called once the level is
/// restored.
///
/// A macro, so that reports show the location of the caller for `f`.
macro_rules! raised {
    ($level:expr, |$ci:ident| $f:expr $(, $after:expr)?) => {{
        use $crate::kern::spl::{self, Ipl};
        let level = $level;
        let $ci = spl::stay();
        if spl::raise_from_none($ci, level) {
            let told = $f;
            spl::lower_point($ci);
            spl::raised!(@lower $ci, Ipl::None, told $(, $after)?);
        } else {
            let old = spl::raise_further($ci, level);
            let told = $f;
            spl::lower_point($ci);
            if old < level {
                spl::raised!(@lower $ci, old, told $(, $after)?);
            } else {
                spl::raised!(@stay told $(, $after)?);
            }
        }
    }};
    (@lower $ci:ident, $level:expr, $told:ident) => {{
        let () = $told;
        spl::lower_to($ci, $level);
    }};
    (@lower $ci:ident, $level:expr, $told:ident, $after:expr) => {
        spl::lower_to_then($ci, $level, $told, $after)
    };
    (@stay $told:ident) => {
        let () = $told;
    };
    (@stay $told:ident, $after:expr) => {
        if $told != 0 {
            $after();
        }
    };
}
pub(crate) use raised;

/// The CPU, for [`raised`], until [`raise_from_none`] or [`raise_further`]. Old code moves even an LWP that is bound.
#[inline(always)]
pub(crate) fn stay() -> &'static Cpu {
    let l = curlwp();
    if cfg!(feature = "history") {
        l.l_nopreempt.increment();
        compiler_fence(SeqCst);
    }
    l.cpu_unlocked()
}

/// The end of [`stay`].
#[inline(always)]
fn stayed() {
    if cfg!(feature = "history") {
        compiler_fence(SeqCst);
        curlwp().l_nopreempt.decrement();
    }
}

/// Raises the level of `ci`, this CPU, to `level` if it is none, and returns whether it was.
#[inline(always)]
pub(crate) fn raise_from_none(ci: &Cpu, level: Ipl) -> bool {
    let none = level_of(ci) == Ipl::None;
    if none {
        set_level(ci, level);
        stayed();
    }
    none
}

/// Raises the level of `ci`, this CPU, which is above none, to at least `level`, and returns the previous level.
#[inline(always)]
pub(crate) fn raise_further(ci: &Cpu, level: Ipl) -> Ipl {
    // Read again, so that the check before it is a comparison.
    compiler_fence(SeqCst);
    let old = level_of(ci);
    if old < level {
        set_level(ci, level);
    }
    stayed();
    old
}

/// [`lower_to`], and then `after`, if `told` is [`AFTERWARDS`] and not 0: one check for both.
#[inline(always)]
pub(crate) fn lower_to_then(ci: &'static Cpu, level: Ipl, mut told: u32, after: impl FnOnce()) {
    if !lowered_at_once(ci, level) {
        set_level(ci, level);
        told |= ci.ci_ipending.look();
    }
    if told != 0 {
        lowered(level, told, after);
    }
}

/// Runs the work that [`lower_to_then`] has found.
#[cold]
#[inline(never)]
fn lowered(level: Ipl, told: u32, after: impl FnOnce()) {
    if told != AFTERWARDS {
        lower_again(level);
    }
    if told & AFTERWARDS != 0 {
        after();
    }
}
