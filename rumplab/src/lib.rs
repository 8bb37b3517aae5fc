//! Tests concurrent code under thousands of schedules, inside `cargo test`.
//!
//! [`check()`] takes a closure that sets up a program: what its threads, interrupts, softints and callouts do, and what must hold at
//! the end. It runs the program on a simulated machine with several CPUs under one schedule after another. Each is checked for data
//! races, use after free, deadlock, livelock, panics and broken contracts. The first that fails is reduced to the switches that
//! matter, and told, and kept in a file that runs it again.
//!
//! ```
//! use rumplab::sync::{Condvar, Mutex};
//!
//! rumplab::check(|program| {
//!     let mailbox = program.share((Mutex::new(None), Condvar::new()));
//!     program.actor("consumer", move || {
//!         let (word, arrived) = &*mailbox;
//!         let word = arrived.wait_while(word.lock().unwrap(), |word| word.is_none()).unwrap();
//!         assert_eq!(*word, Some(7));
//!     });
//!     program.actor("producer", move || {
//!         let (word, arrived) = &*mailbox;
//!         *word.lock().unwrap() = Some(7);
//!         arrived.notify_one();
//!     });
//! });
//! ```
//!
//! | module | in place of |
//! |---|---|
//! | [`sync`] | `std::sync` |
//! | [`sync::atomic`] | `core::sync::atomic` |
//! | [`thread`] | `std::thread` |
//! | [`hint`] | `core::hint` |
//! | [`cell`] | `loom::cell` |
//!
//! A crate that is written against loom or shuttle needs one line: `use rumplab as loom;`. The primitives of the kernel, for those
//! who want them, are in [`kern`] and [`mem`].
//!
//! # What a run is
//!
//! The closure is called once for each machine, which keeps what it has made. Every run begins with that, bit for bit, and the
//! strategy decides which CPU goes on before every access to shared memory. So a test that depends on nothing else goes the same way
//! each time, and a failure can be run again.
//!
//! # Outside of a run
//!
//! The types of [`sync`], [`cell`] and [`thread`] can be made and dropped anywhere, also in a `static`. Used outside of a run they
//! panic and say so.

pub mod cell;
pub mod check;
pub mod hint;
mod program;
mod settings;
pub mod sync;
pub mod thread;
mod world;

pub use check::{Config, check, check_with, prove, prove_with};
pub use hostshim::MemoryModel;
#[cfg(feature = "cli")]
pub use hostshim::cli;
pub use hostshim::hunt::Plan;
pub use hostshim::machine::Heap;
pub use kmod::{fields, kern, mem, note};
pub use program::{Callout, Interrupt, Level, Program, Shared, Softint, pause, ticks};

#[cfg(feature = "allocator")]
#[global_allocator]
static HEAP: Heap = Heap;
