//! Which scenarios and variants the user means.

use glob::Pattern;
use kmod::config::{Config, Wiring};
use kmod::scenario::{Scenario, Variant};

use super::Wrong;
use crate::registry::Registry;
use crate::suggest::nearest;

/// A scenario and a variant of it.
pub(super) type Target = (&'static Scenario, &'static Variant);

/// The word for all scenarios that must hold, and for all variants.
const ALL: &str = "all";

/// What the names and patterns of scenarios and `--variant` mean: each once, in the order in which they are asked for.
pub(super) fn targets(
    words: &[String],
    variant: &str,
    xcall: Option<Wiring>,
    registry: Registry<'_>,
) -> Result<Vec<Target>, Wrong> {
    let mut targets: Vec<Target> = Vec::new();
    for word in words {
        for target in of_word(word, variant, xcall, registry)? {
            let same = |(scenario, variant): &Target| {
                scenario.name == target.0.name && variant.name == target.1.name
            };
            if !targets.iter().any(same) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

fn of_word(
    word: &str,
    variant: &str,
    xcall: Option<Wiring>,
    registry: Registry<'_>,
) -> Result<Vec<Target>, Wrong> {
    let by_name = word != ALL && !is_pattern(word);
    let scenarios = match by_name {
        true => vec![find(word, registry)?],
        false => matching(word, registry)?,
    };
    // Of several, those for which the wiring that was asked for means something; of one, what was asked for.
    let fits = |v: &Variant| by_name || xcall.is_none_or(|x| v.wirings().contains(&x));
    let wanted = |v: &&Variant| (variant == ALL || v.name == variant) && fits(v);
    let variants = |s: &'static Scenario| s.variants.iter().filter(wanted).map(move |v| (s, v));
    let targets: Vec<Target> = scenarios.iter().copied().flat_map(variants).collect();
    if targets.is_empty() {
        let mut names = Vec::new();
        for name in scenarios.iter().flat_map(|s| s.variants).map(|v| v.name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.push(ALL);
        let help = nearest(variant, names).help_or_all();
        return Err(Wrong(format!(
            "{word} has no variant `{variant}`\n  help: {help}"
        )));
    }
    Ok(targets)
}

fn is_pattern(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// The scenarios of `all`, or those that match a pattern and can be simulated.
fn matching(word: &str, registry: Registry<'_>) -> Result<Vec<&'static Scenario>, Wrong> {
    if word == ALL {
        return Ok(registry.all().filter(|s| s.kind.must_hold()).collect());
    }
    let pattern = Pattern::new(word).map_err(|error| {
        Wrong(format!(
            "`{word}` is not a pattern: {error}\n  help: `*` stands for any text, `?` for a letter, `[ab]` for one of these"
        ))
    })?;
    let matching = registry
        .all()
        .filter(|s| pattern.matches(s.name) && !s.kind.only_booted());
    let found = Vec::from_iter(matching);
    if found.is_empty() {
        return Err(Wrong(format!(
            "no scenario matches `{word}`\n  help: `rumplab list` has all of them"
        )));
    }
    Ok(found)
}

/// The scenario with this name, for the simulated machine.
fn find(name: &str, registry: Registry<'_>) -> Result<&'static Scenario, Wrong> {
    let found = known(name, registry)?;
    if found.kind.only_booted() {
        let boot = format!("scripts/boot --scenario {name}");
        return Err(Wrong(format!(
            "{name} runs on the booted machine only\n  help: {boot}"
        )));
    }
    Ok(found)
}

/// The scenario with this name.
pub(super) fn known(name: &str, registry: Registry<'_>) -> Result<&'static Scenario, Wrong> {
    registry.find(name).ok_or_else(|| {
        let help = nearest(name, registry.all().map(|s| s.name).chain([ALL])).help();
        Wrong(format!(
            "there is no scenario `{name}`\n  help: {help}; `rumplab list` has all of them"
        ))
    })
}

/// Whether the scenario runs on so many CPUs, if somebody says how many.
pub(super) fn check_cpus(scenario: &Scenario, cpus: Option<usize>) -> Result<(), Wrong> {
    match cpus {
        Some(cpus) if cpus < scenario.min_cpus => Err(Wrong(format!(
            "{} does not run on {cpus} CPUs\n  help: give it {} at least, with --cpus",
            scenario.name, scenario.min_cpus
        ))),
        Some(cpus) => {
            let config = scenario.config(Config::small(cpus), &scenario.variants[0]);
            if config.cpus() <= Config::MAXCPUS {
                return Ok(());
            }
            Err(Wrong(format!(
                "{} has {} kernels: {cpus} CPUs for each are too many\n  help: give it {} at most, with --cpus",
                scenario.name,
                config.kernels,
                Config::MAXCPUS / config.kernels
            )))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str], variant: &str) -> Vec<String> {
        let words = Vec::from_iter(words.iter().map(|word| (*word).to_owned()));
        let targets = targets(&words, variant, None, Registry::kmod()).expect("they are known");
        let name = |(scenario, variant): &Target| format!("{} {}", scenario.name, variant.name);
        targets.iter().map(name).collect()
    }

    #[test]
    fn a_pattern_and_a_name_mean_each_scenario_once() {
        assert_eq!(
            names(&["lost-up*", "abba", "lost-update"], "fixed"),
            ["lost-update fixed", "abba fixed"]
        );
        assert_eq!(
            names(&["xcall-early-coun?"], "historical"),
            ["xcall-early-count historical"]
        );
        assert!(names(&["breach-mutex-*"], "fixed").len() > 1);
    }

    #[test]
    fn a_pattern_that_nothing_matches_is_refused() {
        for word in ["zzz*", "nic-loo?", "a[", "***"] {
            assert!(
                targets(&[word.to_owned()], "fixed", None, Registry::kmod()).is_err(),
                "{word}"
            );
        }
    }
}
