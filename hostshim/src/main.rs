//! `rumplab`: finds, replays and explains failures of the kernel on the simulated machine.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
