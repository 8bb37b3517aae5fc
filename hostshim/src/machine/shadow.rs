//! The shadow of every address: its last accesses, what it synchronizes, and whether it is freed.
//!
//! # Overview
//!
//! The checks are those of FastTrack: an address has its last write and its last read as an [`Epoch`], and a whole
//! [`Clock`] only where reads of several CPUs are not ordered. The threads of the happens-before relation are the
//! *CPUs*: everything that one CPU does is ordered, including interrupts.
//!
//! # What orders two CPUs
//!
//! A store with release and a load with acquire that reads it, and nothing else. In place of either, a fence and a relaxed
//! access. A read-modify-write continues the release sequence that it finds; a relaxed store ends it, as in C++20. An
//! inter-processor interrupt orders nothing by itself. Atomic accesses do not race with each other. The fences of an LWP count on the CPU that it
//! moves to: a context switch is a full barrier.
//!
//! Foreign code may access a cell atomically and plainly. Such accesses are checked against each other: see `mixed`.
//!
//! An allocation counts as a write to every cell in it, since the memory is initialized; so does a free. Memory that
//! was allocated in the current run records where and when that was ([`Birth`]); this is copied to a cell at its
//! first access, because most cells of a large object are never accessed.
//!
//! # Layout
//!
//! A cell is identified by the address of its first byte: there is a [`Slot`] for every byte. Most cells are at
//! multiples of eight, so the slots of those come first, side by side, then those of the bytes one higher, and so on:
//! the number of a slot is the offset of its byte with the three lowest bits moved to the top.
//!
//! A slot contains the number of the run that used it last. So forgetting everything between two runs costs nothing:
//! the next run has another number.
//!
//! Foreign code, which has no cells, may access a part of what it has accessed before as a whole: see `shapes`.

use std::ptr::NonNull;

use kmod::machine::Kind;
use kmod::mem::Ordering;

use super::clock::{Clock, Clocks, Epoch};
use super::failure::Limits;
use super::mapping::Mapping;
use super::memory::REGION_BYTES;

mod mixed;
mod shapes;
#[cfg(test)]
mod tests;

use mixed::Mixed;
use shapes::Shapes;
pub(crate) use shapes::{GRANULE, Starts};

/// The shadow of one address.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(crate) struct Slot {
    /// The run to which the rest belongs, or [`FOREVER`].
    run: u32,
    /// Last plain write, or [`FREED`].
    write: u32,
    /// Last plain read, or [`SHARED`] and the number of a clock.
    read: u32,
    /// Number of the clock that a release left, shifted, and whether there is something in it; 0 if there is none.
    sync: u32,
}

impl Slot {
    /// A slot that `run` uses for the first time, on that CPU.
    #[inline(always)]
    fn untouched(cpu: usize, run: u32) -> Slot {
        let never = Epoch::never(cpu).0;
        Slot {
            run,
            write: never,
            read: never,
            sync: 0,
        }
    }
}

/// The run of memory that was freed before the image was taken.
const FOREVER: u32 = u32::MAX;
/// A run to which no slot ever belongs.
const NO_RUN: u32 = FOREVER - 1;
/// The write that represents a free. As an [`Epoch`] it is later than every moment of a run.
const FREED: u32 = u32::MAX;
/// Marks a read that represents reads of several CPUs. As an [`Epoch`] it is later than every moment of a run.
const SHARED: u32 = 1 << 31;
const _: () = assert!(
    Epoch(SHARED).time() as u64 > 2 * Limits::MAX_STEPS,
    "no CPU ever knows such a moment"
);
/// Marks a sync clock that a release has filled and no relaxed store has emptied.
const FILLED: u32 = 1;

/// Where and when some memory was allocated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Birth(u32);

impl Birth {
    /// Before everything else.
    pub(crate) const BEFORE: Birth = Birth(Epoch::NONE.0);
}

/// A local variable that was dropped.
#[derive(Clone, Copy)]
pub(crate) struct Dropped {
    /// When, and by which CPU.
    end: Epoch,
}

/// Why an access is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Conflict {
    /// The memory was freed.
    Freed,
    /// The access is not ordered after an earlier one by that CPU: a write, or otherwise a read.
    Race { cpu: usize, wrote: bool },
    /// The same, and one of the two is atomic and the other is plain.
    Mixed { cpu: usize, wrote: bool },
}

