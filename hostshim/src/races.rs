//! The data races that a hunt went on past: their other sides, and their replay files.
//!
//! A hunt knows of each race only the first run that met it. That run is repeated with its accesses recorded.

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::{Capture, CaptureError, Catch};
use crate::hunt::{Hunt, Raced};
use crate::machine::{Failure, Later, Machine, Race, Races, Recording, Setup, Side};
use crate::minimize::Effort;
use crate::schedule::{Deviation, Granularity, Refusal};
use crate::strategy::Replay;
use crate::wire::Wire;

/// How much is spent on a race: there may be many.
const EFFORT: Effort = Effort {
    runs: 5_000,
    points: 1_000_000,
};

/// A data race that nothing marks as meant.
#[derive(Clone, Debug)]
pub struct Unmarked {
    /// Both sides.
    pub race: Race,
    /// The number of the first run that met it, from 0.
    pub run: u64,
    /// What else the two lines do there without an order, as `write after read`.
    pub also: BTreeSet<String>,
    /// What the steps of that run were, which allocations failed, and its schedule.
    granularity: Granularity,
    refusals: Vec<Refusal>,
    deviations: Vec<Deviation>,
}

/// The races that a hunt went on past: one for each pair of lines, and what they both access.
///
/// # Errors
///
/// If the kernel fails while it boots.
pub fn unmarked(hunt: &Hunt, races: &[Raced]) -> Result<Vec<Unmarked>, Failure> {
    let mut all: Vec<Unmarked> = Vec::new();
    if races.is_empty() {
        return Ok(all);
    }
    let mut machine = Machine::new();
    machine.boot(&Setup {
        scenario: hunt.scenario,
        config: hunt.config,
        trace: false,
    })?;
    machine.at_races(&hunt.races);
    machine.record(Recording::Sites);
    let mut known = BTreeMap::new();
    for run in races.chunk_by(|one, other| one.run == other.run) {
        let [first, ..] = run else { continue };
        machine.set_granularity(first.granularity);
        machine.set_memory(hunt.memory);
        machine.refuse(&first.refusals);
        let mut replay = Replay::new(first.deviations.clone());
        machine.run(&mut replay, &hunt.limits);
        let is_first = |race: &Race| run.iter().any(|raced| raced.meeting == race.meeting);
        for race in machine.races().into_iter().filter(is_first) {
            let number = *known.entry(pair(&race)).or_insert(all.len());
            match all.get_mut(number) {
                Some(one) if one.race.meeting != race.meeting => one.add(&race),
                Some(_) => {}
                None => all.push(Unmarked {
                    race,
                    run: first.run,
                    also: BTreeSet::new(),
                    granularity: first.granularity,
                    refusals: first.refusals.clone(),
                    deviations: first.deviations.clone(),
                }),
            }
        }
    }
    Ok(all)
}

/// What two races have in common that are one for people: the two lines, in either order, and the memory.
fn pair(race: &Race) -> ([String; 2], String) {
    let Failure {
        location, sides, ..
    } = &race.failure;
    let (earlier, object) = match sides.as_deref() {
        Some(sides) => (sides.earlier.location.as_str(), sides.object.as_str()),
        None => ("", ""),
    };
    let mut both = [location.clone(), earlier.to_owned()];
    both.sort();
    let what = race.place.clone();
    (both, what.unwrap_or_else(|| object.to_owned()))
}

/// What the two sides do.
fn kinds(race: &Race) -> Option<String> {
    let sides = race.failure.sides.as_ref()?;
    Some(format!("{} after {}", sides.later, sides.earlier.what))
}

impl Unmarked {
    /// Adds a race of the same lines.
    fn add(&mut self, race: &Race) {
        if kinds(race) != kinds(&self.race) {
            self.also.extend(kinds(race));
        }
    }

    /// The later access.
    pub fn later(&self) -> Side {
        let failure = &self.race.failure;
        Side {
            what: failure.sides.as_ref().map_or("access", |sides| sides.later),
            cpu: failure.cpu,
            context: failure.context.clone(),
            location: failure.location.clone(),
        }
    }

    /// The earlier one.
    pub fn earlier(&self) -> Option<&Side> {
        Some(&self.race.failure.sides.as_ref()?.earlier)
    }

    /// What both touch.
    pub fn object(&self) -> &str {
        match &self.race.failure.sides {
            Some(sides) => &sides.object,
            None => "",
        }
    }

    /// The line for a file of marks with which this is no race.
    pub fn mark(&self) -> String {
        let Race { place, failure, .. } = &self.race;
        format!("relaxed {}", place.as_ref().unwrap_or(&failure.location))
    }

    /// Makes a replay file that ends at the race, as short as is found quickly, or `as_found`.
    ///
    /// # Errors
    ///
    /// If the run does not repeat.
    pub fn capture(&self, hunt: &Hunt, as_found: bool) -> Result<Capture, CaptureError> {
        let races = Later::of(&self.race.failure).map_or(Races::Stop, Races::Until);
        let catch = Catch {
            scenario: hunt.scenario,
            variant: hunt.variant,
            config: hunt.config,
            program: None,
            wire: &Wire::default(),
            races: &races,
            granularity: self.granularity,
            memory: hunt.memory,
            refusals: &self.refusals,
            deviations: &self.deviations,
            failure: &self.race.failure,
        };
        let effort = match as_found {
            true => Effort::NONE,
            false => EFFORT,
        };
        catch.capture(&hunt.limits, effort)
    }
}
