//! Backtraces, by the chain of frame pointers.
//!
//! The kernel is built with frame pointers everywhere, except in the precompiled parts of `core` and `alloc`: one of
//! their functions can hide its caller, but no more. An address is followed only if it is on the same mapped stack,
//! further up. So a damaged chain ends early, and cannot fault.

use core::fmt::{self, Write};

use crate::cpu::interrupt::{self, TrapFrame};
use crate::memory::stack;
use crate::report::symbols::Symbols;

/// Maximum number of frames in the report; an endless recursion has hundreds.
const TOLD: usize = 24;

/// A backtrace that has not been walked yet.
pub(crate) struct Backtrace {
    pc: u64,
    /// The frame record: the caller's frame pointer, and the return address above it.
    record: u64,
    /// Whether `pc` is the instruction that was executed last or next, not the one after a call.
    exact: bool,
}

/// One place in a backtrace.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pc: u64,
    exact: bool,
}

impl Place {
    /// An address inside the current instruction: a return address is the one after it.
    pub(crate) fn probe(self) -> u64 {
        if self.exact {
            self.pc
        } else {
            self.pc.wrapping_sub(1)
        }
    }
}

impl Backtrace {
    /// From where a CPU trapped.
    pub(crate) fn of_trap(frame: &TrapFrame) -> Self {
        Backtrace {
            pc: frame.rip,
            record: frame.rbp,
            exact: true,
        }
    }

    /// Writes the places, one per line, with inlined functions.
    pub(crate) fn write(self, symbols: &Symbols, out: &mut dyn Write) -> fmt::Result {
        let (mut told, mut more) = (0, 0);
        for place in self {
            if told >= TOLD {
                more += 1;
                continue;
            }
            told += symbols.write(place, told, out)?;
        }
        if more > 0 {
            writeln!(out, "… and {more} more")?;
        }
        Ok(())
    }
}

/// Reads a frame record, if it lies on a stack.
fn read_record(at: u64) -> Option<[u64; 2]> {
    let range = stack::containing(at as usize)?.range();
    let inside = at.is_multiple_of(8) && at as usize + 16 <= range.end;
    let record = core::ptr::with_exposed_provenance::<[u64; 2]>(at as usize);
    // SAFETY: it lies on a stack, which is mapped and, as all CPUs have been stopped, stays as it is.
    inside.then(|| unsafe { record.read() })
}

impl Iterator for Backtrace {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let place = Place {
            pc: self.pc,
            exact: self.exact,
        };
        if place.pc == 0 {
            return None;
        }
        self.pc = 0;
        if let Some([record, pc]) = read_record(self.record) {
            let stack = |at: u64| stack::containing(at as usize);
            // The outermost frame has no caller, which is marked by 0.
            let goes_up = record > self.record && stack(record) == stack(self.record);
            self.pc = if goes_up || record == 0 { pc } else { 0 };
            self.record = if goes_up { record } else { 0 };
            self.exact = interrupt::is_entry(place.pc);
        }
        Some(place)
    }
}