/// The slots of the region.
struct Slots(Mapping);

impl Slots {
    #[inline(always)]
    fn locate(&self, offset: usize) -> NonNull<Slot> {
        debug_assert!(offset < REGION_BYTES, "{offset} is outside of the region");
        let offset = offset % REGION_BYTES;
        let number = (offset & 7) * (REGION_BYTES / 8) + (offset >> 3);
        // SAFETY: `number` is below `REGION_BYTES`, and the mapping holds that many slots, aligned.
        unsafe { self.0.base().cast::<Slot>().add(number) }
    }

    #[inline(always)]
    fn at(&mut self, offset: usize) -> &mut Slot {
        // SAFETY: (1) zeroed memory is a valid slot; (2) `self` is exclusive.
        unsafe { self.locate(offset).as_mut() }
    }

    /// The slots of `size` bytes, in rows of neighbours: those of every eighth byte, and the first of these.
    fn rows(
        &mut self,
        offset: usize,
        size: usize,
    ) -> impl Iterator<Item = (usize, &mut [Slot])> + '_ {
        (offset..offset + size.min(8)).map(move |first| {
            let length = (offset + size - first).div_ceil(8);
            let begin = self.locate(first);
            debug_assert_eq!(
                self.locate(first + 8 * (length - 1)).as_ptr() as usize,
                begin.as_ptr() as usize + (length - 1) * size_of::<Slot>(),
            );
            // SAFETY: (1) zeroed memory is a valid slot; (2) the slots of bytes that are eight apart are neighbours, and all
            // of these bytes are in the region; (3) `self` is exclusive for as long as any row is there, and no two rows
            // have a slot in common.
            let row = unsafe { std::slice::from_raw_parts_mut(begin.as_ptr(), length) };
            (first, row)
        })
    }
}

/// The shadow of the region.
pub(crate) struct Shadow {
    run: u32,
    /// The run whose repeated accesses need no check; [`NO_RUN`] if all accesses are checked.
    quick_run: u32,
    slots: Slots,
    clocks: Clocks,
    /// What foreign code accesses, if there is any.
    shapes: Option<Shapes>,
    /// The atomic accesses of foreign code, if there are any.
    mixed: Option<Mixed>,
}

impl Shadow {
    /// The shadow of a region that was never accessed.
    pub(crate) fn new() -> Shadow {
        let slots = Slots(Mapping::new(REGION_BYTES * size_of::<Slot>(), 4096));
        Shadow {
            run: 1,
            quick_run: 1,
            slots,
            clocks: Clocks::new(),
            shapes: None,
            mixed: None,
        }
    }

    /// Switches the full check of every access of this run on or off.
    pub(crate) fn check_all(&mut self, all: bool) {
        self.quick_run = if all { NO_RUN } else { self.run };
    }

    /// Checks and records an access if it is a simple one, as most are: of memory that this run has used before or
    /// that is below `used`, and nothing is wrong with it. Returns whether it was; if not, nothing has changed, and
    /// [`Shadow::access`] must be called.
    #[inline(always)]
    pub(crate) fn quick(
        &mut self,
        cpu: usize,
        offset: usize,
        used: impl FnOnce() -> bool,
        access: impl FnOnce(&mut Clocks, usize, &mut Slot) -> bool,
    ) -> bool {
        let slot = self.slots.at(offset);
        if slot.run != self.quick_run {
            if self.quick_run != self.run || slot.run == FOREVER || !used() {
                return false;
            }
            *slot = Slot::untouched(cpu, self.run);
        }
        access(&mut self.clocks, cpu, slot)
    }

    /// Forgets every access. Returns whether this also forgot what was buried, which happens once in four thousand
    /// million runs.
    pub(crate) fn next_run(&mut self) -> bool {
        self.clocks.reset();
        self.run += 1;
        let wrapped = self.run == NO_RUN;
        if wrapped {
            self.slots.0.clear();
            if let Some(shapes) = &mut self.shapes {
                shapes.clear();
            }
            self.run = 1;
        }
        if self.quick_run != NO_RUN {
            self.quick_run = self.run;
        }
        wrapped
    }

