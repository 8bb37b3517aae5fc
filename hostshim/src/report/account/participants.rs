//! The LWPs that never continue: what each holds, what it waits for, and where it began to.
//!
//! The wait-for graph knows which LWP waits for which; the trace knows where and when. For a lost wake-up the trace
//! knows more: the last signal on the condition variable, and the last writer of each word that the sleeper tested
//! before it slept.

use std::collections::BTreeSet;

use kmod::machine::Kind;

use super::{Account, Held};
use crate::machine::{Access, Act, NodeKind, TraceEvent, Until, WaitGraph, Waiter, What};
use crate::report::event::{is_of_scheduler, place};
use crate::report::words::list;

/// The most tested words whose last writer is reported.
const TESTED: usize = 3;

/// An LWP that never continues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Participant {
    /// Its name.
    pub name: String,
    /// What it holds, and what it waits for.
    pub facts: Vec<Fact>,
    /// The facts in a sentence, without a full stop.
    pub sentence: String,
}

impl Participant {
    /// What it waits for.
    pub(super) fn wait(&self) -> Option<&Fact> {
        let waits = ["WAITS FOR", "SPINS FOR", "SLEEPS ON"];
        self.facts.iter().find(|fact| waits.contains(&fact.verb))
    }
}

/// What a participant holds, does or waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// `HOLDS`, `RUNS`, `WAITS FOR`, `SLEEPS ON`, `TESTED`.
    pub verb: &'static str,
    /// The object of the verb.
    pub what: String,
    /// Further details, if they are long: printed on a separate line.
    pub more: String,
    /// How it came: `taken at kmod/src/scenario/inet.rs:179`. Empty if it is not known.
    pub how: String,
    /// The event, by its position in the trace, if it is known.
    pub event: Option<usize>,
}

/// What is known of the LWPs of these nodes of the wait-for graph.
pub(super) fn of(account: &Account<'_>, nodes: &[usize]) -> Vec<Participant> {
    let teller = Teller {
        account,
        graph: &account.waits,
        trace: account.story.trace,
    };
    nodes.iter().map(|node| teller.tell(*node)).collect()
}

struct Teller<'a, 'b> {
    account: &'a Account<'b>,
    graph: &'a WaitGraph,
    trace: &'a [TraceEvent],
}

impl Teller<'_, '_> {
    fn tell(&self, node: usize) -> Participant {
        let name = &self.graph.nodes[node].name;
        let mut facts = self.keeps(node);
        let kept = Vec::from_iter(facts.iter().map(|fact| fact.clause()));
        self.also_holds(name, &mut facts);
        let mut waiters = self.graph.waiters.iter();
        let wait = waiters
            .find(|waiter| waiter.node == node)
            .map(|waiter| self.waits(name, waiter));
        let mut clauses = kept;
        if let Some(wait) = wait {
            clauses.extend(wait.first().map(Fact::clause));
            facts.extend(wait);
        }
        Participant {
            name: name.clone(),
            facts,
            sentence: format!("{name} {}", list(&clauses)),
        }
    }

    /// What it holds that other LWPs which never continue wait for.
    fn keeps(&self, node: usize) -> Vec<Fact> {
        let name = &self.graph.nodes[node].name;
        let mut facts = Vec::new();
        let kept = self.graph.edges.iter().filter(|edge| edge.to == node);
        for resource in kept.map(|edge| &self.graph.nodes[edge.from]) {
            let of = &resource.name;
            facts.push(match resource.kind {
                NodeKind::Mutex | NodeKind::Rwlock => {
                    self.holding(name, of, resource.object.as_deref())
                }
                NodeKind::Psrefs => {
                    let what = format!("a {of}");
                    self.holding(name, &what, resource.object.as_deref())
                }
                NodeKind::Localcount => self.holding(
                    name,
                    "a reference of the localcount",
                    resource.object.as_deref(),
                ),
                NodeKind::Softclock => match &resource.callout {
                    Some(callout) => self.running(callout),
                    None => Fact::bare("IS", format!("the {of}")),
                },
                NodeKind::Xcall => self.cross_call(name, of),
                NodeKind::Softint => Fact::bare("RUNS", of.clone()),
                // Nobody is known to the graph.
                NodeKind::References => continue,
                NodeKind::Workqueue => Fact::bare("RUNS", format!("the work of {of}")),
                NodeKind::Word => self.stored(name, of),
                NodeKind::Cpu => Fact::bare("OCCUPIES", of.clone()),
                NodeKind::Lwp => continue,
            });
        }
        facts
    }

