//! Allocates words in the per-CPU buffers, and grows the buffers.

use core::mem::MaybeUninit;

use super::Word;
use crate::contract;
use crate::kern::condvar::Kcondvar;
use crate::kern::cpu::Cpu;
use crate::kern::kmem;
use crate::kern::lwp::{Arg, curcpu};
use crate::kern::mutex::Kmutex;
use crate::kern::rwlock::{Krw, Krwlock};
use crate::kern::spl::{self, Ipl};
use crate::kern::xcall::{self, Priority};
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{Guarded, Local, Plain};
use crate::note;

/// Maximum number of words of per-CPU storage per kernel.
const ARENA_WORDS: usize = 1024;
const MAP_BITS: usize = 64;

/// The per-CPU storage of a kernel.
pub struct PercpuArena {
    /// Excludes moving a buffer while a remote reader uses it.
    pub(super) percpu_swap_lock: Krwlock,
    /// Protects the rest.
    pub(super) percpu_lock: Kmutex,
    /// The offset of the next growth, in words.
    percpu_nextoff: Plain<usize>,
    /// The words that the buffer of every CPU has. Free words from here on came back from a growth that failed.
    percpu_mapped: Guarded<usize>,
    /// The free words, one bit each.
    percpu_free: [Plain<u64>; ARENA_WORDS / MAP_BITS],
    /// Whether a thread runs constructors or destructors: one at a time.
    percpu_busy: Plain<bool>,
    percpu_cv: Kcondvar,
}

crate::fields!(PercpuArena {
    percpu_swap_lock,
    percpu_lock,
    percpu_nextoff,
    percpu_mapped,
    percpu_free,
    percpu_busy,
    percpu_cv,
});

impl PercpuArena {
    pub(crate) const fn new() -> Self {
        PercpuArena {
            percpu_swap_lock: Krwlock::new("percpu_swap_lock"),
            percpu_lock: Kmutex::new("percpu_lock", Ipl::None),
            percpu_nextoff: Plain::new(0),
            percpu_mapped: Guarded::new(0),
            percpu_free: [const { Plain::new(0) }; ARENA_WORDS / MAP_BITS],
            percpu_busy: Plain::new(false),
            percpu_cv: Kcondvar::new("percpu"),
        }
    }

    fn bit(&self, word: usize) -> bool {
        self.percpu_free[word / MAP_BITS].get_fused() >> (word % MAP_BITS) & 1 != 0
    }

    /// Marks words as free or allocated. `percpu_lock` is held.
    pub(super) fn mark(&self, offset: usize, words: usize, free: bool) {
        for word in offset..offset + words {
            let map = &self.percpu_free[word / MAP_BITS];
            let (old, bit) = (map.get_fused(), 1 << (word % MAP_BITS));
            map.set_fused(if free { old | bit } else { old & !bit });
        }
    }

    /// Waits until no other LWP constructs or destroys, and excludes them.
    #[track_caller]
    pub(super) fn enter_busy(&self) {
        self.percpu_lock.enter();
        while self.percpu_busy.get() {
            self.percpu_cv.wait(&self.percpu_lock);
        }
        self.percpu_busy.set(true);
        self.percpu_lock.exit();
    }

    #[track_caller]
    pub(super) fn exit_busy(&self) {
        self.percpu_lock.enter();
        self.percpu_busy.set(false);
        self.percpu_cv.broadcast();
        self.percpu_lock.exit();
    }
}

/// Checks at rest that everything the scenario allocated was freed.
pub(crate) fn verify(kernel: &Kernel) {
    let arena = &kernel.percpu;
    // Most scenarios have none, and this is called after every run.
    let added = arena.percpu_nextoff.peek();
    if added == 0 {
        return;
    }
    let free: u32 = arena
        .percpu_free
        .iter()
        .map(|map| map.peek().count_ones())
        .sum();
    let out = added - free as usize;
    if out != 0 {
        machine::stop(
            Stop::Oracle("percpu-leak"),
            format_args!("{out} words of per-CPU storage were never freed"),
        );
    }
}

/// The first of `words` adjacent words that are all free, below `limit`.
fn first_fit(free: impl Fn(usize) -> bool, limit: usize, words: usize) -> Option<usize> {
    let mut run = 0;
    for word in 0..limit {
        run = if free(word) { run + 1 } else { 0 };
        if run == words {
            return Some(word + 1 - words);
        }
    }
    None
}

/// Allocates words at the same place on every CPU, not zeroed. Grows the buffers if necessary.
#[track_caller]
pub(super) fn arena_alloc(kernel: &'static Kernel, words: usize) -> Option<usize> {
    let arena = &kernel.percpu;
    arena.percpu_lock.enter();
    let limit = arena.percpu_nextoff.get();
    let found = first_fit(|word| arena.bit(word), limit, words);
    if let Some(offset) = found {
        arena.mark(offset, words, false);
    }
    let mapped = arena.percpu_mapped.get();
    arena.percpu_lock.exit();
    match found {
        Some(offset) if offset + words > mapped => grow(kernel, offset, words, words),
        Some(offset) => Some(offset),
        None => import(kernel, words),
    }
}

/// Grows the buffers and allocates from the start of the new part (`percpu_backend_alloc`).
#[track_caller]
fn import(kernel: &'static Kernel, words: usize) -> Option<usize> {
    let arena = &kernel.percpu;
    let added = words.next_multiple_of(kernel.config().percpu_import_words);
    arena.percpu_lock.enter();
    let offset = arena.percpu_nextoff.get();
    let end = offset + added;
    if end <= ARENA_WORDS {
        arena.percpu_nextoff.set(end);
    }
    arena.percpu_lock.exit();
    if end > ARENA_WORDS {
        return None;
    }
    grow(kernel, offset, words, added)
}