    /// Orders `cpu` after everything: the machine is at rest.
    pub(crate) fn synchronize(&mut self, cpu: usize) {
        self.clocks.acquire_all(cpu);
    }

    /// Checks and records an access to the cell at `offset`.
    #[inline(always)]
    pub(crate) fn access(
        &mut self,
        cpu: usize,
        offset: usize,
        kind: Kind,
        order: Ordering,
    ) -> Result<(), Conflict> {
        let slot = self.slots.at(offset);
        if slot.run != self.run {
            if slot.run == FOREVER {
                return Err(Conflict::Freed);
            }
            *slot = Slot::untouched(cpu, self.run);
        } else if slot.write == FREED {
            return Err(Conflict::Freed);
        }
        let clocks = &mut self.clocks;
        match kind {
            Kind::Read => return read(clocks, cpu, slot),
            Kind::Write => return write(clocks, cpu, slot),
            Kind::Load => load(clocks, cpu, slot, order),
            Kind::Store => store(clocks, cpu, slot, order),
            Kind::Rmw | Kind::RmwSame => modify(clocks, cpu, slot, order),
            // Operations on a whole object: it must be alive; nothing else is checked.
            Kind::MutexEnter
            | Kind::MutexExit
            | Kind::Splx
            | Kind::Switch
            | Kind::Free
            | Kind::Yield
            | Kind::Kpreempt
            | Kind::Fence => {}
        }
        Ok(())
    }

    /// `cpu` makes a plain access to the cell at `offset` although it races. The accesses that it has met are forgotten.
    pub(crate) fn overtake(&mut self, cpu: usize, offset: usize, kind: Kind) {
        self.forget_plain(cpu, offset, kind == Kind::Write);
        // What is left is ordered.
        let _ = self.access(cpu, offset, kind, Ordering::Relaxed);
    }

    /// Forgets the plain writes of the cell at `offset`, and the reads if `cpu` writes.
    pub(crate) fn forget_plain(&mut self, cpu: usize, offset: usize, writes: bool) {
        let never = Epoch::never(cpu).0;
        let run = self.run;
        let slot = self.slots.at(offset);
        if slot.run == run && slot.write != FREED {
            slot.write = never;
            if writes {
                slot.read = never;
            }
        }
    }

    /// Checks a read of the cell at `offset` without recording it.
    pub(crate) fn peek(&mut self, cpu: usize, offset: usize) -> Result<(), Conflict> {
        let slot = *self.slots.at(offset);
        let is_used = slot.run == self.run;
        if slot.run == FOREVER || is_used && slot.write == FREED {
            return Err(Conflict::Freed);
        }
        let write = Epoch(slot.write);
        match is_used && !write.before(self.clocks.of(cpu)) {
            true => Err(Conflict::Race {
                cpu: write.cpu(),
                wrote: true,
            }),
            false => Ok(()),
        }
    }

    /// `cpu` has loaded the cell at `offset`, and what it saw decides about its writes from now on.
    pub(crate) fn control(&mut self, cpu: usize, offset: usize) {
        let slot = *self.slots.at(offset);
        if slot.run == self.run && slot.write != FREED && slot.sync & FILLED != 0 {
            self.clocks.control(cpu, slot.sync >> 1);
        }
    }

    /// What a load of the cell at `offset` with acquire would learn, if anything.
    pub(crate) fn sync(&mut self, offset: usize) -> Option<Clock> {
        let slot = *self.slots.at(offset);
        let is_filled = slot.run == self.run && slot.write != FREED && slot.sync & FILLED != 0;
        is_filled.then(|| *self.clocks.pooled(slot.sync >> 1))
    }

    /// That is this from now on.
    pub(crate) fn set_sync(&mut self, offset: usize, sync: Option<Clock>) {
        let run = self.run;
        let slot = self.slots.at(offset);
        if slot.run != run || slot.write == FREED {
            return;
        }
        slot.sync &= !FILLED;
        if let Some(clock) = sync {
            let pooled = fill(&mut self.clocks, slot);
            self.clocks.set(pooled, clock);
        }
    }

