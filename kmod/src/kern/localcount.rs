//! localcount(9): reference counts that need no communication between CPUs.
//!
//! # Overview
//!
//! Every CPU has its own count: [`Localcount::acquire`] increments it, [`Localcount::release`] decrements it. A
//! reference may be released by another LWP and on another CPU than it was acquired, so **a CPU's count may be
//! negative: only the sum has a meaning**. The sum is computed only by [`Localcount::drain`]: it switches the counter
//! to one common total, adds up the counts of all CPUs with a cross call, and waits until the total is 0.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::condvar::Kcondvar;
//! use kmod::kern::localcount::Localcount;
//! use kmod::kern::mutex::Kmutex;
//! use kmod::kern::spl::Ipl;
//!
//! run(|| {
//!     let lock = Kmutex::new("drain", Ipl::SoftNet);
//!     let drained = Kcondvar::new("drain");
//!     let references = Localcount::new();
//!     references.init().expect("memory");
//!
//!     references.acquire();
//!     references.release(&drained, &lock);
//!
//!     lock.enter();
//!     references.drain(&drained, &lock); // waits until every reference is released
//!     lock.exit();
//!     references.fini();
//!     drained.destroy();
//!     lock.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! `acquire`: any. `release`: any in which the interlock can be entered, and without holding it. `init`: thread that
//! may sleep, or boot. `drain`, `fini`: thread that may sleep.
//!
//! # Per-CPU operation
//!
//! A count is touched by its own CPU alone, with preemption off, and atomically with respect to interrupts, which may
//! also update it: at IPL_HIGH, or, in a kernel without points and historical variants, with one instruction.
//!
//! # How a drain works
//!
//! `lc_totalp` says where releases count: null: on their CPU; the address of a total: there, under the interlock;
//! `DRAINED`: not allowed any more.
//!
//! ```text
//! drain (interlock held)             release
//! lc_totalp = &total                 preemption off      <- the cross call cannot come in between
//! exit interlock                     lc_totalp null?
//! cross call to each CPU:              yes: count -= 1 here
//!   enter interlock                    no: enter interlock; total -= 1; 0: broadcast; exit
//!   total += count; count = 0        preemption on
//!   exit interlock
//! enter interlock
//! while total != 0: wait
//! lc_totalp = DRAINED
//! ```
//!
//! A release that saw null has counted on its CPU before the cross call's thread runs there. So once all functions
//! have returned, every remaining holder will see the total.
//!
//! # Invariants
//!
//! 1. While no function of the cross call runs, counts and total add up to the number of references.
//! 2. After the cross call the total is the number of references, and not negative.
//! 3. No reference is acquired once `drain` has begun: the caller has unlinked the object and waited for its readers.
//!
//! # Lock order
//!
//! The functions of the low-priority cross call enter the interlock. So **no thread may hold the interlock while it
//! waits for a low-priority cross call**, for its slot or for its end. `drain` itself releases the interlock during
//! the call.
//!
//! # When to use something else
//!
//! [`crate::kern::psref`] if the reference stays with one LWP on one CPU: it needs no count at all.
//!
//! # Differences from NetBSD
//!
//! In NetBSD the total is a variable on the drainer's stack. Here it is allocated by `init` (a drain cannot fail) and
//! freed when `drain` returns. So a count that comes later is detected; on a reused stack it would not be.
//!
//! # Sources
//!
//! localcount(9); `sys/kern/subr_localcount.c` 1.8, and 1.7 for the historical variant.

use core::sync::atomic::AtomicU32;

use crate::contract;
use crate::history::Bug;
use crate::kern::condvar::Kcondvar;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::{Awaited, inside_for};
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::order::{self, Resource, Sort};
use crate::kern::percpu::{Percpu, percpu_alloc};
use crate::kern::shares;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch;
use crate::kern::xcall::{self, Priority};
use crate::kernel::Kernel;
use crate::machine::{self, Mark};
use crate::mem::{self, AtomicPtr, Local, Plain, Relaxed};
use crate::note;

/// The value of `lc_totalp` after the drain. No total has this address.
const DRAINED: usize = 1;

