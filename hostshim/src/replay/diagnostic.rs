//! What is wrong with a replay file, and where.

use std::fmt;

/// A place in a file: both count from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A sentence about what is wrong at a place, and one about what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: String,
}

impl Diagnostic {
    /// A diagnostic at `at`.
    pub fn new(at: Position, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic {
            at,
            message: message.into(),
            help: help.into(),
        }
    }
}

impl fmt::Display for Diagnostic {
    /// `LINE:COLUMN: message`, and the help on a line of its own; so that a file's name can stand before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.at;
        write!(
            f,
            "{line}:{column}: {}\n  help: {}",
            self.message, self.help
        )
    }
}

impl std::error::Error for Diagnostic {}
