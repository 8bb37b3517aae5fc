//! psref(9): passive references.
//!
//! # Overview
//!
//! A passive reference keeps an object, the *target*, from being destroyed. It is held by one LWP on one CPU, and
//! costs other CPUs nothing: acquiring it only puts a [`Psref`], which the holder provides, on a list of its CPU.
//! Each *class* of targets has its own lists. A thread that destroys a target asks every CPU whether its list has a
//! reference to the target, and repeats this until no list has.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::lwp::{curlwp_bind, curlwp_bindx};
//! use kmod::kern::psref::{Psref, PsrefClass, PsrefTarget};
//! use kmod::kern::spl::Ipl;
//!
//! run(|| {
//!     let class = PsrefClass::create("ifnet", Ipl::SoftNet).expect("memory");
//!     let interface = PsrefTarget::new();
//!     interface.init(class);
//!
//!     let bound = curlwp_bind(); // stay on this CPU while a reference is held
//!     let psref = Psref::new();
//!     psref.acquire(&interface, class);
//!     assert!(interface.held(class)); // may sleep here
//!     psref.release(&interface, class);
//!     curlwp_bindx(bound);
//!
//!     interface.destroy(class); // waits for references on every CPU
//!     // SAFETY: it came from `create`, and no reference of it is left.
//!     unsafe { class.destroy() };
//! });
//! ```
//!
//! # Contexts
//!
//! | | hard interrupt | softint | thread |
//! |---|---|---|---|
//! | `acquire`, `release`, `copy`, `held` | no | up to the class's level | bound, or preemption off |
//! | `PsrefTarget::init` | no | yes | yes |
//! | `PsrefTarget::destroy`, `PsrefClass::create`, `PsrefClass::destroy` | no | no | may sleep |
//!
//! `PsrefClass::create` may also be called during boot. An LWP that holds references may sleep if it is bound, for
//! example on a mutex, but not for long.
//!
//! # Per-CPU operation
//!
//! A list is accessed by its own CPU alone, at the level of the class. The sweep is a softint of that level. So
//! neither a sweep nor another softint sees a list that is half changed. At that level no LWP is preempted, so the
//! storage does not move. The heads are in [`crate::kern::percpu`] storage, which moves: nothing points back at them.
//!
//! # Why it is correct
//!
//! 1. No *new* references: the caller has unlinked the target and waited for the readers that could still find it.
//! 2. Old references *stay on their CPU*: their holders are bound, or not preempted, and release them where they
//!    acquired them. So one check of each list finds every one.
//! 3. The answer of each CPU, and everything that the former holders did, is ordered before the destroyer's next step
//!    (by the cross call).
//!
//! # The wake-up is a hint
//!
//! `release` wakes the destroyer without taking its lock, so the wake-up can be lost. Therefore the destroyer waits
//! at most one tick.
//!
//! ```text
//! release                            destroy
//! raise to the class's level         draining = true
//! off the list                       loop:
//! draining? (still raised)             every CPU: is it on my list?
//! lower                                no: return, the target dies
//! draining: broadcast                  yes: wait for a broadcast, or a tick
//! ```
//!
//! # When to use something else
//!
//! [`crate::kern::localcount`] if the reference moves between CPUs or LWPs, or is held for long. A read section
//! alone, if the holder does not sleep.
//!
//! # Differences from NetBSD
//!
//! * `release` checks whether the target is being destroyed *before* it lowers the level. NetBSD checks afterwards;
//!   by then a sweep may have run on this CPU and answered "not held", and the target may be freed.
//! * The result of a sweep is in the target (`prt_held`) and not on the destroyer's stack.
//! * A class is a small handle that is copied. It contains the level and the place of its lists.
//! * A `Psref` knows whether it is in use. Acquiring with one that already holds a reference breaks a contract at
//!   once, and not only when the list is walked. A `Psref` must not be dropped or moved while it holds a reference.
//!
//! A class must outlive the `release` that broadcasts to it. As in NetBSD, its owner is responsible for that.
//!
//! # Sources
//!
//! psref(9); `sys/kern/subr_psref.c` 1.18, and 1.10 for the historical variant.

mod reference;

use reference::Held;
pub use reference::Psref;

