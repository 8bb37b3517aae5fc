//! The account of a run: every fact of a report, typed, before it is rendered.
//!
//! # Overview
//!
//! The machine provides what ran, how it ended, the trace, where the schedule departs, and the wait-for graph.
//! Everything else that a report needs is derived from these here, once for all formats:
//!
//! * `spans`: which LWP ran on which CPU from when to when, interrupts and softints on top of it, holds of locks, moves;
//! * `moments`: the key steps;
//! * `participants`: for a deadlock, which LWP holds what and waits for what, and where;
//! * `holders`: for a leak, or if somebody waits for references, who has what and has not given it back;
//! * `standstill`: for a livelock, who does nothing meanwhile;
//! * `interrupts`: for a CPU that idles and should not, who asked it for what;
//! * `ordering`: for a race, what could have ordered its sides.
//!
//! Times are positions in the trace: a span begins with the event at `begin` and ends before the one at `end`.

use std::collections::BTreeMap;

use super::selection::Part;
use super::story::Story;
use crate::fences::Fence;
use crate::machine::{Failure, FailureKind, TraceEvent, Verdict, WaitGraph, What};
use crate::replay::ReplayFile;

mod holders;
mod interrupts;
mod moments;
mod ordering;
mod participants;
mod spans;
mod standstill;
#[cfg(test)]
mod tests;

pub use holders::Holder;
pub use interrupts::Missing;
pub use moments::{Moment, Weight};
pub use ordering::{Bridge, Ordering};
pub use participants::{Fact, Participant};
pub use spans::{Held, Layered, Move, Run};
pub use standstill::Standstill;

/// The role of an LWP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// An actor of the scenario, or another thread.
    Thread,
    /// The thread that a CPU runs when it has nothing else to run.
    Idle,
    /// The thread of a softint level.
    Softint,
    /// The thread that runs cross calls on a CPU.
    Xcall,
}

impl Role {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Thread => "thread",
            Role::Idle => "idle",
            Role::Softint => "softint",
            Role::Xcall => "xcall",
        }
    }

    fn of(name: &str) -> Role {
        // The kernel's own threads have such names, and an actor's name has no slash.
        // Names of a second kernel have its name as a prefix.
        match name.strip_prefix("b/").unwrap_or(name).split_once('/') {
            Some(("idle", _)) => Role::Idle,
            Some(("xcall", _)) => Role::Xcall,
            Some((level, _)) if level.starts_with("soft") => Role::Softint,
            _ => Role::Thread,
        }
    }
}

/// An LWP that ran.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lwp {
    /// The name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The CPUs on which it ran, in order.
    pub cpus: Vec<usize>,
}

/// Every fact about a run.
pub struct Account<'a> {
    /// What ran.
    pub file: &'a ReplayFile,
    /// The trace, the departures, and how it ended.
    pub story: Story<'a>,
    /// The wait-for graph at the end; empty if the run passed.
    pub waits: WaitGraph,
    /// The LWPs that ran, in the order of appearance.
    pub lwps: Vec<Lwp>,
    /// Which LWP ran on which CPU.
    pub runs: Vec<Run>,
    /// What ran on top of LWPs.
    pub layers: Vec<Layered>,
    /// Which LWP held which lock.
    pub holds: Vec<Held>,
    /// LWPs that continued on another CPU.
    pub moves: Vec<Move>,
    /// The key steps.
    pub moments: Vec<Moment>,
    /// For a race: what could have ordered its sides.
    pub ordering: Option<Ordering>,
    /// For a deadlock or a lost wake-up: the LWPs that never continue. For a livelock: those that do nothing, while others go on.
    pub participants: Vec<Participant>,
    /// What was held when the run failed, if that may be why.
    pub holders: Vec<Holder>,
    /// For a livelock in which some do nothing: what the others do.
    pub standstill: Option<Standstill>,
    /// For a CPU that idles and should not: the interrupt that is missing.
    pub missing: Option<Missing>,
    /// Fences each of which would have prevented the failure, if they were looked for.
    pub fences: Vec<Fence>,
}

