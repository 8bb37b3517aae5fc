//! How a run ended: the first line says what broke in which scenario, the next ones which LWP detected it and where.

use super::account::{Account, Missing, Participant, Standstill};
use super::explain::ordering_sentences;
use super::text::{Role, Text};
use super::words::{count, list, needs, subject_of};
use crate::machine::{Failure, FailureKind, Outcome, Running, Until, Verdict, Waiter};

/// How a run ended, in one or a few lines.
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

/// What broke, in which scenario, and what its schedule needs.
fn headline(account: &Account<'_>, failure: &Failure) -> String {
    let broke = match &account.missing {
        _ if failure.kind == FailureKind::Deadlock && account.leaks_reference() => {
            "LEAKED REFERENCE".to_owned()
        }
        _ if failure.kind == FailureKind::Deadlock && account.waits.is_lost_wakeup() => {
            "LOST WAKE-UP".to_owned()
        }
        _ if account
            .standstill
            .as_ref()
            .is_some_and(|it| it.is_lost_wakeup) =>
        {
            "LOST WAKE-UP".to_owned()
        }
        _ if failure.rule == "ipi-missing" => format!("MISSING INTERRUPT to cpu{}", failure.cpu),
        Some(Missing {
            cpu, taken: None, ..
        }) => format!("MISSING INTERRUPT to cpu{cpu}"),
        _ => broke(failure),
    };
    let mut line = format!("{broke} in {}", subject_of(account.file));
    if failure.kind == FailureKind::Deadlock {
        // Who halts on a CPU waits for nothing in the graph.
        let threads = account.waits.stuck().len().max(account.waits.running.len());
        line += &format!(", {}", count(threads, "thread"));
    }
    line + &match needs(&account.story) {
        None => ", no reordering needed".to_owned(),
        Some(needs) => format!(", needs {needs}"),
    }
}

