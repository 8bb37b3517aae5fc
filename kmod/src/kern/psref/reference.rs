//! The reference itself: acquire, copy and release.
//!
//! Only this module changes the list of a CPU, at the level of the class ([`spl::raised`]).

use core::sync::atomic::compiler_fence;

use super::{ClassData, PsrefClass, PsrefCpu, PsrefTarget, assert_context};
use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Lwp, curcpu, curlwp};
use crate::kern::order;
use crate::kern::spl;
use crate::machine::{self, Mark};
use crate::mem::{Local, Plain, Relaxed, SeqCst};

/// A passive reference (`struct psref`): memory that its holder provides, often on the stack.
///
/// From [`acquire`](Self::acquire) to [`release`](Self::release) a list refers to it, so it must be neither moved nor
/// dropped. The type does not enforce that. Panics (contract `psref-dropped`) if it is dropped.
pub struct Psref {
    pub(super) psref_next: Plain<*const Psref>,
    /// Null while it holds no reference; maintained only with contracts.
    pub(super) psref_target: Local<*const PsrefTarget>,
    pub(super) psref_lwp: Local<Option<&'static Lwp>>,
    /// For contracts.
    pub(super) psref_cpu: Local<Option<&'static Cpu>>,
}

crate::fields!(Psref {
    psref_next,
    psref_target,
    psref_lwp,
    psref_cpu
});

impl Default for Psref {
    fn default() -> Self {
        Self::new()
    }
}

impl Psref {
    /// Creates a psref that holds no reference.
    pub const fn new() -> Self {
        Psref {
            psref_next: Plain::new(core::ptr::null()),
            psref_target: Local::new(core::ptr::null()),
            psref_lwp: Local::new(None),
            psref_cpu: Local::new(None),
        }
    }

    /// Whether it holds a reference. For contracts; maintained only with them.
    fn in_use(&self) -> bool {
        !self.psref_target.peek().is_null()
    }

    /// Acquires a reference to `target` (`psref_acquire`).
    ///
    /// The caller makes sure that the target is not destroyed before this returns (it found the target in a read
    /// section), and stays on this CPU until the [`release`](Self::release).
    /// Context: softint of the class's level or lower, or thread that is bound or has preemption off. Panics: contracts
    /// `psref-context`, `psref-unbound`, `psref-class`, `psref-draining`, `psref-twice`.
    #[inline]
    #[track_caller]
    pub fn acquire(&self, target: &PsrefTarget, class: PsrefClass) {
        assert_context("psref_acquire", class);
        target.assert_class("psref_acquire", class);
        contract!(
            target.prt_draining.load(Relaxed) == 0,
            "psref-draining",
            "psref_acquire by {} of a target of class {} that is being destroyed",
            curlwp().name(),
            class.name()
        );
        self.hold(target, class);
    }

    /// Puts the reference on the list of this CPU.
    #[inline]
    #[track_caller]
    fn hold(&self, target: &PsrefTarget, class: PsrefClass) {
        contract!(
            self.psref_target.get().is_null(),
            "psref-twice",
            "{} acquires another reference with {}, which is held already",
            curlwp().name(),
            Held(self, class.prc_data)
        );
        spl::raised!(class.prc_ipl, |ci| {
            self.push(class.prc_offset.of(ci), target, ci);
        });
        count_psref(curlwp(), 1);
        order::holds(target.resource(class), true);
        machine::mark(Mark::Shared(core::ptr::from_ref(target).addr()));
    }

    /// Releases the reference (`psref_release`). The target may be gone when it returns.
    ///
    /// Context: the LWP that acquired it, on the CPU where it did. Panics: contracts `psref-context`,
    /// `psref-unbound`, `psref-class`, `psref-target`, `psref-lwp`, `psref-cpu`, `psref-listed`.
    #[inline]
    #[track_caller]
    pub fn release(&self, target: &PsrefTarget, class: PsrefClass) {
        assert_context("psref_release", class);
        target.assert_class("psref_release", class);
        contract!(
            core::ptr::eq(self.psref_target.get(), target),
            "psref-target",
            "psref_release by {} in class {} with a psref that holds {}",
            curlwp().name(),
            class.name(),
            match self.psref_target.get().is_null() {
                true => "no reference",
                false => "a reference to another target",
            }
        );
        self.assert_holder("released", class);
        machine::mark(Mark::Released(core::ptr::from_ref(target).addr()));
        spl::raised!(
            class.prc_ipl,
            |ci| {
                self.unlink(class.prc_offset.of(ci), class);
                order::releases(target.resource(class));
                // Before a sweep can run: the target may be gone as soon as the level is lowered.
                target.prt_draining.load(Relaxed)
            },
            || class.prc_data.prc_cv.broadcast()
        );
        count_psref(curlwp(), -1);
    }

