//! What a fuzzer sees of a run.
//!
//! # Overview
//!
//! libFuzzer looks for new inputs by counters of what was done. Those of branches, which a compiler puts everywhere, cost
//! most of the time of a run. The machine has some of its own, that say more and are fewer:
//!
//! * Where the program is always the same, *which step gave way to which*. Whenever the CPU that ran does not simply go
//!   on, a mark is made for the place in the source before which it stands, together with what goes on in its stead: a CPU,
//!   and the place before which *that* stands; or an interrupt. Two schedules of a program run the same code
//!   nearly always, and differ in these.
//! * Where each run has a program of its own ([`super::Machine::load`]), *which steps were made*, and how often: the places
//!   in the source that announce an operation. That says what the program reached; to tell its interleavings apart as
//!   well would make every program new.
//!
//! They are where libFuzzer looks by itself, in the section `__libfuzzer_extra_counters`.

use std::panic::Location;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::cpu::{Cpu, Pending};
use crate::schedule::Choice;

/// Counters; a power of two. Two things that are counted may share one.
const COUNTERS: usize = 1 << 12;

// Nobody in here reads all of them.
#[used]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static OF_RUN: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

fn counter(hash: u64) -> &'static AtomicU8 {
    &OF_RUN[mix(hash) as usize % COUNTERS]
}

/// `from` stands before its pending operation; `choice` is what happens instead, on the CPU `to`.
pub(crate) fn gave_way(from: &Cpu, choice: Choice, to: &Cpu) {
    let (what, where_to) = match choice {
        Choice::Step(_) => (0, place(to)),
        Choice::Take(_, line) => (1 + line as u64, u64::from(std::ptr::eq(from, to))),
    };
    counter(mix(mix(place(from)) ^ where_to) ^ what).store(1, Relaxed);
}

/// A step is made that is announced at this place.
pub(crate) fn made(at: &Location<'_>) {
    let counter = counter(number(at));
    // Full is full: to begin anew would be to have seen nothing.
    counter.store(counter.load(Relaxed).saturating_add(1), Relaxed);
}

/// A number for where a CPU stands, the same in every run and every process.
fn place(cpu: &Cpu) -> u64 {
    match cpu.pending.get() {
        Pending::Start => 1,
        Pending::Wait => 2,
        Pending::Spin(at) => !number(at),
        Pending::Op(_, at) => number(at),
    }
}

fn number(at: &Location<'_>) -> u64 {
    (at.file().len() as u64) << 48 | u64::from(at.line()) << 16 | u64::from(at.column())
}

fn mix(number: u64) -> u64 {
    let product = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}