    /// `cpu` makes a fence.
    pub(crate) fn fence(&mut self, cpu: usize, order: Ordering) {
        if acquires(order) {
            self.clocks.fence_acquire(cpu);
        }
        if releases(order) {
            self.clocks.fence_release(cpu);
        }
    }

    /// From now on acquire fences are exact, or no run has made any ([`Clocks::watch`]).
    pub(crate) fn watch_fences(&mut self, watching: bool) {
        self.clocks.watch(watching);
    }

    /// Whether this run made an acquire fence, and must be repeated.
    pub(crate) fn missed_fence(&self) -> bool {
        self.clocks.missed_fence()
    }

    /// Another LWP goes on, on `cpu`.
    #[inline]
    pub(crate) fn switch(&mut self, cpu: usize) {
        self.clocks.switch(cpu);
    }

    /// The birth record for an allocation by `cpu` now.
    pub(crate) fn birth(&self, cpu: usize) -> Birth {
        Birth(self.clocks.now(cpu).0)
    }

    /// Whether the cell at `offset` was not accessed in this run.
    #[inline]
    pub(crate) fn is_new(&mut self, offset: usize) -> bool {
        let run = self.run;
        let slot = self.slots.at(offset);
        slot.run != run && slot.run != FOREVER
    }

    /// The first access to the cell at `offset`: it was written when its memory was allocated.
    pub(crate) fn begin(&mut self, offset: usize, birth: Birth) {
        *self.slots.at(offset) = Slot {
            write: birth.0,
            ..Slot::untouched(Epoch(birth.0).cpu(), self.run)
        };
    }

    /// Whether `cpu` knows of that birth; if not, the conflict for a free of the memory.
    pub(crate) fn knows(&self, cpu: usize, birth: Birth) -> Result<(), Conflict> {
        match Epoch(birth.0).before(self.clocks.of(cpu)) {
            true => Ok(()),
            false => Err(Conflict::Race {
                cpu: Epoch(birth.0).cpu(),
                wrote: true,
            }),
        }
    }

    /// `cpu` frees the `size` bytes at `offset`: a write to every cell in them.
    ///
    /// On a conflict, also returns the offset of the cell.
    pub(crate) fn free(
        &mut self,
        cpu: usize,
        offset: usize,
        size: usize,
    ) -> Result<(), (usize, Conflict)> {
        let run = self.run;
        let freed = Slot {
            run,
            write: FREED,
            read: 0,
            sync: 0,
        };
        let mut found: Option<(usize, Conflict)> = None;
        for (first, slots) in self.slots.rows(offset, size) {
            for (slot, at) in slots.iter_mut().zip((first..).step_by(8)) {
                if slot.run == run && slot.write != FREED {
                    // The lowest cell is reported.
                    let conflict = unordered(&self.clocks, self.clocks.of(cpu), slot).err();
                    found = conflict
                        .map(|conflict| (at, conflict))
                        .into_iter()
                        .chain(found)
                        .min_by_key(|&(at, _)| at);
                }
                *slot = freed;
            }
        }
        found.map_or(Ok(()), Err)
    }

    /// The local variable at `offset` is dropped by `cpu`.
    pub(crate) fn drop_cell(&mut self, cpu: usize, offset: usize) {
        *self.slots.at(offset) = Slot {
            run: self.run,
            write: FREED,
            read: 0,
            sync: self.clocks.now(cpu).0,
        };
    }

    /// The local variable at `offset`, if it was dropped.
    pub(crate) fn dropped(&mut self, offset: usize) -> Option<Dropped> {
        let run = self.run;
        let slot = self.slots.at(offset);
        (slot.run == run && slot.write == FREED).then_some(Dropped {
            end: Epoch(slot.sync),
        })
    }

    /// Whether `cpu` is ordered after the end of this variable.
    pub(crate) fn knows_end(&self, cpu: usize, dropped: Dropped) -> bool {
        dropped.end.before(self.clocks.of(cpu))
    }

    /// The cell at `offset` is a new one, which nobody has touched.
    pub(crate) fn replace_cell(&mut self, cpu: usize, offset: usize) {
        *self.slots.at(offset) = Slot::untouched(cpu, self.run);
    }

