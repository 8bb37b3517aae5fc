//! How a run ended: what broke in which scenario, on the first line, and then who found it and where.

use super::account::Account;
use super::explain::ordering_sentences;
use super::text::{Role, Text};
use super::words::{count, subject_of};
use crate::machine::{Failure, FailureKind, Outcome, Verdict};

/// How a run ended, in a line or a few.
pub fn verdict(account: &Account<'_>) -> Text {
    let mut text = Text::default();
    match &account.story.outcome.verdict {
        Verdict::Failed(failure) => {
            text.add(Role::Failure, headline(account, failure));
            text.append(body(account, failure));
        }
        Verdict::Passed => {
            let Outcome { steps, ticks, .. } = account.story.outcome;
            text.add(
                Role::Success,
                format!(
                    "{} passed: {steps} steps, {ticks} clock interrupts",
                    subject_of(account.file)
                ),
            );
        }
    }
    text
}

/// What broke, in which scenario, and what its schedule takes.
fn headline(account: &Account<'_>, failure: &Failure) -> String {
    let mut line = format!("{} in {}", broke(failure), subject_of(account.file));
    if failure.kind == FailureKind::Deadlock {
        line += &format!(", {}", count(account.waits.stuck().count(), "thread"));
    }
    line + &match account.story.departures.len() {
        0 => ", no reordering needed".to_owned(),
        switches => format!(", needs {}", count(switches, "forced switch")),
    }
}

/// What broke, in capitals, with the word for the rule unless that says the same.
fn broke(failure: &Failure) -> String {
    let Failure { kind, rule, .. } = failure;
    match kind {
        FailureKind::Contract => format!("API CONTRACT {rule} BROKEN"),
        FailureKind::Oracle => format!("SCENARIO ASSERTION {rule} FAILED"),
        _ if *rule == kind.name().replace(' ', "-") => kind.name().to_uppercase(),
        _ => format!("{} ({rule})", kind.name().to_uppercase()),
    }
}

fn body(account: &Account<'_>, failure: &Failure) -> Text {
    let mut text = Text::default();
    for line in failure.message.trim_end().lines() {
        text.add(Role::Failure, format!("  {line}"));
    }
    if let Some(found) = found_by(failure) {
        text.add(Role::Plain, format!("  {found}"));
    }
    if let Some(ordering) = &account.ordering {
        for sentence in ordering_sentences(account, ordering) {
            text.wrap(Role::Plain, &format!("  {sentence}"));
        }
    }
    text
}

/// Who found it, and where. Of a deadlock nobody: whoever happened to look last is no witness.
fn found_by(failure: &Failure) -> Option<String> {
    let Failure {
        kind,
        location,
        cpu,
        context,
        ..
    } = failure;
    match kind {
        FailureKind::Deadlock => None,
        FailureKind::Oracle | FailureKind::Leak if context.starts_with("idle/") => Some(format!(
            "found by verify() at {location}, after all threads exited"
        )),
        _ => Some(format!("by {context} on cpu{cpu}, at {location}")),
    }
}
