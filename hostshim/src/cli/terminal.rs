//! Where texts go, and their colours: none where nobody looks, where NO_COLOR is set, or where --color says so.
//!
//! Every write that fails is known at the end of the program: [`lost`] says so, and the status is 2. A reader that closes
//! its end of a pipe has read enough, and that is no failure.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

use super::args::{Form, Screen};
use crate::report::{Role, Text};

/// Whether progress and remarks are shown.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether the standard output is for a document, and not for people.
static DOCUMENT: AtomicBool = AtomicBool::new(false);

/// Does as the user wants it to look.
pub(super) fn prepare(screen: Screen) {
    QUIET.store(screen.quiet, Relaxed);
    let choice = match screen.color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Leaves the standard output to a document, if the user wants one.
pub(super) fn leave_to_document(form: Form) {
    DOCUMENT.store(form.json, Relaxed);
}

/// Whether progress and remarks are not shown.
pub(super) fn is_quiet() -> bool {
    QUIET.load(Relaxed)
}

/// What became of the standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// It takes what it is given.
    Open,
    /// Nobody reads any more.
    Closed,
    /// A write failed.
    Broken,
}

static OUTPUT: Mutex<Output> = Mutex::new(Output::Open);

/// Whether something could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether something could not be written to where it was to go.
pub(super) fn lost() -> bool {
    LOST.load(Relaxed)
}

/// Says that something could not be written, and what to do. The program ends with status 2.
pub(super) fn lose(message: impl Display) {
    LOST.store(true, Relaxed);
    complain(message);
}

/// Prints a text, unless the standard output is for a document. If it cannot be written, the text goes to the standard
/// error.
pub(super) fn print(text: &Text) {
    if DOCUMENT.load(Relaxed) {
        return;
    }
    let written = output(|| styled(&mut anstream::stdout().lock(), text));
    if written == Output::Broken {
        // There is nobody left to tell if this fails, too.
        let _ = styled(&mut anstream::stderr().lock(), text);
    }
}

fn styled(out: &mut impl Write, text: &Text) -> io::Result<()> {
    for (role, line) in text.lines() {
        let style = style(role);
        writeln!(out, "{style}{line}{style:#}")?;
    }
    out.flush()
}

/// Prints a text that has its colours already, where a terminal has them.
pub(super) fn styled_text(text: &str) {
    let write = || {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    };
    if output(write) == Output::Broken {
        let _ = anstream::stderr().lock().write_all(text.as_bytes());
    }
}

/// Prints what is not for people, as it is. Whether the standard output took it, or was closed by its reader.
pub(super) fn raw(text: &str) -> bool {
    let write = || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    };
    output(write) != Output::Broken
}

/// Writes to the standard output, unless that makes no sense any more. Complains about the first write that fails.
fn output(write: impl FnOnce() -> io::Result<()>) -> Output {
    let mut output = OUTPUT.lock().unwrap_or_else(|broken| broken.into_inner());
    if *output == Output::Open
        && let Err(error) = write()
    {
        *output = match error.kind() {
            ErrorKind::BrokenPipe => Output::Closed,
            _ => {
                lose(format!(
                    "cannot write to the standard output: {error}\n  help: free space, or send it somewhere else; the \
                     text that is missing there follows here"
                ));
                Output::Broken
            }
        };
    }
    *output
}

/// Prints on the standard error what the standard output did not take.
pub(super) fn spill(text: &str) {
    // There is nobody left to tell if this fails, too.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a line of a certain role.
pub(super) fn say(role: Role, line: impl AsRef<str>) {
    let mut text = Text::default();
    text.add(role, line);
    print(&text);
}

/// Prints what is wrong.
pub(super) fn complain(message: impl Display) {
    let style = AnsiColor::Red.on_default().bold();
    let mut err = anstream::stderr().lock();
    // There is nobody left to tell if this fails.
    let _ = writeln!(err, "{style}error:{style:#} {message}");
}

/// Prints something for people that is no result: speeds and the like.
pub(super) fn remark(message: impl Display) {
    if is_quiet() {
        return;
    }
    let style = style(Role::Aside);
    let _ = writeln!(anstream::stderr().lock(), "{style}{message}{style:#}");
}

fn style(role: Role) -> Style {
    match role {
        Role::Failure => AnsiColor::Red.on_default().bold(),
        Role::Success => AnsiColor::Green.on_default(),
        Role::Heading => Style::new().bold(),
        Role::Departure => AnsiColor::Yellow.on_default().bold(),
        Role::Aside => Style::new().dimmed(),
        Role::Plain => Style::new(),
    }
}
