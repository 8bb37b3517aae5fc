//! Another cost kernel: what an ICMP echo costs, by stage, from the queue of the interface to the other host.
//!
//! # Overview
//!
//! A kernel of one scenario, `echo`, built and booted as the cost kernel of the primitives is, and not linked with it: where
//! the network stack calls a primitive, too, the compiler does not inline it any more. The echoes are those of the scenario
//! `net-steady`, over a wire inside of the kernel, so that no device is counted. On the way are marks
//! ([`kmod::net::stages`]); the instructions from one to the next are a stage, without those of the marks themselves. The
//! median of each stage is told: the tick of the clock falls into none.
//!
//! # Output
//!
//! One line a row, with tabs between the fields, on the console: `cost`, `stage`, `whole` or `steady`, the name, the value.
//!
//! # Contexts
//!
//! One thread on one CPU. The softints run on top of it: when the request has been sent the reply is there.

#![cfg_attr(panic = "abort", no_std, no_main)]

#[cfg(panic = "abort")]
mod counter;
#[cfg(panic = "abort")]
mod stages;

rumplab_kernel::boots!(&[&stages::ECHO]);
