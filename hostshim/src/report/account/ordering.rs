//! What could have ordered the two sides of a race, and why it did not.
//!
//! The earlier side is ordered before the later one if its CPU writes something with release after the access, and
//! the CPU of the later side reads that value with acquire before its access. So this module looks for anything that
//! one wrote and the other read in between, whatever the orderings: such a bridge without one of the orderings is the
//! usual fault.

use std::collections::BTreeMap;

use kmod::machine::Kind;
use kmod::mem::Ordering as Order;

use crate::machine::{Access, TraceEvent, Verdict, What};
use crate::report::story::Story;

/// Maximum number of bridges reported.
const MOST: usize = 3;

/// What could have ordered two accesses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ordering {
    /// The position of the earlier access in the trace, if it is in there: the trace begins after the boot.
    pub earlier: Option<usize>,
    /// The later access.
    pub later: usize,
    /// Everything that was written after the one and read before the other, but lacks a needed ordering.
    pub bridges: Vec<Bridge>,
}

/// Something that one side wrote and the other read. It would order them if it had the missing orderings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// The object that was written and read.
    pub object: String,
    /// The write.
    pub write: usize,
    /// Whether it would have to be a release.
    pub wants_release: bool,
    /// The read.
    pub read: usize,
    /// Whether it would have to be an acquire.
    pub wants_acquire: bool,
}

pub(super) fn of(story: &Story<'_>) -> Option<Ordering> {
    let Verdict::Failed(failure) = &story.outcome.verdict else {
        return None;
    };
    let sides = failure.sides.as_ref()?;
    let later = story.trace.len().checked_sub(1)?;
    let is_earlier = |event: &TraceEvent| match &event.what {
        What::Op(access) | What::Fused(access) => {
            event.cpu == sides.earlier.cpu
                && event.context == sides.earlier.context
                && access.location == sides.earlier.location
                && (access.kind.name() == sides.earlier.what || sides.earlier.what == "allocation")
        }
        _ => false,
    };
    let earlier = story.trace[..later].iter().rposition(is_earlier);
    let bridges = match earlier {
        Some(earlier) => bridges(story.trace, earlier, later),
        None => Vec::new(),
    };
    Some(Ordering {
        earlier,
        later,
        bridges,
    })
}

fn bridges(trace: &[TraceEvent], earlier: usize, later: usize) -> Vec<Bridge> {
    let (from, to) = (trace[earlier].cpu, trace[later].cpu);
    let mut written: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    let mut bridges: Vec<Bridge> = Vec::new();
    for (at, event) in trace.iter().enumerate().take(later).skip(earlier + 1) {
        let Some(access) = atomic(event) else {
            continue;
        };
        let (acquires, releases) = strength(access.order);
        let object = access.object.as_str();
        if event.cpu == to
            && access.kind != Kind::Store
            && let Some(&(write, released)) = written.get(object)
            && !(released && acquires)
            && !bridges.iter().any(|bridge| bridge.object == object)
        {
            bridges.push(Bridge {
                object: object.to_owned(),
                write,
                wants_release: !released,
                read: at,
                wants_acquire: !acquires,
            });
        }
        if event.cpu == from && access.kind != Kind::Load {
            written.insert(object, (at, releases));
        }
    }
    // What was read last is nearest to the fault.
    bridges.reverse();
    bridges.truncate(MOST);
    bridges
}

fn atomic(event: &TraceEvent) -> Option<&Access> {
    match &event.what {
        What::Op(access) | What::Fused(access) => {
            matches!(access.kind, Kind::Load | Kind::Store | Kind::Rmw).then_some(access)
        }
        _ => None,
    }
}

/// Whether it acquires, and whether it releases.
fn strength(order: Order) -> (bool, bool) {
    match order {
        Order::Relaxed => (false, false),
        Order::Acquire => (true, false),
        Order::Release => (false, true),
        _ => (true, true),
    }
}
