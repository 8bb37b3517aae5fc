//! Results as one JSON document, for programs. `docs/cli.md` says what is in it, `docs/results.schema.json` exactly.
//!
//! Within a version of the form members are added, and none is taken away or means something else.

use std::path::Path;

use kmod::config::Config;
use serde::Serialize;

use super::args::Form;
use super::targets::Target;
use super::{Status, terminal};
use crate::Failure;
use crate::hunt::Plan;
use crate::replay::ReplayFile;
use crate::report::{self, Text};

/// The version of the form.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a, T> {
    format: &'static str,
    version: u32,
    command: &'static str,
    status: u8,
    results: &'a [T],
}

/// Prints the results of a command, if the user wants them so. Gives its status on.
pub(super) fn print<T: Serialize>(
    form: Form,
    command: &'static str,
    status: Status,
    results: &[T],
) -> Status {
    if form.json {
        let document = Document {
            format: "rumplab-results",
            version: VERSION,
            command,
            status: status.code(),
            results,
        };
        match serde_json::to_string_pretty(&document) {
            Ok(text) if !terminal::raw(&format!("{text}\n")) => terminal::spill(&text),
            Ok(_) => {}
            Err(error) => terminal::lose(format!("the results are no JSON: {error}")),
        }
    }
    status
}

/// What came of running a variant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It failed.
    Failed,
    /// It did not fail, but had data races that nothing marks as meant.
    UnmarkedRaces,
    /// It did not fail, and must not.
    Held,
    /// It did not fail, though it has a bug.
    NotReproduced,
    /// The user stopped it before anything was found.
    Stopped,
    /// It was not tried.
    Skipped,
    /// It could not be run, or ended in a way that says nothing about it.
    Broken,
}

/// How a kernel failed.
#[derive(Serialize)]
pub(super) struct Failed {
    kind: &'static str,
    pub(super) rule: String,
    message: String,
    lwp: String,
    cpu: usize,
    at: String,
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Failed {
        Failed {
            kind: failure.kind.name(),
            rule: failure.rule.clone(),
            message: failure.message.clone(),
            lwp: failure.context.clone(),
            cpu: failure.cpu,
            at: failure.location.clone(),
        }
    }
}

/// How large a replay file is.
#[derive(Serialize)]
pub(super) struct Size {
    operations: usize,
    departures: usize,
    on_the_wire: usize,
    cpus: usize,
}

impl From<report::Size> for Size {
    fn from(size: report::Size) -> Size {
        Size {
            operations: size.operations,
            departures: size.departures,
            on_the_wire: size.on_the_wire,
            cpus: size.cpus,
        }
    }
}

/// A failing schedule, and what is kept of it.
#[derive(Serialize)]
pub(super) struct Kept {
    /// The number of the schedule, from 1.
    pub(super) schedule: u64,
    pub(super) failure: Failed,
    size: Size,
    /// The path of the replay file; none if it could not be written.
    pub(super) replay: Option<String>,
    pub(super) report: String,
}

impl Kept {
    /// What is kept in `replay` of the schedule with this number.
    pub(super) fn new(
        schedule: u64,
        failure: &Failure,
        file: &ReplayFile,
        replay: Option<&Path>,
        report: &Text,
    ) -> Kept {
        Kept {
            schedule,
            failure: failure.into(),
            size: report::size(file).into(),
            replay: replay.map(|path| path.display().to_string()),
            report: report.to_string(),
        }
    }
}

/// What was run, and how.
#[derive(Serialize)]
pub(super) struct Subject {
    pub(super) scenario: &'static str,
    pub(super) variant: &'static str,
    /// Whether the variant has a bug, and so must fail.
    must_fail: bool,
    cpus: usize,
    xcall: &'static str,
    net_mpsafe: bool,
    /// The old bugs that were switched on.
    history: Vec<&'static str>,
    strategy: String,
    seed: u64,
}

impl Subject {
    /// This code on such a kernel.
    pub(super) fn new(
        (scenario, variant): Target,
        config: &Config,
        strategy: Plan,
        seed: u64,
    ) -> Subject {
        Subject {
            scenario: scenario.name,
            variant: variant.name,
            must_fail: variant.fails,
            cpus: config.cpus(),
            xcall: config.xcall.name(),
            net_mpsafe: config.net_mpsafe,
            history: config.history.bugs().map(|bug| bug.name()).collect(),
            strategy: strategy.to_string(),
            seed,
        }
    }
}
