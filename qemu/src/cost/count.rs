//! Counting the instructions of an operation.
//!
//! # Overview
//!
//! The difference of two readings of the cycle counter ([`counter`](crate::counter)) is the number of instructions
//! between them, including the second reading. The cost of two readings with nothing in between is subtracted, and so
//! is the loop around the operation.
//!
//! With several CPUs QEMU runs one at a time, with one clock: a difference counts what *all* CPUs executed in
//! between. A CPU that waits for an interrupt executes nothing.
//!
//! # Contexts
//!
//! Thread, bound to its CPU.

use core::arch::asm;
use core::fmt;

use x86_64::instructions::interrupts::without_interrupts;

/// How often [`pairs`] repeats the operation.
const PAIRS: u32 = 10_000;
/// How many such loops are counted.
const LOOPS: usize = 5;
/// How many operations [`single`] counts.
const SINGLES: usize = 101;
/// How many uncounted operations come first.
const WARM_UP: usize = 10;

/// The number of instructions so far.
///
/// Not `nomem`: the measured code must stay between its two readings.
#[inline(always)]
fn instructions() -> u64 {
    let (high, low): (u64, u64);
    // SAFETY: every x86-64 processor has the counter.
    unsafe {
        asm!("rdtsc", out("rdx") high, out("rax") low, options(nostack, preserves_flags));
    }
    high << 32 | low
}

/// A cost per operation.
pub(crate) enum Cost {
    /// Of the loops with the lowest and the highest cost, in instructions per [`PAIRS`] operations.
    Averages(u64, u64),
    /// Of the median operation, in instructions.
    Median(u64),
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Cost::Averages(min, max) if min == max => write!(f, "{}", Average(min)),
            Cost::Averages(min, max) => write!(f, "{} to {}", Average(min), Average(max)),
            Cost::Median(median) => write!(f, "{median}"),
        }
    }
}

/// A sum over [`PAIRS`] operations as their average, with two decimals unless they are 0.
struct Average(u64);

impl fmt::Display for Average {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = u64::from(PAIRS);
        let hundredths = (self.0 * 100 + pairs / 2) / pairs;
        match (hundredths / 100, hundredths % 100) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, part) => write!(f, "{whole}.{part:02}"),
        }
    }
}

/// Counts loops of [`PAIRS`] operations, with interrupts off.
///
/// The operation is inlined into its own loop. Values that do not change from one iteration to the next, such as the
/// address of a lock, may be in a register before it begins.
pub(crate) fn pairs(mut operation: impl FnMut()) -> Cost {
    let mut loops = [0; LOOPS];
    without_interrupts(|| {
        let empty = count_loop(&mut || {});
        for counted in &mut loops {
            *counted = count_loop(&mut operation) - empty;
        }
    });
    loops.sort_unstable();
    Cost::Averages(loops[0], loops[LOOPS - 1])
}

#[inline(never)]
fn count_loop(operation: &mut impl FnMut()) -> u64 {
    let mut left = PAIRS;
    let start = instructions();
    while left != 0 {
        operation();
        // SAFETY: counts down. The compiler does not know by how much, so it keeps the loop as it is.
        unsafe { asm!("dec {0:e}", inout(reg) left, options(nostack)) };
    }
    instructions() - start
}

/// Counts operations one by one, with interrupts on, because other CPUs take part in them. The object of each
/// operation is created before it and destroyed after it, uncounted.
///
/// A tick of the clock during one of them does not change the median.
pub(crate) fn single<T>(
    mut begin: impl FnMut() -> T,
    mut operation: impl FnMut(&T),
    mut end: impl FnMut(T),
) -> Cost {
    let mut count = |operation: &mut dyn FnMut(&T)| {
        let object = begin();
        let start = instructions();
        operation(&object);
        let counted = instructions() - start;
        end(object);
        counted
    };
    for _ in 0..WARM_UP {
        count(&mut operation);
    }
    let mut counted = [0; SINGLES];
    for counted in &mut counted {
        *counted = count(&mut operation) - empty();
    }
    counted.sort_unstable();
    Cost::Median(counted[SINGLES / 2])
}

/// What [`single`] counts for an empty operation.
fn empty() -> u64 {
    let mut nothing = |(): &()| {};
    let operation: &mut dyn FnMut(&()) = core::hint::black_box(&mut nothing);
    let start = instructions();
    operation(&());
    instructions() - start
}
