//! The command line, for the scenarios that a program gives it.
//!
//! Commands write what they found to the standard output: the same bytes for the same arguments, unless the arguments say
//! how long. What depends on the host (speed, progress, complaints) goes to the standard error. What cannot be written is
//! said, and makes the status 2.

mod args;
mod boots;
mod c;
mod explain;
mod hunt;
mod interrupt;
mod junit;
mod list;
mod predict;
mod progress;
mod prove;
mod reduce;
mod results;
mod run;
mod save;
mod shell;
mod table;
mod targets;
mod terminal;
mod triage;
mod unmarked;
mod usage;

use std::process::ExitCode;

use kmod::scenario::Scenario;

use crate::registry::Registry;
use args::Command;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    /// Nothing was found.
    Nothing,
    /// A failure was found.
    Found,
    /// Something could not be run.
    Broken,
    /// Nothing was found, but not everything was tried that was to be.
    Incomplete,
    /// The user stopped it: the number that a shell has for this.
    Interrupted(u8),
}

impl Status {
    /// The number, if the program ended now.
    fn code(self) -> u8 {
        match self {
            _ if terminal::lost() => WRONG,
            Status::Nothing => 0,
            Status::Found => 1,
            Status::Broken => WRONG,
            Status::Incomplete => 3,
            Status::Interrupted(number) => number,
        }
    }
}

/// The status for wrong usage or input, and for output that could not be written.
const WRONG: u8 = 2;

/// Wrong usage or input, in words: what is wrong, and what to do.
#[derive(Debug)]
struct Wrong(String);

/// Reads the arguments of the process, runs the command that they ask for, and returns the exit status.
///
/// The program's allocator must be [`Heap`](crate::machine::Heap), or a scenario that allocates spoils the memory of the program.
///
/// # Examples
///
/// The program `rumplab` with a single scenario:
///
/// ```no_run
/// #[global_allocator]
/// static HEAP: hostshim::machine::Heap = hostshim::machine::Heap;
///
/// fn main() -> std::process::ExitCode {
///     hostshim::cli::main(&[&kmod::scenario::classics::ABBA])
/// }
/// ```
pub fn main(scenarios: &[&'static Scenario]) -> ExitCode {
    let registry = Registry::of(scenarios);
    crate::machine::catch_faults();
    let args = match usage::parse() {
        Ok(args) => args,
        Err(status) => return status,
    };
    terminal::prepare(args.screen);
    let result = match args.command {
        Command::List(args) => Ok(list::list(&args, registry)),
        Command::Describe(args) => list::describe(&args, registry),
        Command::Run(args) => run::run(&args, registry),
        Command::Prove(args) => prove::prove(&args, registry),
        Command::C(args) => c::run(&args, registry),
        Command::Hunt(args) => hunt::hunt(&args, registry),
        Command::Predict(args) => predict::predict(&args, registry),
        Command::Replay(args) => explain::replay(&args.of, registry),
        Command::Explain(args) => explain::explain(&args, registry),
        Command::Minimize(args) => reduce::minimize(&args, registry),
        Command::Triage(args) => triage::triage(&args, registry),
        Command::Completions(args) => Ok(shell::completions(&args)),
        Command::Man(args) => shell::man(&args),
    };
    match result {
        Ok(status) => status.code().into(),
        Err(Wrong(message)) => {
            terminal::complain(&message);
            WRONG.into()
        }
    }
}
