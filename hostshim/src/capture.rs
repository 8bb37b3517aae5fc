//! From a failing run to its record: the minimized schedule with names, a replay file that was tested, and a report.
//!
//! A hunt or a fuzzer calls this with a list of numbered deviations and a failure.

use std::fmt;

use kmod::config::Config;
use kmod::scenario::ops::Program;
use kmod::scenario::{Scenario, Variant};

use crate::fences;
use crate::machine::{Failure, Limits, Machine, Outcome, Races, Verdict};
use crate::minimize::{Effort, minimize};
use crate::names::{Follower, name_schedule};
use crate::registry::Registry;
use crate::replay::{Parsed, ReplayError, ReplayFile};
use crate::report::{self, Account, Size, Story, Text};
use crate::schedule::{Deviation, Granularity, MemoryModel, Refusal};
use crate::wire::Wire;

/// A run that failed, as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Catch<'a> {
    /// The scenario that ran.
    pub scenario: &'static Scenario,
    /// Which code of it.
    pub variant: &'static Variant,
    /// CPUs and knobs; the history is the variant's.
    pub config: Config,
    /// The program of the actors, if the scenario runs programs.
    pub program: Option<&'a Program>,
    /// What happened on the wire.
    pub wire: &'a Wire,
    /// What became of it at data races of foreign code.
    pub races: &'a Races,
    /// The schedule.
    pub deviations: &'a [Deviation],
    /// What a step was.
    pub granularity: Granularity,
    /// The model of memory.
    pub memory: MemoryModel,
    /// The allocations that failed.
    pub refusals: &'a [Refusal],
    /// How it failed.
    pub failure: &'a Failure,
}

/// The record of a failing run.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The minimized run and its schedule.
    pub file: ReplayFile,
    /// How the minimized schedule ends.
    pub outcome: Outcome,
    /// The report.
    pub report: Text,
    /// The size of the run before it was minimized.
    pub found: Size,
}

/// Why a run could not be recorded. Each of these is a fault of this program, not of the kernel.
#[derive(Debug)]
pub enum CaptureError {
    /// The kernel did not boot with its trace on.
    Boot(Failure),
    /// The run ended differently when it was repeated with the trace on.
    Unrepeatable {
        /// How it ended first.
        first: Box<Failure>,
        /// How it ended when it was repeated.
        then: Box<Verdict>,
    },
    /// The file that was written could not be read back and replayed.
    Unreadable(String),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failing run could not be kept, which is a fault of this program: ")?;
        match self {
            CaptureError::Boot(failure) => {
                write!(f, "the kernel boots only without a trace: {failure}")
            }
            CaptureError::Unrepeatable { first, then } => match &**then {
                Verdict::Passed => {
                    write!(f, "it failed ({first}), and passed when it was repeated")
                }
                Verdict::Failed(then) => write!(
                    f,
                    "it failed ({first}), and in another way when it was repeated ({then})"
                ),
            },
            CaptureError::Unreadable(why) => write!(f, "its file does not replay: {why}"),
        }
    }
}

impl std::error::Error for CaptureError {}

impl Catch<'_> {
    /// Minimizes the run, and replays the text of its file once as a test.
    ///
    /// # Errors
    ///
    /// If the run does not repeat. See [`CaptureError`].
    pub fn capture(&self, limits: &Limits, effort: Effort) -> Result<Capture, CaptureError> {
        let mut machine = Machine::new();
        let mut file = ReplayFile {
            scenario: self.scenario,
            variant: self.variant,
            config: self.config,
            granularity: self.granularity,
            memory: self.memory,
            refusals: self.refusals.to_vec(),
            program: self.program.copied().map(Box::new),
            wire: self.wire.clone(),
            races: self.races.clone(),
            schedule: Vec::new(),
        };
        file.boot(&mut machine).map_err(CaptureError::Boot)?;
        let (outcome, named) = name_schedule(&mut machine, self.deviations, limits);
        file.schedule = named;
        keep(&mut machine, file, self.failure, &outcome, limits, effort)
    }
}

/// Minimizes a run that has a replay file already, and fails with `failure`.
///
/// # Errors
///
/// If the run does not repeat. See [`CaptureError`].
pub fn shorten(
    file: &ReplayFile,
    failure: &Failure,
    limits: &Limits,
    effort: Effort,
) -> Result<Capture, CaptureError> {
    let mut machine = Machine::new();
    file.boot(&mut machine).map_err(CaptureError::Boot)?;
    let (outcome, _) = Follower::loose(&file.schedule, &mut machine, limits);
    keep(
        &mut machine,
        file.clone(),
        failure,
        &outcome,
        limits,
        effort,
    )
}

/// Minimizes the run of `file`, on a machine that was booted for it. `outcome` is its end with the trace on.
fn keep(
    machine: &mut Machine,
    file: ReplayFile,
    failure: &Failure,
    outcome: &Outcome,
    limits: &Limits,
    effort: Effort,
) -> Result<Capture, CaptureError> {
    let found = report::size(&file);
    let effort = match failure.takes_long() {
        true => Effort::NONE,
        false => effort,
    };
    let minimized = minimize(machine, &file, failure, limits, effort);
    let unrepeatable = || CaptureError::Unrepeatable {
        first: Box::new(failure.clone()),
        then: Box::new(outcome.verdict.clone()),
    };
    let file = minimized.ok_or_else(unrepeatable)?.file;
    let (outcome, report) = tell(&file, machine, limits)?;
    Ok(Capture {
        file,
        outcome,
        report,
        found,
    })
}

/// Replays a file from its text, and writes the report.
fn tell(
    file: &ReplayFile,
    machine: &mut Machine,
    limits: &Limits,
) -> Result<(Outcome, Text), CaptureError> {
    let unreadable = |why: &dyn fmt::Display| CaptureError::Unreadable(why.to_string());
    let parsed = Parsed::read(file.to_string().as_bytes(), Registry::of(&[file.scenario]))
        .map_err(|why| unreadable(&why))?;
    let (outcome, points) = parsed
        .replay(machine, limits)
        .map_err(|error| match error {
            ReplayError::Misfit(why) => unreadable(&why),
            ReplayError::Boot(failure) => CaptureError::Boot(failure),
        })?;
    let story = Story {
        cpus: file.config.cpus(),
        outcome: &outcome,
        trace: machine.trace(),
        departures: &file.schedule,
        points: &points,
    };
    let fences = match &outcome.verdict {
        Verdict::Failed(failure) => fences::missing(file, failure, limits),
        Verdict::Passed => Vec::new(),
    };
    let account = Account::new(file, story, machine.wait_graph()).with_fences(fences);
    let report = report::failure(&account);
    drop(account);
    Ok((outcome, report))
}
