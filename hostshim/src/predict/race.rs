//! Pairs of accesses that, as far as one run shows, are ordered only by luck.
//!
//! The race detector reports what *this* run did not order. A pair that it ordered by a lock which has nothing to do with
//! it, or by a wake-up that came in time, could go the other way in another run. So every pair of plain accesses to one cell
//! is a candidate, by two threads on two CPUs, one of them a write, that hold no lock in common. Most of them are ordered
//! well, by a protocol of atomics that a lock set cannot see: none is reported before a schedule has shown it to be a race.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;

use kmod::machine::Kind;

use super::trial::Trial;
use super::{Place, Prediction};
use crate::hunt::{Found, Watch};
use crate::machine::{
    Access, Failure, FailureKind, Hold, Layer, Machine, Setup, TraceEvent, Verdict, What,
};
use crate::schedule::{Allocations, Granularity};

/// Number of schedules in which a pair of accesses is tried.
const TRIES: u64 = 16;

impl Prediction {
    /// Looks for pairs of accesses that only luck orders in the first `schedules` runs that pass, and tries each.
    /// Returns the pairs that a schedule has shown to be a race, and the number of the others.
    ///
    /// # Errors
    ///
    /// If the kernel fails while it boots.
    pub fn races(&self, schedules: u64, watch: &Watch) -> Result<Races, Failure> {
        let (mut traced, mut machine) = (Machine::new(), Machine::new());
        traced.boot(&Setup {
            trace: true,
            ..self.setup(false)
        })?;
        machine.boot(&self.setup(false))?;
        let mut strategy = self.plan.strategy(
            self.seed,
            Some(Granularity::Coarse),
            Some(Allocations::Never),
        );
        let mut races = Races::default();
        let mut known = BTreeSet::new();
        for run in 0..schedules {
            let program = self.program(run);
            if let Some(program) = &program {
                traced.load(program);
                known.clear();
            }
            if let Some(wire) = self.wire(run) {
                traced.connect(&wire);
            }
            let outcome = traced.run(&mut *strategy, &self.limits);
            watch.schedules.fetch_add(1, Relaxed);
            watch.steps.fetch_add(outcome.steps, Relaxed);
            if outcome.verdict != Verdict::Passed {
                continue;
            }
            for pair in pairs(traced.trace()) {
                let places = [pair.earlier.place(), pair.later.place()];
                if !known.insert(places.clone()) {
                    continue;
                }
                let mut trial = Trial {
                    prediction: self,
                    machine: &mut machine,
                    program: program.as_deref(),
                    watch,
                };
                let is_race = |failure: &Failure| failure.kind == FailureKind::DataRace;
                match trial.meet(&places, TRIES, &is_race).0 {
                    Some(found) => races.add(pair, run, found),
                    None => races.unconfirmed += 1,
                }
                if watch.stop.load(Relaxed) {
                    races.interrupted = true;
                    return Ok(races);
                }
            }
        }
        Ok(races)
    }
}

/// A race that did not happen.
#[derive(Clone, Debug)]
pub struct LuckyPair {
    /// The two accesses, in the order of the run.
    pub pair: Pair,
    /// The run that ordered them.
    pub run: u64,
    /// A run that does not.
    pub found: Found,
}

/// The result about races.
#[derive(Clone, Debug, Default)]
pub struct Races {
    /// The confirmed races, one for each pair of places in a failure.
    pub list: Vec<LuckyPair>,
    /// Number of pairs that were not confirmed.
    pub unconfirmed: u64,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Races {
    fn add(&mut self, pair: Pair, run: u64, found: Found) {
        let sides = |found: &Found| {
            let sides = found.failure.sides.as_ref();
            let earlier = sides.map(|sides| sides.earlier.location.clone());
            (found.failure.location.clone(), earlier)
        };
        if self
            .list
            .iter()
            .all(|old| sides(&old.found) != sides(&found))
        {
            self.list.push(LuckyPair { pair, run, found });
        }
    }
}

/// An access of a candidate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Touch {
    /// The thread.
    pub context: String,
    /// Whether it wrote.
    pub wrote: bool,
    /// Where in the source.
    pub location: String,
    /// Where the thread must be held back before the access: the beginning of the access's step.
    step: String,
}

impl Touch {
    /// Where to hold the thread back.
    pub fn place(&self) -> Place {
        Place::new(&self.context, &self.step)
    }
}

/// Two accesses to one cell, the earlier first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Pair {
    /// The object that both access.
    pub object: String,
    /// The earlier one.
    pub earlier: Touch,
    /// The later one.
    pub later: Touch,
}

/// An access in a run.
#[derive(Clone)]
struct Made {
    touch: Touch,
    cpu: usize,
    /// The locks that were held, and whether exclusively.
    locks: Vec<(String, bool)>,
}

impl Made {
    /// Whether both hold a common lock, at least one of them exclusively.
    fn is_locked_against(&self, other: &Made) -> bool {
        self.locks.iter().any(|(lock, alone)| {
            let same = |(other, others): &&(String, bool)| other == lock && (*alone || *others);
            other.locks.iter().any(|held| same(&held))
        })
    }
}