/// What broke, in capitals, with the name of the rule unless that says the same.
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
    match failure.kind {
        FailureKind::Deadlock if !account.participants.is_empty() => {
            text.append(deadlock(account));
        }
        _ => {
            for line in failure.message.trim_end().lines() {
                text.add(Role::Failure, format!("  {line}"));
            }
        }
    }
    if failure.kind == FailureKind::Leak || failure.rule == "accounting" {
        text.append(left(account));
    }
    if let Some(standstill) = &account.standstill {
        text.append(while_others_go_on(account, standstill));
    }
    if let Some(missing) = &account.missing {
        text.add(Role::Failure, format!("  {}", account.request(missing)));
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

/// The greatest width of the column with the objects of facts.
const WHAT: usize = 44;
/// The most participants that are printed.
const PARTICIPANTS: usize = 6;

/// Which LWP holds what and waits for what, and where; then the same in one line.
fn deadlock(account: &Account<'_>) -> Text {
    let mut text = Text::default();
    let graph = &account.waits;
    if graph.is_lost_wakeup() {
        text.add(Role::Failure, format!("  {}", lost_wakeup(account)));
    }
    for Running { name, cpu, does } in &graph.running {
        // An LWP that spins for a lock counts as waiting.
        if !account.participants.iter().any(|it| it.name == *name) {
            text.add(Role::Failure, format!("  {name} {does} on cpu{cpu}"));
        }
    }
    let told = &account.participants[..account.participants.len().min(PARTICIPANTS)];
    text.append(table(told));
    if let Some(more @ 1..) = account.participants.len().checked_sub(told.len()) {
        text.add(Role::Plain, format!("  and {}", count(more, "more thread")));
    }
    for line in also_blocked(account) {
        text.add(Role::Plain, format!("  {line}"));
    }
    for cycle in &graph.cycles {
        let stations = Vec::from_iter(cycle.stations.iter().map(|(what, _)| what.as_str()));
        text.add(Role::Failure, format!("  cycle: {}", stations.join(" => ")));
    }
    if graph.alike > 0 {
        let more = count(graph.alike, "more cycle");
        text.add(Role::Plain, format!("  and {more} like these"));
    }
    if !graph.is_lost_wakeup() {
        let sentences = Vec::from_iter(told.iter().map(|it| it.sentence.as_str()));
        text.wrap_hanging(
            Role::Plain,
            &format!("In one line: {}.", sentences.join("; ")),
        );
    }
    text
}

/// The most objects that are listed as not given back.
const LEFT: usize = 6;

/// What was not given back: who has it, and where it was taken.
fn left(account: &Account<'_>) -> Text {
    let mut text = Text::default();
    let left = account.left();
    for held in left.iter().take(LEFT) {
        let line = format!("  {}: {}", held.object, account.told_holder(held));
        text.add(Role::Failure, line);
    }
    if let Some(more @ 1..) = left.len().checked_sub(LEFT) {
        text.add(Role::Plain, format!("  and {more} more"));
    }
    text
}

/// Which LWPs do nothing in a livelock, on what they sleep and since when; then what the others do.
fn while_others_go_on(account: &Account<'_>, standstill: &Standstill) -> Text {
    let mut text = Text::default();
    let told = &account.participants[..account.participants.len().min(PARTICIPANTS)];
    let half = account.story.outcome.points / 2;
    let names = Vec::from_iter(account.participants.iter().map(|it| it.name.as_str()));
    let does = if names.len() == 1 { "has" } else { "have" };
    text.add(
        Role::Failure,
        format!(
            "  {} {does} done nothing since before step {half}, while others went on",
            list(&names)
        ),
    );
    text.append(table(told));
    if let Some(more @ 1..) = account.participants.len().checked_sub(told.len()) {
        text.add(Role::Plain, format!("  and {}", count(more, "more thread")));
    }
    for other in standstill.go_on.iter().take(OTHERS) {
        for fact in other.facts.iter().filter(|fact| fact.verb != "HOLDS") {
            let more = match fact.more.as_str() {
                "" => String::new(),
                more => format!(", {more}"),
            };
            let verb = fact.verb.to_lowercase();
            let line = format!(
                "  {} goes on: it {verb} {}{more}, {}",
                other.name, fact.what, fact.how
            );
            text.add(Role::Plain, line.trim_end_matches(", "));
        }
    }
    text
}

/// The facts of each participant, in columns.
fn table(told: &[Participant]) -> Text {
    let mut text = Text::default();
    let facts = || told.iter().flat_map(|participant| &participant.facts);
    let who = told.iter().map(|it| it.name.chars().count());
    let who = who.max().unwrap_or(0) + 3;
    let verb = facts().map(|fact| fact.verb.len()).max().unwrap_or(0);
    let lengths = facts().map(|fact| fact.what.chars().count());
    let what = lengths.filter(|length| *length <= WHAT).max().unwrap_or(0);
    for (index, participant) in told.iter().enumerate() {
        let mut head = format!("{}. {}", index + 1, participant.name);
        for fact in &participant.facts {
            let does = match fact.verb {
                "" => String::new(),
                does => format!("{does:verb$} "),
            };
            let line = format!("  {head:who$}  {does}{:what$}  {}", fact.what, fact.how);
            text.add(Role::Failure, line);
            head.clear();
            if !fact.more.is_empty() {
                let blank = "";
                text.add(
                    Role::Plain,
                    format!("  {blank:who$}  {blank:verb$} {}", fact.more),
                );
            }
        }
    }
    text
}

/// Which LWP sleeps on what for ever.
fn lost_wakeup(account: &Account<'_>) -> String {
    let graph = &account.waits;
    let lost = || graph.waiters.iter().filter(|waiter| waiter.is_lost);
    let names = Vec::from_iter(lost().map(|waiter| graph.nodes[waiter.node].name.as_str()));
    let mut cvs = Vec::new();
    for waiter in lost() {
        if let Until::Signal(cv) = &waiter.until
            && !cvs.contains(&format!("`{cv}`"))
        {
            cvs.push(format!("`{cv}`"));
        }
    }
    let (sleep, whom) = match names.len() {
        1 => ("sleeps", "it"),
        _ => ("sleep", "them"),
    };
    let waker = match &account.story.outcome.verdict {
        Verdict::Failed(failure) if failure.rule == "backstop" => "nothing but a backstop",
        _ => "no thread, timer or interrupt",
    };
    format!(
        "{} {sleep} on {}; {waker} can wake {whom}",
        list(&names),
        list(&cvs)
    )
}

/// The most threads outside the cycle that are printed.
const OTHERS: usize = 3;

/// Which threads wait for those in the cycle.
fn also_blocked(account: &Account<'_>) -> Vec<String> {
    let graph = &account.waits;
    let is_told = |waiter: &&Waiter| {
        let name = &graph.nodes[waiter.node].name;
        !account.participants.iter().any(|told| told.name == *name)
    };
    let others = Vec::from_iter(graph.waiters.iter().filter(is_told));
    let mut lines = Vec::new();
    for waiter in others.iter().take(OTHERS) {
        let on = graph.edges.iter().find(|edge| edge.from == waiter.node);
        let what = match (on, &waiter.until) {
            (Some(edge), _) => format!("waits for {}", graph.nodes[edge.to].name),
            (None, Until::Signal(cv)) => format!("sleeps on `{cv}`"),
            (None, _) => "waits".to_owned(),
        };
        let name = &graph.nodes[waiter.node].name;
        lines.push(format!("also blocked: {name} {what}"));
    }
    if others.len() > OTHERS {
        lines.push(format!(
            "also blocked: {}",
            count(others.len() - OTHERS, "more thread")
        ));
    }
    lines
}

/// Which LWP detected it, and where. Not for a deadlock, where the LWP that happened to check last says nothing about
/// the cause.
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
        FailureKind::Oracle if failure.is_of_idle_cpus() => {
            Some(format!("found at {location}, when every CPU idled"))
        }
        FailureKind::Oracle | FailureKind::Leak if context.starts_with("idle/") => Some(format!(
            "found by verify() at {location}, after all threads exited"
        )),
        _ => Some(format!("by {context} on cpu{cpu}, at {location}")),
    }
}
