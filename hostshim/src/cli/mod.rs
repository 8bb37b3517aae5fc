//! The command line.
//!
//! Commands write what they found to the standard output: the same bytes for the same arguments, unless the arguments say
//! how long. What depends on the host (speed, progress, complaints) goes to the standard error.

mod args;
mod explain;
mod interrupt;
mod list;
mod predict;
mod progress;
mod reduce;
mod run;
mod save;
mod table;
mod terminal;
mod triage;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    /// Nothing was found.
    Nothing,
    /// A failure was found.
    Found,
    /// The user stopped it.
    Interrupted,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(match status {
            Status::Nothing => 0,
            Status::Found => 1,
            // What a shell makes of a program that SIGINT ended.
            Status::Interrupted => 130,
        })
    }
}

/// The status for wrong usage or input.
const WRONG: u8 = 2;

/// Wrong usage or input, in words: what is wrong, and what to do.
#[derive(Debug)]
struct Wrong(String);

/// The program.
pub(crate) fn main() -> ExitCode {
    hostshim::machine::catch_faults();
    let result = match Args::parse().command {
        Command::List => Ok(list::list()),
        Command::Run(args) => run::run(&args),
        Command::Hunt(args) => table::hunt(&args),
        Command::Predict(args) => predict::predict(&args),
        Command::Replay(args) => explain::replay(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Minimize(args) => reduce::minimize(&args),
        Command::Triage(args) => triage::triage(&args),
    };
    match result {
        Ok(status) => status.into(),
        Err(Wrong(message)) => {
            terminal::complain(&message);
            ExitCode::from(WRONG)
        }
    }
}
