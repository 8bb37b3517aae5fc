//! A run in short: the few steps that somebody who tells it would name.
//!
//! Of a deadlock: who took what of the cycle, and how each came to wait. Of two accesses: both. Of anything else: what the
//! kernel said of itself from the first departure on, and the last words and moves of the LWP that found out. Of all: the departures. Nothing
//! here knows a bug; it names what the verdict, the wait-for graph and the trace have in them.

use std::collections::BTreeSet;

use super::{Account, Participant};
use crate::machine::{Failure, FailureKind, NodeKind, TraceEvent, WaitEdge, WaitGraph, What};
use crate::report::event::is_own_account;
use crate::report::words::switch;

/// Most departures that are named, half of them the first and half of them the last.
const DEPARTURES: usize = 6;
/// Most words of the kernel's that are named: the last ones.
const WORDS: usize = 12;
/// Most LWPs that are named of those that wait without a cycle.
const WAITERS: usize = 6;

/// What a moment is to the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// Without it the run would have gone well, as far as anybody knows.
    Departure,
    /// It belongs to how it came.
    Cause,
    /// Here it breaks.
    Break,
}

impl Weight {
    /// The word that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Weight::Departure => "departure",
            Weight::Cause => "cause",
            Weight::Break => "break",
        }
    }
}

/// A step that tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Its position in the trace; the length of the trace for what is after its end.
    pub event: usize,
    /// What it is.
    pub weight: Weight,
    /// A sentence without a full stop.
    pub text: String,
}

pub(super) fn of(account: &Account<'_>) -> Vec<Moment> {
    let Some(failure) = account.failure() else {
        return Vec::new();
    };
    let mut list = List {
        account,
        moments: Vec::new(),
    };
    match failure.kind {
        FailureKind::Deadlock => list.deadlock(&account.waits),
        FailureKind::DataRace | FailureKind::UseAfterFree | FailureKind::DoubleFree
            if failure.sides.is_some() =>
        {
            list.sides(failure);
        }
        _ => list.words(failure),
    }
    list.departures();
    let mut moments = list.moments;
    // A departure is told ahead of what came of it.
    moments.sort_by_key(|moment| (moment.event, moment.weight != Weight::Departure));
    moments.dedup();
    moments
}

/// What the kernel said, and who that was unless the words say so.
fn said(event: &TraceEvent, words: &str) -> String {
    let TraceEvent { context, cpu, .. } = event;
    // An idle LWP says of others what became of them.
    match words.starts_with(context.as_str()) || context.starts_with("idle/") {
        true => words.to_owned(),
        false => format!("{context} on cpu{cpu}: {words}"),
    }
}

struct List<'a, 'b> {
    account: &'a Account<'b>,
    moments: Vec<Moment>,
}

impl List<'_, '_> {
    fn add(&mut self, event: usize, weight: Weight, text: String) {
        self.moments.push(Moment {
            event,
            weight,
            text,
        });
    }

    fn departures(&mut self) {
        let marks = Vec::from_iter(self.account.story.marks());
        let (count, half) = (marks.len(), DEPARTURES / 2);
        for (index, (event, departure)) in marks.into_iter().enumerate() {
            if count > DEPARTURES && (half..count - half).contains(&index) {
                continue;
            }
            self.add(event, Weight::Departure, switch(departure));
        }
    }

    fn deadlock(&mut self, waits: &WaitGraph) {
        let cycle = !waits.cycles.is_empty();
        // Who made the cross call that a cycle begins with waits in front of it.
        let names = waits.cycles.iter().flat_map(|cycle| &cycle.stations);
        let names = BTreeSet::from_iter(names.filter_map(|(_, lwp)| lwp.as_deref()));
        let concerned = |node: usize| !cycle || names.contains(waits.nodes[node].name.as_str());
        let mut told = BTreeSet::new();
        for waiter in waits.waiters.iter().filter(|w| concerned(w.node)) {
            if !cycle && told.len() == WAITERS {
                break;
            }
            let name = &waits.nodes[waiter.node].name;
            told.insert(name.clone());
            self.last_word(name);
            let participants = &self.account.participants;
            let own = participants
                .iter()
                .find(|participant| participant.name == *name);
            let wait = own.and_then(Participant::wait);
            let text = match wait {
                Some(wait) => {
                    let does = wait.verb.to_lowercase();
                    let more = match wait.more.as_str() {
                        "" => String::new(),
                        more => format!(", {more}"),
                    };
                    format!("{name} on cpu{} {does} {}{more}", waiter.cpu, wait.what)
                }
                None => format!("{name} on cpu{} {}", waiter.cpu, waiter.how),
            };
            if let Some(event) = self.account.last_event_of(name) {
                self.add(event, Weight::Break, text);
            }
        }
        let keeps = |edge: &&WaitEdge| {
            edge.in_cycle
                && matches!(
                    waits.nodes[edge.from].kind,
                    NodeKind::Mutex | NodeKind::Rwlock
                )
        };
        for edge in waits.edges.iter().filter(keeps) {
            self.taken(&waits.nodes[edge.from].name, &waits.nodes[edge.to].name);
        }
    }