    /// The `size` bytes at `offset` stay freed in every run, until [`Shadow::revive`].
    pub(crate) fn bury(&mut self, offset: usize, size: usize) {
        for at in offset..offset + size {
            self.slots.at(at).run = FOREVER;
        }
    }

    /// Undoes [`Shadow::bury`].
    pub(crate) fn revive(&mut self, offset: usize, size: usize) {
        for at in offset..offset + size {
            self.slots.at(at).run = 0;
        }
    }
}

/// Whether every plain access of the cell is certainly ordered before the present of `cpu`: by `cpu` itself, or by
/// one CPU each that it knows of. False for [`FREED`] and [`SHARED`].
#[inline(always)]
fn is_ordered(clocks: &Clocks, cpu: usize, slot: &Slot) -> bool {
    let known = clocks.of(cpu);
    Epoch(slot.write).before(known) && Epoch(slot.read).before(known)
}

/// Whether every plain access of the cell was made by `cpu` itself. False for [`FREED`] and [`SHARED`].
#[inline(always)]
fn is_own(now: Epoch, slot: &Slot) -> bool {
    (slot.write ^ now.0 | slot.read ^ now.0) & (SHARED | Epoch::CPU) == 0
}

/// Records a plain read of a cell that no other CPU has accessed. Returns whether it is one.
#[inline(always)]
pub(crate) fn own_read(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    let now = clocks.now(cpu);
    let own = is_own(now, slot);
    if own {
        slot.read = now.0;
    }
    own
}

/// Records a plain write of a cell that no other CPU has accessed. Returns whether it is one.
#[inline(always)]
pub(crate) fn own_write(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    let now = clocks.now(cpu);
    let own = is_own(now, slot);
    if own {
        slot.write = now.0;
        slot.read = Epoch::never(cpu).0;
    }
    own
}

/// Records a plain read of a cell whose accesses are ordered. Returns whether they are.
#[inline(always)]
pub(crate) fn quick_read(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    let ordered = is_ordered(clocks, cpu, slot);
    if ordered {
        slot.read = clocks.now(cpu).0;
    }
    ordered
}

/// Records a plain write of a cell whose accesses are ordered. Returns whether they are.
#[inline(always)]
pub(crate) fn quick_write(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    let ordered = is_ordered(clocks, cpu, slot);
    if ordered {
        slot.write = clocks.now(cpu).0;
        // Whatever races with the reads so far also races with this write.
        slot.read = Epoch::never(cpu).0;
    }
    ordered
}

/// Makes an atomic access to a cell. Returns false if the cell was freed.
#[inline(always)]
pub(crate) fn quick_atomic(
    access: impl FnOnce(&mut Clocks, usize, &mut Slot),
) -> impl FnOnce(&mut Clocks, usize, &mut Slot) -> bool {
    |clocks, cpu, slot| {
        let alive = slot.write != FREED;
        if alive {
            access(clocks, cpu, slot);
        }
        alive
    }
}

/// Makes an acquire load from which `cpu` learns nothing. Returns whether it is one.
#[inline(always)]
pub(crate) fn simple_load_acquire(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    slot.write != FREED && (slot.sync & FILLED == 0 || clocks.knows(cpu, slot.sync >> 1))
}

/// Makes a relaxed load of which nothing is recorded. Returns whether it is one.
#[inline(always)]
pub(crate) fn simple_load_relaxed(clocks: &mut Clocks, _: usize, slot: &mut Slot) -> bool {
    slot.write != FREED && (slot.sync & FILLED == 0 || !clocks.watches())
}

/// Makes a release store to a cell that has a sync clock. Returns whether it has one, and was not freed.
#[inline(always)]
pub(crate) fn simple_store_release(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    let simple = slot.write != FREED && slot.sync != 0;
    if simple {
        slot.sync |= FILLED;
        clocks.release(cpu, slot.sync >> 1, false);
    }
    simple
}

