//! Which fence a failing run lacks: between a store that stayed in a store buffer, and what its CPU did before others saw it.
//!
//! A fence drains the store buffer. So the run is repeated with the store drained before one of the operations that followed it; if it
//! then does not fail, a fence there would have prevented this failure. The latest such operation is told, because nothing after it
//! needs to be ordered after the store.

use std::collections::BTreeSet;

use kmod::machine::Kind;

use crate::machine::{Access, Failure, Limits, Machine, TraceEvent, Verdict, What};
use crate::names::{Action, Departure, Follower, PointName};
use crate::replay::ReplayFile;
use crate::schedule::MemoryModel;

/// Stores after which a fence is looked for.
const STORES: usize = 8;
/// Operations after a store before which it is tried.
const TRIES: usize = 48;

/// A fence that would have prevented a failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// Who makes the store and the operation after it.
    pub context: String,
    /// What is stored to.
    pub stored: String,
    /// Where.
    pub stored_at: String,
    /// What follows: an operation and its object.
    pub then: String,
    /// Where.
    pub then_at: String,
}

/// The fences that the run of this file lacks, each of which would have prevented its failure: at most one for each store that another
/// CPU did not see. None if the file has another memory model.
pub fn missing(file: &ReplayFile, failure: &Failure, limits: &Limits) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut machine = Machine::new();
    if file.memory == MemoryModel::Sc || failure.takes_long() || file.boot(&mut machine).is_err() {
        return fences;
    }
    let Ok((_, points)) = Follower::exact(&file.schedule, &mut machine, limits) else {
        return fences;
    };
    let trace = machine.trace().to_vec();
    let mut holds = |event: &TraceEvent, access: &Access| {
        let schedule = with_drain(file, &points, event, access);
        let (outcome, _) = Follower::loose(&schedule, &mut machine, limits);
        outcome.verdict == Verdict::Passed
    };
    let stores = BTreeSet::from_iter(unseen(&trace));
    for store in stores.into_iter().take(STORES) {
        if let Some(fence) = after(&trace[store..], &mut holds)
            && !fences.contains(&fence)
        {
            fences.push(fence);
        }
    }
    fences
}

/// The stores that another CPU did not see: their places in the trace.
pub(crate) fn unseen(trace: &[TraceEvent]) -> impl Iterator<Item = usize> + '_ {
    let events = trace.iter().enumerate();
    events.filter_map(|(at, event)| match &event.what {
        What::Missed {
            object, by, stored, ..
        } => trace[..at].iter().rposition(|event| {
            let is_it = |store: &Access| store.object == *object && store.location == *stored;
            event.cpu == *by && stored_by(event).is_some_and(is_it)
        }),
        _ => None,
    })
}

/// The fence after the store with which this part of the trace begins. `holds`: whether the run does not fail with one before an
/// operation.
fn after(
    trace: &[TraceEvent],
    mut holds: impl FnMut(&TraceEvent, &Access) -> bool,
) -> Option<Fence> {
    let (first, rest) = trace.split_first()?;
    let store = stored_by(first)?;
    let is_visible = |event: &&TraceEvent| match &event.what {
        What::Visible { object, location } => {
            *object == store.object && *location == store.location
        }
        _ => false,
    };
    let own = rest.iter().filter(|event| event.cpu == first.cpu);
    let until = own.take_while(|event| !is_visible(event));
    let operations = until.filter_map(|event| match &event.what {
        What::Op(access) => Some((event, access)),
        _ => None,
    });
    let mut tried = Vec::from_iter(operations.take(TRIES));
    tried.reverse();
    let (event, then) = tried
        .into_iter()
        .find(|(event, access)| holds(event, access))?;
    Some(Fence {
        context: event.context.clone(),
        stored: store.object.clone(),
        stored_at: store.location.clone(),
        then: format!("{} {}", then.kind.name(), then.object),
        then_at: then.location.clone(),
    })
}

/// What the event stores, if it does.
fn stored_by(event: &TraceEvent) -> Option<&Access> {
    match &event.what {
        What::Op(access) | What::Fused(access) if access.kind == Kind::Store => Some(access),
        _ => None,
    }
}

/// The schedule in which the CPU's buffer is drained just before it makes this operation. `points` are the numbers of the points of
/// the file's departures.
fn with_drain(
    file: &ReplayFile,
    points: &[u64],
    event: &TraceEvent,
    access: &Access,
) -> Vec<Departure> {
    let point = PointName {
        context: event.context.clone(),
        cpu: event.cpu,
        what: access.kind.name().to_owned(),
        object: access.object.clone(),
        occurrence: event.occurrence + 1,
        look: 1,
    };
    let mut schedule = file.schedule.clone();
    let mut place = points.partition_point(|before| *before <= event.point);
    for (index, departure) in schedule.iter_mut().enumerate() {
        let look = std::mem::replace(&mut departure.point.look, 1);
        let is_there = departure.point == point;
        // The drain is a decision of its own: those before the same operation are made one look later.
        departure.point.look = look + u32::from(is_there);
        if is_there {
            place = place.min(index);
        }
    }
    let action = Action::Drains(event.cpu);
    schedule.insert(place, Departure { point, action });
    schedule
}