    /// Names the hold of a lock, by the lock's own name, that lasted to the end.
    fn taken(&mut self, lock: &str, lwp: &str) {
        let Some(position) = self.account.lwp(lwp) else {
            return;
        };
        let is_it = |name: &str| name.rsplit('.').next() == Some(lock);
        let mut holds = self.account.holds.iter();
        let hold = holds.find(|hold| hold.at_end && hold.lwp == position && is_it(&hold.lock));
        if let Some(hold) = hold {
            let text = format!(
                "{lwp} on cpu{} takes {lock} and still holds it at the end",
                hold.cpu
            );
            self.add(hold.begin, Weight::Cause, text);
        }
    }

    /// Names what the kernel said last of that LWP's doings.
    fn last_word(&mut self, lwp: &str) {
        let trace = self.account.story.trace;
        let is_it = |event: &&TraceEvent| event.context == lwp && is_own_account(event);
        let mut events = trace.iter().enumerate().rev();
        if let Some((at, event)) = events.find(|(_, event)| is_it(event))
            && let What::Note(words) = &event.what
        {
            let text = said(event, words);
            self.add(at, Weight::Cause, text);
        }
    }

    fn sides(&mut self, failure: &Failure) {
        let Some(sides) = &failure.sides else { return };
        let (earlier, object) = (&sides.earlier, &sides.object);
        if let Some(event) = self
            .account
            .ordering
            .as_ref()
            .and_then(|ordering| ordering.earlier)
        {
            let text = format!(
                "{} on cpu{}: {} of {object}, at {}",
                earlier.context, earlier.cpu, earlier.what, earlier.location
            );
            self.add(event, Weight::Cause, text);
        }
        let text = format!(
            "{} on cpu{}: {} of {object}, at {}",
            failure.context, failure.cpu, sides.later, failure.location
        );
        self.add(self.end(), Weight::Break, text);
    }

    fn words(&mut self, failure: &Failure) {
        let trace = self.account.story.trace;
        let first = self.account.story.marks().next().map_or(0, |(at, _)| at);
        let words = |range: std::ops::Range<usize>| {
            range.rev().filter_map(|at| match &trace[at].what {
                What::Note(words) if is_own_account(&trace[at]) => Some((at, words)),
                _ => None,
            })
        };
        let told = words(first..trace.len())
            .take(WORDS)
            .chain(words(0..first).take(1));
        for (at, words) in Vec::from_iter(told) {
            let event = &trace[at];
            let text = said(event, words);
            self.add(at, Weight::Cause, text);
        }
        // Whoever finds out is one of those that it is about, however long ago it spoke.
        self.last_word(&failure.context);
        let position = self.account.lwp(&failure.context);
        let mut moves = self.account.moves.iter().rev();
        if let Some(last) = moves.find(|it| Some(it.lwp) == position) {
            let text = format!(
                "{} migrates cpu{} -> cpu{}",
                failure.context, last.from, last.to
            );
            self.add(last.event, Weight::Cause, text);
        }
        let sentence = failure.message.lines().next().unwrap_or("");
        let text = match failure.context.starts_with("idle/") {
            true => format!("all threads have exited; {}: {sentence}", failure.rule),
            false if sentence.starts_with(&failure.context) => sentence.to_owned(),
            false => format!("{} on cpu{}: {sentence}", failure.context, failure.cpu),
        };
        self.add(self.end(), Weight::Break, text);
    }

    /// The last event.
    fn end(&self) -> usize {
        self.account.story.trace.len().saturating_sub(1)
    }
}
