//! Where texts go, and their colours: none where nobody looks, or where NO_COLOR is set.

use std::fmt::Display;
use std::io::Write;

use anstyle::{AnsiColor, Style};
use hostshim::report::{Role, Text};

/// Prints a text. If nobody reads any more, the rest is lost and the program's status is still right.
pub(super) fn print(text: &Text) {
    let mut out = anstream::stdout().lock();
    for (role, line) in text.lines() {
        let style = style(role);
        if writeln!(out, "{style}{line}{style:#}").is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// Prints what is not for terminals, as it is.
pub(super) fn raw(text: &str) {
    let mut out = std::io::stdout().lock();
    // As above: who does not read on has read enough.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
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
