//! Many failing runs folded into few findings.
//!
//! Two runs are one finding if they have the same scenario, broke the same promise, and look alike where it broke: the same
//! cycle of a deadlock, the same two places of a race, the same place and who was there for the rest. Line numbers, values and
//! which of several LWPs it was do not count, and neither do the schedules: they are what differs. The best file of a finding is the
//! smallest: fewest operations, then departures, then steps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::machine::{Failure, FailureKind, Outcome};
use crate::replay::ReplayFile;
use crate::report::Size;

/// What runs of a finding have in common, for people.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    scenario: &'static str,
    rule: String,
    signature: Vec<String>,
}

/// A failure, and the runs that show it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What ran.
    pub scenario: &'static str,
    /// Which code of it: the variants in which it was seen.
    pub variants: Vec<&'static str>,
    /// What sort of promise was broken, and which: `contract psref-cpu`.
    pub rule: String,
    /// What the runs have in common.
    pub signature: Vec<String>,
    /// How many runs there are.
    pub count: usize,
    /// The smallest of them.
    pub best: PathBuf,
    /// How large that is.
    pub size: Size,
    /// Steps of it.
    steps: u64,
}

/// All findings so far.
#[derive(Default)]
pub struct Findings(BTreeMap<Key, Finding>);

impl Findings {
    /// Adds a run that failed.
    pub fn add(&mut self, path: PathBuf, file: &ReplayFile, failure: &Failure, outcome: &Outcome) {
        let key = Key {
            scenario: file.scenario.name,
            rule: rule(failure),
            signature: signature(failure),
        };
        let size = crate::report::size(file);
        let finding = self.0.entry(key).or_insert_with_key(|key| Finding {
            scenario: key.scenario,
            variants: Vec::new(),
            rule: key.rule.clone(),
            signature: key.signature.clone(),
            count: 0,
            best: path.clone(),
            size,
            steps: outcome.steps,
        });
        finding.count += 1;
        if !finding.variants.contains(&file.variant.name) {
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
        // Of those that are as frequent, in the order of their keys: the sort is stable.
        list.sort_by_key(|finding| std::cmp::Reverse(finding.count));
        list.into_iter()
    }

    /// How many runs there are in all of them.
    pub fn files(&self) -> usize {
        self.0.values().map(|finding| finding.count).sum()
    }
}

fn rule(failure: &Failure) -> String {
    let kind = failure.kind.name();
    match failure.rule == kind.replace(' ', "-") {
        true => kind.to_owned(),
        false => format!("{kind} {}", failure.rule),
    }
}

fn signature(failure: &Failure) -> Vec<String> {
    if failure.kind == FailureKind::Deadlock {
        let lines = failure.message.lines();
        let cycles =
            lines.filter(|line| line.starts_with("cycle: ") || line.starts_with("no cycle"));
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
        true => "when all had come to rest".to_owned(),
        false => format!("by {}", alike(&failure.context)),
    };
    vec![format!("{who}, in {}", file_of(&failure.location))]
}

/// A name without its numbers: LWPs that run the same program do not differ, nor do things of one kind.
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

/// A place without its line, which moves when something is written above it.
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
        assert_eq!(rule(&contract), "contract psref-cpu");
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
