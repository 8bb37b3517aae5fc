//! Groups many failing runs into a few findings.
//!
//! # Overview
//!
//! Two runs are one finding if they have the same scenario, broke the same contract or assertion, and look alike
//! where it broke ([`Symptom`]): the same cycle of a deadlock, the same two places of a race, otherwise the same
//! place and LWP. Line numbers, values, the numbers of LWPs with one name, and schedules are ignored. The best file
//! of a finding is the smallest: fewest operations, then departures, then steps.
//!
//! One bug can show up as several different failures. If a run was made with old code, the file is run again without
//! each piece of that code ([`needed`]). Runs that need the same pieces are one finding, however they fail.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kmod::history::{Bug, History};

use crate::machine::{Failure, FailureKind, Limits, Machine, Outcome, Recording, Verdict};
use crate::minimize::Effort;
use crate::names::{Departure, Follower};
use crate::replay::ReplayFile;
use crate::report::{Size, has_versions};
use crate::strategy::Portfolio;

/// How a run failed, without what differs from run to run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Symptom {
    /// What kind of rule was broken, and which: `API contract psref-cpu`.
    pub rule: String,
    /// Where, and by which LWP, in lines.
    pub signature: Vec<String>,
}

impl Symptom {
    fn of(failure: &Failure) -> Symptom {
        Symptom {
            rule: rule(failure),
            signature: signature(failure),
        }
    }
}

/// The common property of the runs of a finding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    /// They fail with this old code, and pass without it.
    Needs(&'static str, Vec<&'static str>),
    /// They fail in the same way.
    Looks(&'static str, Symptom),
}

/// A failure, and the runs that show it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What ran.
    pub scenario: &'static str,
    /// Which code of it: the variants in which it was seen. None of a program that is broken on purpose.
    pub variants: Vec<&'static str>,
    /// The old code without which none of the runs fails in this way.
    pub needs: Vec<Bug>,
    /// How the runs fail, and how many fail in each way.
    symptoms: BTreeMap<Symptom, usize>,
    /// How many runs there are.
    pub count: usize,
    /// The smallest of them.
    pub best: PathBuf,
    /// How large that is.
    pub size: Size,
    /// Steps of it.
    steps: u64,
}

impl Finding {
    /// How the runs fail, and how many fail in each way: the most frequent first.
    pub fn symptoms(&self) -> Vec<(&Symptom, usize)> {
        let all = self.symptoms.iter();
        let mut list = Vec::from_iter(all.map(|(symptom, count)| (symptom, *count)));
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list
    }
}

/// All findings so far.
#[derive(Default)]
pub struct Findings(BTreeMap<Key, Finding>);

impl Findings {
    /// Adds a run that failed and needs the old code `needs` to fail.
    pub fn add(
        &mut self,
        path: PathBuf,
        file: &ReplayFile,
        failure: &Failure,
        outcome: &Outcome,
        needs: History,
    ) {
        let symptom = Symptom::of(failure);
        let scenario = file.scenario.name;
        let key = match needs == History::NONE {
            true => Key::Looks(scenario, symptom.clone()),
            false => Key::Needs(scenario, needs.bugs().map(Bug::name).collect()),
        };
        let size = crate::report::size(file);
        let finding = self.0.entry(key).or_insert_with(|| Finding {
            scenario,
            variants: Vec::new(),
            needs: needs.bugs().collect(),
            symptoms: BTreeMap::new(),
            count: 0,
            best: path.clone(),
            size,
            steps: outcome.steps,
        });
        finding.count += 1;
        *finding.symptoms.entry(symptom).or_default() += 1;
        let variants = &finding.variants;
        if has_versions(file.scenario) && !variants.contains(&file.variant.name) {
            finding.variants.push(file.variant.name);
        }
        if (size, outcome.steps) < (finding.size, finding.steps) {
            finding.best = path;
            finding.size = size;
            finding.steps = outcome.steps;
        }
    }

    /// The findings, the most frequent first.
    pub fn list(&self) -> impl Iterator<Item = &Finding> {
        let mut list = Vec::from_iter(self.0.values());
        // Findings with the same count are in the order of their keys: the sort is stable.
        list.sort_by_key(|finding| std::cmp::Reverse(finding.count));
        list.into_iter()
    }

    /// How many runs there are in all of them.
    pub fn files(&self) -> usize {
        self.0.values().map(|finding| finding.count).sum()
    }
}

/// Limits for other schedules that are tried before old code counts as needed: runs, and points in all of them
/// together.
const TRIALS: Effort = Effort {
    runs: 4_000,
    points: 1_000_000,
};

/// The old code that a run needs to fail with `failure`: each piece without which the same program does not fail so,
/// neither along the same schedule, as far as that can be followed, nor along some others. If there are several such
/// pieces, those without which it does not fail at all: a bug whose failure is changed by another piece of old code
/// is still that bug.
///
/// If each of two pieces is enough, the run needs neither.
pub fn needed(
    machine: &mut Machine,
    file: &ReplayFile,
    failure: &Failure,
    limits: &Limits,
) -> History {
    let symptom = Symptom::of(failure);
    let all = file.config.history;
    let so = without_which(machine, file, all, Some(&symptom), limits);
    if so.bugs().count() < 2 {
        return so;
    }
    match without_which(machine, file, so, None, limits) {
        History::NONE => so,
        at_all => at_all,
    }
}