use crate::contract;
use crate::history::Bug;
use crate::kern::condvar::Kcondvar;
use crate::kern::contract::assert_sleepable;
use crate::kern::cpu::Cpu;
use crate::kern::inside::{Awaited, inside_for};
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{self, Arg, Lwp, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::order::{self, Resource, Sort};
use crate::kern::percpu::{Percpu, PercpuData, PercpuOffset, percpu_alloc};
use crate::kern::softint;
use crate::kern::spl::{self, Ipl};
use crate::kern::xcall::{self, Priority};
use crate::kernel::Kernel;
use crate::mem::{AtomicBool, AtomicU32, Local, Plain, Relaxed};
use crate::note;

/// The references of one class on one CPU (`struct psref_cpu`).
struct PsrefCpu {
    pcpu_head: Plain<*const Psref>,
}

// SAFETY: (1) a null pointer is the empty list; (2) one cell of eight bytes; (3) nothing points at it.
unsafe impl PercpuData for PsrefCpu {}

/// The memory of a class: what destroyers of its targets wait on, and the lists.
struct ClassData {
    prc_lock: Kmutex,
    prc_cv: Kcondvar,
    prc_percpu: Percpu<PsrefCpu>,
}

crate::fields!(ClassData { prc_lock, prc_cv });

impl ClassData {
    /// The name of the class.
    fn name(&self) -> &'static str {
        self.prc_cv.wmesg()
    }
}

/// A class of targets (`struct psref_class`): a handle that is copied. It has everything that a reference needs.
#[derive(Clone, Copy)]
pub struct PsrefClass {
    prc_data: &'static ClassData,
    /// The offset of the lists.
    prc_offset: PercpuOffset<PsrefCpu>,
    prc_ipl: Ipl,
}

impl PartialEq for PsrefClass {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.prc_data, other.prc_data)
    }
}

impl PsrefClass {
    /// Creates a class whose references are acquired at most at level `ipl` (`psref_class_create`). `name` is for
    /// reports.
    ///
    /// Returns `None` if there is no memory. Context: thread that may sleep, or boot. Panics: contracts
    /// `psref-class-ipl`, `sleepable`.
    #[track_caller]
    pub fn create(name: &'static str, ipl: Ipl) -> Option<PsrefClass> {
        // The sweep is a softint of this level.
        contract!(
            ipl.is_soft(),
            "psref-class-ipl",
            "psref_class_create({name}) at level {}, which is not a soft one",
            ipl.name()
        );
        let prc_percpu = percpu_alloc()?;
        let data = kmem_alloc_nosleep(
            "psref class",
            ClassData {
                prc_lock: Kmutex::new(name, ipl),
                prc_cv: Kcondvar::new(name),
                prc_percpu,
            },
        );
        if data.is_none() {
            prc_percpu.free_at_rest();
        }
        Some(PsrefClass {
            prc_data: data?,
            prc_offset: prc_percpu.offset(),
            prc_ipl: ipl,
        })
    }

    /// Destroys a class (`psref_class_destroy`). All of its targets have been destroyed.
    ///
    /// Context: thread that may sleep. Panics: contracts `psref-class-busy`, `sleepable`.
    ///
    /// # Safety
    ///
    /// 1. The class was returned by [`create`](Self::create). 2. No thread uses it any more. The simulated machine
    ///    checks this.
    #[track_caller]
    pub unsafe fn destroy(self) {
        assert_sleepable("psref_class_destroy");
        // SAFETY: the caller's promise.
        unsafe { self.destroy_at_rest() };
    }

    /// [`destroy`](Self::destroy) without a context check. For teardown, when nothing runs.
    ///
    /// # Safety
    ///
    /// As [`destroy`](Self::destroy).
    #[track_caller]
    pub unsafe fn destroy_at_rest(self) {
        for ci in curlwp().kernel().cpus() {
            contract!(
                self.prc_data.prc_percpu.peek(ci).pcpu_head.peek().is_null(),
                "psref-class-busy",
                "psref_class_destroy({}) while cpu{} has references",
                self.name(),
                ci.index()
            );
        }
        self.prc_data.prc_cv.destroy();
        self.prc_data.prc_lock.destroy();
        self.prc_data.prc_percpu.free_at_rest();
        // SAFETY: the caller's promise.
        unsafe { kmem_free(self.prc_data) };
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.prc_data.name()
    }

    /// Whether the reference at `at` is on the list of this CPU, without an access that the host sees: for code of another
    /// language, whose memory for a reference has anything in it before.
    ///
    /// Context: as [`Psref::acquire`].
    pub fn lists(&self, at: *const Psref) -> bool {
        let mut next = self.prc_data.prc_percpu.peek(curcpu()).pcpu_head.peek();
        // SAFETY: as in `find`.
        while let Some(psref) = unsafe { next.as_ref() } {
            if core::ptr::eq(psref, at) {
                return true;
            }
            next = psref.psref_next.peek();
        }
        false
    }
}

