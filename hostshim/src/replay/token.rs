//! The words of a line, with their positions.

use std::borrow::Cow;
use std::fmt;

use super::diagnostic::{Diagnostic, Position};

/// A word, or a colon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub(super) at: Position,
    /// Its text, without quotes and escapes.
    pub(super) text: Cow<'a, str>,
    /// Whether it was in quotes, so that it is a name and nothing else.
    pub(super) quoted: bool,
}

/// The words of one line.
pub(super) struct Line<'a> {
    tokens: std::vec::IntoIter<Token<'a>>,
    /// The position after the last word.
    end: Position,
}

impl<'a> Line<'a> {
    /// Splits a line into words. Returns `None` if it has nothing but blanks or a comment.
    pub(super) fn new(number: usize, text: &'a str) -> Result<Option<Line<'a>>, Diagnostic> {
        let meat = text.trim();
        if meat.is_empty() || meat.starts_with('#') {
            return Ok(None);
        }
        let mut cutter = Cutter {
            text,
            offset: 0,
            number,
        };
        let mut tokens = Vec::new();
        while let Some(token) = cutter.next_token()? {
            tokens.push(token);
        }
        let end = cutter.position_at(text.trim_end().len());
        Ok(Some(Line {
            tokens: tokens.into_iter(),
            end,
        }))
    }

    /// The next word, or the diagnostic that `what` is missing.
    pub(super) fn next(&mut self, what: &str) -> Result<Token<'a>, Diagnostic> {
        let missing = || {
            let help = format!("the line is complete only with {what}");
            Diagnostic::new(
                self.end,
                format!("expected {what}, found the end of the line"),
                help,
            )
        };
        self.tokens.next().ok_or_else(missing)
    }

    /// The next word, if there is one.
    pub(super) fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.as_slice().first()
    }

    /// The next word, which must be `word`.
    pub(super) fn expect(&mut self, word: &str) -> Result<Token<'a>, Diagnostic> {
        let token = self.next(&format!("`{word}`"))?;
        if token.is(word) {
            return Ok(token);
        }
        Err(token.wrong(&format!("`{word}`"), &format!("write `{word}` here")))
    }

    /// Checks that there is nothing more on the line.
    pub(super) fn finish(mut self) -> Result<(), Diagnostic> {
        match self.tokens.next() {
            None => Ok(()),
            Some(token) => Err(token.wrong("the end of the line", "take away what follows")),
        }
    }
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }

    /// The diagnostic that something else was expected.
    pub(super) fn wrong(&self, expected: &str, help: &str) -> Diagnostic {
        Diagnostic::new(
            self.at,
            format!("expected {expected}, found `{}`", self.text),
            help,
        )
    }

    /// A diagnostic at this word.
    pub(super) fn error(&self, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.at, message, help)
    }
}

struct Cutter<'a> {
    text: &'a str,
    /// In bytes.
    offset: usize,
    number: usize,
}

impl<'a> Cutter<'a> {
    fn position_at(&self, offset: usize) -> Position {
        let column = self.text[..offset].chars().count() + 1;
        Position {
            line: self.number,
            column,
        }
    }

    fn next_token(&mut self) -> Result<Option<Token<'a>>, Diagnostic> {
        let rest = &self.text[self.offset..];
        let blanks = rest.len() - rest.trim_start().len();
        self.offset += blanks;
        let rest = &rest[blanks..];
        let at = self.position_at(self.offset);
        let Some(first) = rest.chars().next() else {
            return Ok(None);
        };
        if first == '"' {
            let text = self.quoted(at)?;
            return Ok(Some(Token {
                at,
                text: text.into(),
                quoted: true,
            }));
        }
        let length = match first {
            ':' => 1,
            _ => rest.find(|c: char| !is_bare(c)).unwrap_or(rest.len()),
        };
        if length == 0 {
            let help = "a name with such a character in it stands in quotes: \"like this\"";
            return Err(Diagnostic::new(at, format!("a stray {first:?}"), help));
        }
        self.offset += length;
        Ok(Some(Token {
            at,
            text: rest[..length].into(),
            quoted: false,
        }))
    }

    fn quoted(&mut self, at: Position) -> Result<String, Diagnostic> {
        let mut text = String::new();
        let mut chars = self.text[self.offset..].char_indices().skip(1);
        while let Some((inside, c)) = chars.next() {
            match c {
                '"' => {
                    self.offset += inside + 1;
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => text.push(c),
                    _ => {
                        let place = self.position_at(self.offset + inside);
                        let help = "inside quotes, write \\\" for a quote and \\\\ for a backslash";
                        return Err(Diagnostic::new(place, "an unknown escape", help));
                    }
                },
                c => text.push(c),
            }
        }
        Err(Diagnostic::new(
            at,
            "a quote that does not end on its line",
            "add the closing quote",
        ))
    }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./[]()+-#=<>*%@".contains(c)
}

/// A name as written in a file: bare if it can be parsed back, otherwise in quotes.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = !self.0.is_empty() && !self.0.starts_with('#') && self.0.chars().all(is_bare);
        if bare {
            return f.write_str(self.0);
        }
        let escaped = self.0.replace('\\', "\\\\").replace('"', "\\\"");
        // A name never has a line break: the machine builds it from labels, which are a few words.
        write!(f, "\"{}\"", escaped.replace(['\n', '\r'], " "))
    }
}
