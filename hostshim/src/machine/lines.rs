//! The interrupt lines of all CPUs: what is asserted, and what is put off.

use std::cell::Cell;

use kmod::machine::Line;

/// The lines, highest first.
pub(crate) const BY_RANK: [Line; 2] = [Line::Ipi, Line::Clock];

/// For every line, the set of CPUs on which it is asserted, and on which it was put off. Sets are bit masks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sets {
    asserted: [u32; Line::ALL.len()],
    deferred: [u32; Line::ALL.len()],
}

/// The lines of a machine.
#[derive(Default)]
pub(crate) struct Lines(Cell<Sets>);

impl Lines {
    pub(crate) fn get(&self) -> Sets {
        self.0.get()
    }

    pub(crate) fn set(&self, sets: Sets) {
        self.0.set(sets);
    }

    /// The CPUs on which the line is asserted.
    pub(crate) fn asserted(&self, line: Line) -> u32 {
        self.0.get().asserted[line as usize]
    }

    /// Asserts the line on these CPUs.
    pub(crate) fn assert(&self, cpus: u32, line: Line) {
        let mut sets = self.0.get();
        sets.asserted[line as usize] |= cpus;
        self.0.set(sets);
    }

    /// A CPU takes the line. Gives whether it was asserted.
    pub(crate) fn take(&self, cpu: usize, line: Line) -> bool {
        let mut sets = self.0.get();
        let was = sets.asserted[line as usize] & 1 << cpu != 0;
        sets.asserted[line as usize] &= !(1 << cpu);
        sets.deferred[line as usize] &= !(1 << cpu);
        self.0.set(sets);
        was
    }

    /// A CPU steps although lines may be asserted on it: they stay put off.
    #[inline]
    pub(crate) fn defer(&self, cpu: usize) {
        let mut sets = self.0.get();
        for line in Line::ALL {
            sets.deferred[line as usize] |= sets.asserted[line as usize] & 1 << cpu;
        }
        self.0.set(sets);
    }

    /// The CPUs that by themselves take the line now: those on which it is asserted, unless it is put off there and
    /// the CPU has something else to do.
    #[inline]
    pub(crate) fn eligible(&self, line: Line, runnable: u32) -> u32 {
        let sets = self.0.get();
        sets.asserted[line as usize] & !(sets.deferred[line as usize] & runnable)
    }
}

/// The first CPU of the set, from `from` on and around.
#[inline]
pub(crate) fn in_turn(cpus: u32, from: usize) -> usize {
    debug_assert!(cpus != 0, "nobody's turn");
    let above = cpus >> from;
    if above != 0 {
        from + above.trailing_zeros() as usize
    } else {
        cpus.trailing_zeros() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_around() {
        assert_eq!(in_turn(0b1010, 0), 1);
        assert_eq!(in_turn(0b1010, 2), 3);
        assert_eq!(in_turn(0b0010, 2), 1);
        assert_eq!(in_turn(1 << 15 | 1, 16), 0);
    }

    #[test]
    fn a_deferred_line_waits_while_its_cpu_has_something_to_do() {
        let lines = Lines::default();
        lines.assert(0b11, Line::Ipi);
        lines.defer(0);
        assert_eq!(lines.eligible(Line::Ipi, 0b11), 0b10);
        assert_eq!(lines.eligible(Line::Ipi, 0b10), 0b11);
        assert!(lines.take(0, Line::Ipi));
        assert!(!lines.take(0, Line::Ipi));
        assert_eq!(lines.eligible(Line::Ipi, 0), 0b10);
    }
}
