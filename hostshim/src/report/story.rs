//! The subject of a report: a run, and where it departed from the default.

use crate::machine::{Failure, FailureKind, Outcome, TraceEvent, Verdict, What};
use crate::names::Departure;

/// A run along a list of departures, on a machine that recorded its trace.
#[derive(Clone, Copy, Debug)]
pub struct Story<'a> {
    /// Number of CPUs.
    pub cpus: usize,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// What happened.
    pub trace: &'a [TraceEvent],
    /// Where the run departed from the default.
    pub departures: &'a [Departure],
    /// The point number of each of them.
    pub points: &'a [u64],
}

/// A load that does not see a store which is in the store buffer of another CPU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Missed<'a> {
    object: &'a str,
    by: usize,
    stored: &'a str,
    location: &'a str,
}

impl Missed<'_> {
    /// The load, by `context` on `cpu`, in a sentence.
    pub(super) fn sentence(&self, context: &str, cpu: usize) -> String {
        let Missed {
            object,
            by,
            stored,
            location,
        } = self;
        format!(
            "{context} on cpu{cpu} loads {object} ({location}), and the store by cpu{by} ({stored}) is still in the store buffer of cpu{by}"
        )
    }
}

impl<'a> Story<'a> {
    /// Whether this event of the trace is the access that failed.
    pub(super) fn is_fatal(&self, index: usize) -> bool {
        use FailureKind::{DataRace, DoubleFree, UseAfterFree};
        match &self.outcome.verdict {
            Verdict::Failed(Failure {
                kind: DataRace | UseAfterFree | DoubleFree,
                ..
            }) => index + 1 == self.trace.len(),
            Verdict::Failed(_) | Verdict::Passed => false,
        }
    }

    /// The events at which an allocation fails, with what it is of and where.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (usize, &'a str, &'a str)> + use<'a> {
        let events = self.trace.iter().enumerate();
        events.filter_map(|(at, event)| match &event.what {
            What::Refused { object, location } => Some((at, object.as_str(), location.as_str())),
            _ => None,
        })
    }

    /// The loads that do not see a store which is in a store buffer.
    pub(super) fn missed(&self) -> impl Iterator<Item = (usize, Missed<'a>)> + use<'a> {
        let events = self.trace.iter().enumerate();
        events.filter_map(|(at, event)| match &event.what {
            What::Missed {
                object,
                by,
                stored,
                location,
            } => {
                let missed = Missed {
                    object,
                    by: *by,
                    stored,
                    location,
                };
                Some((at, missed))
            }
            _ => None,
        })
    }

    /// The events at which a store in a store buffer is not seen, or becomes visible.
    pub(super) fn delayed(&self) -> impl Iterator<Item = usize> + use<'a> {
        let events = self.trace.iter().enumerate();
        events
            .filter(|(_, event)| matches!(event.what, What::Visible { .. } | What::Missed { .. }))
            .map(|(at, _)| at)
    }

    /// For each departure, the index of the first event that it caused.
    pub(super) fn marks(&self) -> impl Iterator<Item = (usize, &'a Departure)> + use<'a> {
        let Story {
            trace,
            departures,
            points,
            ..
        } = *self;
        let index = |point: &u64| trace.partition_point(|event| event.point < *point);
        points.iter().map(index).zip(departures)
    }
}
