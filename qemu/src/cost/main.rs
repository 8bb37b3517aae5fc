//! The cost kernel: the cost of the primitives in instructions, compared with their peers.
//!
//! # Overview
//!
//! This kernel has one scenario, `cost`, which measures every row of [`rows`] once and prints the results. It is
//! built for speed (no points, no contracts, no historical variants) and booted with a clock that counts instructions
//! ([`count`]). `scripts/cost` does both, once for each number of CPUs, and makes the tables.
//!
//! # Output
//!
//! One line per row on the console, with tabs between the fields: `cost`, the group, the name, the cost. As with any
//! scenario, TAP surrounds them.

#![cfg_attr(panic = "abort", no_std, no_main)]

#[cfg(panic = "abort")]
extern crate alloc;

#[cfg(panic = "abort")]
mod count;
#[cfg(panic = "abort")]
mod counter;
#[cfg(panic = "abort")]
mod rows;
#[cfg(panic = "abort")]
mod scenario;

rumplab_kernel::boots!(&[&scenario::COST]);
