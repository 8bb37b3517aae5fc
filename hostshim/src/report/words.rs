//! The words that several reports share.

use crate::names::{Action, Departure, SPIN, WAIT};
use crate::replay::ReplayFile;
use crate::report::Story;
use kmod::scenario::{Kind, Scenario, Variant};

/// The number and the noun, in the plural unless the number is 1: `1 switch`, `2 switches`.
pub fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ if noun.ends_with("ch") => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [all @ .., last] => {
            let all = Vec::from_iter(all.iter().map(AsRef::as_ref)).join(", ");
            format!("{all} and {}", last.as_ref())
        }
    }
}

/// What ran, as on the command line: `perform-vs-callout historical`. A program that is broken on purpose has only
/// one version, so its variant is left out.
pub fn title(scenario: &Scenario, variant: &Variant) -> String {
    match has_versions(scenario) {
        true => format!("{} {}", scenario.name, variant.name),
        false => scenario.name.to_owned(),
    }
}

/// The same in a sentence: `perform-vs-callout (variant historical)`.
pub(super) fn subject_of(file: &ReplayFile) -> String {
    let ReplayFile {
        scenario, variant, ..
    } = file;
    let old = file.config.history.without(variant.history);
    let old = Vec::from_iter(old.bugs().map(|bug| bug.name()));
    let mut about = Vec::new();
    if has_versions(scenario) {
        about.push(format!("variant {}", variant.name));
    }
    if !old.is_empty() {
        about.push(format!("old code {}", list(&old)));
    }
    match about.is_empty() {
        true => scenario.name.to_owned(),
        false => format!("{} ({})", scenario.name, about.join(", ")),
    }
}

/// Whether the names of its variants say something: not if it is a program that is broken on purpose and has one version.
pub fn has_versions(scenario: &Scenario) -> bool {
    matches!(scenario.kind, Kind::Sound | Kind::Net) || scenario.variants.len() > 1
}

/// What the schedule of a failing run needs.
pub(super) fn how(story: &Story<'_>) -> String {
    match needs(story) {
        None => "fails under the default schedule (no reordering needed)".to_owned(),
        Some(needs) => format!("needs {needs} (>>>)"),
    }
}

/// The allocations that fail in a run, and its forced switches. `None`: there are none.
pub(super) fn needs(story: &Story<'_>) -> Option<String> {
    let refusals = story.refusals().count();
    let is_delay = |departure: &&Departure| departure.action.needs_buffers();
    let delays = story.departures.iter().filter(is_delay).count();
    let counted = [
        (refusals, "failed allocation"),
        (delays, "delayed store"),
        (story.departures.len() - delays, "forced switch"),
    ];
    let some = counted.iter().filter(|(number, _)| *number > 0);
    let some = Vec::from_iter(some.map(|(number, noun)| count(*number, noun)));
    (!some.is_empty()).then(|| list(&some))
}

/// An allocation that fails, in a sentence.
pub(super) fn refusal(object: &str, location: &str) -> String {
    format!("the allocation of {object} ({location}) fails: chosen by the schedule")
}

/// A forced switch, in a sentence.
pub(super) fn switch(departure: &Departure) -> String {
    let at = &departure.point;
    let what = match departure.action {
        Action::Steps(cpu) => format!("switch to cpu{cpu} here"),
        Action::Takes(cpu, line) => format!("cpu{cpu} takes the {} interrupt here", line.name()),
        Action::Defers(cpu, line) => {
            format!("cpu{cpu} delays the {} interrupt here", line.name())
        }
        Action::Delays(cpu) if cpu == at.cpu => {
            let (who, what) = (&at.context, does(&at.what, &at.object));
            return format!("{who} on cpu{cpu} {what}: that stays in the store buffer of cpu{cpu}");
        }
        Action::Delays(cpu) => {
            format!("switch to cpu{cpu} here, and what it stores stays in its store buffer")
        }
        Action::Drains(cpu) => {
            format!("the oldest store in the buffer of cpu{cpu} becomes visible here")
        }
    };
    format!(
        "{what}, just before {} on cpu{} {}",
        at.context,
        at.cpu,
        does(&at.what, &at.object)
    )
}

/// An action, by its name.
fn does(what: &str, object: &str) -> String {
    match what {
        WAIT => "waits for an interrupt".to_owned(),
        SPIN => "spins".to_owned(),
        "rmw" => format!("updates {object}"),
        "mutex_enter" => format!("enters {object}"),
        "mutex_exit" => format!("exits {object}"),
        "splx" => "lowers its priority level".to_owned(),
        "switch" => "switches away".to_owned(),
        _ if object.is_empty() => format!("{what}s"),
        _ => format!("{what}s {object}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_and_lists() {
        assert_eq!(count(1, "forced switch"), "1 forced switch");
        assert_eq!(count(2, "forced switch"), "2 forced switches");
        assert_eq!(count(0, "event"), "0 events");
        assert_eq!(list(&["a"; 0]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
    }
}
