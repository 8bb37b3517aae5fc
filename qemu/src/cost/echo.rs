//! A second cost kernel: the cost of an ICMP echo, by stage, from the queue of the interface to the other host.
//!
//! # Overview
//!
//! This kernel has one scenario, `echo`. It is built and booted like the cost kernel of the primitives, but not
//! linked with it: where the network stack also calls a primitive, the compiler would no longer inline it. The echoes
//! are those of the scenario `net-steady`, over a wire inside the kernel, so that no device is counted. The path has
//! marks ([`kmod::net::stages`]); the instructions between two marks are a stage, without those of the marks
//! themselves. The median of each stage is printed: the clock tick affects none of them.
//!
//! # Output
//!
//! One line per row on the console, with tabs between the fields: `cost`, `stage`, `whole` or `steady`, the name, the
//! value.
//!
//! # Contexts
//!
//! One thread on one CPU. The softints run on top of it: when the request has been sent, the reply has arrived.

#![cfg_attr(panic = "abort", no_std, no_main)]

#[cfg(panic = "abort")]
mod counter;
#[cfg(panic = "abort")]
mod stages;

rumplab_kernel::boots!(&[&stages::ECHO]);
