//! The kernel component of Rumplab: what NetBSD keeps in `sys/`, in one `no_std` crate.
//!
//! # How to read it
//!
//! Begin with [`machine`], the one door to whoever hosts the kernel, and [`mem`], the cells through
//! which all shared memory is touched. [`kern`] has a file for each manual page of section 9; each
//! begins with what the primitive promises, in which contexts, and how it is made. [`net`] is the network
//! stack over them. [`scenario`] has the programs that show what goes wrong. Dependencies point that way only:
//!
//! ```text
//! scenario -> net -> kern -> mem -> machine        entry: where the host comes in
//! ```
//!
//! # Principles
//!
//! 1. *Faithful first.* The algorithms are NetBSD's, revision by revision; where they differ, the
//!    header of the module says so and why.
//! 2. *A step is what no one else can come into.* Every access to shared memory that another CPU or
//!    an interrupt could notice is a point of its own ([`machine::point`]).
//! 3. *All nondeterminism comes in through [`machine`].* No clock, no random number, no address
//!    decides anything here.
//! 4. *There is no global state.* Everything hangs off the running LWP: many kernels fit into one process.
//! 5. *Old code stands beside the new* ([`history`]), one to a few lines, where the two differ. Nothing
//!    else knows which of them runs.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `points` | accesses announce themselves to the host; without it they compile to the bare access |
//! | `contracts` | the contracts (KASSERTs) are checked |
//! | `history` | the historical variants are compiled in; which of them are on is chosen at boot |
//! | `order` | the order in which resources are taken can be recorded, to predict deadlocks |
//!
//! # What is simpler than in NetBSD
//!
//! * Memory is sequentially consistent on the simulated machine; the C11 orderings are used to check for data
//!   races, not to reorder.
//! * Priorities are strict bands, without decay, time-sharing, topology or cache-hot heuristics. Any LWP of a higher
//!   priority preempts, and so does the end of a time slice. No affinity, processor sets or offline CPUs.
//! * No processes, signals, user mode, address spaces; so no interruptible sleeps.
//! * No KERNEL_LOCK: every handler is MP-safe.
//! * Turnstiles lend no priority.
//! * The tables of sleep queues and turnstiles are small, and hash the address relative to the kernel, so that a run
//!   is the same everywhere.
//! * Soft levels are all distinct, softints are all fast.
//! * Exited LWPs are used again and never given back.
//! * The network stack has what an echo needs: Ethernet, ARP, IPv4 without fragments and forwarding, ICMP echo and errors, UDP
//!   sockets. Each file of [`net`] says what it leaves out.
//! * A CPU has three interrupt lines: its clock, inter-processor interrupts, and the network cards.
#![no_std]

pub mod config;
pub mod entry;
pub mod history;
pub mod kern;
pub mod kernel;
pub mod machine;
pub mod mem;
pub mod net;
pub mod scenario;
#[cfg(test)]
mod testhost;
