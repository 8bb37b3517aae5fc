//! Cells of foreign code: accesses that have a size.
//!
//! # Overview
//!
//! A cell of the kernel is always accessed as a whole, so the address of its first byte identifies it. Code that the
//! kernel's authors did not write may write four bytes and read the second of them. For the memory that such code
//! accesses there is a note for each *granule* of eight bytes: into which cells it is divided. At first it is one cell.
//! An access that begins or ends inside a cell divides it, and each part begins with what is recorded of the whole. An
//! access is checked against every cell that it covers, which is nearly always one.
//!
//! A note also says which cells were accessed atomically: plain accesses to these need one more check (`mixed`).
//!
//! Notes are forgotten with the run, as slots are.

use super::{FILLED, FREED, Mapping, REGION_BYTES, SHARED, Shadow};

/// Bytes of a granule.
pub(crate) const GRANULE: usize = 8;

/// The cells of a granule: bit `n` is set if a cell begins at byte `n`.
pub(crate) type Starts = u8;

/// Where the bits of atomic cells are in a note, one for each of [`Starts`].
const ATOMIC: u32 = 8;

/// The notes of all granules: the run in the upper half, the cells in the lower, and which of them are atomic.
pub(crate) struct Shapes(Mapping);

impl Shapes {
    pub(crate) fn new() -> Shapes {
        Shapes(Mapping::new(
            REGION_BYTES / GRANULE * size_of::<u64>(),
            4096,
        ))
    }

    #[inline(always)]
    fn locate(&self, offset: usize) -> *mut u64 {
        let number = offset % REGION_BYTES / GRANULE;
        // SAFETY: `number` is below the number of granules, and the mapping has a word for each.
        unsafe { self.0.base().as_ptr().cast::<u64>().add(number) }
    }

    /// The note of the granule at `offset`, if any of it was accessed in `run`.
    #[inline(always)]
    fn note(&self, offset: usize, run: u32) -> Option<u32> {
        // SAFETY: a word of the mapping; zeroed memory is one.
        let note = unsafe { self.locate(offset).read() };
        ((note >> 32) as u32 == run).then_some(note as u32)
    }

    /// The cells of the granule at `offset`, if any was accessed in `run`.
    #[inline(always)]
    fn get(&self, offset: usize, run: u32) -> Option<Starts> {
        self.note(offset, run).map(|note| note as Starts)
    }

    #[inline(always)]
    fn set(&mut self, offset: usize, run: u32, note: u32) {
        let note = u64::from(run) << 32 | u64::from(note);
        // SAFETY: a word of the mapping, and `self` is exclusive.
        unsafe { self.locate(offset).write(note) };
    }

    /// Forgets every run.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The bytes of a granule at which a cell must begin, and those at which none may, if an access is to be one cell.
#[inline(always)]
fn edges(offset: usize, size: usize) -> (Starts, Starts) {
    let first = offset % GRANULE;
    let begin = 1_u16 << first;
    let end = 1_u16 << (first + size);
    let inside = (end - 1) & !((begin << 1) - 1);
    ((begin | end) as Starts, inside as Starts)
}

impl Shadow {
    /// Foreign code is going to run.
    pub(crate) fn expect_foreign(&mut self) {
        self.shapes.get_or_insert_with(Shapes::new);
    }

    /// Whether the `size` bytes at `offset`, which are in one granule, are one cell.
    #[inline(always)]
    pub(crate) fn is_cell(&self, offset: usize, size: usize) -> bool {
        let (edges, inside) = edges(offset, size);
        let starts = match &self.shapes {
            Some(shapes) => shapes.get(offset, self.run),
            None => None,
        };
        starts.is_some_and(|starts| starts & (edges | inside) == edges)
    }

    /// The same, and nothing of the granule was accessed atomically.
    #[inline(always)]
    pub(crate) fn is_plain_cell(&self, offset: usize, size: usize) -> bool {
        let (edges, inside) = edges(offset, size);
        let note = match &self.shapes {
            Some(shapes) => shapes.note(offset, self.run),
            None => None,
        };
        let mask = 0xff << ATOMIC | u32::from(edges | inside);
        note.is_some_and(|note| note & mask == u32::from(edges))
    }