/// An object that passive references can be held to, or a part of such an object (`struct psref_target`).
pub struct PsrefTarget {
    /// The class, from `init` to the end of `destroy`.
    prt_class: Local<Option<PsrefClass>>,
    /// [`spl::AFTERWARDS`] while it is being destroyed, because then there is a thread to wake; otherwise 0.
    prt_draining: AtomicU32,
    /// Whether a CPU has a reference: the result of the sweep.
    prt_held: AtomicBool,
}

crate::fields!(PsrefTarget {
    prt_class,
    prt_draining,
    prt_held
});

impl Default for PsrefTarget {
    fn default() -> Self {
        Self::new()
    }
}

impl PsrefTarget {
    /// Creates a target, which must be initialized before use.
    pub const fn new() -> Self {
        PsrefTarget {
            prt_class: Local::new(None),
            prt_draining: AtomicU32::new(0),
            prt_held: AtomicBool::new(false),
        }
    }

    /// Makes this a target of `class` (`psref_target_init`). The caller publishes it with a release afterwards.
    ///
    /// Context: any but a hard interrupt; no other thread knows the target.
    #[track_caller]
    pub fn init(&self, class: PsrefClass) {
        self.prt_class.set(Some(class));
        self.prt_draining.store(0, Relaxed);
    }

    /// Waits until no reference is held (`psref_target_destroy`).
    ///
    /// The caller makes sure that no reference is acquired any more.
    /// Context: thread that may sleep; holds no reference to it. Panics: contracts `psref-class`,
    /// `psref-destroy-twice`, `sleepable`.
    #[track_caller]
    pub fn destroy(&self, class: PsrefClass) {
        assert_sleepable("psref_target_destroy");
        self.assert_class("psref_target_destroy", class);
        contract!(
            self.prt_draining.load(Relaxed) == 0,
            "psref-destroy-twice",
            "psref_target_destroy by {} of a target of class {} that is being destroyed already",
            curlwp().name(),
            class.name()
        );
        let _inside = inside_for("psref_target_destroy", Awaited::Psrefs(Arg::of(self)));
        order::sleeps(self.resource(class), "cv_timedwait");
        self.prt_draining.store(spl::AFTERWARDS, Relaxed);
        let l = curlwp();
        while self.swept(class) {
            note!(
                "{} waits for references of class {}",
                l.name(),
                class.name()
            );
            l.kernel().counters.psref_waits.incr();
            // Not held during the sweep, so a release in between wakes nobody: hence the tick.
            let ClassData {
                prc_lock, prc_cv, ..
            } = class.prc_data;
            prc_lock.enter();
            let _hint = prc_cv.timedwait(prc_lock, 1);
            prc_lock.exit();
        }
        // An acquire after this is detected.
        self.prt_class.set(None);
    }

    /// The resource that destroyers wait for.
    #[inline(always)]
    fn resource(&self, class: PsrefClass) -> Resource {
        order::lock(Sort::Psrefs, self, class.name())
    }

    /// Asks every CPU whether it has a reference (`psreffed_p`).
    #[track_caller]
    fn swept(&self, class: PsrefClass) -> bool {
        let kernel = curlwp().kernel();
        kernel.counters.psref_sweeps.incr();
        self.prt_held.store(false, Relaxed);
        // subr_psref.c up to 1.10 (before 2018-02-01): by the cross-call threads, which a busy softint keeps from
        // running.
        let priority = match kernel.config().history.has(Bug::PsrefSweepLow) {
            true => Priority::Low,
            false => Priority::High(class.prc_ipl),
        };
        let args = (Arg::of(self), Arg::NONE);
        xcall::wait(xcall::broadcast(priority, sweep, args));
        self.prt_held.load(Relaxed)
    }

    /// Whether the caller holds a reference to it. For assertions (`psref_held`).
    ///
    /// Context: as [`Psref::acquire`]. Panics: contracts `psref-context`, `psref-unbound`, `psref-class`,
    /// `psref-cpu`.
    #[track_caller]
    pub fn held(&self, class: PsrefClass) -> bool {
        assert_context("psref_held", class);
        self.assert_class("psref_held", class);
        let l = curlwp();
        find(self, class, |psref| {
            psref.psref_lwp.get().is_some_and(|by| core::ptr::eq(by, l))
        })
    }