    /// The acquisition of a lock that the LWP still held at the end.
    fn hold_of(&self, lwp: &str, object: &str) -> Option<&Held> {
        let position = self.account.lwp(lwp)?;
        let mut holds = self.account.holds.iter();
        holds.find(|hold| hold.at_end && hold.lwp == position && hold.lock == object)
    }

    fn holding(&self, lwp: &str, what: &str, object: Option<&str>) -> Fact {
        match object.and_then(|object| self.hold_of(lwp, object)) {
            Some(hold) => self.held(what, hold),
            None => Fact::bare("HOLDS", what.to_owned()),
        }
    }

    fn held(&self, what: &str, hold: &Held) -> Fact {
        let what = match hold.shared && !what.starts_with("a ") {
            true => format!("{what} (as a reader)"),
            false => what.to_owned(),
        };
        Fact {
            verb: "HOLDS",
            what,
            more: String::new(),
            how: self.at("taken", hold.begin),
            event: Some(hold.begin),
        }
    }

    /// The other locks that it holds.
    fn also_holds(&self, lwp: &str, facts: &mut Vec<Fact>) {
        let Some(position) = self.account.lwp(lwp) else {
            return;
        };
        let told: BTreeSet<Option<usize>> = facts.iter().map(|fact| fact.event).collect();
        for hold in self.account.holds.iter() {
            let is_its = hold.at_end && hold.lwp == position;
            if is_its && !is_internal(&hold.lock) && !told.contains(&Some(hold.begin)) {
                facts.push(self.held(&hold.lock, hold));
            }
        }
    }

    /// A word that others spin for, and to which this LWP stored last.
    fn stored(&self, lwp: &str, word: &str) -> Fact {
        let stores = |event: &TraceEvent| match &event.what {
            What::Op(access) | What::Fused(access) => {
                access.object == word && access.kind.writes() && event.context == lwp
            }
            _ => false,
        };
        let event = self.trace.iter().rposition(stores);
        Fact {
            how: event.map_or(String::new(), |event| self.at("", event)),
            event,
            ..Fact::bare("STORED TO", word.to_owned())
        }
    }

    /// A cross call whose function a thread runs, or has yet to run.
    fn cross_call(&self, lwp: &str, name: &str) -> Fact {
        let begins = |event: &TraceEvent| {
            let is_it = |words: &str| words.ends_with("begins a cross call");
            event.context == lwp && matches!(&event.what, What::Note(words) if is_it(words))
        };
        let event = self.trace.iter().rposition(begins);
        Fact {
            how: event.map_or(String::new(), |event| format!("begun{}", self.step(event))),
            event,
            ..Fact::bare("RUNS", format!("the function of cross call {name}"))
        }
    }

    /// A callout that runs: the LWP that scheduled it, and where.
    fn running(&self, callout: &crate::machine::Callout) -> Fact {
        let cpu = format!("{}.c_cpu", callout.object);
        let is_it = |event: &TraceEvent| match &event.what {
            What::Op(access) | What::Fused(access) => {
                access.object == cpu && callout.scheduled.as_ref() == Some(&access.location)
            }
            _ => false,
        };
        let event = self.trace.iter().rposition(is_it);
        let by = event.map(|at| format!(" by {}", self.trace[at].context));
        let how = callout.scheduled.as_ref().map(|at| {
            let step = event.map(|event| self.step(event));
            format!(
                "scheduled{} at {at}{}",
                by.unwrap_or_default(),
                step.unwrap_or_default()
            )
        });
        Fact {
            verb: "RUNS",
            what: format!("callout {}", callout.object),
            more: String::new(),
            how: how.unwrap_or_default(),
            event,
        }
    }

    /// What an LWP waits for.
    fn waits(&self, name: &str, waiter: &Waiter) -> Vec<Fact> {
        let event = match waiter.how.starts_with("spins") {
            true => self.spins_since(name),
            false => None,
        };
        let event = event.or_else(|| self.waits_since(name));
        let inside = waiter.operations.last().map(|name| format!("in {name},"));
        let at = event.map(|event| self.at("", event));
        let how = [inside, at].into_iter().flatten();
        let how = Vec::from_iter(how).join(" ");
        let fact = |verb, what, more| Fact {
            verb,
            what,
            more,
            how: how.clone(),
            event,
        };
        let spins = waiter.how.starts_with("spins");
        let verb = if spins { "SPINS FOR" } else { "WAITS FOR" };
        match &waiter.until {
            Until::Signal(cv) if waiter.is_lost => {
                let object = waiter.object.as_ref().filter(|object| *object != cv);
                let object = object.map(|object| format!(" ({object})"));
                let what = format!("`{cv}`{}", object.unwrap_or_default());
                let mut facts = vec![fact("SLEEPS ON", what, String::new())];
                if let Some(object) = &waiter.object {
                    facts.extend(self.tested(name, object));
                    facts.push(self.signalled(cv, object));
                }
                facts
            }
            _ => {
                let (what, more) = self.awaited(waiter);
                let mut facts = vec![fact(verb, what, more)];
                facts.extend(self.taken(waiter));
                facts
            }
        }
    }

