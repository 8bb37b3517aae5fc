//! Who holds what at the end of a run: memory that was not freed, and references that were not given back.
//!
//! The kernel says when a reference is taken, passed on and given back, of whatever it counts ([`What::Reference`]). Memory is held
//! by whoever allocated it. (Passive references and localcounts are holds: see `spans`.)

use std::collections::BTreeSet;

use super::Account;
use super::standstill::leads;
use crate::machine::{NodeKind, Refer, TraceEvent, What};

/// Something that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// The object, as accesses call it.
    pub object: String,
    /// Where in memory it is.
    pub offset: usize,
    /// Whether it is the memory itself, and not a reference.
    pub is_memory: bool,
    /// On whose behalf, if that has a name.
    pub holder: &'static str,
    /// The event at which it was taken, by its position in the trace.
    pub taken: usize,
    /// The event at which it was last passed on, likewise.
    pub passed: Option<usize>,
}

/// What is held at the end, the oldest first.
pub(super) fn of(trace: &[TraceEvent]) -> Vec<Holder> {
    let mut held: Vec<Holder> = Vec::new();
    for (at, event) in trace.iter().enumerate() {
        let (object, offset, refer) = match &event.what {
            What::Reference {
                object,
                offset,
                refer,
            } => (object, *offset, refer),
            _ => continue,
        };
        let mut take = |holder, is_memory| {
            held.push(Holder {
                object: object.clone(),
                offset,
                is_memory,
                holder,
                taken: at,
                passed: None,
            });
        };
        match refer {
            Refer::Allocated { .. } => take("", true),
            Refer::Took { holder, .. } => take(holder, false),
            Refer::Gave { holder } => give(&mut held, trace, offset, holder, event),
            Refer::Passed { .. } => {
                let mut all = held.iter_mut().rev();
                if let Some(own) = all.find(|own| own.offset == offset && !own.is_memory) {
                    own.passed = Some(at);
                }
            }
            // With the memory ends everything in it.
            Refer::Freed { size } => {
                let end = offset + (*size).max(1);
                held.retain(|own| !(offset..end).contains(&own.offset));
            }
        }
    }
    held
}

/// Removes the reference that is given back: the last one of the LWP that does it, or the oldest.
fn give(
    held: &mut Vec<Holder>,
    trace: &[TraceEvent],
    offset: usize,
    holder: &str,
    by: &TraceEvent,
) {
    let is_one = |own: &Holder| !own.is_memory && own.offset == offset && own.holder == holder;
    let own = held
        .iter()
        .rposition(|own| is_one(own) && trace[own.taken].context == by.context);
    if let Some(place) = own.or_else(|| held.iter().position(is_one)) {
        held.remove(place);
    }
}

impl Account<'_> {
    /// Whether somebody waits for references, nobody sleeps for another reason, and those who took them have come to their end,
    /// or wait for that wait to end.
    pub fn leaks_reference(&self) -> bool {
        let graph = &self.waits;
        if !graph.running.is_empty() || !graph.cycles.is_empty() || graph.is_lost_wakeup() {
            return false;
        }
        let is_awaited = |node: &usize| graph.nodes[*node].kind == NodeKind::References;
        let awaited = BTreeSet::from_iter((0..graph.nodes.len()).filter(is_awaited));
        let is_of_them = |held: &&Holder| {
            let mut nodes = awaited
                .iter()
                .map(|node| graph.nodes[*node].object.as_ref());
            !held.is_memory && nodes.any(|object| object == Some(&held.object))
        };
        let has_ended = |held: &Holder| {
            let node = graph.node_of(&self.story.trace[held.taken].context);
            node.is_none_or(|node| leads(graph, node, &awaited))
        };
        let mut holders = self.holders.iter().filter(is_of_them).peekable();
        holders.peek().is_some() && holders.all(has_ended)
    }

    /// What is not given back after a run that came to its end: of the accounting of packets, the packets.
    pub fn left(&self) -> Vec<&Holder> {
        let packets = self
            .failure()
            .is_some_and(|failure| failure.rule == "accounting");
        let is_of_it = |held: &&Holder| !packets || held.object.starts_with("mbuf");
        let held = Vec::from_iter(self.holders.iter().filter(is_of_it));
        // Of memory to which somebody has a reference, the reference says more.
        let is_referred = |of: &Holder| {
            let mut others = held.iter();
            of.is_memory && others.any(|it| !it.is_memory && it.offset == of.offset)
        };
        held.iter().filter(|of| !is_referred(of)).copied().collect()
    }

    /// Who took it, where, and who passed it on last.
    pub fn told_holder(&self, held: &Holder) -> String {
        let on_behalf = match held.holder {
            "" => String::new(),
            holder => format!("{holder}: "),
        };
        let passed = held
            .passed
            .map(|at| format!(", last {}", self.told_deed(at)));
        format!(
            "{on_behalf}{}{}, and never {}",
            self.told_deed(held.taken),
            passed.unwrap_or_default(),
            if held.is_memory {
                "freed"
            } else {
                "given back"
            }
        )
    }

    /// What happened to an object: `taken in ip_output by talk on cpu1, at kmod/src/x.rs:1 (step 12)`.
    fn told_deed(&self, at: usize) -> String {
        let event = &self.story.trace[at];
        let (verb, function, location) = match &event.what {
            What::Reference { refer, .. } => match refer {
                Refer::Allocated { location } => ("allocated", "", location.as_str()),
                Refer::Took {
                    function, location, ..
                } => ("taken", *function, location.as_str()),
                Refer::Passed { function, location } => ("put", *function, location.as_str()),
                Refer::Gave { .. } | Refer::Freed { .. } => ("given", "", ""),
            },
            _ => ("taken", "", ""),
        };
        let within = match (verb, function) {
            (_, "") => String::new(),
            ("put", queue) => format!(" {queue}"),
            (_, function) => format!(" in {function}"),
        };
        let place = match location {
            "" => String::new(),
            location => format!(", at {location}"),
        };
        let TraceEvent {
            context,
            cpu,
            point,
            ..
        } = event;
        format!("{verb}{within} by {context} on cpu{cpu}{place} (step {point})")
    }
}