/// Where releases count while the counter is drained. Protected by the interlock.
struct Total {
    total: Plain<i64>,
}

crate::fields!(Total { total });

/// A reference count (`struct localcount`).
pub struct Localcount {
    lc_totalp: AtomicPtr,
    lc_percpu: Plain<Option<Percpu<Plain<i64>>>>,
    /// The memory of the total, from `init` to the end of `drain`.
    lc_total: Local<Option<&'static Total>>,
    /// The number of references, for contracts. Counted as part of the current step, as an event counter is.
    lc_refcnt: AtomicU32,
}

crate::fields!(Localcount {
    lc_totalp,
    lc_percpu,
    lc_total
});

impl Default for Localcount {
    fn default() -> Self {
        Self::new()
    }
}

impl Localcount {
    /// Creates a counter, which must be initialized ([`init`](Self::init)) before use.
    pub const fn new() -> Self {
        Localcount {
            lc_totalp: AtomicPtr::new(core::ptr::null_mut()),
            lc_percpu: Plain::new(None),
            lc_total: Local::new(None),
            lc_refcnt: AtomicU32::new(0),
        }
    }

    /// Gives the counter its per-CPU counts, all 0 (`localcount_init`). Returns `None` if there is no memory.
    ///
    /// The caller publishes the object with a release store afterwards. The counter ends with [`drain`](Self::drain)
    /// and [`fini`](Self::fini).
    /// Context: thread that may sleep, or boot. Panics: contract `sleepable`.
    #[track_caller]
    pub fn init(&self) -> Option<()> {
        let percpu = percpu_alloc()?;
        let total = kmem_alloc_nosleep(
            "localcount total",
            Total {
                total: Plain::new(0),
            },
        );
        if total.is_none() {
            percpu.free_at_rest();
            return None;
        }
        self.lc_percpu.set(Some(percpu));
        self.lc_total.set(total);
        self.lc_refcnt.store(0, Relaxed);
        self.lc_totalp.store(core::ptr::null_mut(), Relaxed);
        Some(())
    }

    /// Ends a counter that was drained (`localcount_fini`).
    ///
    /// Context: thread that may sleep. Panics: contracts `localcount-fini`, `sleepable`.
    #[track_caller]
    pub fn fini(&self) {
        contract!(
            self.lc_totalp.load(Relaxed).addr() == DRAINED,
            "localcount-fini",
            "localcount_fini by {} of a localcount that was not drained",
            curlwp().name()
        );
        self.percpu().free();
    }

    /// Ends a counter, drained or not, when nothing runs. For teardown.
    ///
    /// Panics (contract `localcount-fini`) if there are references.
    #[track_caller]
    pub fn fini_at_rest(&self) {
        let references = self.total(curlwp().kernel());
        contract!(
            references == 0,
            "localcount-fini",
            "a localcount ends with {references} references"
        );
        if let Some(total) = self.lc_total.get() {
            // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nothing runs.
            unsafe { kmem_free(total) };
        }
        self.percpu().free_at_rest();
    }

    #[inline]
    #[track_caller]
    fn percpu(&self) -> Percpu<Plain<i64>> {
        match self.lc_percpu.get() {
            Some(percpu) => percpu,
            // SAFETY: what the contract says: `init` came before.
            None if !cfg!(feature = "contracts") => unsafe { core::hint::unreachable_unchecked() },
            None => crate::machine::stop(
                crate::machine::Stop::Contract("localcount-init"),
                format_args!(
                    "{} uses a localcount that was not initialized",
                    curlwp().name()
                ),
            ),
        }
    }

    /// Adds a reference (`localcount_acquire`).
    ///
    /// The caller makes sure that no thread drains the counter before this returns: it has a reference, or found the
    /// object in a read section.
    /// Context: any. Panics: contracts `localcount-acquire`, `localcount-init`, `localcount-overflow`.
    #[inline]
    #[track_caller]
    pub fn acquire(&self) {
        contract!(
            self.lc_totalp.load(Relaxed).is_null(),
            "localcount-acquire",
            "localcount_acquire by {} of a localcount that is being drained, or was",
            curlwp().name()
        );
        if cfg!(feature = "contracts") {
            let before = self.lc_refcnt.fetch_add(1, Relaxed);
            contract!(
                before != u32::MAX,
                "localcount-overflow",
                "localcount_acquire by {}: there are {before} references already",
                curlwp().name()
            );
        }
        machine::mark(Mark::Shared(core::ptr::from_ref(self).addr()));
        synch::kpreempt_disable();
        adjust::<1>(self.percpu());
        synch::kpreempt_enable();
        order::holds(self.resource(), true);
        shares::take(self);
    }

