//! Atomic accesses against plain ones: a data race in C, if they are not ordered and one of them writes.
//!
//! # Overview
//!
//! A cell of the kernel is atomic or it is plain. A word of C may be accessed either way. The slot of a cell has its plain
//! accesses, and here are its atomic ones: the last write and the last read, or a clock of each where several CPUs made
//! them unordered. Atomic accesses are not checked against each other.
//!
//! A relaxed store behind a release fence counts as made at the fence. For C11 it is not ordered before what an acquire fence
//! orders after it. But whoever has read it and makes such a fence comes after it on every machine, and locks that hand
//! memory from one CPU to the next rely on that.

use std::borrow::Cow;

use super::{
    Birth, Clock, Clocks, Conflict, Epoch, FREED, Mapping, Ordering, REGION_BYTES, SHARED, Shadow,
    releases,
};

/// The atomic accesses to a cell.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Atomics {
    /// An [`Epoch`], or [`SHARED`] and the number of a clock.
    write: u32,
    read: u32,
}

/// Those of each byte of the region. They count for cells that are marked as atomic.
pub(super) struct Mixed(Mapping);

impl Mixed {
    pub(super) fn new() -> Mixed {
        Mixed(Mapping::new(REGION_BYTES * size_of::<Atomics>(), 4096))
    }

    fn locate(&self, offset: usize) -> *mut Atomics {
        // SAFETY: the mapping has one for each byte of the region.
        unsafe { self.0.base().cast::<Atomics>().add(offset % REGION_BYTES) }.as_ptr()
    }

    fn get(&self, offset: usize) -> Atomics {
        // SAFETY: in the mapping; zeroed memory is a value of the type.
        unsafe { self.locate(offset).read() }
    }

    fn set(&mut self, offset: usize, atomics: Atomics) {
        // SAFETY: in the mapping, and `self` is exclusive.
        unsafe { self.locate(offset).write(atomics) };
    }
}

/// Adds an access to those that are recorded.
fn add(clocks: &mut Clocks, recorded: u32, cpu: usize, then: Epoch) -> u32 {
    if recorded & SHARED != 0 {
        let own = &mut clocks.pooled_mut(recorded & !SHARED)[cpu];
        *own = then.time().max(*own);
        return recorded;
    }
    let other = Epoch(recorded);
    if other.cpu() == cpu {
        return then.0.max(recorded);
    }
    if other.before(clocks.of(cpu)) {
        return then.0;
    }
    let mut both: Clock = [0; _];
    both[other.cpu()] = other.time();
    both[cpu] = then.time();
    SHARED | clocks.put(both)
}

/// A CPU whose recorded access another one that knows this is not ordered after.
fn unordered(clocks: &Clocks, known: &Clock, recorded: u32) -> Option<usize> {
    if recorded & SHARED != 0 {
        let times = clocks.pooled(recorded & !SHARED);
        return (0..times.len()).find(|&other| times[other] > known[other]);
    }
    let one = Epoch(recorded);
    (!one.before(known)).then(|| one.cpu())
}

impl Shadow {
    /// What is certain to be before an access that `cpu` makes now.
    #[inline(always)]
    fn known(&self, cpu: usize, writes: bool) -> Cow<'_, Clock> {
        match writes {
            true => self.clocks.before_writes(cpu),
            false => Cow::Borrowed(self.clocks.of(cpu)),
        }
    }

    /// `cpu` has made an atomic access to the cell at `offset`, and `then` was its moment before that. Checks it against
    /// the plain accesses, and records it.
    pub(crate) fn atomic(
        &mut self,
        cpu: usize,
        offset: usize,
        (writes, order): (bool, Ordering),
        then: Birth,
    ) -> Result<(), Conflict> {
        let slot = *self.slots.at(offset);
        if slot.run != self.run || slot.write == FREED {
            return Ok(());
        }
        let then = match writes && !releases(order) && self.clocks.is_releasing(cpu) {
            true => self.clocks.fenced(cpu),
            false => Epoch(then.0),
        };
        let known = self.known(cpu, writes);
        if let Some(cpu) = unordered(&self.clocks, &known, slot.write) {
            return Err(Conflict::Mixed { cpu, wrote: true });
        }
        if writes && let Some(cpu) = unordered(&self.clocks, &known, slot.read) {
            return Err(Conflict::Mixed { cpu, wrote: false });
        }
        let never = Epoch::never(cpu).0;
        let mut atomics = Atomics {
            write: never,
            read: never,
        };
        let is_first = !self.is_atomic(offset);
        let mixed = self.mixed.get_or_insert_with(Mixed::new);
        if !is_first {
            atomics = mixed.get(offset);
        }
        let accesses = match writes {
            true => &mut atomics.write,
            false => &mut atomics.read,
        };
        if *accesses != then.0 {
            *accesses = add(&mut self.clocks, *accesses, cpu, then);
            mixed.set(offset, atomics);
        }
        if is_first {
            self.set_atomic(offset);
        }
        Ok(())
    }

    /// Checks a plain access to the cell at `offset` against the atomic ones.
    pub(crate) fn plain(&self, cpu: usize, offset: usize, writes: bool) -> Result<(), Conflict> {
        let Some(mixed) = self.mixed.as_ref().filter(|_| self.is_atomic(offset)) else {
            return Ok(());
        };
        let (atomics, known) = (mixed.get(offset), self.known(cpu, writes));
        if let Some(cpu) = unordered(&self.clocks, &known, atomics.write) {
            return Err(Conflict::Mixed { cpu, wrote: true });
        }
        match unordered(&self.clocks, &known, atomics.read) {
            Some(cpu) if writes => Err(Conflict::Mixed { cpu, wrote: false }),
            _ => Ok(()),
        }
    }

    /// Forgets the atomic writes of the cell at `offset`, and the reads if `cpu` writes.
    pub(crate) fn forget_atomic(&mut self, cpu: usize, offset: usize, writes: bool) {
        let is_atomic = self.is_atomic(offset);
        let Some(mixed) = self.mixed.as_mut().filter(|_| is_atomic) else {
            return;
        };
        let never = Epoch::never(cpu).0;
        let mut atomics = mixed.get(offset);
        atomics.write = never;
        if writes {
            atomics.read = never;
        }
        mixed.set(offset, atomics);
    }

    /// The cell at `to` is a part of that at `from` from now on.
    pub(super) fn copy_mixed(&mut self, from: usize, to: usize) {
        if !self.is_atomic(from) {
            return;
        }
        let Some(mixed) = &mut self.mixed else { return };
        let mut atomics = mixed.get(from);
        for accesses in [&mut atomics.write, &mut atomics.read] {
            // A clock belongs to one cell.
            if *accesses & SHARED != 0 {
                let times = *self.clocks.pooled(*accesses & !SHARED);
                *accesses = SHARED | self.clocks.put(times);
            }
        }
        mixed.set(to, atomics);
        self.set_atomic(to);
    }
}
