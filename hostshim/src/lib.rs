//! The simulated machine of Rumplab: N CPUs, interrupts, a clock and LWPs inside one host process.
//!
//! A strategy chooses the interleaving, and the same choices give the same run, bit for bit. [`machine`] is the
//! machine, [`strategy`] makes the choices, and [`schedule`] represents them. Built on these are [`hunt`], which
//! looks for failures; [`names`] and [`replay`], which store them as text; [`mod@minimize`], which shortens them;
//! [`report`], which explains them; [`predict`], which finds failures that were possible in runs that passed;
//! [`capture`], which does all of this for one failing run; [`triage`], which groups many; and `cli` (a feature), the command line. [`contracts`] explains
//! the kernel's contracts, and [`example`] runs the examples of the kernel's documentation.

pub mod c;
pub mod capture;
#[cfg(feature = "cli")]
pub mod cli;
pub mod contracts;
pub mod example;
pub mod fences;
pub mod files;
mod hooks;
pub mod hunt;
pub mod machine;
pub mod minimize;
pub mod names;
pub mod numbers;
pub mod pcap;
pub mod predict;
pub mod prove;
pub mod races;
pub mod registry;
pub mod replay;
pub mod report;
pub mod schedule;
pub mod stopwatch;
pub mod strategy;
pub mod suggest;
pub mod tail;
pub mod triage;
pub mod version;
pub mod wire;

pub use machine::{
    Failure, FailureKind, Limits, Machine, Outcome, Sent, Setup, TraceEvent, Verdict, View,
};
pub use schedule::{Allocations, Choice, Deviation, Granularity, MemoryModel, Refusal};
pub use strategy::{Bytes, Fair, Focus, Pct, Portfolio, Pos, Random, Replay, Stall, Strategy, Urw};

/// Allocations of a scenario come from the machine that runs it, also in this crate's own tests.
#[cfg(test)]
#[global_allocator]
static HEAP: machine::Heap = machine::Heap;
