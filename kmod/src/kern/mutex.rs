//! mutex(9): spin and adaptive mutual exclusion.
//!
//! # Overview
//!
//! The level given at creation decides the kind: IPL_NONE and the soft levels make an *adaptive* mutex, IPL_VM and
//! above a *spin* mutex. A spin mutex raises the level before it tries to lock. An adaptive mutex spins while its
//! owner runs on another CPU, and sleeps on a turnstile otherwise.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::mutex::Kmutex;
//! use kmod::kern::spl::Ipl;
//! use kmod::mem::Plain;
//! use kmod::scenario::classics::shared;
//!
//! struct Counter {
//!     lock: Kmutex,
//!     value: Plain<u32>,
//! }
//!
//! fn add(counter: Arg) {
//!     let counter: &Counter = shared(counter);
//!     counter.lock.enter();
//!     counter.value.set(counter.value.get() + 1);
//!     counter.lock.exit();
//! }
//!
//! run(|| {
//!     let counter = Counter { lock: Kmutex::new("counter", Ipl::None), value: Plain::new(0) };
//!     let other = thread(add, Arg::of(&counter));
//!     add(Arg::of(&counter));
//!     kthread_join(other);
//!     assert_eq!(counter.value.get(), 2);
//!     counter.lock.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! Adaptive: thread and softint. Spin: everywhere. An adaptive mutex is never entered with a spin
//! mutex held.
//!
//! # Per-CPU operation
//!
//! `ci_mtx_count` counts the spin mutexes held (downwards). `ci_mtx_oldspl` keeps the level from before the first
//! one. It is restored when the *last* one is released, in any order.
//!
//! # Memory order
//!
//! The release is a plain store, not an interlocked operation, and may overwrite the WAITERS bit that a waiter has
//! just set. So a waiter checks twice:
//!
//! ```text
//! waiter (holds the chain lock)          owner
//! set WAITERS (interlocked)              load word: no WAITERS
//!                                        store 0 (release)       <- wipes WAITERS out
//!                                        ... ci_curlwp = another (release)
//! owner on a CPU? yes: spin again
//! no (acquire): then its store is seen
//! WAITERS still set? no: try again
//! sleep
//! ```
//!
//! # The fast path
//!
//! Without contracts and points, an uncontended enter is one interlocked instruction and a branch; an exit is the
//! same without the interlock. The kind is not checked: the word of a spin mutex is never 0 and never an LWP's
//! address without flags, so both instructions fail on it, and the slow path handles it.
//!
//! # Invariants
//!
//! 1. Only one WAITERS bit is being set at a time for a mutex: the chain lock is held.
//! 2. The owner's release is the only operation on an owned mutex that is not interlocked. It is atomic with respect
//!    to interrupts of its own CPU.
//! 3. Preemption is off before the owner word is read, so that the owner's LWP is not reused in the meantime.
//!
//! # Differences from NetBSD
//!
//! A mutex has a name. A spin mutex keeps its holder, for reports. No priority inheritance.
//!
//! # Sources
//!
//! mutex(9); `sys/kern/kern_mutex.c` 1.112.

use crate::contract;
use crate::kern::lwp::{Lwp, curcpu, curlwp};
use crate::kern::order::{self, Resource, Sort};
use crate::kern::pserialize;
use crate::kern::sleepq::SyncObj;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch;
use crate::kern::turnstile::{self, Queue};
use crate::machine::{self, Described, Field, Kind, Mark, ObjectKind, Occasion};
use crate::mem::{Acquire, AtomicUsize, Relaxed, Release};
use crate::note;

const SPIN: usize = 1;
const WAITERS: usize = 2;
const FLAGS: usize = SPIN | WAITERS;

/// Checks the kind first: it decides what is checked or announced.
const KIND_FIRST: bool = cfg!(any(feature = "contracts", feature = "points"));

