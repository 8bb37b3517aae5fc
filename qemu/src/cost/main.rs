//! The cost kernel: what the primitives cost in instructions, and their peers beside them.
//!
//! # Overview
//!
//! A kernel of one scenario, `cost`, that measures every row of [`rows`] once and prints what it found. It is built
//! for speed (no points, no contracts, no historical variants) and booted with a clock that counts instructions
//! ([`count`]): `scripts/cost` does both, once for each number of CPUs, and makes the tables.
//!
//! # Output
//!
//! One line a row, with tabs between the fields, on the console: `cost`, the group, the name, the cost. TAP, as of
//! any scenario, stands around them.

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