    /// Who has taken the references that it waits for.
    fn taken(&self, waiter: &Waiter) -> Vec<Fact> {
        let mut edges = self.graph.edges.iter();
        let on = edges.find(|edge| edge.from == waiter.node);
        let on = on.map(|edge| &self.graph.nodes[edge.to]);
        let on = on.filter(|node| node.kind == NodeKind::References);
        let Some(object) = on.and_then(|node| node.object.as_deref()) else {
            return Vec::new();
        };
        let holders = self.account.holders.iter();
        let holders = holders.filter(|held| held.object == object && !held.is_memory);
        holders
            .take(TESTED)
            .map(|held| Fact {
                event: Some(held.taken),
                ..Fact::bare("", self.account.told_holder(held))
            })
            .collect()
    }

    /// The last event of an LWP outside the scheduler's own source. It has waited since then.
    fn waits_since(&self, name: &str) -> Option<usize> {
        let is_it = |event: &TraceEvent| {
            event.context == name && !place(event).is_empty() && !is_of_scheduler(event)
        };
        self.trace.iter().rposition(is_it)
    }

    /// The last iteration of a loop in which it spins.
    fn spins_since(&self, name: &str) -> Option<usize> {
        let is_it =
            |event: &TraceEvent| event.context == name && matches!(event.what, What::Spin { .. });
        self.trace.iter().rposition(is_it)
    }

    /// What it waits for, and on which LWP that depends.
    fn awaited(&self, waiter: &Waiter) -> (String, String) {
        let mut edges = self.graph.edges.iter();
        let on = edges.find(|edge| edge.from == waiter.node);
        let Some(on) = on.map(|edge| edge.to) else {
            let what = match &waiter.until {
                Until::Signal(cv) => format!("a signal on `{cv}`"),
                Until::Time => "its sleep to end".to_owned(),
                Until::Free | Until::Handler => waiter.how.clone(),
            };
            return (what, String::new());
        };
        let node = &self.graph.nodes[on];
        let keepers = self.graph.edges.iter().filter(|edge| edge.from == on);
        let keepers = keepers.map(|edge| self.graph.nodes[edge.to].name.as_str());
        let keepers = list(&Vec::from_iter(keepers));
        let nobody = keepers.is_empty();
        let told = |words: String| if nobody { String::new() } else { words };
        let name = &node.name;
        match node.kind {
            NodeKind::Mutex | NodeKind::Rwlock => {
                let by = told(format!(", held by {keepers}"));
                (format!("{name}{by}"), String::new())
            }
            NodeKind::Xcall => (
                format!("the cross-call box {name}"),
                told(format!("which is busy until {keepers} finishes")),
            ),
            NodeKind::Softint => (name.clone(), told(format!("which {keepers} occupies"))),
            NodeKind::Softclock => {
                let what = match &waiter.until {
                    Until::Signal(cv) => format!("a signal on `{cv}`, or its timeout"),
                    Until::Handler => "a callout's handler to return".to_owned(),
                    Until::Free | Until::Time => "its sleep to end".to_owned(),
                };
                (
                    what,
                    format!("which needs the {name}{}", told(format!(" ({keepers})"))),
                )
            }
            NodeKind::Psrefs => (
                format!("each {name} to be released"),
                told(format!("held by {keepers}")),
            ),
            NodeKind::Localcount => (
                "each localcount reference to be released".to_owned(),
                told(format!("held by {keepers}")),
            ),
            NodeKind::References => (format!("each {name} to be released"), String::new()),
            NodeKind::Workqueue => (
                format!("the work of {name}"),
                told(format!("which {keepers} does")),
            ),
            NodeKind::Word => (
                name.clone(),
                told(format!("which {keepers} stored to last")),
            ),
            NodeKind::Cpu => (name.clone(), told(format!("which {keepers} occupies"))),
            NodeKind::Lwp => (format!("{name} to exit"), String::new()),
        }
    }

