//! The key steps of a run.
//!
//! For a deadlock: where each lock of the cycle was taken, and where each thread blocked. For two accesses: both.
//! Otherwise: the kernel's messages since the first departure, and the last message and move of the LWP that detected
//! the failure. For every failure: the departures, and the allocations that fail. Nothing here knows a particular bug; it picks from the verdict,
//! the wait-for graph and the trace.

use std::collections::BTreeSet;

use super::{Account, Participant};
use crate::machine::{Failure, FailureKind, NodeKind, TraceEvent, WaitEdge, WaitGraph, What};
use crate::report::event::is_own_account;
use crate::report::words::{refusal, switch};

/// Maximum number of departures: half of them the first, half the last.
const DEPARTURES: usize = 6;
/// Maximum number of kernel messages: the last ones.
const WORDS: usize = 12;
/// Maximum number of LWPs that wait without a cycle.
const WAITERS: usize = 6;

/// The role of a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// As far as is known, the run would have passed without it.
    Departure,
    /// It contributes to the failure.
    Cause,
    /// The failure itself.
    Break,
}

impl Weight {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Weight::Departure => "departure",
            Weight::Cause => "cause",
            Weight::Break => "break",
        }
    }
}

/// A key step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Its position in the trace, or the length of the trace if it comes after the end.
    pub event: usize,
    /// Its role.
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
    // A departure comes before what it causes.
    moments.sort_by_key(|moment| (moment.event, moment.weight != Weight::Departure));
    moments.dedup();
    moments
}

/// A message of the kernel, with the LWP unless the message names it.
fn said(event: &TraceEvent, words: &str) -> String {
    let TraceEvent { context, cpu, .. } = event;
    // An idle LWP's messages are about other LWPs.
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
        for (event, object, location) in self.account.story.refusals() {
            self.add(event, Weight::Departure, refusal(object, location));
        }
        let mut told = BTreeSet::new();
        for (event, missed) in self.account.story.missed() {
            let TraceEvent { context, cpu, .. } = &self.account.story.trace[event];
            if told.insert((context, missed)) {
                let text = missed.sentence(context, *cpu);
                self.add(event, Weight::Departure, text);
            }
        }
    }

    fn deadlock(&mut self, waits: &WaitGraph) {
        let cycle = !waits.cycles.is_empty();
        // The LWP that made the cross call with which a cycle begins waits in front of it.
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

    /// Adds the step at which a lock that was held until the end was taken.
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

    /// Adds the kernel's last message about that LWP.
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
            .take(match self.account.standstill {
                // Those that go on say the same again and again.
                Some(_) => 1,
                None => WORDS,
            })
            .chain(words(0..first).take(1));
        for (at, words) in Vec::from_iter(told) {
            let event = &trace[at];
            let text = said(event, words);
            self.add(at, Weight::Cause, text);
        }
        if let Some(missing) = &self.account.missing {
            let text = self.account.request(missing);
            self.add(missing.asked, Weight::Cause, text);
        }
        let still = self
            .account
            .standstill
            .iter()
            .flat_map(|_| &self.account.participants);
        for (still, wait) in still.filter_map(|still| Some((still, still.wait()?))) {
            let text = format!("{} {} {}", still.name, wait.verb.to_lowercase(), wait.what);
            self.add(
                wait.event.unwrap_or(0),
                Weight::Cause,
                text + ", and does nothing from here on",
            );
        }
        // The LWP that detects the failure takes part in it, however old its last message is.
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
            true if failure.kind == FailureKind::Livelock => {
                format!("{}: {sentence}", failure.rule)
            }
            true if failure.is_of_idle_cpus() => {
                format!("every CPU idles; {}: {sentence}", failure.rule)
            }
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
