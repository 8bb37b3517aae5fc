//! The kernel component of Rumplab: what NetBSD keeps in `sys/`.
#![no_std]

pub mod config;
pub mod entry;
pub mod history;
pub mod kern;
pub mod kernel;
pub mod machine;
pub mod mem;
pub mod scenario;
#[cfg(test)]
mod testhost;