    /// Whether destroyers of its class sleep on `wchan`. For reports.
    pub(crate) fn is_wchan(&self, wchan: usize) -> bool {
        self.prt_class
            .peek()
            .is_some_and(|class| class.prc_data.prc_cv.is_wchan(wchan))
    }

    #[track_caller]
    fn assert_class(&self, what: &str, class: PsrefClass) {
        if cfg!(feature = "contracts") {
            let of = self.prt_class.get();
            contract!(
                of == Some(class),
                "psref-class",
                "{what} in {} for class {} of a target {} {}",
                curlwp().name(),
                class.name(),
                of.map_or("that has been destroyed, or is of", |_| "of class"),
                of.map_or("no class", |of| of.name())
            );
        }
    }
}

/// The function of a sweep: records whether this CPU has a reference (`psreffed_p_xc`).
fn sweep(target: Arg, _: Arg) {
    // SAFETY: `destroy` waits for the cross call, and its caller keeps the target until it has returned.
    let target: &'static PsrefTarget = unsafe { target.get() };
    let Some(class) = target.prt_class.get() else {
        crate::machine::stop(
            crate::machine::Stop::Contract("psref-class"),
            format_args!(
                "cpu{} is asked about a target of no class: psref_target_destroy has returned",
                curcpu().index()
            ),
        )
    };
    // Of any LWP: a reference of another LWP on this CPU counts as well.
    if find(target, class, |_| true) {
        // Every CPU that writes writes the same value.
        target.prt_held.store(true, Relaxed);
    }
}

/// Whether this CPU has a matching reference to `target` (`_psref_held`).
#[track_caller]
fn find(target: &PsrefTarget, class: PsrefClass, fits: impl Fn(&Psref) -> bool) -> bool {
    let s = spl::splraise(class.prc_ipl);
    let pcpu = class.prc_offset.of(curcpu());
    let mut next = pcpu.pcpu_head.get();
    let mut found = false;
    // SAFETY: a psref is on the list from `acquire` to `release`, and stays where it is in between; the level
    // keeps others of this CPU off the list.
    while let Some(psref) = unsafe { next.as_ref() } {
        contract!(
            psref
                .psref_cpu
                .get()
                .is_some_and(|ci| core::ptr::eq(ci, curcpu())),
            "psref-cpu",
            "{} is on the list of cpu{}",
            Held(psref, class.prc_data),
            curcpu().index()
        );
        found = core::ptr::eq(psref.psref_target.get(), target) && fits(psref);
        if found {
            break;
        }
        next = psref.psref_next.get_fused();
    }
    spl::splx(s);
    found
}

/// Checks that the caller may hold references of `class`.
#[track_caller]
fn assert_context(what: &str, class: PsrefClass) {
    if cfg!(feature = "contracts") {
        let l = curlwp();
        contract!(
            !spl::cpu_intr_p(),
            "psref-context",
            "{what} for class {} in a hard interrupt on {}",
            class.name(),
            l.name()
        );
        let level = softint::level_of(l);
        contract!(
            level <= class.prc_ipl,
            "psref-context",
            "{what} in {} for class {}, which is used up to level {}",
            l.name(),
            class.name(),
            class.prc_ipl.name()
        );
        contract!(
            lwp::on_this_cpu(),
            "psref-unbound",
            "{what} for class {} in {}, which is not bound and can be preempted: it could be moved",
            class.name(),
            l.name()
        );
    }
}

/// Maximum number of references that a report follows on one list.
const REPORTED: usize = 256;

/// Calls `visit` with the LWP and the CPU of every reference to `target`: for reports, when the kernel has stopped.
pub fn holders(
    kernel: &'static Kernel,
    target: &PsrefTarget,
    visit: &mut dyn FnMut(&'static Lwp, &'static Cpu),
) {
    let Some(class) = target.prt_class.peek() else {
        return;
    };
    for ci in kernel.cpus() {
        let mut next = class.prc_data.prc_percpu.peek(ci).pcpu_head.peek();
        for _ in 0..REPORTED {
            // SAFETY: the list is as its CPU left it, and nothing runs.
            let Some(psref) = (unsafe { next.as_ref() }) else {
                break;
            };
            if core::ptr::eq(psref.psref_target.peek(), target)
                && let Some(l) = psref.psref_lwp.peek()
            {
                visit(l, ci);
            }
            next = psref.psref_next.peek();
        }
    }
}

/// The class of a target: for reports.
pub fn class_of(target: &PsrefTarget) -> Option<PsrefClass> {
    target.prt_class.peek()
}
