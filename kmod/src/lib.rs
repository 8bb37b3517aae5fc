//! The kernel component of Rumplab: what NetBSD keeps in `sys/`, in one `no_std` crate.
//!
//! # How to read it
//!
//! Begin with [`machine`], the only interface between the kernel and its host, and [`mem`], the cells that hold all
//! shared memory. [`kern`] has one file per manual page of section 9. Each begins with what the primitive guarantees,
//! where it may be used, and how it works, and has an example that runs. [`net`] is the network stack built on them.
//! [`scenario`] has the test programs. [`contracts`] lists every rule that is checked. Dependencies point in one
//! direction only:
//!
//! ```text
//! scenario -> net -> kern -> mem -> machine        entry: where the host enters the kernel
//! ```
//!
//! A test (`tests/layers.rs`) checks that. A kernel has slots for what is attached to it, and handlers of its interrupt
//! lines are registered, so [`kern`] knows neither the network stack nor the scenarios.
//!
//! # Principles
//!
//! 1. *Faithful first.* The algorithms are NetBSD's, revision by revision. Where they differ, the header of the
//!    module says how and why.
//! 2. *Steps are atomic.* No other CPU or interrupt can run in the middle of one. Every access to shared memory that
//!    another CPU or an interrupt could notice is a step of its own ([`machine::point`]).
//! 3. *All nondeterminism comes in through [`machine`].* No clock, random number or address influences what the
//!    kernel does.
//! 4. *There is no global state.* Everything is reached from the running LWP, so one process can hold many kernels.
//! 5. *Old code stands beside the new* ([`history`]), a few lines at the place where the two differ. Nothing else
//!    knows which of them runs.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `points` | each access is announced to the host; without it an access compiles to the bare instruction |
//! | `contracts` | the contracts (KASSERTs) are checked |
//! | `history` | the historical variants are compiled in; the boot configuration switches them on |
//! | `order` | the order in which resources are taken can be recorded, to predict deadlocks |
//!
//! # What is simpler than in NetBSD
//!
//! * Memory is sequentially consistent on the simulated machine, or has the store buffers of x86-64; the C11 orderings are used to
//!   check for data races, not to reorder.
//! * Priorities are strict bands, without decay, time-sharing, topology or cache-hot heuristics. Any LWP of a higher
//!   priority preempts, and so does the end of a time slice. No affinity, processor sets or offline CPUs.
//! * No processes, signals, user mode or address spaces, and so no interruptible sleeps.
//! * No KERNEL_LOCK: every handler is MP-safe.
//! * No priority inheritance in turnstiles.
//! * The tables of sleep queues and turnstiles are small. They hash the address relative to the kernel, so that a run
//!   is the same everywhere.
//! * All soft levels are distinct, and all softints are fast.
//! * Exited LWPs are reused and never freed.
//! * The network stack has what an echo needs: Ethernet, ARP, IPv4 without fragments or forwarding, ICMP echo and
//!   errors, UDP sockets. Each file of [`net`] says what it leaves out.
//! * A CPU has three interrupt lines: its clock, inter-processor interrupts, and the network cards.
#![no_std]

pub mod config;
pub mod contracts;
pub mod entry;
pub mod history;
pub mod kern;
pub mod kernel;
pub mod machine;
pub mod mem;
pub mod net;
pub mod part;
pub mod scenario;
#[cfg(test)]
mod testhost;
