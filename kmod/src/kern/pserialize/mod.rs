//! pserialize(9): passive serialization. Writers wait for readers; readers wait for nobody.
//!
//! # Overview
//!
//! A reader brackets its accesses with [`read_enter`] and [`read_exit`], and writes to no cache line but its CPU's
//! own. A writer unlinks an item (with [pslist](crate::kern::pslist)), calls [`Pserialize::perform`], and destroys
//! the item. When `perform` returns, every section that could have seen the item has ended.
//!
//! ```text
//! reader                                   writer
//! s = read_enter()                         remove(item)
//! item = first(list)                       perform()        waits for sections that began before
//! ... use it, do not sleep ...             destroy(item)
//! read_exit(s)
//! ```
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::kmem::{kmem_alloc, kmem_free};
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::pserialize::{self, Pserialize};
//! use kmod::mem::{Acquire, AtomicRef, Plain, Release};
//! use kmod::scenario::classics::shared;
//!
//! struct World {
//!     current: AtomicRef<Plain<u32>>,
//!     psz: Pserialize,
//! }
//!
//! fn read(world: Arg) {
//!     let world: &World = shared(world);
//!     let s = pserialize::read_enter();
//!     if let Some(value) = world.current.load(Acquire) {
//!         assert_eq!(value.get(), 1);
//!     }
//!     pserialize::read_exit(s);
//! }
//!
//! run(|| {
//!     let value = kmem_alloc("value", Plain::new(1)).expect("memory");
//!     let world = World { current: AtomicRef::new(), psz: Pserialize::new() };
//!     world.current.store(Some(value), Release);
//!     let reader = thread(read, Arg::of(&world));
//!     world.current.store(None, Release);
//!     world.psz.perform(); // every reader that could have seen it has finished
//!     // SAFETY: it came from `kmem_alloc`, and nobody uses it any more.
//!     unsafe { kmem_free(value) };
//!     kthread_join(reader);
//!     world.psz.destroy();
//! });
//! ```
//!
//! # How it works
//!
//! A section runs at IPL_SOFTSERIAL. `perform` asks for a softint of that level on every CPU and waits until all have
//! run. On a CPU with an open section it runs only after the section ends. (Since `subr_pserialize.c` 1.17; the older
//! algorithm is in `switchpoint`.)
//!
//! # Contexts
//!
//! [`read_enter`], [`read_exit`]: thread, and softint up to IPL_SOFTSERIAL; never a hard interrupt. Inside a section:
//! no sleep, no adaptive mutex, no rwlock. [`Pserialize::perform`]: thread that may sleep.
//!
//! # Per-CPU operation
//!
//! `ci_psz_read_depth` counts the open sections of a CPU; only that CPU accesses it, at IPL_SOFTSERIAL.
//!
//! # Memory order
//!
//! ```text
//! reader on CPU n                          writer
//! loads of a section                       unlinks the item
//! splx: end of the section                 xc_broadcast          the box's lock, IPI
//! softint: its function returns            ...
//! xc_donep += 1 (release)                  xc_wait (acquire): sees everything of the section
//!                                          frees the item
//! ```
//!
//! and a section that begins after the softint of its CPU sees the item unlinked.
//!
//! # When to use something else
//!
//! To sleep with the object: [`psref`](crate::kern::psref) (the LWP stays on its CPU) or
//! [`localcount`](crate::kern::localcount).
//!
//! # Differences from NetBSD
//!
//! No observable differences. In the rump wiring of cross calls `perform` makes a low-priority call, as in NetBSD.
//!
//! # Sources
//!
//! pserialize(9); `sys/kern/subr_pserialize.c` 1.24, and 1.8 to 1.13 for the historical algorithm.

mod switchpoint;

use core::sync::atomic::compiler_fence;

use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::inside;
use crate::kern::lwp::{curcpu, curlwp};
use crate::kern::spl::{self, Ipl};
use crate::kern::xcall::{self, Priority};
use crate::mem::SeqCst;
use crate::note;

pub(crate) use switchpoint::{Switchpoints, switchpoint};

