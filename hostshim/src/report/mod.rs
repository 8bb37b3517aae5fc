//! Reports: what broke and how, as text.
//!
//! A report is for somebody who was woken by it: what broke, who found out and where stand first; then how it came about,
//! as few steps as tell it. Nothing in it depends on the host: no addresses, times or paths.

pub mod account;
mod chart;
mod columns;
mod dot;
mod event;
mod explain;
mod graph;
mod json;
mod lines;
mod page;
mod perfetto;
mod selection;
mod size;
mod story;
#[cfg(test)]
mod tests;
mod text;

use crate::machine::{Failure, FailureKind, Outcome, Verdict};
use crate::replay::ReplayFile;

pub use account::Account;
pub use columns::columns;
pub use dot::dot;
pub use explain::explain;
pub use graph::svg;
pub use json::json;
pub use lines::{Detail, LEGEND, lines};
pub use page::{Origin, page};
pub use perfetto::perfetto;
pub use selection::Part;
pub use size::{Size, size};
pub use story::Story;
pub use text::{Role, Text};

/// What ran, in two lines.
pub fn subject(file: &ReplayFile) -> Text {
    let mut text = Text::default();
    let ReplayFile {
        scenario, variant, ..
    } = file;
    text.add(
        Role::Heading,
        format!("{}: {}", scenario.name, scenario.summary),
    );
    let s = if file.config.ncpu == 1 { "" } else { "s" };
    let each = match file.config.kernels {
        1 => String::new(),
        kernels => format!("{kernels} kernels, each on "),
    };
    let mut machine = format!(
        "{each}{} CPU{s}, xcall {}",
        file.config.ncpu,
        file.config.xcall.name()
    );
    for (name, value) in file.knobs() {
        machine += &format!(", {name} {value}");
    }
    text.add(
        Role::Plain,
        format!("variant  {}: {}", variant.name, variant.summary),
    );
    text.add(Role::Plain, format!("machine  {machine}"));
    text
}

/// How a run ended, in a line or a few.
pub fn verdict(outcome: &Outcome) -> Text {
    match &outcome.verdict {
        Verdict::Failed(failure) => failure_lines(failure),
        Verdict::Passed => {
            let mut text = Text::default();
            let Outcome { steps, ticks, .. } = outcome;
            text.add(
                Role::Success,
                format!("passed: {steps} steps, {ticks} clock interrupts"),
            );
            text
        }
    }
}

fn failure_lines(failure: &Failure) -> Text {
    let mut text = Text::default();
    let Failure {
        kind,
        rule,
        message,
        location,
        cpu,
        context,
        sides: _,
    } = failure;
    let broke = if *rule == kind.name().replace(' ', "-") {
        format!("FAILED: {}", kind.name())
    } else {
        format!("FAILED: {} {rule}", kind.name())
    };
    text.add(Role::Failure, broke);
    for line in message.trim_end().lines() {
        text.add(Role::Failure, format!("  {line}"));
    }
    text.add(
        Role::Plain,
        match kind {
            // Whoever happened to look last is no witness.
            FailureKind::Deadlock => return text,
            FailureKind::Oracle | FailureKind::Leak if context.starts_with("idle/") => {
                format!("  found at {location}, when all had come to rest")
            }
            _ => format!("  by {context} on cpu{cpu}, at {location}"),
        },
    );
    text
}

/// The report of a run that failed: about sixty lines if its schedule is short.
pub fn failure(file: &ReplayFile, story: &Story<'_>) -> Text {
    let mut text = verdict(story.outcome);
    text.gap();
    text.append(subject(file));
    text.append(program(file));
    text.gap();
    text.add(Role::Heading, how(story));
    text.add(
        Role::Aside,
        "(steps of the scheduler's own are left out; `rumplab explain` has them)",
    );
    text.append(columns(story));
    text
}

fn how(story: &Story<'_>) -> String {
    match story.departures.len() {
        0 => "it happens by itself, without any departure from the default schedule".to_owned(),
        1 => "it takes 1 departure (>>>) from the default schedule".to_owned(),
        count => format!("it takes {count} departures (>>>) from the default schedule"),
    }
}

/// What the LWPs of `ops` run.
fn program(file: &ReplayFile) -> Text {
    let mut text = Text::default();
    let Some(program) = &file.program else {
        return text;
    };
    for (lwp, script) in program
        .scripts
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.ops().is_empty())
    {
        let ops = Vec::from_iter(script.ops().iter().map(ToString::to_string)).join("; ");
        text.add(Role::Plain, format!("l{lwp}       {ops}"));
    }
    text
}