    /// Releases a reference (`localcount_release`). The object may be gone when it returns.
    ///
    /// `cv` and `interlock` are those of [`drain`](Self::drain).
    /// Context: any in which `interlock` can be entered; it is not held. Panics: contracts
    /// `localcount-ownable`, `localcount-underflow`, `localcount-release`.
    #[inline]
    #[track_caller]
    pub fn release(&self, cv: &Kcondvar, interlock: &Kmutex) {
        // Keeps the thread of the cross call off this CPU from the read of the pointer to the count.
        synch::kpreempt_disable();
        self.assert_may_release(interlock);
        order::returns(self.resource());
        shares::give_back_anyones(self);
        machine::mark(Mark::Released(core::ptr::from_ref(self).addr()));
        if self.lc_totalp.load(Relaxed).is_null() {
            adjust::<-1>(self.percpu());
        } else {
            self.release_drained(cv, interlock);
        }
        synch::kpreempt_enable();
    }

    /// The resource that a thread waits for in `drain`.
    #[inline(always)]
    fn resource(&self) -> Resource {
        order::lock(Sort::Localcount, self, "localcount")
    }

    #[track_caller]
    fn assert_may_release(&self, interlock: &Kmutex) {
        if cfg!(feature = "contracts") {
            let l = curlwp();
            contract!(
                !interlock
                    .owner()
                    .is_some_and(|owner| core::ptr::eq(owner, l)),
                "localcount-ownable",
                "localcount_release by {} with its interlock {} held, which it may have to enter",
                l.name(),
                interlock.name()
            );
            let before = self.lc_refcnt.fetch_sub(1, Relaxed);
            contract!(
                before != 0,
                "localcount-underflow",
                "localcount_release by {} of a localcount without references",
                l.name()
            );
        }
    }

    /// The slow path: a thread drains the counter, and this may be the last reference.
    #[cold]
    #[track_caller]
    fn release_drained(&self, cv: &Kcondvar, interlock: &Kmutex) {
        curlwp().kernel().counters.localcount_slow.incr();
        interlock.enter();
        let at = self.lc_totalp.load(Relaxed);
        contract!(
            at.addr() != DRAINED,
            "localcount-release",
            "localcount_release by {} after the localcount was drained",
            curlwp().name()
        );
        // SAFETY: it is the total of a drain, which does not return before this reference was counted off: the
        // promise under test, which the simulated machine checks at each access.
        let total: &'static Total = unsafe { mem::object(at.cast::<Total>()) };
        let left = total.total.get() - 1;
        total.total.set(left);
        if left == 0 {
            cv.broadcast();
        }
        interlock.exit();
    }

