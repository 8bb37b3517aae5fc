//! What is wrong with a replay file, and where.

use std::fmt;

/// A position in a file. Both numbers start at 1; columns are in characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A message about what is wrong at a position, and how to fix it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Where.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
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
    /// `LINE:COLUMN: message`, and the help on its own line, so that a file name can be put in front.
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
