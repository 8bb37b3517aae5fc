//! percpu(9): storage with one copy per CPU.
//!
//! # Overview
//!
//! Every CPU has one buffer, and a [`Percpu`] is an offset that is valid in all of them. When an allocation does not
//! fit, the buffers *grow*. For each CPU a larger buffer is allocated; a low-priority cross call to that CPU copies
//! the old contents and makes the new buffer current; then the old one is freed. So **per-CPU data moves**. Its
//! address is valid from [`Percpu::getref`] to [`Percpu::putref`]. A pointer that is kept longer, above all in
//! per-CPU data itself, will at some time point into freed memory. The simulated machine detects its use.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::percpu::percpu_alloc;
//! use kmod::mem::{AtomicU64, Relaxed};
//!
//! run(|| {
//!     let packets = percpu_alloc::<AtomicU64>().expect("memory");
//!     packets.getref().fetch_add(1, Relaxed); // that of this CPU; preemption is off
//!     packets.putref();
//!     let mut total = 0;
//!     packets.foreach(|count, _ci| total += count.load(Relaxed));
//!     assert_eq!(total, 1);
//!     packets.free();
//! });
//! ```
//!
//! # Contexts
//!
//! | | hard interrupt | softint | thread |
//! |---|---|---|---|
//! | `getref`, `putref` | yes | yes | yes |
//! | `percpu_alloc`, `percpu_create`, `free`, `foreach`, `foreach_xcall`, `traverse_enter` | no | no | may sleep |
//!
//! `percpu_alloc` and `percpu_create` may also be called during boot.
//!
//! # Per-CPU operation
//!
//! `pcc_data` is changed only by its own CPU's cross-call thread. That thread does not run while preemption is off,
//! so `getref` is all that the owner needs. Remote readers hold the swap lock, which the thread takes to grow the
//! buffer.
//!
//! # Invariants
//!
//! 1. A buffer never shrinks, and an allocated offset lies inside every CPU's buffer.
//! 2. The contents are copied at IPL_HIGH, so that no change by an interrupt of that CPU is lost.
//! 3. New storage is zero on every CPU.
//!
//! # Memory order
//!
//! The owner's accesses to its data are ordered with no other CPU. A remote reader needs atomics to read the words of
//! a CPU that is still running, or `foreach_xcall`, which runs on each CPU. The swap lock orders the *move* with
//! remote readers and with the clearing of new storage.
//!
//! # Lock order
//!
//! Nothing is taken under the swap lock or the allocation lock. A low-priority cross call takes the swap lock, so a
//! holder of that lock must not wait for one.
//!
//! # When to use something else
//!
//! To count events that only a report reads: [`crate::kern::evcnt`].
//!
//! # Differences from NetBSD
//!
//! The contents are cells of [`crate::mem`], each of eight bytes, and a move copies them cell by cell. So a move is
//! checked for races like any other access. The offsets come from a bitmap instead of a vmem, which limits the
//! storage of a kernel. How much the buffers grow at a time is configurable. The argument of the cross call is
//! allocated, not on the requester's stack. Destructors run in place. All CPUs exist before the first allocation, so
//! no constructors need to run for later ones.
//!
//! # Sources
//!
//! percpu(9); `sys/kern/subr_percpu.c` 1.25.

pub(crate) mod arena;

use core::marker::PhantomData;
use core::mem::MaybeUninit;

pub use arena::PercpuArena;
use arena::{arena_alloc, buffer};

use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::cpu::Cpu;
use crate::kern::kmem;
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::rwlock::Krw;
use crate::kern::synch;
use crate::kern::xcall::{self, Priority};
use crate::kernel::Kernel;
use crate::machine::{self, Described};
use crate::mem::{AtomicI64, AtomicU64, Local, Plain};

/// A cell of a buffer, of any content. Uninitialized as far as the compiler knows, so that pointers survive a copy.
type Word = Local<MaybeUninit<u64>>;

const WORD_BYTES: usize = 8;

/// A type that per-CPU storage can hold.
///
/// # Safety
///
/// 1. All bytes zero is a value of the type. 2. It consists of cells of [`crate::mem`] alone, each of eight
///    bytes. 3. It can be copied bit by bit to another address while nobody uses it.
pub unsafe trait PercpuData: Sized + Sync + 'static {}

// SAFETY: a cell of eight bytes whose value is a number.
unsafe impl PercpuData for Plain<i64> {}
// SAFETY: as above.
unsafe impl PercpuData for Plain<u64> {}
// SAFETY: as above.
unsafe impl PercpuData for Local<i64> {}
// SAFETY: as above.
unsafe impl PercpuData for Local<u64> {}
// SAFETY: as above.
unsafe impl PercpuData for AtomicI64 {}
// SAFETY: as above.
unsafe impl PercpuData for AtomicU64 {}