/// A mutex (`kmutex_t`).
#[repr(C)]
pub struct Kmutex {
    /// 0, or the address of the owner's LWP with flags. In a spin mutex SPIN is always set.
    mtx_owner: AtomicUsize,
    mtx_name: &'static str,
    mtx_ipl: Ipl,
}

/// To traces a mutex is one word, named after the field that holds it.
impl Described for Kmutex {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Lock;
}

impl Kmutex {
    /// Creates a mutex for data that is used at `ipl` at most (`mutex_init`). `name` is for reports.
    pub const fn new(name: &'static str, ipl: Ipl) -> Self {
        Kmutex {
            mtx_owner: AtomicUsize::new(free(ipl)),
            mtx_name: name,
            mtx_ipl: ipl,
        }
    }

    /// Destroys the mutex (`mutex_destroy`).
    ///
    /// Context: any; no other thread uses the mutex any more. Panics (contract `mutex-destroy`) if the mutex is owned
    /// or has waiters.
    #[track_caller]
    pub fn destroy(&self) {
        let owner = self.mtx_owner.load_fused(Relaxed);
        contract!(
            owner == free(self.mtx_ipl),
            "mutex-destroy",
            "mutex_destroy({}) by {}, while {} owns it{}",
            self.mtx_name,
            curlwp().name(),
            Owner(owner),
            match owner & WAITERS {
                0 => "",
                _ => " and others wait for it",
            }
        );
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.mtx_name
    }

    /// Whether it is a spin mutex.
    #[inline(always)]
    pub const fn is_spin(&self) -> bool {
        free(self.mtx_ipl) == SPIN
    }

