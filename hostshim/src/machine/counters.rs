//! Feedback about a run for a fuzzer.
//!
//! # Overview
//!
//! libFuzzer looks for new inputs with counters of what was executed. Branch counters, which a compiler puts
//! everywhere, take most of the time of a run. The machine has counters of its own, which say more and are fewer:
//!
//! * If the program is always the same: *which step was followed by which*. Whenever the CPU that ran does not simply
//!   continue, a counter is incremented for the place in the source before which it stopped, combined with what
//!   continues instead: a CPU and the place before which *that one* is, or an interrupt. Two schedules of a program
//!   almost always run the same code, and differ in these.
//! * If each run has its own program ([`super::Machine::load`]): *which steps were made*, and how often, by the
//!   places in the source that announce an operation. That shows what the program reached. Counting its interleavings
//!   as well would make every program new.
//!
//! They are where libFuzzer finds them by itself, in the section `__libfuzzer_extra_counters`.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::cpu::{Cpu, Pending};
use crate::schedule::Choice;
use kmod::machine::At;

/// Number of counters; a power of two. Two counted things may share one.
const COUNTERS: usize = 1 << 12;

// Nothing in this crate reads all of them.
#[used]
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static OF_RUN: [AtomicU8; COUNTERS] = [const { AtomicU8::new(0) }; COUNTERS];

fn counter(hash: u64) -> &'static AtomicU8 {
    &OF_RUN[mix(hash) as usize % COUNTERS]
}

/// `from` is before its pending operation; `choice` is what happens instead, on the CPU `to`.
pub(crate) fn gave_way(from: &Cpu, choice: Choice, to: &Cpu) {
    let (what, where_to) = match choice {
        // No fuzzed run delays stores.
        Choice::Step(_) | Choice::Delay(_) | Choice::Drain(_) => (0, place(to)),
        Choice::Take(_, line) => (1 + line as u64, u64::from(std::ptr::eq(from, to))),
    };
    counter(mix(mix(place(from)) ^ where_to) ^ what).store(1, Relaxed);
}

/// A step that is announced at this place is made.
pub(crate) fn made(at: At) {
    let counter = counter(number(at));
    // A full counter stays full: wrapping around would mean 0, that is, never.
    counter.store(counter.load(Relaxed).saturating_add(1), Relaxed);
}

/// A number for the place where a CPU is, the same in every run and every process.
fn place(cpu: &Cpu) -> u64 {
    match cpu.pending.get() {
        Pending::Start => 1,
        Pending::Wait => 2,
        Pending::Spin(at) => !number(at),
        Pending::Op(_, at) => number(at),
    }
}

fn number(at: At) -> u64 {
    let Some(at) = at.location() else {
        return at.address().unwrap_or(0) as u64;
    };
    (at.file().len() as u64) << 48 | u64::from(at.line()) << 16 | u64::from(at.column())
}

fn mix(number: u64) -> u64 {
    let product = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ product >> 32
}
