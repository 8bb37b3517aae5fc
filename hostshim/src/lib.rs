//! The simulated machine of Rumplab: N CPUs, interrupts, a clock and LWPs inside one host process.
//!
//! Every interleaving is chosen by a strategy, and the same choices give the same run, bit for bit.
//! [`machine`] is the machine, [`strategy`] who decides, [`schedule`] what is decided. On these stand [`hunt`], which
//! looks for failures, [`names`] and [`replay`], which keep them as text, [`mod@minimize`], which shortens them,
//! [`report`], which explains them, [`predict`], which warns of those that did not happen, [`capture`], which does all that with one failing run, and [`triage`], which folds many
//! of them into few.

pub mod capture;
pub mod contracts;
pub mod example;
pub mod files;
pub mod hunt;
pub mod machine;
pub mod minimize;
pub mod names;
pub mod pcap;
pub mod predict;
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
pub use schedule::{Choice, Deviation};
pub use strategy::{Bytes, Fair, Pct, Portfolio, Random, Replay, Strategy};
