//! The account as text: what broke, the key steps, the diagram, and then everything.

use super::account::{Account, Ordering, Weight};
use super::lines::{Detail, LEGEND, lines};
use super::selection::MOST_LINES;
use super::text::{Role, Text};
use super::words::how;
use super::{columns, program, subject, verdict};
use crate::fences::Fence;
use crate::machine::{FailureKind, TraceEvent};

/// The whole text. `waits` is the wait-for graph as the kernel writes it.
pub fn explain(account: &Account<'_>, waits: &str) -> Text {
    let (file, story) = (account.file, &account.story);
    let mut text = verdict(account);
    text.gap();
    text.append(subject(file));
    text.append(program(file));
    text.gap();
    text.append(in_short(account, usize::MAX));
    text.add(Role::Heading, how(story));
    text.add(
        Role::Aside,
        "(the scheduler's own steps are left out; they are below, under \"Every step\")",
    );
    text.append(columns(story, MOST_LINES));
    text.gap();
    text.add(Role::Heading, "About:");
    text.wrap(Role::Plain, file.scenario.about);
    text.gap();
    part(&mut text, "Every step", Role::Aside, LEGEND);
    text.append(lines(story, Detail::Steps));
    let waits = waits_worth_telling(account, waits);
    if !waits.is_empty() {
        text.gap();
        part(
            &mut text,
            "Other threads blocked at the end",
            Role::Plain,
            &waits,
        );
    }
    text
}

fn part(text: &mut Text, title: &str, role: Role, body: &str) {
    text.add(Role::Heading, format!("{title}:"));
    text.add(role, body);
    text.gap();
}

/// The moments, each with its step: at most `most`, including the last causes.
pub(super) fn in_short(account: &Account<'_>, most: usize) -> Text {
    let mut text = Text::default();
    if account.moments.is_empty() {
        return text;
    }
    text.add(Role::Heading, "In short:");
    let mut excess = account.moments.len().saturating_sub(most);
    for moment in &account.moments {
        if moment.weight == Weight::Cause && excess > 0 {
            excess -= 1;
            continue;
        }
        let event = account.story.trace.get(moment.event);
        let step = event.map_or(String::new(), |event: &TraceEvent| event.point.to_string());
        let (role, sign) = match moment.weight {
            Weight::Departure => (Role::Departure, ">>>"),
            Weight::Cause => (Role::Plain, ""),
            Weight::Break => (Role::Failure, "!!!"),
        };
        text.add(role, format!("{step:>7} {sign:3} {}", moment.text));
    }
    for fence in &account.fences {
        text.gap();
        text.wrap(Role::Plain, &fence_sentence(fence));
    }
    text.gap();
    text
}

/// Where a fence is missing, in a sentence.
fn fence_sentence(fence: &Fence) -> String {
    let Fence {
        context,
        stored,
        stored_at,
        then,
        then_at,
    } = fence;
    format!(
        "A fence is missing in {context}, after its store to {stored} ({stored_at}) and before its {then} ({then_at}): with \
         membar_sync() there, this schedule does not fail."
    )
}

/// What could have ordered the two sides of a race, in sentences.
pub(super) fn ordering_sentences(account: &Account<'_>, ordering: &Ordering) -> Vec<String> {
    let Some(failure) = account
        .failure()
        .filter(|failure| failure.kind == FailureKind::DataRace)
    else {
        return Vec::new();
    };
    let trace = account.story.trace;
    let Some(sides) = &failure.sides else {
        return Vec::new();
    };
    let (one, other) = (&sides.earlier.context, &failure.context);
    let mut sentences = Vec::new();
    for bridge in &ordering.bridges {
        let (write, read) = (&trace[bridge.write], &trace[bridge.read]);
        let place = |event| super::event::place(event).to_owned();
        let lacks = match (bridge.wants_release, bridge.wants_acquire) {
            (true, true) => "the write were a release and the read an acquire",
            (true, false) => "the write were a release",
            (false, _) => "the read were an acquire",
        };
        sentences.push(format!(
            "{} would order them if {lacks}: {} writes it after its access ({}), {} reads it before its own ({})",
            bridge.object,
            write.context,
            place(write),
            read.context,
            place(read)
        ));
    }
    if sentences.is_empty() {
        sentences.push(match ordering.earlier {
            Some(_) => format!(
                "nothing that {one} writes after its access is read by {other} before its own: a lock that both enter, \
                 or a flag that is stored with release and loaded with acquire, would order them"
            ),
            None => format!(
                "a lock that both enter, or a flag that {one} stores with release and {other} loads with acquire, would \
                 order them"
            ),
        });
    }
    sentences
}

/// The graph as text, if an LWP waits and the verdict does not already show the graph.
fn waits_worth_telling(account: &Account<'_>, waits: &str) -> String {
    match account.failure() {
        Some(failure) if failure.kind != FailureKind::Deadlock => {
            // In the middle of a run it is normal to wait without being in a cycle.
            let is_waiter =
                |line: &&str| !line.starts_with("no cycle") && !line.starts_with("lost wake-up");
            let lines = waits.lines().filter(is_waiter);
            Vec::from_iter(lines).join("\n")
        }
        _ => String::new(),
    }
}