/// Those of `pieces` without which the run does not fail, in this way or in any.
fn without_which(
    machine: &mut Machine,
    file: &ReplayFile,
    pieces: History,
    symptom: Option<&Symptom>,
    limits: &Limits,
) -> History {
    let mut without = file.clone();
    let needed = pieces.bugs().filter(|bug| {
        without.config.history = file.config.history.without(History::NONE.with(*bug));
        // A kernel that does not boot cannot fail in the same way.
        without.boot(machine).is_err() || !fails(machine, symptom, &file.schedule, limits)
    });
    needed.fold(History::NONE, History::with)
}

/// Whether the run that is loaded on `machine` fails, in this way or in any.
fn fails(
    machine: &mut Machine,
    symptom: Option<&Symptom>,
    schedule: &[Departure],
    limits: &Limits,
) -> bool {
    let is_it = |verdict: &Verdict| match verdict {
        Verdict::Failed(failure) => symptom.is_none_or(|symptom| Symptom::of(failure) == *symptom),
        Verdict::Passed => false,
    };
    let (outcome, _) = Follower::loose(schedule, machine, limits);
    if is_it(&outcome.verdict) {
        return true;
    }
    machine.record(Recording::Nothing);
    let mut strategy = Portfolio::new(1);
    let mut points = 0;
    (0..TRIALS.runs).any(|_| {
        points < TRIALS.points && {
            let outcome = machine.run(&mut strategy, limits);
            points += outcome.points;
            is_it(&outcome.verdict)
        }
    })
}

fn rule(failure: &Failure) -> String {
    let kind = failure.kind;
    match failure.rule == kind.name().replace(' ', "-") {
        true => kind.words().to_owned(),
        false => format!("{} {}", kind.words(), failure.rule),
    }
}

fn signature(failure: &Failure) -> Vec<String> {
    if failure.kind == FailureKind::Deadlock {
        let lines = failure.message.lines();
        let tells = ["cycle: ", "no cycle", "lost wake-up: "];
        let cycles = lines.filter(|line| tells.iter().any(|tell| line.starts_with(tell)));
        let mut cycles = Vec::from_iter(cycles.map(str::to_owned));
        cycles.sort();
        return cycles;
    }
    if let Some(sides) = &failure.sides {
        return vec![
            format!(
                "{} of {} in {}",
                sides.earlier.what,
                alike(&sides.object),
                file_of(&sides.earlier.location)
            ),
            format!("{} of it in {}", sides.later, file_of(&failure.location)),
        ];
    }
    let who = match failure.context.starts_with("idle/") {
        true => "by verify()".to_owned(),
        false => format!("by {}", alike(&failure.context)),
    };
    vec![format!("{who}, in {}", file_of(&failure.location))]
}

/// A name without its numbers: LWPs that run the same program are treated as equal, and so are objects of one kind.
fn alike(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        match letter.is_ascii_digit() {
            true if text.ends_with('*') => {}
            true => text.push('*'),
            false => text.push(letter),
        }
    }
    text
}

/// A place without its line, which changes when code above it changes.
fn file_of(place: &str) -> &str {
    place.rsplit_once(':').map_or(place, |(file, _)| file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Side, Sides};

    fn failure(kind: FailureKind, rule: &str, message: &str) -> Failure {
        Failure {
            kind,
            rule: rule.to_owned(),
            message: message.to_owned(),
            location: "kmod/src/x.rs:7".to_owned(),
            cpu: 0,
            context: "r12".to_owned(),
            sides: None,
        }
    }

    #[test]
    fn a_deadlock_is_known_by_its_cycles() {
        let message = "cycle: b => a => b\n   by: b (t1)\nt1 sleeps\ncycle: a => b\n";
        let deadlock = failure(FailureKind::Deadlock, "deadlock", message);
        assert_eq!(rule(&deadlock), "deadlock");
        assert_eq!(
            signature(&deadlock),
            ["cycle: a => b", "cycle: b => a => b"]
        );
    }

    #[test]
    fn a_broken_promise_is_known_by_its_place_without_numbers() {
        let contract = failure(FailureKind::Contract, "psref-cpu", "moved from 0 to 1");
        assert_eq!(rule(&contract), "API contract psref-cpu");
        assert_eq!(signature(&contract), ["by r*, in kmod/src/x.rs"]);
    }

    #[test]
    fn a_race_is_known_by_both_sides() {
        let mut race = failure(FailureKind::DataRace, "data-race", "");
        race.sides = Some(Box::new(Sides {
            object: "word#3.flag".to_owned(),
            later: "read",
            earlier: Side {
                what: "write",
                cpu: 1,
                context: "r1".to_owned(),
                location: "kmod/src/y.rs:1".to_owned(),
            },
        }));
        assert_eq!(
            signature(&race),
            [
                "write of word#*.flag in kmod/src/y.rs",
                "read of it in kmod/src/x.rs"
            ]
        );
    }
}