    fn addr(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// The resource that its waiters wait for.
    #[inline(always)]
    pub(crate) fn resource(&self) -> Resource {
        order::lock(Sort::Mutex, self, self.mtx_name)
    }

    /// Enters the mutex, and waits for it if necessary (`mutex_enter`).
    ///
    /// Context: adaptive: thread or softint, no spin mutex held; spin: any. Panics: contracts `mutex-context`,
    /// `mutex-read-section`, `mutex-spin-held`, `mutex-recursion`.
    #[inline]
    #[track_caller]
    pub fn enter(&self) {
        if KIND_FIRST && self.is_spin() {
            return self.spin_enter();
        }
        let l = curlwp();
        self.assert_may_block(l);
        self.will_wait();
        machine::decide(self.addr(), Kind::MutexEnter, Acquire);
        if self
            .mtx_owner
            .compare_exchange_fused(0, word(l), Acquire, Relaxed)
            .is_err()
        {
            self.enter_slow();
        }
        l.count_lock(1);
        self.is_held();
        machine::mark(Mark::Held(self.addr()));
    }

    /// The caller is about to enter, and may have to wait. Spin mutexes are not part of the recorded lock order.
    #[inline(always)]
    #[track_caller]
    fn will_wait(&self) {
        if !self.is_spin() {
            order::wants(self.resource(), false);
        }
    }

    /// The caller has entered it.
    #[inline(always)]
    #[track_caller]
    fn is_held(&self) {
        if !self.is_spin() {
            order::holds(self.resource(), false);
        }
    }

    #[cold]
    #[track_caller]
    fn enter_slow(&self) {
        if self.is_spin() {
            self.spin_enter();
        } else {
            self.vector_enter(curlwp());
        }
    }

    /// Exits the mutex (`mutex_exit`).
    ///
    /// Context: that of its owner. Panics (contract `mutex-owned`) if the caller is not the owner.
    #[inline]
    #[track_caller]
    pub fn exit(&self) {
        if KIND_FIRST && self.is_spin() {
            return self.spin_exit();
        }
        let l = curlwp();
        machine::decide(self.addr(), Kind::MutexExit, Release);
        l.count_lock(-1);
        order::releases(self.resource());
        if !self.release(word(l)) {
            self.exit_slow();
        }
    }

    #[cold]
    #[track_caller]
    fn exit_slow(&self) {
        if self.is_spin() {
            return self.spin_exit();
        }
        contract!(
            self.mtx_owner.peek() & !FLAGS == word(curlwp()),
            "mutex-owned",
            "mutex_exit({}) by {}, but {} owns it",
            self.mtx_name,
            curlwp().name(),
            Owner(self.mtx_owner.peek())
        );
        self.vector_exit();
    }

    /// Stores 0 if the word is `owned`, and returns whether it was: atomically on this CPU, but not for other CPUs.
    ///
    /// An interrupt between the two would find an owner that is not on its CPU, and sleep on a bit that the store
    /// then overwrites. NetBSD uses a restartable sequence, or `cmpxchg` without the bus lock.
    #[inline(always)]
    #[track_caller]
    fn release(&self, owned: usize) -> bool {
        #[cfg(not(feature = "points"))]
        return self.mtx_owner.compare_exchange_local(owned, 0);
        #[cfg(feature = "points")]
        {
            let s = spl::splhigh();
            let owner = self.mtx_owner.load_fused(Relaxed);
            if owner == owned {
                // The gap in which a waiter elsewhere may set the bit: see the header.
                self.mtx_owner.store(0, Release);
                machine::mark(Mark::Released(self.addr()));
            }
            spl::splx_fused(s);
            owner == owned
        }
    }

    /// Enters the mutex if it is free (`mutex_tryenter`), and returns whether it did.
    ///
    /// Context: as [`enter`](Self::enter); does not wait.
    #[inline]
    #[track_caller]
    pub fn tryenter(&self) -> bool {
        if self.is_spin() {
            return self.spin_tryenter();
        }
        let l = curlwp();
        machine::decide(self.addr(), Kind::MutexEnter, Acquire);
        let entered = self
            .mtx_owner
            .compare_exchange_fused(0, word(l), Acquire, Relaxed)
            .is_ok();
        if entered {
            l.count_lock(1);
            self.is_held();
            machine::mark(Mark::Held(self.addr()));
        }
        entered
    }

    /// Whether the caller (adaptive) or any CPU (spin) owns it. For assertions (`mutex_owned`).
    #[track_caller]
    pub fn owned(&self) -> bool {
        let owner = self.mtx_owner.load_fused(Relaxed);
        if self.is_spin() {
            owner != SPIN
        } else {
            owner & !FLAGS == word(curlwp())
        }
    }

    /// The owner of a mutex: for reports.
    pub fn owner(&self) -> Option<&'static Lwp> {
        lwp_of(self.mtx_owner.peek())
    }

    #[track_caller]
    fn assert_may_block(&self, l: &Lwp) {
        if cfg!(feature = "contracts") {
            contract!(
                !spl::cpu_intr_p(),
                "mutex-context",
                "mutex_enter({}) of an adaptive mutex in a hard interrupt on {}",
                self.mtx_name,
                l.name()
            );
            contract!(
                pserialize::not_in_read_section(),
                "mutex-read-section",
                "mutex_enter({}) of an adaptive mutex by {} in a read section of pserialize",
                self.mtx_name,
                l.name()
            );
            let held = l.of_cpu(|ci| -ci.ci_mtx_count.look());
            contract!(
                held == 0,
                "mutex-spin-held",
                "mutex_enter({}) of an adaptive mutex by {} with {held} spin mutexes held",
                self.mtx_name,
                l.name()
            );
        }
    }