    /// Waits until there are no references (`localcount_drain`).
    ///
    /// The caller makes sure that no reference is acquired any more. `interlock` is held; it is released during the
    /// wait.
    /// Context: thread that may sleep. Panics: contracts `localcount-interlock`, `localcount-drain`,
    /// `localcount-negative`, `sleepable`.
    #[track_caller]
    pub fn drain(&self, cv: &Kcondvar, interlock: &Kmutex) {
        assert_sleepable("localcount_drain");
        let l = curlwp();
        contract!(
            interlock.owned(),
            "localcount-interlock",
            "localcount_drain by {} without its interlock {}",
            l.name(),
            interlock.name()
        );
        let total = self.lc_total.get();
        contract!(
            self.lc_totalp.load(Relaxed).is_null() && total.is_some(),
            "localcount-drain",
            "localcount_drain by {} of a localcount that is being drained, or was",
            l.name()
        );
        let Some(total) = total else { return };
        let awaited = Awaited::Localcount(Arg::of(self), Arg::of(cv));
        let _inside = inside_for("localcount_drain", awaited);
        order::wants_without(self.resource(), Some(interlock.resource()));
        l.kernel().counters.localcount_drains.incr();
        self.lc_totalp
            .store(core::ptr::from_ref(total).cast_mut().cast(), Relaxed);
        note!("drains, and releases {}", interlock.name());
        // The functions enter it.
        interlock.exit();
        let args = (Arg::of(self), Arg::of(interlock));
        xcall::wait(xcall::broadcast(Priority::Low, drain_xc, args));
        interlock.enter();
        self.wait_for_zero(total, cv, interlock);
        self.lc_totalp
            .store(core::ptr::without_provenance_mut::<()>(DRAINED), Relaxed);
        self.lc_total.set(None);
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) there are no references, so nobody counts any more.
        unsafe { kmem_free(total) };
    }

    /// Whether it is being drained and has no references. At rest, when the cross call of the drain is over.
    pub(crate) fn is_drained_at_rest(&self) -> bool {
        self.lc_total
            .peek()
            .is_some_and(|total| total.total.peek() == 0)
    }

    #[track_caller]
    fn wait_for_zero(&self, total: &Total, cv: &Kcondvar, interlock: &Kmutex) {
        loop {
            let left = total.total.get();
            if left == 0 {
                return;
            }
            // All CPUs are added up: a count alone may be negative, their sum may not.
            contract!(
                left > 0,
                "localcount-negative",
                "{} drains a localcount that has {left} references: its counts were not kept by acquire and release alone",
                curlwp().name()
            );
            note!("{} waits for {left} references", curlwp().name());
            cv.wait(interlock);
        }
    }

    /// The number of references, as far as they are counted now. For reports, when the kernel has stopped.
    pub fn total(&self, kernel: &'static Kernel) -> i64 {
        let Some(percpu) = self.lc_percpu.peek() else {
            return 0;
        };
        let local: i64 = kernel.cpus().iter().map(|ci| percpu.peek(ci).peek()).sum();
        local + self.lc_total.peek().map_or(0, |total| total.total.peek())
    }

    /// Whether a thread waits in [`drain`](Self::drain). For reports.
    pub fn draining(&self) -> bool {
        self.lc_totalp.peek().addr() > DRAINED
    }
}

/// Raises the level for a change of a count, and returns the previous level.
#[inline]
#[track_caller]
fn count_begin() -> Ipl {
    // subr_localcount.c up to 1.7 (before 2024-08-16): only preemption was off, and a count that an interrupt
    // changed between the load and the store was lost.
    if curlwp().kernel().config().history.has(Bug::LocalcountPlain) {
        return spl::ilevel();
    }
    spl::splhigh()
}

/// Changes the count of this CPU (`localcount_adjust`). Preemption is off.
#[inline]
#[track_caller]
fn adjust<const DELTA: i64>(percpu: Percpu<Plain<i64>>) {
    let count = percpu.offset().of(curcpu());
    #[cfg(not(any(feature = "points", feature = "history")))]
    count.add_local::<DELTA>();
    #[cfg(any(feature = "points", feature = "history"))]
    {
        let s = count_begin();
        count.set(count.get() + DELTA);
        spl::splx(s);
    }
}

/// Adds the count of this CPU to the total (`localcount_xc`).
fn drain_xc(localcount: Arg, interlock: Arg) {
    // SAFETY: `drain` waits for the cross call, and its caller keeps the object until it has returned.
    let lc: &'static Localcount = unsafe { localcount.get() };
    // SAFETY: as above.
    let interlock: &'static Kmutex = unsafe { interlock.get() };
    interlock.enter();
    // SAFETY: `drain` keeps the total until the cross call has returned.
    let total: &'static Total = unsafe { mem::object(lc.lc_totalp.load(Relaxed).cast::<Total>()) };
    let percpu = lc.percpu();
    let count = percpu.getref();
    let s = count_begin();
    total.total.set(total.total.get() + count.get());
    count.set(0);
    spl::splx(s);
    percpu.putref();
    interlock.exit();
}
