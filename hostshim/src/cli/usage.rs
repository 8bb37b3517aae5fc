//! Reads the command line, and says what is wrong with it.

use std::env;
use std::io::Write;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Error, FromArgMatches};

use super::args::Args;
use super::{WRONG, terminal};
use crate::suggest::nearest;

/// The command line, or the status after its help or complaint was printed.
pub(super) fn parse() -> Result<Args, ExitCode> {
    let mut command = Args::command();
    // A user who sets it wants this width, also where there is no terminal.
    let columns = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    if let Some(columns) = columns.filter(|columns| *columns > 0) {
        command = command.term_width(columns);
    }
    let matches = command.try_get_matches_from_mut(env::args_os());
    let parsed = matches.and_then(|matches| Args::from_arg_matches(&matches));
    parsed.map_err(|error| tell(with_suggestions(error)))
}

/// Adds the commands that may have been meant.
fn with_suggestions(mut error: Error) -> Error {
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let command = Args::command();
        let names = command.get_subcommands().map(|command| command.get_name());
        let near = nearest(word, names).names().to_vec();
        if !near.is_empty() {
            error.insert(
                ContextKind::SuggestedSubcommand,
                ContextValue::Strings(near),
            );
        }
    }
    error
}

/// Prints help where results go, and a complaint where complaints go.
fn tell(error: Error) -> ExitCode {
    let text = error.render();
    if error.use_stderr() {
        // There is nobody left to tell if this fails.
        let _ = write!(anstream::stderr().lock(), "{}", text.ansi());
        return ExitCode::from(WRONG);
    }
    terminal::styled_text(&text.ansi().to_string());
    match terminal::lost() {
        true => ExitCode::from(WRONG),
        false => ExitCode::SUCCESS,
    }
}