    /// Puts the reference on the list (`SLIST_INSERT_HEAD`).
    #[inline(always)]
    #[track_caller]
    fn push(&self, pcpu: &PsrefCpu, target: &PsrefTarget, ci: &'static Cpu) {
        self.psref_next.set(pcpu.pcpu_head.get());
        self.psref_target.set(target);
        self.psref_lwp.set(Some(curlwp()));
        if cfg!(feature = "contracts") {
            self.psref_cpu.set(Some(ci));
        }
        pcpu.pcpu_head.set(self);
    }

    /// Removes the reference from the list (`SLIST_REMOVE`).
    #[inline(always)]
    #[track_caller]
    fn unlink(&self, pcpu: &PsrefCpu, class: PsrefClass) {
        if core::ptr::eq(pcpu.pcpu_head.get(), self) {
            pcpu.pcpu_head.set(self.psref_next.get_fused());
        } else {
            self.unlink_behind(pcpu, class.prc_data);
        }
        if cfg!(feature = "contracts") {
            self.psref_target.set(core::ptr::null());
        }
    }

    /// Removes it from the list when it is not the first: a search, because nothing points back.
    #[cold]
    #[track_caller]
    fn unlink_behind(&self, pcpu: &PsrefCpu, class: &'static ClassData) {
        // Reads the head again, so that `unlink` only needs to compare it.
        compiler_fence(SeqCst);
        let mut link = &pcpu.pcpu_head;
        // SAFETY: as in `find`.
        while let Some(psref) = unsafe { link.get_fused().as_ref() } {
            link = &psref.psref_next;
            if core::ptr::eq(link.get(), self) {
                return link.set(self.psref_next.get_fused());
            }
        }
        crate::machine::stop(
            crate::machine::Stop::Contract("psref-listed"),
            format_args!(
                "{} is not on the list of cpu{}",
                Held(self, class),
                curcpu().index()
            ),
        )
    }

    /// Acquires another reference to the target of `from` (`psref_copy`).
    ///
    /// Context: as [`release`](Self::release) of `from`. Panics: contracts `psref-context`, `psref-unbound`,
    /// `psref-copy`, `psref-lwp`, `psref-cpu`, `psref-class`, `psref-twice`.
    #[track_caller]
    pub fn copy(&self, from: &Psref, class: PsrefClass) {
        assert_context("psref_copy", class);
        contract!(
            !core::ptr::eq(self, from),
            "psref-copy",
            "psref_copy by {} of {} to itself",
            curlwp().name(),
            Held(self, class.prc_data)
        );
        // SAFETY: a target lives as long as there is a reference to it.
        let Some(target) = (unsafe { from.psref_target.get().as_ref() }) else {
            crate::machine::stop(
                crate::machine::Stop::Contract("psref-copy"),
                format_args!(
                    "psref_copy by {} in class {} of a psref that holds no reference",
                    curlwp().name(),
                    class.name()
                ),
            )
        };
        from.assert_holder("copied", class);
        target.assert_class("psref_copy", class);
        self.hold(target, class);
    }

    /// Checks that the reference belongs to this LWP and is on its CPU.
    #[track_caller]
    fn assert_holder(&self, what: &str, class: PsrefClass) {
        if cfg!(feature = "contracts") {
            let (l, here) = (curlwp(), curcpu());
            contract!(
                self.psref_lwp.get().is_some_and(|by| core::ptr::eq(by, l)),
                "psref-lwp",
                "{} is {what} by {}: a passive reference stays with its LWP",
                Held(self, class.prc_data),
                l.name()
            );
            contract!(
                self.psref_cpu
                    .get()
                    .is_some_and(|ci| core::ptr::eq(ci, here)),
                "psref-cpu",
                "{} is {what} on cpu{}: {} was moved while it held it",
                Held(self, class.prc_data),
                here.index(),
                l.name()
            );
        }
    }
}

impl Drop for Psref {
    fn drop(&mut self) {
        contract!(
            !self.in_use(),
            "psref-dropped",
            "{} drops a psref that holds a reference",
            curlwp().name()
        );
    }
}

/// A psref that holds a reference, as the beginning of a sentence.
pub(super) struct Held<'a>(pub(super) &'a Psref, pub(super) &'static ClassData);

impl core::fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Held(psref, of) = self;
        write!(f, "psref of class {}", of.name())?;
        if let Some(l) = psref.psref_lwp.peek() {
            write!(f, " acquired by {}", l.name())?;
        }
        match psref.psref_cpu.peek() {
            Some(ci) => write!(f, " on cpu{}", ci.index()),
            None => Ok(()),
        }
    }
}

/// Counts the references that the running LWP holds, for contracts.
#[inline(always)]
fn count_psref(l: &Lwp, change: i32) {
    if cfg!(feature = "contracts") {
        l.l_psrefs.set(l.l_psrefs.get() + change);
    }
}
