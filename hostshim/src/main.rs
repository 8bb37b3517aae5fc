//! `rumplab`: finds, replays and explains failures of the kernel on the simulated machine.

mod cli;

/// Allocations of a scenario come from the machine that runs it.
#[global_allocator]
static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;

fn main() -> std::process::ExitCode {
    cli::main()
}