    /// Whether the cell at `offset` was accessed atomically.
    #[inline(always)]
    pub(super) fn is_atomic(&self, offset: usize) -> bool {
        let shapes = self.shapes.as_ref();
        let note = shapes.and_then(|shapes| shapes.note(offset, self.run));
        note.is_some_and(|note| note >> ATOMIC >> (offset % GRANULE) & 1 != 0)
    }

    /// From now on the cell at `offset`, in a granule that was accessed, is atomic.
    pub(super) fn set_atomic(&mut self, offset: usize) {
        let run = self.run;
        if let Some(shapes) = &mut self.shapes
            && let Some(note) = shapes.note(offset, run)
        {
            shapes.set(offset, run, note | 1 << ATOMIC << (offset % GRANULE));
        }
    }

    /// Divides the cells of a granule so that the `size` bytes at `offset` are whole cells. Calls `copied` with the
    /// offset of each cell that has taken over what is recorded of another, and the offset of that one. Returns the cells.
    pub(crate) fn divide(
        &mut self,
        offset: usize,
        size: usize,
        mut copied: impl FnMut(usize, usize),
    ) -> Starts {
        let (edges, _) = edges(offset, size);
        let (run, granule) = (self.run, offset - offset % GRANULE);
        let shapes = self.shapes.get_or_insert_with(Shapes::new);
        let note = shapes.note(offset, run);
        let before = note.map(|note| note as Starts);
        let starts = before.unwrap_or(1) | edges;
        if before == Some(starts) {
            return starts;
        }
        shapes.set(offset, run, note.unwrap_or(0) | u32::from(starts));
        if let Some(before) = before {
            for start in (1..GRANULE).filter(|start| (starts & !before) >> start & 1 != 0) {
                let below = before & ((1 << start) - 1);
                let whole = granule + (below.ilog2() as usize);
                self.copy_mixed(whole, granule + start);
                if self.copy_cell(whole, granule + start) {
                    copied(granule + start, whole);
                }
            }
        }
        starts
    }

    /// Records of the cell at `to` what is recorded of that at `from`, if anything is.
    fn copy_cell(&mut self, from: usize, to: usize) -> bool {
        let mut slot = *self.slots.at(from);
        if slot.run != self.run || slot.write == FREED {
            return false;
        }
        // A clock belongs to one slot.
        if slot.read & SHARED != 0 {
            let readers = *self.clocks.pooled(slot.read & !SHARED);
            slot.read = SHARED | self.clocks.put(readers);
        }
        if slot.sync & FILLED != 0 {
            let clock = *self.clocks.pooled(slot.sync >> 1);
            slot.sync = self.clocks.put(clock) << 1 | FILLED;
        } else {
            slot.sync = 0;
        }
        *self.slots.at(to) = slot;
        true
    }

    /// The first cell in the `size` bytes at `offset` that is in a granule that foreign code has accessed in this run.
    pub(crate) fn foreign_cell(&self, offset: usize, size: usize) -> Option<usize> {
        let shapes = self.shapes.as_ref()?;
        let (mut at, end) = (offset, offset + size);
        while at < end {
            let starts = shapes.get(at, self.run).unwrap_or(0) >> (at % GRANULE);
            let cell = at + starts.trailing_zeros() as usize;
            if starts != 0 {
                return (cell < end).then_some(cell);
            }
            at += GRANULE - at % GRANULE;
        }
        None
    }