/// The per-CPU buffer of a CPU (`percpu_cpu_t`).
pub struct CpuPercpu {
    pcc_data: Plain<&'static [Word]>,
}

crate::fields!(CpuPercpu { pcc_data });

impl CpuPercpu {
    pub(crate) const fn new() -> Self {
        CpuPercpu {
            pcc_data: Plain::new(&[]),
        }
    }
}

/// Constructs or destroys the storage of one CPU. The argument is the one given to [`percpu_create`].
pub type PercpuFunc<T> = fn(&T, Arg, &'static Cpu);

/// Storage with one copy per CPU (`percpu_t`).
///
/// A value of this type proves that the storage was allocated, not that it still is.
pub struct Percpu<T> {
    pc_offset: PercpuOffset<T>,
    pc_dtor: Option<PercpuFunc<T>>,
    pc_arg: Arg,
}

impl<T> Clone for Percpu<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Percpu<T> {}

/// The offset in the storage of every CPU: all that is needed to use it.
pub(crate) struct PercpuOffset<T> {
    pc_offset_bytes: u32,
    pc_type: PhantomData<fn() -> T>,
}

impl<T> Clone for PercpuOffset<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PercpuOffset<T> {}

/// The context check of [`percpu_alloc`] and [`percpu_create`].
#[track_caller]
fn assert_may_alloc(what: &str) {
    // During boot there is nothing to wait for.
    if curlwp().kernel().mp_online() {
        assert_sleepable(what);
    }
}

/// Allocates storage of type `T` on every CPU, all zeros (`percpu_alloc`). Returns `None` if there is no room.
///
/// Expensive: it may make a cross call to every CPU.
/// Context: thread that may sleep, or boot. Panics: contract `sleepable`.
#[track_caller]
pub fn percpu_alloc<T: PercpuData>() -> Option<Percpu<T>> {
    assert_may_alloc("percpu_alloc");
    let percpu = allocate(None, Arg::NONE)?;
    percpu.visit_words(|_, word| word.set(MaybeUninit::zeroed()));
    Some(percpu)
}

/// [`percpu_alloc`], with a constructor that is called for every CPU, and a destructor for [`Percpu::free`]
/// (`percpu_create`).
///
/// They are called here, for one CPU after another, by one caller at a time. The constructor gets a copy in ordinary
/// memory and may sleep. The destructor runs under the swap lock and must not sleep.
/// Context, panics: as [`percpu_alloc`].
#[track_caller]
pub fn percpu_create<T: PercpuData>(
    ctor: PercpuFunc<T>,
    dtor: Option<PercpuFunc<T>>,
    arg: Arg,
) -> Option<Percpu<T>> {
    assert_may_alloc("percpu_create");
    let kernel = curlwp().kernel();
    let percpu = allocate(dtor, arg)?;
    kernel.percpu.enter_busy();
    let created = percpu.construct(kernel, ctor, arg);
    kernel.percpu.exit_busy();
    if created.is_none() {
        percpu.release();
    }
    created.map(|()| percpu)
}

#[track_caller]
fn allocate<T: PercpuData>(dtor: Option<PercpuFunc<T>>, arg: Arg) -> Option<Percpu<T>> {
    let kernel = curlwp().kernel();
    let offset = arena_alloc(kernel, Percpu::<T>::WORDS)?;
    kernel.counters.percpu_allocs.incr();
    Some(Percpu {
        pc_offset: PercpuOffset::new(offset),
        pc_dtor: dtor,
        pc_arg: arg,
    })
}

/// Begins a traversal of other CPUs' storage, which does not move until it ends (`percpu_traverse_enter`).
///
/// Low-priority cross calls that would move it wait. Context: thread that may sleep. Panics: contract `sleepable`.
#[track_caller]
pub fn percpu_traverse_enter() {
    assert_sleepable("percpu_traverse_enter");
    curlwp().kernel().percpu.percpu_swap_lock.enter(Krw::Reader);
}

/// Ends a traversal (`percpu_traverse_exit`).
#[track_caller]
pub fn percpu_traverse_exit() {
    curlwp().kernel().percpu.percpu_swap_lock.exit();
}

#[cold]
#[track_caller]
fn outside(end: usize, length: usize) -> ! {
    crate::machine::stop(
        crate::machine::Stop::Contract("percpu-range"),
        format_args!(
            "{} wants {end} words of per-CPU storage, and a CPU's buffer has {length}",
            curlwp().name()
        ),
    )
}

/// The argument of the cross call of [`Percpu::foreach_xcall`].
struct Call<T: 'static> {
    percpu: Local<Percpu<T>>,
    func: Local<PercpuFunc<T>>,
    arg: Local<Arg>,
}