/// Makes sure that every CPU has the `added` words at `offset`, of which the caller keeps the first `words`. If there is
/// no memory all of them are free: who finds them later tries again.
#[track_caller]
fn grow(kernel: &'static Kernel, offset: usize, words: usize, added: usize) -> Option<usize> {
    let arena = &kernel.percpu;
    let grown = enlarge(kernel, offset + added);
    arena.percpu_lock.enter();
    match grown {
        // Only now: the words must not be found while some CPU does not have them yet.
        Some(()) => {
            let mapped = arena.percpu_mapped.get().max(offset + added);
            arena.percpu_mapped.set(mapped);
            arena.mark(offset + words, added - words, true);
        }
        None => arena.mark(offset, added, true),
    }
    arena.percpu_lock.exit();
    grown.map(|()| offset)
}

/// The argument and result of the cross call: the buffer that the CPU does not use.
struct Spare {
    data: Plain<&'static [Word]>,
}

/// Makes sure that every CPU has at least `words` words (`percpu_cpu_enlarge`).
#[track_caller]
fn enlarge(kernel: &'static Kernel, words: usize) -> Option<()> {
    for ci in kernel.cpus() {
        let data = buffer(kernel, words)?;
        let Some(spare) = kmem::kmem_alloc_nosleep(
            "percpu spare",
            Spare {
                data: Plain::new(data),
            },
        ) else {
            // SAFETY: (1) it came from `buffer`; (2) nobody else knows it.
            unsafe { kmem::boot_free_slice(data) };
            return None;
        };
        let args = (Arg::of(ci), Arg::of(spare));
        if kernel.mp_online() {
            xcall::wait(xcall::unicast(Priority::Low, swap, args, ci));
        } else {
            swap(args.0, args.1);
        }
        let unused = spare.data.get();
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) the cross call has returned.
        unsafe { kmem::kmem_free(spare) };
        if !unused.is_empty() {
            // SAFETY: (1) it came from `buffer`; (2) it is nobody's current buffer, and who still has a pointer into
            // it broke the rule of `getref`.
            unsafe { kmem::boot_free_slice(unused) };
        }
    }
    Some(())
}

/// A buffer of zeros.
#[track_caller]
pub(super) fn buffer(kernel: &Kernel, words: usize) -> Option<&'static [Word]> {
    if kmem::is_refused(kernel, "percpu buffer") {
        return None;
    }
    kmem::boot_alloc_slice(
        "percpu buffer",
        words,
        |_| Local::new(MaybeUninit::zeroed()),
    )
}

/// Makes the spare buffer that of this CPU, unless it already has one as large (`percpu_cpu_swap`). By cross call.
///
/// Panics: contract `percpu-swap-cpu`.
pub(crate) fn swap(ci: Arg, spare: Arg) {
    // SAFETY: `enlarge` gave a CPU, which lives as long as its kernel.
    let ci: &'static Cpu = unsafe { ci.get() };
    let kernel = ci.kernel();
    contract!(
        core::ptr::eq(ci, curcpu()) || !kernel.mp_online(),
        "percpu-swap-cpu",
        "the per-CPU buffer of cpu{} is being moved by cpu{}: only its own CPU may move it",
        ci.index(),
        curcpu().index()
    );
    // SAFETY: `enlarge` keeps it until the cross call has returned.
    let spare: &'static Spare = unsafe { spare.get() };
    let arena = &kernel.percpu;
    arena.percpu_swap_lock.enter(Krw::Writer);
    let new = spare.data.get();
    let old = ci.ci_percpu.pcc_data.get();
    // Two requests may arrive in either order.
    if new.len() > old.len() {
        // A change made by an interrupt after the copy would be lost.
        let s = spl::splhigh();
        for (to, from) in new.iter().zip(old) {
            to.set(from.get());
        }
        ci.ci_percpu.pcc_data.set(new);
        machine::moved(
            old.as_ptr().addr(),
            new.as_ptr().addr(),
            core::mem::size_of_val(old),
        );
        spl::splx(s);
        spare.data.set(old);
        kernel.counters.percpu_moves.incr();
        note!(
            "the per-CPU buffer of cpu{} grows from {} words to {}",
            ci.index(),
            old.len(),
            new.len()
        );
    }
    arena.percpu_swap_lock.exit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fit_is_the_lowest() {
        let map: u32 = 0b0111_0110;
        let free = |word: usize| map >> word & 1 != 0;
        assert_eq!(first_fit(free, 32, 1), Some(1));
        assert_eq!(first_fit(free, 32, 2), Some(1));
        assert_eq!(first_fit(free, 32, 3), Some(4));
        assert_eq!(first_fit(free, 32, 4), None);
    }

    #[test]
    fn a_fit_ends_at_the_limit() {
        assert_eq!(first_fit(|_| true, 3, 3), Some(0));
        assert_eq!(first_fit(|_| true, 3, 4), None);
        assert_eq!(first_fit(|word| word >= 2, 3, 2), None);
    }

    #[test]
    fn marks_are_single_words() {
        let arena = PercpuArena::new();
        arena.mark(62, 4, true);
        arena.mark(64, 1, false);
        let free: [bool; 6] = core::array::from_fn(|i| arena.bit(61 + i));
        assert_eq!(free, [false, true, true, false, true, false]);
    }
}
