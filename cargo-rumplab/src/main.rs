//! `cargo rumplab test`: runs the tests of a package with its dependencies, unchanged, on the simulated machine.
//!
//! # Overview
//!
//! A test that calls `rumplab::check` with types of another crate sees nothing of what that crate does inside. So the crates that are
//! named are compiled with the hooks of the compiler's thread sanitizer, of which rumplab has its own, and linked with no
//! sanitizer. Cargo builds and runs everything as usual, in a target directory of its own, with this program as `RUSTC_WRAPPER`.
//!
//! | module | contents |
//! |---|---|
//! | `packages` | the packages that cargo knows, and which of them are watched |
//! | `toolchain` | which compiler there is, and what it can watch |
//! | `wrapper` | what the compiler gets besides what cargo says |
//! | `idle` | hooks for programs without a machine; not a part of this program |
//! | `run` | builds, says what has hooks, and runs |

mod packages;
mod run;
mod toolchain;
mod wrapper;

use std::env;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The status for wrong usage, and for what cannot be built.
const WRONG: u8 = 2;

const HELP: &str = "\
Examples:
  cargo rumplab test --instrument spin,crossbeam-epoch
  cargo rumplab test --instrument spin --test locks -- --nocapture
  RUMPLAB_SCHEDULES=1m cargo rumplab test --instrument spin excludes

The crates that are named and those of the workspace are compiled with hooks at their accesses to memory. With a nightly toolchain \
these are plain and atomic accesses, otherwise atomic ones alone. Tests that call rumplab::check run them under thousands of \
schedules; other tests run as usual.

Exit status:
  0    all tests passed
  1    a test failed
  2    wrong usage, or something could not be built";

/// Runs crates from elsewhere, unchanged, on rumplab's simulated machine.
#[derive(Debug, Parser)]
#[command(
    name = "cargo rumplab",
    bin_name = "cargo rumplab",
    version,
    max_term_width = 100
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// As cargo test, with the accesses of dependencies watched
    Test(TestArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
struct TestArgs {
    /// Dependencies to watch, besides the crates of the workspace
    #[arg(long, value_name = "CRATE,...", value_delimiter = ',')]
    instrument: Vec<String>,
    /// The toolchain, as rustup names it [default: nightly if there is one, or else the usual one]
    #[arg(long, value_name = "NAME")]
    toolchain: Option<String>,
    /// Arguments of cargo test
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CARGO TEST ARGUMENTS"
    )]
    cargo: Vec<String>,
}

/// What cannot be done, and what to do: a sentence or a few.
#[derive(Debug)]
struct Wrong(String);

fn main() -> ExitCode {
    if let Some(status) = wrapper::compile() {
        return status;
    }
    // As a subcommand it gets its own name first.
    let mut words = Vec::from_iter(env::args());
    if words.get(1).is_some_and(|word| word == "rumplab") {
        words.remove(1);
    }
    let Command::Test(args) = Args::parse_from(own_first(words)).command;
    match run::test(&args) {
        Ok(status) => status,
        Err(Wrong(message)) => {
            eprintln!("error: {message}");
            WRONG.into()
        }
    }
}

/// Puts the options that are ours before cargo's: they may stand anywhere before `--`. What is left is cargo's, as it is.
fn own_first(words: Vec<String>) -> Vec<String> {
    let (mut own, mut rest) = (Vec::new(), Vec::new());
    let mut words = words.into_iter().peekable();
    own.extend(words.by_ref().take(2));
    while let Some(word) = words.next_if(|word| word != "--") {
        let is_own = |name: &&&str| {
            word.strip_prefix(**name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        match ["--instrument", "--toolchain"].iter().find(is_own) {
            Some(name) if word == *name => {
                own.push(word);
                own.extend(words.next());
            }
            Some(_) => own.push(word),
            None if ["-h", "--help"].contains(&word.as_str()) => own.push(word),
            None => rest.push(word),
        }
    }
    rest.extend(words);
    if !rest.is_empty() {
        own.push("--".to_owned());
    }
    own.extend(rest);
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> (Vec<String>, Vec<String>) {
        let words = line.split(' ').map(str::to_owned).collect();
        let Command::Test(args) = Args::parse_from(own_first(words)).command;
        (args.instrument, args.cargo)
    }

    #[test]
    fn our_options_stand_anywhere_before_those_of_the_tests() {
        let (instrument, cargo) =
            parsed("x test -j2 --instrument a,b --test locks name -- --nocapture --instrument c");
        assert_eq!(instrument, ["a", "b"]);
        assert_eq!(
            cargo.join(" "),
            "-j2 --test locks name -- --nocapture --instrument c"
        );
        let (instrument, cargo) = parsed("x test --instrument=a -- --nocapture");
        assert_eq!(
            (instrument, cargo.join(" ")),
            (vec!["a".to_owned()], "-- --nocapture".to_owned())
        );
        assert_eq!(parsed("x test"), (Vec::new(), Vec::new()));
    }
}
