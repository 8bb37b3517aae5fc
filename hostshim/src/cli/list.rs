//! `rumplab list`.

use hostshim::report::{Role, Text};
use kmod::history::Bug;
use kmod::scenario::{self, Kind, breach};

use super::{Status, terminal};

/// Scenarios by what a failure of them means, each with its variants.
pub(super) fn list() -> Status {
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
        (Kind::Broken, "Broken programs, to see how a failure looks:"),
        (
            Kind::Fault,
            "Faults and loops without end, to see how they are told:",
        ),
        (
            Kind::Net,
            "For the booted machine with a network card (scripts/boot --net):",
        ),
    ] {
        text.add(Role::Heading, title);
        for scenario in scenario::ALL.iter().filter(|s| s.kind == kind) {
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
    text.add(Role::Heading, "Contracts, each broken on purpose:");
    text.add(
        Role::Plain,
        format!(
            "  {:20} one of {}, for snapshots/contracts@*.snap: breach-mutex-owned",
            "breach-CONTRACT",
            breach::all().count()
        ),
    );
    text.gap();
    text.add(Role::Heading, "Old code, by itself (--history):");
    for bug in Bug::ALL {
        text.add(
            Role::Plain,
            format!("  {:24} {}", bug.name(), bug.summary()),
        );
    }
    text.gap();
    text.add(
        Role::Plain,
        "Run one with: rumplab run SCENARIO [--variant NAME]",
    );
    terminal::print(&text);
    Status::Nothing
}
