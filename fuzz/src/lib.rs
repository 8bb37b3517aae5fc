//! What the fuzz targets share: the settings, the pooled machines, and what becomes of a failure.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `RUMPLAB_VARIANT` | which code runs | `fixed` |
//! | `RUMPLAB_SCENARIO` | the scenario (target `schedule`) | `xcall-early-count` |
//! | `RUMPLAB_CPUS` | CPUs (target `schedule`) | the scenario's |
//!
//! A failing input leaves a replay file beside libFuzzer's artifact, under the same name with `.replay`
//! at its end, and the target prints the command that replays it.
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

pub use bench::{Bench, Case, Subject};