    /// The words that it read under the interlock before it slept, and their last writers.
    fn tested(&self, name: &str, cv: &str) -> Vec<Fact> {
        let mut events = self.trace.iter().enumerate().rev();
        let found = events.find_map(|(at, event)| match &event.what {
            What::Condvar {
                object,
                act: Act::Sleep { interlock },
            } if object == cv && event.context == name => Some((at, interlock)),
            _ => None,
        });
        let (Some((slept, interlock)), Some(lwp)) = (found, self.account.lwp(name)) else {
            return Vec::new();
        };
        let mut holds = self.account.holds.iter().rev();
        let is_it = |hold: &&Held| {
            hold.lock == *interlock && hold.lwp == lwp && (hold.begin..hold.end).contains(&slept)
        };
        let Some(hold) = holds.find(is_it) else {
            return Vec::new();
        };
        let mut words: Vec<(usize, &Access)> = Vec::new();
        for (at, event) in self.trace[..slept].iter().enumerate().skip(hold.begin) {
            let access = match &event.what {
                What::Op(access) | What::Fused(access) if event.context == name => access,
                _ => continue,
            };
            let object = access.object.as_str();
            let is_own = object == cv || object == *interlock || is_internal(object);
            let is_thread = self
                .account
                .lwp(object.split('.').next().unwrap_or(""))
                .is_some();
            if !matches!(access.kind, Kind::Read | Kind::Load) || is_own || is_thread {
                continue;
            }
            words.retain(|(_, other)| other.object != access.object);
            words.push((at, access));
        }
        let last = words.len().saturating_sub(TESTED);
        let words = words.into_iter().skip(last);
        words
            .map(|(at, access)| Fact {
                verb: "TESTED",
                what: access.object.clone(),
                more: self.written(&access.object, at, slept),
                how: self.at("", at),
                event: Some(at),
            })
            .collect()
    }

    /// The last writer of an object, and whether that was before it was tested, or before the sleep.
    fn written(&self, object: &str, tested: usize, slept: usize) -> String {
        let writes = |event: &TraceEvent| match &event.what {
            What::Op(access) | What::Fused(access) => {
                access.object == object
                    && matches!(access.kind, Kind::Write | Kind::Store | Kind::Rmw)
            }
            _ => false,
        };
        match self.trace.iter().rposition(writes) {
            Some(at) => {
                let event = &self.trace[at];
                let when = match at {
                    _ if at < tested => "before the test",
                    _ if at < slept => "between the test and the sleep",
                    _ => "after it slept",
                };
                let at = self.at("", at);
                format!("last written by {} {at}, {when}", event.context)
            }
            None => "not written in this run".to_owned(),
        }
    }

    /// The last signal on a condition variable.
    fn signalled(&self, cv: &str, object: &str) -> Fact {
        let signal = |event: &TraceEvent| match &event.what {
            What::Condvar { object: of, act } if of == object => match act {
                Act::Signal { sleepers } => Some(("signalled", *sleepers)),
                Act::Broadcast { sleepers } => Some(("broadcast", *sleepers)),
                Act::Sleep { .. } => None,
            },
            _ => None,
        };
        let mut events = self.trace.iter().enumerate().rev();
        let Some((at, (verb, sleepers))) =
            events.find_map(|(at, event)| Some((at, signal(event)?)))
        else {
            return Fact::bare("", format!("`{cv}` was never signalled in this run"));
        };
        let when = if sleepers {
            ""
        } else {
            ", when nobody slept on it"
        };
        Fact {
            verb: "",
            what: format!("`{cv}` was last {verb} by {}", self.trace[at].context),
            more: String::new(),
            how: format!("{}{when}", self.at("", at)),
            event: Some(at),
        }
    }

    /// A place with its step: `taken at kmod/src/scenario/inet.rs:179 (step 33)`.
    fn at(&self, verb: &str, event: usize) -> String {
        let it = &self.trace[event];
        // An event within a step has no place of its own, but that of the step.
        let mut before = self.trace[..=event].iter().rev();
        let placed = before.find(|other| {
            other.cpu == it.cpu && other.context == it.context && !place(other).is_empty()
        });
        let at = placed.map(|other| format!("at {}", place(other)));
        format!("{verb} {}{}", at.unwrap_or_default(), self.step(event))
            .trim()
            .to_owned()
    }

    fn step(&self, event: usize) -> String {
        format!(" (step {})", self.trace[event].point)
    }
}

impl Fact {
    fn bare(verb: &'static str, what: String) -> Fact {
        Fact {
            verb,
            what,
            more: String::new(),
            how: String::new(),
            event: None,
        }
    }

    /// The fact as a clause whose subject is the LWP.
    fn clause(&self) -> String {
        let what = self.what.split(", held by ").next().unwrap_or("");
        format!("{} {what}", self.verb.to_lowercase())
    }
}

/// Whether a lock or word is internal to the scheduler, or to another part of the kernel that programs do not see.
fn is_internal(object: &str) -> bool {
    let inside = [".ci_", ".sl_lock", ".tc_lock", ".xc_", ".l_"];
    object.starts_with("kernel.") || inside.iter().any(|part| object.contains(part))
}
