//! localcount(9): reference counts that cost no communication between CPUs.
//!
//! # Overview
//!
//! Every CPU counts in a word of its own, up for [`Localcount::acquire`] and down for
//! [`Localcount::release`]. A reference may be released by another LWP on another CPU than it was
//! acquired by, so **a CPU's count may well be negative: only the sum means something**, and nobody
//! knows the sum until it is asked for. That is [`Localcount::drain`]: it switches the counter over to
//! one common total, adds up what the CPUs have by a cross call, and waits until the total is 0.
//!
//! # Contexts
//!
//! `acquire`: any. `release`: any from which the interlock can be entered, and not with it held. `init`:
//! thread that may sleep, or boot. `drain`, `fini`: thread that may sleep.
//!
//! # Per-CPU operation
//!
//! A count is touched by its own CPU alone, with preemption off, and in one piece, because an interrupt may count too:
//! at IPL_HIGH, or, in a kernel without points and historical variants, by one instruction.
//!
//! # How a drain works
//!
//! `lc_totalp` says where releases count: null: on their CPU; the address of a total: there, under the
//! interlock; `DRAINED`: nowhere any more.
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
//! A release that found null has counted on its CPU before the cross call's thread runs there. So once
//! all functions have returned, whoever still has a reference will find the total.
//!
//! # Invariants
//!
//! 1. Counts and total add up to the number of references, when the functions of the cross call do not run.
//! 2. After the cross call the total is the number of references, and not negative.
//! 3. Nobody acquires once `drain` has begun: the caller has unlinked the object and waited for its readers.
//!
//! # Lock order
//!
//! The functions of the low-priority cross call enter the interlock. So **nobody may hold the interlock and
//! wait for a low-priority cross call**, for its slot or for its end. `drain` itself gives it up meanwhile.
//!
//! # When to use something else
//!
//! [`crate::kern::psref`] if the reference stays with one LWP on one CPU: it needs no count at all.
//!
//! # Differences from NetBSD
//!
//! There the total is a variable on the drainer's stack. Here it lies in memory of its own, which `init`
//! allocates (a drain cannot fail) and `drain` frees when it returns: whoever counts there any later
//! is found, as it would not be on a stack that is in use for something else by then.
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
use crate::kern::kmem::{kmem_alloc, kmem_free};
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

/// What `lc_totalp` is after the drain: no total has this address.
const DRAINED: usize = 1;

/// Where releases count while the counter is drained. Under the interlock.
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
    /// The number of references, for contracts. Counted in the step under way, as an event counter is.
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
    /// A counter that is to be initialized.
    pub const fn new() -> Self {
        Localcount {
            lc_totalp: AtomicPtr::new(core::ptr::null_mut()),
            lc_percpu: Plain::new(None),
            lc_total: Local::new(None),
            lc_refcnt: AtomicU32::new(0),
        }
    }

    /// Gives the counter its per-CPU counts, all 0 (`localcount_init`). `None` if there is no memory.
    ///
    /// The caller publishes the object with a release afterwards; it ends with [`drain`](Self::drain) and
    /// [`fini`](Self::fini).
    /// Context: thread that may sleep, or boot. Panics: contract `sleepable`.
    #[track_caller]
    pub fn init(&self) -> Option<()> {
        let percpu = percpu_alloc()?;
        let total = kmem_alloc(
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

    /// Ends a counter, drained or not, when nothing runs: for teardown.
    ///
    /// Panics (contract `localcount-fini`) if there are references.
    #[track_caller]
    pub(crate) fn fini_at_rest(&self) {
        let references = self.total(curlwp().kernel());
        contract!(
            references == 0,
            "localcount-fini",
            "a localcount ends with {references} references"
        );
        if let Some(total) = self.lc_total.get() {
            // SAFETY: (1) it came from `kmem_alloc`; (2) nothing runs.
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
    /// The caller sees to it that nobody drains the counter before this returns: it has a reference, or found
    /// the object in a read section.
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

    /// Takes a reference away (`localcount_release`). The object may be gone when it returns.
    ///
    /// `cv` and `interlock` are those of [`drain`](Self::drain).
    /// Context: any from which `interlock` can be entered; it is not held. Panics: contracts
    /// `localcount-ownable`, `localcount-underflow`, `localcount-release`.
    #[inline]
    #[track_caller]
    pub fn release(&self, cv: &Kcondvar, interlock: &Kmutex) {
        // Keeps the thread of the cross call off this CPU from the look at the pointer to the count.
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

    /// What its references are to who waits for their end.
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

    /// The slow path: somebody drains the counter, and this may be the last reference.
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
    /// The caller sees to it that nobody acquires any more. `interlock` is held; it is given up meanwhile.
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
        note!("drains, and gives up {}", interlock.name());
        // The functions enter it.
        interlock.exit();
        let args = (Arg::of(self), Arg::of(interlock));
        xcall::wait(xcall::broadcast(Priority::Low, drain_xc, args));
        interlock.enter();
        self.wait_for_zero(total, cv, interlock);
        self.lc_totalp
            .store(core::ptr::without_provenance_mut::<()>(DRAINED), Relaxed);
        self.lc_total.set(None);
        // SAFETY: (1) it came from `kmem_alloc`; (2) there are no references, so nobody counts any more.
        unsafe { kmem_free(total) };
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

    /// The number of references, as far as it is counted now: for reports, when the kernel has stopped.
    pub fn total(&self, kernel: &'static Kernel) -> i64 {
        let Some(percpu) = self.lc_percpu.peek() else {
            return 0;
        };
        let local: i64 = kernel.cpus().iter().map(|ci| percpu.peek(ci).peek()).sum();
        local + self.lc_total.peek().map_or(0, |total| total.total.peek())
    }

    /// Whether somebody waits in [`drain`](Self::drain): for reports.
    pub fn draining(&self) -> bool {
        self.lc_totalp.peek().addr() > DRAINED
    }
}

/// Raises the level for a change of a count, and gives the level that was.
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

/// Moves the count of this CPU over to the total (`localcount_xc`).
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
