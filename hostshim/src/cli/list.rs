//! `rumplab list` and `rumplab describe`.

use kmod::config::{Config, Memory};
use kmod::history::Bug;
use kmod::scenario::{Kind, Scenario, Variant};
use serde::Serialize;

use super::args::{DescribeArgs, ListArgs};
use super::targets::known;
use super::{Status, Wrong, results, terminal};
use crate::registry::Registry;
use crate::report::{Role, Text};

/// Scenarios by what a failure of them means, each with its variants.
pub(super) fn list(args: &ListArgs, registry: Registry<'_>) -> Status {
    terminal::leave_to_document(args.form);
    let mut text = Text::default();
    for (kind, title) in [
        (
            Kind::Sound,
            "Scenarios that must hold in the variant `fixed`:",
        ),
        (
            Kind::Ported,
            "Programs after bug reports of other kernels, which must hold in the variant `fixed`:",
        ),
        (
            Kind::Broken,
            "Broken programs, to see what a failure looks like:",
        ),
        (
            Kind::Fault,
            "Faults and endless loops, to see how they are reported:",
        ),
        (
            Kind::Net,
            "For the booted machine with a network card (scripts/boot --net):",
        ),
    ] {
        let of_kind = Vec::from_iter(registry.all().filter(|s| s.kind == kind));
        if of_kind.is_empty() {
            continue;
        }
        text.add(Role::Heading, title);
        for scenario in of_kind {
            text.add(
                Role::Plain,
                format!("  {:20} {}", scenario.name, scenario.summary),
            );
            // A single variant is `fixed`, and says nothing.
            for variant in scenario
                .variants
                .iter()
                .filter(|_| scenario.variants.len() > 1)
            {
                text.add(
                    Role::Aside,
                    format!("      {:16} {}", variant.name, variant.summary),
                );
            }
        }
        text.gap();
    }
    let breaches = registry.all().filter(|s| s.kind == Kind::Breach).count();
    if breaches > 0 {
        text.add(Role::Heading, "Contracts, each broken on purpose:");
        text.add(
            Role::Plain,
            format!(
                "  {:20} one of {breaches}, for snapshots/contracts@*.snap: breach-mutex-owned",
                "breach-CONTRACT",
            ),
        );
        text.gap();
    }
    text.add(Role::Heading, "Old bugs, one by one (--history):");
    for bug in Bug::ALL {
        text.add(
            Role::Plain,
            format!("  {:24} {}", bug.name(), bug.summary()),
        );
    }
    text.gap();
    text.add(
        Role::Plain,
        "Describe one with: rumplab describe SCENARIO\nRun one with: rumplab run SCENARIO [--variant NAME]",
    );
    terminal::print(&text);
    let entries = Vec::from_iter(registry.all().map(Entry::from));
    results::print(args.form, "list", Status::Nothing, &entries)
}

/// What a scenario does, its variants, and how to run it.
pub(super) fn describe(args: &DescribeArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    let scenario = known(&args.scenario, registry)?;
    terminal::leave_to_document(args.form);
    let Scenario {
        name,
        summary,
        about,
        variants,
        min_cpus,
        default_cpus,
        kind,
        ..
    } = *scenario;
    let mut text = Text::default();
    text.add(Role::Heading, format!("{name}: {summary}"));
    text.gap();
    for paragraph in about.split("\n\n") {
        text.wrap(Role::Plain, paragraph);
        text.gap();
    }
    let meaning = match kind {
        Kind::Sound | Kind::Ported => {
            "A failure of a variant without a bug is a defect of the kernel."
        }
        Kind::Broken => "The program itself is broken: it must fail.",
        Kind::Breach => "It breaks a contract on purpose: it must fail.",
        Kind::Fault => "It fails on purpose, to see how that is reported.",
        Kind::Net => "It needs a network card: it runs on the booted machine only.",
    };
    text.add(Role::Plain, meaning);
    text.add(
        Role::Plain,
        format!("CPUs: {default_cpus} unless --cpus says otherwise, {min_cpus} at least"),
    );
    let config = scenario.config(Config::small(default_cpus), &variants[0]);
    if let Memory::Given(reason) = config.memory {
        text.wrap(
            Role::Plain,
            &format!("Memory: no allocation fails, because {reason}"),
        );
    }
    text.gap();
    text.add(Role::Heading, "Variants:");
    for variant in variants {
        describe_variant(variant, &mut text);
    }
    text.gap();
    let command = match kind.only_booted() {
        true => format!("scripts/boot --net --scenario {name}"),
        false => format!("rumplab run {name}"),
    };
    text.add(Role::Plain, format!("Run it with: {command}"));
    if let Some(failing) = variants.iter().find(|v| v.fails && !kind.only_booted()) {
        text.add(
            Role::Plain,
            format!("See a failure with: {command} --variant {}", failing.name),
        );
    }
    terminal::print(&text);
    let entry = [Entry::from(scenario)];
    Ok(results::print(
        args.form,
        "describe",
        Status::Nothing,
        &entry,
    ))
}

fn describe_variant(variant: &Variant, text: &mut Text) {
    let fate = if variant.fails {
        "has a bug"
    } else {
        "must hold"
    };
    text.add(
        Role::Plain,
        format!("  {:16} {} ({fate})", variant.name, variant.summary),
    );
    for bug in variant.history.bugs() {
        text.add(
            Role::Aside,
            format!("      old bug {}: {}", bug.name(), bug.summary()),
        );
    }
    if let Some(wiring) = variant.xcall {
        text.add(Role::Aside, format!("      xcall {}", wiring.name()));
    }
}

/// A scenario for programs.
#[derive(Serialize)]
struct Entry {
    scenario: &'static str,
    kind: &'static str,
    summary: &'static str,
    about: &'static str,
    min_cpus: usize,
    default_cpus: usize,
    variants: Vec<EntryVariant>,
}

#[derive(Serialize)]
struct EntryVariant {
    variant: &'static str,
    summary: &'static str,
    /// Whether it has a bug, and so must fail.
    must_fail: bool,
    xcall: Option<&'static str>,
    net_mpsafe: Option<bool>,
    history: Vec<EntryBug>,
}

#[derive(Serialize)]
struct EntryBug {
    bug: &'static str,
    summary: &'static str,
}

impl From<&'static Scenario> for Entry {
    fn from(scenario: &'static Scenario) -> Entry {
        Entry {
            scenario: scenario.name,
            kind: match scenario.kind {
                Kind::Sound => "sound",
                Kind::Ported => "ported",
                Kind::Broken => "broken",
                Kind::Breach => "breach",
                Kind::Fault => "fault",
                Kind::Net => "net",
            },
            summary: scenario.summary,
            about: scenario.about,
            min_cpus: scenario.min_cpus,
            default_cpus: scenario.default_cpus,
            variants: scenario.variants.iter().map(EntryVariant::from).collect(),
        }
    }
}

impl From<&'static Variant> for EntryVariant {
    fn from(variant: &'static Variant) -> EntryVariant {
        let bugs = variant.history.bugs().map(|bug| EntryBug {
            bug: bug.name(),
            summary: bug.summary(),
        });
        EntryVariant {
            variant: variant.name,
            summary: variant.summary,
            must_fail: variant.fails,
            xcall: variant.xcall.map(|wiring| wiring.name()),
            net_mpsafe: variant.net_mpsafe,
            history: bugs.collect(),
        }
    }
}