    /// The slow path of an adaptive enter (`mutex_vector_enter`).
    #[cold]
    #[track_caller]
    fn vector_enter(&self, l: &'static Lwp) {
        contract!(
            !l.is_idle(),
            "sleepable",
            "mutex_enter({}) would block the idle LWP {}",
            self.mtx_name,
            l.name()
        );
        l.l_wantlock
            .store_fused(core::ptr::from_ref(self).cast_mut().cast(), Relaxed);
        machine::happened(Occasion::Contended(self.addr()));
        synch::kpreempt_disable();
        let mut owner = self.mtx_owner.load(Relaxed);
        loop {
            if owner & !FLAGS == 0 {
                match self
                    .mtx_owner
                    .compare_exchange(owner, owner | word(l), Acquire, Relaxed)
                {
                    Ok(_) => break,
                    Err(now) => owner = now,
                }
                continue;
            }
            contract!(
                owner & !FLAGS != word(l),
                "mutex-recursion",
                "mutex_enter({}) by {}, which owns it: locking against myself",
                self.mtx_name,
                l.name()
            );
            if oncpu(owner) {
                owner = self.spin_while_oncpu(owner);
                continue;
            }
            self.block(owner);
            owner = self.mtx_owner.load(Relaxed);
        }
        l.l_wantlock.store_fused(core::ptr::null_mut(), Relaxed);
        synch::kpreempt_enable();
    }

    /// Spins until the owner exits the mutex or leaves its CPU. Preemption is on in between.
    #[track_caller]
    fn spin_while_oncpu(&self, mut owner: usize) -> usize {
        while oncpu(owner) {
            synch::kpreempt_enable();
            crate::mem::relax();
            synch::kpreempt_disable();
            owner = self.mtx_owner.load(Relaxed);
        }
        owner
    }

    /// Sleeps until the mutex is released, unless its release is imminent.
    #[track_caller]
    fn block(&self, owner: usize) {
        let chain = turnstile::lookup(self.addr());
        // With the chain locked no other LWP sets the bit; the owner may release at any time.
        let marked = owner & WAITERS != 0 && self.mtx_owner.load(Relaxed) == owner
            || self
                .mtx_owner
                .compare_exchange(owner & !WAITERS, owner | WAITERS, Relaxed, Relaxed)
                .is_ok();
        if !marked || oncpu(owner) || self.mtx_owner.load(Relaxed) & WAITERS == 0 {
            chain.exit();
            return;
        }
        curcpu().kernel().counters.mutex_sleeps.incr();
        note!(
            "{} sleeps until {} releases {}",
            curlwp().name(),
            Owner(self.mtx_owner.peek()),
            self.mtx_name
        );
        chain.block(self.addr(), Queue::Writer, SyncObj::Mutex);
    }

    /// The slow path of an adaptive exit, when there are waiters (`mutex_vector_exit`).
    #[cold]
    #[track_caller]
    fn vector_exit(&self) {
        let chain = turnstile::lookup(self.addr());
        self.mtx_owner.store(0, Release);
        machine::mark(Mark::Released(self.addr()));
        let waiters = chain.waiters(Queue::Writer);
        chain.wakeup(Queue::Writer, waiters);
    }

    /// `mutex_spin_enter`: raises the level, then spins.
    #[inline]
    #[track_caller]
    pub fn spin_enter(&self) {
        machine::decide(self.addr(), Kind::MutexEnter, Acquire);
        let mine = self.spin_prepare();
        while self
            .mtx_owner
            .compare_exchange_fused(SPIN, mine, Acquire, Relaxed)
            .is_err()
        {
            self.spin_wait(mine);
            machine::decide(self.addr(), Kind::MutexEnter, Acquire);
        }
        machine::mark(Mark::Held(self.addr()));
    }

    #[cold]
    #[track_caller]
    fn spin_wait(&self, mine: usize) {
        contract!(
            self.mtx_owner.peek() != mine,
            "mutex-recursion",
            "mutex_spin_enter({}) by {}, which holds it: locking against myself",
            self.mtx_name,
            curlwp().name()
        );
        let l = curlwp();
        machine::happened(Occasion::Contended(self.addr()));
        let wanted = l.l_wantlock.peek();
        l.l_wantlock
            .store_fused(core::ptr::from_ref(self).cast_mut().cast(), Relaxed);
        while self.mtx_owner.load(Relaxed) != SPIN {
            crate::mem::relax();
        }
        l.l_wantlock.store_fused(wanted, Relaxed);
    }

