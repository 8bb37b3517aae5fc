//! `rumplab`: finds, replays and explains failures of the kernel on the simulated machine.

use std::process::ExitCode;

use kmod::scenario::{ALL, breach};

/// Allocations of a scenario come from the machine that runs it.
#[global_allocator]
static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;

fn main() -> ExitCode {
    let breaches = breach::all().map(|breach| &breach.scenario);
    hostshim::cli::main(&Vec::from_iter(ALL.iter().copied().chain(breaches)))
}
