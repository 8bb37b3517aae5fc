//! `rumplab`: finds, replays and explains failures of the kernel on the simulated machine.

mod cli;

/// What scenarios allocate is memory of the machine that runs them.
#[global_allocator]
static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;

fn main() -> std::process::ExitCode {
    cli::main()
}
