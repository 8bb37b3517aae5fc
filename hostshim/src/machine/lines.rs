//! The interrupt lines of all CPUs: which are asserted, and which are deferred.

use std::cell::Cell;

use kmod::machine::Line;

/// The lines, highest first.
pub(crate) const BY_RANK: [Line; 3] = [Line::Ipi, Line::Clock, Line::Net];

/// For every line, the CPUs on which it is asserted, and those on which it is deferred. Sets are bit masks.
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

    /// Calls `f` with all that is asserted, and deferred.
    pub(crate) fn state(&self, mut f: impl FnMut(u64)) {
        let Sets { asserted, deferred } = self.0.get();
        for (asserted, deferred) in asserted.into_iter().zip(deferred) {
            f(u64::from(asserted) << 32 | u64::from(deferred));
        }
    }

    /// The CPUs on which the line is asserted.
    pub(crate) fn asserted(&self, line: Line) -> u32 {
        self.0.get().asserted[line as usize]
    }

    /// Whether nothing is asserted on any CPU.
    #[inline]
    pub(crate) fn are_quiet(&self) -> bool {
        self.0.get().asserted == [0; _]
    }

    /// Asserts the line on these CPUs.
    pub(crate) fn assert(&self, cpus: u32, line: Line) {
        let mut sets = self.0.get();
        sets.asserted[line as usize] |= cpus;
        self.0.set(sets);
    }

    /// A CPU takes the line. Returns whether it was asserted.
    pub(crate) fn take(&self, cpu: usize, line: Line) -> bool {
        let mut sets = self.0.get();
        let was = sets.asserted[line as usize] & 1 << cpu != 0;
        sets.asserted[line as usize] &= !(1 << cpu);
        sets.deferred[line as usize] &= !(1 << cpu);
        self.0.set(sets);
        was
    }

    /// A CPU steps although lines may be asserted on it: they become deferred.
    #[inline]
    pub(crate) fn defer(&self, cpu: usize) {
        if self.are_quiet() {
            return;
        }
        for line in Line::ALL {
            self.defer_line(cpu, line);
        }
    }

    /// Some CPU steps although a CPU could take the line, if it is asserted there: it becomes deferred.
    pub(crate) fn defer_line(&self, cpu: usize, line: Line) {
        let mut sets = self.0.get();
        sets.deferred[line as usize] |= sets.asserted[line as usize] & 1 << cpu;
        self.0.set(sets);
    }

    /// Nothing is deferred any more.
    pub(crate) fn undefer(&self) {
        let mut sets = self.0.get();
        sets.deferred = [0; _];
        self.0.set(sets);
    }

    /// The CPUs that take the line now by default: those on which it is asserted, unless it is deferred there and
    /// another CPU has something else to do.
    #[inline]
    pub(crate) fn eligible(&self, line: Line, busy: bool) -> u32 {
        let sets = self.0.get();
        let deferred = if busy {
            sets.deferred[line as usize]
        } else {
            0
        };
        sets.asserted[line as usize] & !deferred
    }
}

/// The first CPU of the set, starting at `from` and wrapping around.
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
    fn a_deferred_line_waits_while_somebody_has_something_to_do() {
        let lines = Lines::default();
        lines.assert(0b111, Line::Ipi);
        lines.defer(0);
        lines.defer_line(2, Line::Ipi);
        lines.defer_line(2, Line::Clock);
        assert_eq!(lines.eligible(Line::Ipi, true), 0b010);
        assert_eq!(lines.eligible(Line::Ipi, false), 0b111);
        assert!(lines.take(0, Line::Ipi));
        assert!(!lines.take(0, Line::Ipi));
        lines.assert(0b101, Line::Clock);
        assert_eq!(lines.eligible(Line::Clock, true), 0b101);
        assert_eq!(lines.eligible(Line::Ipi, true), 0b010);
        lines.undefer();
        assert_eq!(lines.eligible(Line::Ipi, true), 0b110);
    }
}