    /// Like [`spin_enter`](Self::spin_enter), but does not spin. Returns whether it entered.
    #[inline]
    #[track_caller]
    pub fn spin_tryenter(&self) -> bool {
        machine::decide(self.addr(), Kind::MutexEnter, Acquire);
        let mine = self.spin_prepare();
        let entered = self
            .mtx_owner
            .compare_exchange_fused(SPIN, mine, Acquire, Relaxed)
            .is_ok();
        match entered {
            true => machine::mark(Mark::Held(self.addr())),
            false => spin_finish(),
        }
        entered
    }

    /// `mutex_spin_exit`: releases the mutex, and restores the level if it was the last one.
    #[inline]
    #[track_caller]
    pub fn spin_exit(&self) {
        machine::decide(self.addr(), Kind::MutexExit, Release);
        contract!(
            self.owned(),
            "mutex-owned",
            "mutex_spin_exit({}) by {}, but it is not held",
            self.mtx_name,
            curlwp().name()
        );
        self.mtx_owner.store_fused(SPIN, Release);
        machine::mark(Mark::Released(self.addr()));
        spin_finish();
    }

    /// Raises the level and counts the mutex as held.
    #[inline(always)]
    #[track_caller]
    fn spin_prepare(&self) -> usize {
        let old = spl::splraise(self.mtx_ipl);
        let l = curlwp();
        let ci = l.cpu_unlocked();
        let count = ci.ci_mtx_count.get();
        ci.ci_mtx_count.set(count.wrapping_sub(1));
        if count == 0 {
            ci.ci_mtx_oldspl.set(old as u8);
        }
        word(l) | SPIN
    }
}

/// Uncounts a held mutex, and restores the level if it was the last one.
#[inline(always)]
#[track_caller]
fn spin_finish() {
    let ci = curcpu();
    let old = ci.ci_mtx_oldspl.get();
    let count = ci.ci_mtx_count.get().wrapping_add(1);
    ci.ci_mtx_count.set(count);
    if count == 0 {
        // SAFETY: `spin_prepare` stored a level there.
        spl::splx_fused(unsafe { Ipl::from_number_unchecked(old) });
    }
}

/// The word of a mutex of this level that is not owned.
const fn free(ipl: Ipl) -> usize {
    if ipl as u8 >= Ipl::Vm as u8 { SPIN } else { 0 }
}

fn word(l: &Lwp) -> usize {
    core::ptr::from_ref(l) as usize
}

fn lwp_of(owner: usize) -> Option<&'static Lwp> {
    // SAFETY: the word of a mutex is the address of an LWP, with flags; LWPs live as long as their kernel.
    unsafe { ((owner & !FLAGS) as *const Lwp).as_ref() }
}

/// Whether the owner in this word runs on a CPU (`mutex_oncpu`). Preemption is off.
#[track_caller]
fn oncpu(owner: usize) -> bool {
    let Some(l) = lwp_of(owner) else { return false };
    lwp_oncpu(l)
}

/// Whether `l`, which was just read as the owner of a lock, runs on a CPU. Preemption is off.
///
/// Panics: contract `preempt-off`.
#[track_caller]
pub(crate) fn lwp_oncpu(l: &Lwp) -> bool {
    contract!(
        synch::kpreempt_disabled(),
        "preempt-off",
        "the owner of a lock is read in {} with preemption on: the owner could have exited",
        curlwp().name()
    );
    let ci = l.l_cpu.load(Relaxed);
    ci.is_some_and(|ci| {
        ci.ci_curlwp
            .load(Acquire)
            .is_some_and(|running| core::ptr::eq(running, l))
    })
}

/// The owner in a mutex word, as text.
struct Owner(usize);

impl core::fmt::Display for Owner {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match lwp_of(self.0) {
            Some(l) => write!(f, "{}", l.name()),
            None => f.write_str("nobody"),
        }
    }
}