impl<T: PercpuData> PercpuOffset<T> {
    fn new(first: usize) -> Self {
        PercpuOffset {
            pc_offset_bytes: (first * WORD_BYTES) as u32,
            pc_type: PhantomData,
        }
    }

    /// Its first word.
    fn first(&self) -> usize {
        self.pc_offset_bytes as usize / WORD_BYTES
    }

    /// The storage of `ci`, which executes the call, for callers that stay there anyway: with preemption off, or at a
    /// level above none.
    ///
    /// The reference is valid only as long as that is so.
    /// Context: any that cannot be preempted. Panics (contract `percpu-current`) if it can.
    #[inline]
    #[track_caller]
    pub(crate) fn of(&self, ci: &Cpu) -> &'static T {
        contract!(
            synch::kpreempt_disabled() && core::ptr::eq(ci, curcpu()),
            "percpu-current",
            "{} accesses the storage of a CPU from which it may migrate",
            curlwp().name()
        );
        self.at(ci.ci_percpu.pcc_data.get_fused())
    }

    /// The words in a buffer. Panics (contract `percpu-range`) if the buffer has not grown for them.
    #[inline]
    #[track_caller]
    fn words(&self, data: &'static [Word]) -> &'static [Word] {
        let first = self.first();
        let end = first + Percpu::<T>::WORDS;
        match data.get(first..end) {
            Some(words) => words,
            None => outside(end, data.len()),
        }
    }

    #[inline]
    #[track_caller]
    fn at(&self, data: &'static [Word]) -> &'static T {
        let at = if cfg!(feature = "contracts") {
            self.words(data).as_ptr()
        } else {
            data.as_ptr()
                .wrapping_byte_add(self.pc_offset_bytes as usize)
        };
        // SAFETY: (1) the words are inside of a buffer (invariant 1, which is looked at again with contracts); (2) they
        // were zeroed when they were allocated and hold a `T` since (`PercpuData`); (3) all of a `T` is cells, so
        // that references to it may be shared; (4) that the buffer is alive is the rule of `getref`, which the
        // simulated machine checks.
        unsafe { &*at.cast::<T>() }
    }
}

impl<T: PercpuData> Percpu<T> {
    const WORDS: usize = {
        assert!(align_of::<T>() == WORD_BYTES, "cells of eight bytes");
        assert!(size_of::<T>() > 0 && size_of::<T>().is_multiple_of(WORD_BYTES));
        size_of::<T>() / WORD_BYTES
    };

    /// Returns the storage of the current CPU, and disables preemption until [`putref`](Self::putref)
    /// (`percpu_getref`).
    ///
    /// The reference is valid only until then.
    /// Context: any.
    #[inline]
    #[track_caller]
    pub fn getref(&self) -> &'static T {
        synch::kpreempt_disable();
        self.pc_offset.at(curcpu().ci_percpu.pcc_data.get_fused())
    }

    /// Its offset (`percpu_offset`), for callers that need nothing else.
    pub(crate) fn offset(&self) -> PercpuOffset<T> {
        self.pc_offset
    }

    /// Undoes one [`getref`](Self::getref) (`percpu_putref`).
    ///
    /// Context: any. Panics (contract `percpu-putref`) if preemption is not off.
    #[inline]
    #[track_caller]
    pub fn putref(&self) {
        contract!(
            curlwp().l_nopreempt.get() > 0,
            "percpu-putref",
            "percpu_putref in {} without percpu_getref",
            curlwp().name()
        );
        synch::kpreempt_enable();
    }

    /// The storage of any CPU, between [`percpu_traverse_enter`] and its exit (`percpu_getptr_remote`).
    ///
    /// Panics (contract `percpu-remote`) outside of that: the storage may move.
    #[track_caller]
    pub fn getptr_remote(&self, ci: &Cpu) -> &'static T {
        contract!(
            ci.kernel().percpu.percpu_swap_lock.read_held(),
            "percpu-remote",
            "percpu_getptr_remote of cpu{} by {} without percpu_traverse_enter: the storage may move",
            ci.index(),
            curlwp().name()
        );
        self.pc_offset.at(ci.ci_percpu.pcc_data.get_fused())
    }

    /// The storage of a CPU, without an access that the host sees. For reports, when the kernel has stopped.
    pub fn peek(&self, ci: &Cpu) -> &'static T {
        self.pc_offset.at(ci.ci_percpu.pcc_data.peek())
    }

    /// Names the storage in traces and reports: that of CPU 0 is called `cpu0.NAME`, wherever it moves.
    ///
    /// Context: as [`percpu_alloc`].
    pub fn label(&self, name: &str)
    where
        T: Described,
    {
        if machine::tracing() {
            for ci in curlwp().kernel().cpus() {
                machine::label(self.peek(ci), format_args!("cpu{}.{name}", ci.index()));
            }
        }
    }

    /// Visits the words of every CPU under the swap lock.
    #[track_caller]
    fn visit_words(&self, mut visit: impl FnMut(usize, &Word)) {
        let kernel = curlwp().kernel();
        let lock = &kernel.percpu.percpu_swap_lock;
        lock.enter(Krw::Reader);
        for ci in kernel.cpus() {
            let words = self.pc_offset.words(ci.ci_percpu.pcc_data.get_fused());
            words.iter().for_each(|word| visit(ci.index(), word));
        }
        lock.exit();
    }

    /// Calls `func` here with the storage of every CPU (`percpu_foreach`).
    ///
    /// It runs under the swap lock: it must be short, and must not wait for a low-priority cross call or for memory.
    /// The owners may be using their storage, so everything they change must be atomic.
    /// Context: thread that may sleep. Panics: contract `sleepable`.
    #[track_caller]
    pub fn foreach(&self, mut func: impl FnMut(&T, &'static Cpu)) {
        percpu_traverse_enter();
        for ci in curlwp().kernel().cpus() {
            func(self.getptr_remote(ci), ci);
        }
        percpu_traverse_exit();
    }

    /// Calls `func` on every CPU with the storage of that CPU, by cross call (`percpu_foreach_xcall`).
    ///
    /// One CPU after another, with preemption off. Returns `None`, and calls nothing, if there is no memory.
    /// Context: thread that may sleep. Panics: as [`xcall::unicast`].
    #[track_caller]
    pub fn foreach_xcall(&self, priority: Priority, func: PercpuFunc<T>, arg: Arg) -> Option<()> {
        let call = kmem::kmem_alloc_nosleep(
            "percpu call",
            Call {
                percpu: Local::new(*self),
                func: Local::new(func),
                arg: Local::new(arg),
            },
        )?;
        for ci in curlwp().kernel().cpus() {
            let args = (Arg::of(call), Arg::NONE);
            xcall::wait(xcall::unicast(priority, Self::called, args, ci));
        }
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) all cross calls have returned.
        unsafe { kmem::kmem_free(call) };
        Some(())
    }

    fn called(call: Arg, _: Arg) {
        // SAFETY: `foreach_xcall` keeps it until the cross call has returned.
        let call: &'static Call<T> = unsafe { call.get() };
        let percpu = call.percpu.get();
        (call.func.get())(percpu.getref(), call.arg.get(), curcpu());
        percpu.putref();
    }

    /// Frees the storage; the destructor of [`percpu_create`] runs for every CPU (`percpu_free`).
    ///
    /// No thread uses the storage any more: all accesses to it are ordered before the call.
    /// Context: thread that may sleep. Panics: contract `sleepable`.
    #[track_caller]
    pub fn free(self) {
        assert_sleepable("percpu_free");
        self.free_at_rest();
    }

    /// [`free`](Self::free) without a context check. For teardown, when nothing runs.
    #[track_caller]
    pub fn free_at_rest(self) {
        if let Some(dtor) = self.pc_dtor {
            let kernel = curlwp().kernel();
            kernel.percpu.enter_busy();
            self.destruct(kernel, dtor);
            kernel.percpu.exit_busy();
        }
        self.release();
    }

    /// Frees the words.
    #[track_caller]
    fn release(self) {
        let arena = &curlwp().kernel().percpu;
        arena.percpu_lock.enter();
        arena.mark(self.pc_offset.first(), Self::WORDS, true);
        arena.percpu_lock.exit();
    }

    /// Runs the constructor on a copy for each CPU, and copies the result into place.
    #[track_caller]
    fn construct(self, kernel: &'static Kernel, ctor: PercpuFunc<T>, arg: Arg) -> Option<()> {
        let copy = buffer(kernel, Self::WORDS)?;
        for ci in kernel.cpus() {
            copy.iter().for_each(|word| word.set(MaybeUninit::zeroed()));
            ctor(PercpuOffset::new(0).at(copy), arg, ci);
            kernel.percpu.percpu_swap_lock.enter(Krw::Reader);
            let there = self.pc_offset.words(ci.ci_percpu.pcc_data.get_fused());
            for (to, from) in there.iter().zip(copy) {
                to.set(from.get());
            }
            kernel.percpu.percpu_swap_lock.exit();
        }
        // SAFETY: (1) it came from `buffer`; (2) nobody else knows it.
        unsafe { kmem::boot_free_slice(copy) };
        Some(())
    }

    /// Runs the destructor for each CPU in place, under the swap lock.
    #[track_caller]
    fn destruct(self, kernel: &'static Kernel, dtor: PercpuFunc<T>) {
        for ci in kernel.cpus() {
            kernel.percpu.percpu_swap_lock.enter(Krw::Reader);
            let there = self.getptr_remote(ci);
            dtor(there, self.pc_arg, ci);
            kernel.percpu.percpu_swap_lock.exit();
        }
    }
}