impl<'a> Account<'a> {
    /// Derives the account.
    pub fn new(file: &'a ReplayFile, story: Story<'a>, waits: WaitGraph) -> Account<'a> {
        let lwps = lwps(&story);
        let index = BTreeMap::from_iter(
            lwps.iter()
                .enumerate()
                .map(|(index, lwp)| (lwp.name.as_str(), index)),
        );
        let spans::Spans {
            runs,
            layers,
            holds,
            moves,
        } = spans::of(&story, &lwps, &index);
        drop(index);
        let mut account = Account {
            file,
            story,
            waits,
            lwps,
            runs,
            layers,
            holds,
            moves,
            moments: Vec::new(),
            ordering: ordering::of(&story),
            participants: Vec::new(),
            holders: Vec::new(),
            standstill: None,
            missing: None,
            fences: Vec::new(),
        };
        account.missing = interrupts::of(&account);
        if account.failure().is_some_and(is_of_holders) {
            account.holders = holders::of(account.story.trace);
        }
        if account
            .failure()
            .is_some_and(|f| f.kind == FailureKind::Deadlock)
        {
            account.participants = participants::of(&account, &account.waits.stuck());
        }
        if let Some((still, standstill)) = standstill::of(&account) {
            account.participants = still;
            account.standstill = Some(standstill);
        }
        account.moments = moments::of(&account);
        account
    }

    /// The same, with the fences that were [found](crate::fences::missing) to be missing.
    pub fn with_fences(self, fences: Vec<Fence>) -> Account<'a> {
        Account { fences, ..self }
    }

    /// How it failed, if it did.
    pub fn failure(&self) -> Option<&'a Failure> {
        match &self.story.outcome.verdict {
            Verdict::Failed(failure) => Some(failure),
            Verdict::Passed => None,
        }
    }

    /// The position of an LWP.
    pub fn lwp(&self, name: &str) -> Option<usize> {
        self.lwps.iter().position(|lwp| lwp.name == name)
    }

    /// The positions of all LWPs, by name.
    pub fn positions(&self) -> BTreeMap<&str, usize> {
        let named = self.lwps.iter().enumerate();
        named
            .map(|(index, lwp)| (lwp.name.as_str(), index))
            .collect()
    }

    /// Events that fit on a page, and markers for what is left out between them, in order.
    pub fn parts(&self) -> Vec<Part> {
        super::selection::parts(&self.story, super::selection::MOST_LINES)
    }

    /// The last event of an LWP that is a step of its own.
    fn last_event_of(&self, name: &str) -> Option<usize> {
        let is_its = |event: &TraceEvent| event.context == name && !super::event::is_fused(event);
        self.story.trace.iter().rposition(is_its)
    }
}

/// Whether what is held may be the reason for the failure.
fn is_of_holders(failure: &Failure) -> bool {
    use FailureKind::{Deadlock, Leak, Livelock};
    matches!(failure.kind, Deadlock | Leak | Livelock) || failure.rule == "accounting"
}

fn lwps(story: &Story<'_>) -> Vec<Lwp> {
    let mut lwps: Vec<Lwp> = Vec::new();
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    for event in story.trace {
        let to = match &event.what {
            What::Switch { to } => Some(to),
            _ => None,
        };
        for name in std::iter::once(&event.context).chain(to) {
            let position = *index.entry(name).or_insert_with(|| {
                lwps.push(Lwp {
                    name: name.clone(),
                    role: Role::of(name),
                    cpus: Vec::new(),
                });
                lwps.len() - 1
            });
            let cpus = &mut lwps[position].cpus;
            if !cpus.contains(&event.cpu) {
                cpus.push(event.cpu);
            }
        }
    }
    lwps
}