    /// Forgets how the `size` bytes at `offset` are divided.
    pub(crate) fn forget_cells(&mut self, offset: usize, size: usize) {
        if let Some(shapes) = &mut self.shapes {
            for granule in (offset.next_multiple_of(GRANULE)..offset + size).step_by(GRANULE) {
                shapes.set(granule, 0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kmod::machine::Kind;
    use kmod::mem::Ordering;

    use super::super::Conflict;
    use super::*;
    use crate::strategy::Rng;

    /// A foreign access as the machine makes it: to each of its cells.
    fn access(
        shadow: &mut Shadow,
        cpu: usize,
        offset: usize,
        size: usize,
        kind: Kind,
    ) -> Result<(), Conflict> {
        let granule = offset - offset % GRANULE;
        let starts = shadow.divide(offset, size, |_, _| {});
        for start in 0..GRANULE {
            let cell = granule + start;
            if starts >> start & 1 != 0 && (offset..offset + size).contains(&cell) {
                shadow.access(cpu, cell, kind, Ordering::Relaxed)?;
            }
        }
        Ok(())
    }

    #[test]
    fn a_byte_of_a_word_meets_the_word() {
        let race = Err(Conflict::Race {
            cpu: 0,
            wrote: true,
        });
        for (size, byte) in [(4, 1), (8, 7), (8, 3), (2, 1), (8, 0)] {
            let mut shadow = Shadow::new();
            assert_eq!(access(&mut shadow, 0, 64, size, Kind::Write), Ok(()));
            assert_eq!(access(&mut shadow, 1, 64 + byte, 1, Kind::Read), race);
            assert_eq!(
                access(&mut shadow, 1, 64 + 8 - 1, 1, Kind::Read).is_err(),
                size == 8
            );
        }
    }

    #[test]
    fn parts_of_a_word_that_do_not_overlap_do_not_meet() {
        let mut shadow = Shadow::new();
        assert_eq!(access(&mut shadow, 0, 64, 4, Kind::Write), Ok(()));
        assert_eq!(access(&mut shadow, 1, 68, 4, Kind::Write), Ok(()));
        assert_eq!(access(&mut shadow, 0, 65, 1, Kind::Write), Ok(()));
        assert_eq!(access(&mut shadow, 1, 70, 2, Kind::Read), Ok(()));
        let race = Conflict::Race {
            cpu: 1,
            wrote: true,
        };
        assert_eq!(access(&mut shadow, 0, 64, 8, Kind::Read), Err(race));
    }

    #[test]
    fn readers_of_a_word_are_remembered_for_its_parts() {
        let mut shadow = Shadow::new();
        for cpu in 0..3 {
            assert_eq!(access(&mut shadow, cpu, 64, 8, Kind::Read), Ok(()));
        }
        let race = |cpu| Err(Conflict::Race { cpu, wrote: false });
        assert_eq!(access(&mut shadow, 2, 67, 1, Kind::Write), race(0));
        assert_eq!(access(&mut shadow, 0, 66, 1, Kind::Write), race(1));
        // A reader of one part is not one of another.
        assert_eq!(access(&mut shadow, 3, 65, 1, Kind::Read), Ok(()));
        assert_eq!(access(&mut shadow, 0, 64, 1, Kind::Write), race(1));
    }

    #[test]
    fn the_next_run_begins_with_whole_granules() {
        let mut shadow = Shadow::new();
        assert_eq!(access(&mut shadow, 0, 65, 1, Kind::Write), Ok(()));
        assert!(shadow.is_cell(65, 1) && !shadow.is_cell(64, 8));
        shadow.next_run();
        assert!(!shadow.is_cell(65, 1));
        assert_eq!(access(&mut shadow, 1, 64, 8, Kind::Write), Ok(()));
        assert!(shadow.is_cell(64, 8));
    }

    /// The same as a shadow in which every byte is a cell of its own.
    #[test]
    fn cells_find_what_bytes_find() {
        let (mut cells, mut bytes) = (Shadow::new(), Shadow::new());
        let mut rng = Rng::new(7, 7);
        let mut found = 0;
        for _ in 0..100_000 {
            if rng.once_in(16) {
                cells.next_run();
                bytes.next_run();
            }
            let cpu = rng.below(3) as usize;
            let size = 1 << rng.below(4);
            let offset = 64 + rng.below(9 - size as u64) as usize;
            let kind = [Kind::Read, Kind::Write][rng.below(2) as usize];
            let mut expected = Ok(());
            for byte in offset..offset + size {
                let result = bytes.access(cpu, byte, kind, Ordering::Relaxed);
                expected = expected.and(result);
            }
            let is_wrong = access(&mut cells, cpu, offset, size, kind).is_err();
            assert_eq!(is_wrong, expected.is_err());
            if is_wrong {
                // A run ends here.
                found += 1;
                cells.next_run();
                bytes.next_run();
            }
        }
        assert!(found > 10_000, "{found}");
    }
}
