//! Of a race: what could have ordered its sides, and why it did not.
//!
//! The earlier side comes before the later one for every CPU if the CPU of the earlier one writes something with release
//! after it, and that of the later one reads what was written with acquire before its own. So what one wrote and
//! the other read in between is looked for, whatever the orderings: a bridge that lacks one is the usual fault.

use std::collections::BTreeMap;

use kmod::machine::Kind;
use kmod::mem::Ordering as Order;

use crate::machine::{Access, TraceEvent, Verdict, What};
use crate::report::story::Story;

/// Most bridges that are told.
const MOST: usize = 3;

/// What could have ordered two accesses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ordering {
    /// The earlier access, by its position in the trace, if it is in there: a run begins after the boot.
    pub earlier: Option<usize>,
    /// The later access.
    pub later: usize,
    /// What was written after the one and read before the other, all of it without an ordering that is needed.
    pub bridges: Vec<Bridge>,
}

/// Something that one side wrote and the other read: would order them, with the orderings that it lacks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// What was written and read.
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