/// The state at a moment of the trace.
#[derive(Default)]
struct Reader {
    /// Locks by the context that holds them, and whether exclusively.
    held: BTreeMap<String, Vec<(String, bool)>>,
    /// Where the current step of a CPU began.
    steps: BTreeMap<usize, String>,
    /// Interrupt handlers that run on a CPU. They have no thread that could be held back.
    handlers: BTreeMap<usize, u32>,
    /// The last read and the last write of each cell by each context.
    last: BTreeMap<String, BTreeMap<(String, bool), Made>>,
    pairs: BTreeSet<Pair>,
}

/// The candidates in a trace.
pub(super) fn pairs(trace: &[TraceEvent]) -> BTreeSet<Pair> {
    let mut reader = Reader::default();
    for event in trace {
        reader.read(event);
    }
    reader.pairs
}

impl Reader {
    fn read(&mut self, event: &TraceEvent) {
        let TraceEvent { cpu, context, .. } = event;
        match &event.what {
            What::Op(access) => {
                self.steps.insert(*cpu, access.location.clone());
                self.touch(event, access);
            }
            What::Fused(access) => self.touch(event, access),
            What::Lock { object, hold } => self.lock(context, object, *hold),
            What::Begin(Layer::Handler(_) | Layer::Device(_)) => {
                *self.handlers.entry(*cpu).or_default() += 1;
            }
            What::End(Layer::Handler(_) | Layer::Device(_)) => {
                let depth = self.handlers.entry(*cpu).or_default();
                *depth = depth.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn lock(&mut self, context: &str, object: &str, hold: Hold) {
        let release = |held: &mut Vec<(String, bool)>| {
            let position = held.iter().rposition(|(lock, _)| lock == object);
            position.map(|position| held.remove(position)).is_some()
        };
        let own = self.held.entry(context.to_owned()).or_default();
        match hold {
            Hold::Alone => own.push((object.to_owned(), true)),
            Hold::Shared => own.push((object.to_owned(), false)),
            Hold::Released => {
                // The lock of an LWP that was switched away from is released by the LWP that runs next.
                let _found = release(own) || self.held.values_mut().any(release);
            }
        }
    }

    fn touch(&mut self, event: &TraceEvent, access: &Access) {
        let wrote = match access.kind {
            Kind::Write => true,
            Kind::Read => false,
            _ => return,
        };
        let TraceEvent { cpu, context, .. } = event;
        if self.handlers.get(cpu).is_some_and(|depth| *depth > 0) {
            return;
        }
        let made = Made {
            touch: Touch {
                context: context.clone(),
                wrote,
                location: access.location.clone(),
                step: self.steps.get(cpu).cloned().unwrap_or_default(),
            },
            cpu: *cpu,
            locks: self.held.get(context).cloned().unwrap_or_default(),
        };
        let last = self.last.entry(access.object.clone()).or_default();
        for ((other, _), earlier) in last.iter() {
            let conflict = (wrote || earlier.touch.wrote) && other != context;
            if conflict && earlier.cpu != *cpu && !earlier.is_locked_against(&made) {
                self.pairs.insert(Pair {
                    object: access.object.clone(),
                    earlier: earlier.touch.clone(),
                    later: made.touch.clone(),
                });
            }
        }
        last.insert((context.clone(), wrote), made);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kmod::mem::Ordering;

    fn event(cpu: usize, context: &str, what: What) -> TraceEvent {
        TraceEvent {
            point: 0,
            cpu,
            context: context.to_owned(),
            ipl: 0,
            what,
            occurrence: 0,
        }
    }

    fn access(cpu: usize, kind: Kind) -> TraceEvent {
        let access = Access {
            kind,
            order: Ordering::Relaxed,
            object: "cell".to_owned(),
            location: format!("kmod/src/a.rs:{cpu}"),
        };
        event(cpu, &format!("t{cpu}"), What::Op(access))
    }

    fn lock(cpu: usize, object: &str, hold: Hold) -> TraceEvent {
        let object = object.to_owned();
        event(cpu, &format!("t{cpu}"), What::Lock { object, hold })
    }

    #[test]
    fn a_write_and_a_read_with_no_lock_in_common_are_a_pair() {
        let trace = [
            access(0, Kind::Write),
            lock(0, "other", Hold::Alone),
            lock(0, "other", Hold::Released),
            lock(1, "other", Hold::Alone),
            lock(1, "other", Hold::Released),
            access(1, Kind::Read),
        ];
        let pairs = pairs(&trace);
        let pair = pairs.first().expect("a pair");
        assert_eq!(pairs.len(), 1);
        assert!(pair.earlier.wrote && !pair.later.wrote);
        assert_eq!((&*pair.earlier.context, &*pair.later.context), ("t0", "t1"));
    }

    #[test]
    fn a_lock_in_common_makes_none_unless_both_share_it() {
        let with = |first, second| {
            let trace = [
                lock(0, "lock", first),
                access(0, Kind::Write),
                lock(0, "lock", Hold::Released),
                lock(1, "lock", second),
                access(1, Kind::Write),
            ];
            pairs(&trace).len()
        };
        assert_eq!(with(Hold::Alone, Hold::Alone), 0);
        assert_eq!(with(Hold::Shared, Hold::Alone), 0);
        assert_eq!(with(Hold::Shared, Hold::Shared), 1);
    }

    #[test]
    fn reads_and_accesses_of_one_cpu_make_none() {
        assert!(pairs(&[access(0, Kind::Read), access(1, Kind::Read)]).is_empty());
        let mut other = access(0, Kind::Write);
        other.context = "t9".to_owned();
        assert!(pairs(&[access(0, Kind::Write), other]).is_empty());
    }
}
