//! Reports: what broke and how, as text.
//!
//! A report is for a tired reader: first what broke, which LWP detected it and where; then how it came about, in as
//! few steps as possible. Nothing in a report depends on the host: no addresses, times or paths.

pub mod account;
mod chart;
mod columns;
mod dot;
mod event;
mod explain;
mod failure;
mod graph;
mod json;
mod lines;
mod page;
mod perfetto;
mod selection;
mod size;
mod story;
#[cfg(test)]
mod tests;
mod text;
mod verdict;
mod words;

use kmod::config::Config;

use crate::machine::{Later, Races};
use crate::replay::ReplayFile;
use crate::schedule::{Granularity, MemoryModel};

pub use account::Account;
pub use columns::columns;
pub use dot::dot;
pub use explain::explain;
pub use failure::failure;
pub use graph::svg;
pub use json::json;
pub use lines::{Detail, LEGEND, lines};
pub use page::{Origin, page};
pub use perfetto::perfetto;
pub use selection::Part;
pub use size::{Size, size};
pub use story::Story;
pub use text::{Role, Text};
pub use verdict::verdict;
pub use words::{count, has_versions, title};

/// What ran: what the scenario is about, which code, and the machine as far as it is not the usual one.
pub fn subject(file: &ReplayFile) -> Text {
    let mut text = Text::default();
    let ReplayFile {
        scenario, variant, ..
    } = file;
    text.add(
        Role::Heading,
        format!("{}: {}", scenario.name, scenario.summary),
    );
    if words::has_versions(scenario) {
        let line = format!("variant {}: {}", variant.name, variant.summary);
        text.add(Role::Plain, line);
    }
    text.add(Role::Plain, format!("machine: {}", machine(file)));
    text
}

fn machine(file: &ReplayFile) -> String {
    let ReplayFile {
        scenario,
        variant,
        config,
        ..
    } = file;
    let each = match config.kernels {
        1 => String::new(),
        kernels => format!("{kernels} kernels, each on "),
    };
    let mut machine = each + &count(config.ncpu, "CPU");
    let usual = scenario.config(Config::small(config.ncpu), variant);
    if config.xcall != usual.xcall {
        machine += &format!(", cross calls wired as {}", config.xcall.name());
    }
    for (name, value) in file.knobs() {
        machine += &format!(", {name} {value}");
    }
    if file.granularity == Granularity::Fine {
        machine += "; fine granularity: every access is a step";
    }
    if file.memory == MemoryModel::Tso {
        machine += "; memory: tso, a store can stay in the store buffer of its CPU";
    }
    match &file.races {
        Races::Stop => {}
        Races::Pass => machine += "; the run goes on past data races",
        Races::Until(Later { what, file, line }) => {
            machine +=
                &format!("; the run goes on past data races up to the {what} at {file}:{line}");
        }
    }
    machine
}

/// What the LWPs of `ops` run.
fn program(file: &ReplayFile) -> Text {
    let mut text = Text::default();
    let Some(program) = &file.program else {
        return text;
    };
    for (lwp, script) in program
        .scripts
        .iter()
        .enumerate()
        .filter(|(_, s)| !s.ops().is_empty())
    {
        let ops = Vec::from_iter(script.ops().iter().map(ToString::to_string)).join("; ");
        text.add(Role::Plain, format!("l{lwp}: {ops}"));
    }
    text
}
