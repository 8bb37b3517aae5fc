//! The common part of the fuzz targets: the settings, the pooled machines, and the handling of failures.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `RUMPLAB_VARIANT` | which code runs | `fixed` |
//! | `RUMPLAB_SCENARIO` | the scenario (target `schedule`) | `xcall-early-count` |
//! | `RUMPLAB_CPUS` | CPUs (target `schedule`) | the scenario's |
//!
//! When an input fails, the target writes a replay file next to libFuzzer's artifact, with the same name and
//! `.replay` at its end, and prints the command that replays it.
#![feature(cfg_sanitize)]

mod asan;
mod bench;
#[allow(dead_code, reason = "the target `frames` uses more of it")]
mod frames;
pub mod program;
pub mod softnet;

/// The machine and the kernel, at full speed.
mod copy {
    pub(crate) use ::{hostshim, kmod};
}

/// What scenarios allocate is memory of the machine that runs them.
#[global_allocator]
static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;

pub use bench::{Bench, Case, Subject};