/// Makes a relaxed store that passes nothing on. Returns whether it is one.
#[inline(always)]
pub(crate) fn simple_store_relaxed(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> bool {
    let simple = slot.write != FREED && !clocks.is_releasing(cpu);
    if simple {
        slot.sync &= !FILLED;
    }
    simple
}

fn read(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> Result<(), Conflict> {
    if quick_read(clocks, cpu, slot) {
        return Ok(());
    }
    let known = clocks.of(cpu);
    if !Epoch(slot.write).before(known) {
        return Err(Conflict::Race {
            cpu: Epoch(slot.write).cpu(),
            wrote: true,
        });
    }
    let now = clocks.now(cpu);
    if slot.read & SHARED != 0 {
        clocks.pooled_mut(slot.read & !SHARED)[cpu] = now.time();
    } else {
        let mut readers: Clock = [0; _];
        let other = Epoch(slot.read);
        readers[other.cpu()] = other.time();
        readers[cpu] = now.time();
        slot.read = SHARED | clocks.put(readers);
    }
    Ok(())
}

fn write(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) -> Result<(), Conflict> {
    if !quick_write(clocks, cpu, slot) {
        unordered(clocks, &clocks.before_writes(cpu), slot)?;
        slot.write = clocks.now(cpu).0;
        slot.read = Epoch::never(cpu).0;
    }
    Ok(())
}

/// Whether there is a plain access that a CPU which knows this is not ordered after.
#[inline]
fn unordered(clocks: &Clocks, known: &Clock, slot: &Slot) -> Result<(), Conflict> {
    if !Epoch(slot.write).before(known) {
        return Err(Conflict::Race {
            cpu: Epoch(slot.write).cpu(),
            wrote: true,
        });
    }
    let reader = if slot.read & SHARED != 0 {
        let readers = clocks.pooled(slot.read & !SHARED);
        (0..readers.len()).find(|&other| readers[other] > known[other])
    } else {
        Some(Epoch(slot.read))
            .filter(|read| !read.before(known))
            .map(Epoch::cpu)
    };
    match reader {
        Some(cpu) => Err(Conflict::Race { cpu, wrote: false }),
        None => Ok(()),
    }
}

#[inline(always)]
pub(crate) fn load(clocks: &mut Clocks, cpu: usize, slot: &Slot, order: Ordering) {
    if slot.sync & FILLED != 0 {
        let clock = slot.sync >> 1;
        if acquires(order) {
            clocks.acquire(cpu, clock);
        } else {
            clocks.see(cpu, clock);
        }
    }
}

#[inline(always)]
pub(crate) fn store(clocks: &mut Clocks, cpu: usize, slot: &mut Slot, order: Ordering) {
    if releases(order) {
        release(clocks, cpu, slot, false);
    } else {
        slot.sync &= !FILLED;
        pass_on(clocks, cpu, slot);
    }
}

/// A read-modify-write: a load, and a store that continues the release sequence that it finds.
#[inline(always)]
pub(crate) fn modify(clocks: &mut Clocks, cpu: usize, slot: &mut Slot, order: Ordering) {
    load(clocks, cpu, slot, order);
    if releases(order) {
        release(clocks, cpu, slot, slot.sync & FILLED != 0);
    } else {
        pass_on(clocks, cpu, slot);
    }
}

/// A relaxed store passes on what its CPU knew at its last release fence.
#[inline(always)]
fn pass_on(clocks: &mut Clocks, cpu: usize, slot: &mut Slot) {
    if clocks.is_releasing(cpu) {
        let keep = slot.sync & FILLED != 0;
        let clock = fill(clocks, slot);
        clocks.release_fenced(cpu, clock, keep);
    }
}

#[inline(always)]
fn release(clocks: &mut Clocks, cpu: usize, slot: &mut Slot, keep: bool) {
    let clock = fill(clocks, slot);
    clocks.release(cpu, clock, keep);
}

/// The slot's sync clock, which is filled from now on.
#[inline(always)]
fn fill(clocks: &mut Clocks, slot: &mut Slot) -> u32 {
    if slot.sync == 0 {
        slot.sync = clocks.put([0; _]) << 1;
    }
    slot.sync |= FILLED;
    slot.sync >> 1
}

#[inline(always)]
pub(crate) fn acquires(order: Ordering) -> bool {
    matches!(
        order,
        Ordering::Acquire | Ordering::AcqRel | Ordering::SeqCst
    )
}

#[inline(always)]
pub(crate) fn releases(order: Ordering) -> bool {
    matches!(
        order,
        Ordering::Release | Ordering::AcqRel | Ordering::SeqCst
    )
}
