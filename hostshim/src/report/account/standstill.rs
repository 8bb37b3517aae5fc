//! Who makes no progress in a run that goes on for ever.
//!
//! The LWP that took the last step of a livelock says little about the cause. Another one may sleep since long ago, on something that
//! nobody will end, and those that go on may do so because they wait for it. An LWP *stands still* if it waits and has done nothing
//! in the second half of the run.

use std::collections::BTreeSet;

use super::participants::{self, Participant};
use super::{Account, Role};
use crate::machine::{FailureKind, WaitGraph, Waiter};

/// Who makes no progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standstill {
    /// The LWPs that go on, and wait for something again and again.
    pub go_on: Vec<Participant>,
    /// Whether all that go on wait, in the end, for somebody who sleeps and whom nobody will wake.
    pub is_lost_wakeup: bool,
}

/// The LWPs that stand still, and what is known of the others. None if the run is no livelock or all go on.
pub(super) fn of(account: &Account<'_>) -> Option<(Vec<Participant>, Standstill)> {
    let failure = account.failure()?;
    if failure.kind != FailureKind::Livelock {
        return None;
    }
    let (graph, trace) = (&account.waits, account.story.trace);
    let half = trace.partition_point(|event| event.point < account.story.outcome.points / 2);
    let active = BTreeSet::from_iter(trace[half..].iter().map(|event| event.context.as_str()));
    let name = |waiter: &Waiter| graph.nodes[waiter.node].name.as_str();
    let engaged = graph.waiters.iter().filter(|waiter| waiter.engaged);
    let (go_on, mut still): (Vec<_>, Vec<_>) =
        engaged.partition(|waiter| active.contains(name(waiter)));
    if still.is_empty() {
        return None;
    }
    // First whoever those that go on wait for.
    let blocks = |waiter: &&Waiter| {
        let one = BTreeSet::from([waiter.node]);
        !go_on.iter().any(|other| leads(graph, other.node, &one))
    };
    still.sort_by_key(blocks);
    let nodes = |waiters: &[&Waiter]| Vec::from_iter(waiters.iter().map(|waiter| waiter.node));
    let lost = still.iter().filter(|waiter| waiter.is_lost);
    let lost = BTreeSet::from_iter(lost.map(|waiter| waiter.node));
    let depends = |name: &str| {
        graph
            .node_of(name)
            .is_some_and(|node| leads(graph, node, &lost))
    };
    let rests = |name: &str| {
        let mut waiters = graph.waiters.iter();
        waiters.any(|waiter| graph.nodes[waiter.node].name == name && !waiter.engaged)
    };
    let mut threads = active.iter().filter(|name| Role::of(name) == Role::Thread);
    let standstill = Standstill {
        go_on: participants::of(account, &nodes(&go_on)),
        is_lost_wakeup: !lost.is_empty() && threads.all(|name| depends(name) || rests(name)),
    };
    Some((participants::of(account, &nodes(&still)), standstill))
}

/// Whether waits lead from a node to one of these.
pub(super) fn leads(graph: &WaitGraph, from: usize, to: &BTreeSet<usize>) -> bool {
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(&node) = seen.get(next) {
        if to.contains(&node) {
            return true;
        }
        for edge in graph.edges.iter().filter(|edge| edge.from == node) {
            if !seen.contains(&edge.to) {
                seen.push(edge.to);
            }
        }
        next += 1;
    }
    false
}