/// The object on which the writers of one data structure perform (`pserialize_t`).
///
/// The current algorithm keeps nothing in it: any number of LWPs may perform at once. The historical one allows one
/// LWP at a time.
#[derive(Default)]
#[repr(C)]
pub struct Pserialize {
    historical: switchpoint::Request,
}

crate::fields!(Pserialize { historical });

impl Pserialize {
    /// (`pserialize_create`.)
    pub const fn new() -> Self {
        Pserialize {
            historical: switchpoint::Request::new(),
        }
    }

    /// Waits until every read section that is open on any CPU has ended (`pserialize_perform`).
    ///
    /// Cost: one high-priority broadcast. Context: thread that may sleep.
    /// Panics: contracts `psz-context`, `sleepable`, `xcall-context`.
    #[track_caller]
    pub fn perform(&self) {
        contract!(
            !spl::cpu_intr_p() && !spl::cpu_softintr_p(),
            "psz-context",
            "pserialize_perform was called in an interrupt, on {}",
            curlwp().name()
        );
        assert_sleepable("pserialize_perform");
        let kernel = curlwp().kernel();
        let _inside = inside("pserialize_perform");
        kernel.counters.psz_performs.incr();
        note!("waits for readers");
        let grace = kernel.psz_graces.begin();
        // Until the other CPUs run there is nothing to wait for.
        if kernel.mp_online() && !switchpoint::perform(kernel, &self.historical) {
            xcall::barrier(Priority::HIGH);
        }
        kernel.psz_graces.end(grace);
    }

    /// Destroys it (`pserialize_destroy`).
    ///
    /// Context: any. Panics (contract `psz-owner`) if an LWP performs on it.
    #[track_caller]
    pub fn destroy(&self) {
        self.historical.assert_unowned("pserialize_destroy");
    }
}

/// Begins a read section (`pserialize_read_enter`). Pass the result to [`read_exit`]. Calls nest.
///
/// Cost: raises the level, and increments a word of this CPU.
/// Context: thread, softint. Panics: contracts `psz-read-context`, `psz-read-level`.
#[inline]
#[track_caller]
pub fn read_enter() -> Ipl {
    contract!(
        !spl::cpu_intr_p(),
        "psz-read-context",
        "pserialize_read_enter was called in a hard interrupt, on {}",
        curlwp().name()
    );
    let s = spl::splsoftserial();
    contract!(
        s <= Ipl::SoftSerial,
        "psz-read-level",
        "pserialize_read_enter in {} at level {}: a section runs at softserial",
        curlwp().name(),
        s.name()
    );
    let depth = &curcpu().ci_psz_read_depth;
    depth.set(depth.get() + 1);
    compiler_fence(SeqCst);
    s
}

/// Ends the read section whose [`read_enter`] returned `s` (`pserialize_read_exit`).
///
/// Context: as [`read_enter`], on the same CPU; the raised level guarantees that.
/// Panics (contract `psz-balance`) if no section is open here.
#[inline]
#[track_caller]
pub fn read_exit(s: Ipl) {
    compiler_fence(SeqCst);
    let depth = &curcpu().ci_psz_read_depth;
    contract!(
        depth.get() != 0 && spl::ilevel() >= Ipl::SoftSerial,
        "psz-balance",
        "pserialize_read_exit in {} at level {}, with {} sections open on cpu{}",
        curlwp().name(),
        spl::ilevel().name(),
        depth.get(),
        curcpu().index()
    );
    depth.set(depth.get().wrapping_sub(1));
    spl::splx(s);
}

/// Whether the caller is in a read section (`pserialize_in_read_section`): for assertions.
pub fn in_read_section() -> bool {
    spl::ilevel() >= Ipl::SoftSerial && !not_in_read_section()
}

/// Whether the caller is in no read section (`pserialize_not_in_read_section`): for assertions.
///
/// With preemption on, the CPU may change during the check. Then the LWP was switched away, which cannot happen in a
/// section.
pub fn not_in_read_section() -> bool {
    let l = curlwp();
    let switches = l.l_ncsw.get();
    compiler_fence(SeqCst);
    let depth = l.cpu_unlocked().ci_psz_read_depth.look();
    compiler_fence(SeqCst);
    l.l_ncsw.get() != switches || depth == 0
}
