//! `rumplab replay` and `rumplab explain`.

use std::fs;
use std::path::Path;

use hostshim::pcap;
use hostshim::replay::{Diagnostic, LIMITS, Parsed, ReplayError};
use hostshim::report::{self, Detail, Role, Story, Text};
use hostshim::{FailureKind, Machine, Outcome, Verdict};

use super::args::FileArgs;
use super::{Status, Wrong, terminal};

/// Prints every access of the run, and the verdict.
pub(super) fn replay(args: &FileArgs) -> Result<Status, Wrong> {
    let replayed = Replayed::new(args)?;
    let mut text = report::subject(&replayed.parsed.file);
    text.gap();
    text.append(report::lines(&replayed.story(), Detail::Accesses));
    text.gap();
    text.append(report::verdict(&replayed.outcome));
    terminal::print(&text);
    Ok(replayed.status())
}

/// Prints what the run is about, its verdict, the trace with its legend, and who waits for whom.
pub(super) fn explain(args: &FileArgs) -> Result<Status, Wrong> {
    let replayed = Replayed::new(args)?;
    let file = &replayed.parsed.file;
    let mut text = report::failure(file, &replayed.story());
    text.gap();
    text.add(Role::Heading, "About:");
    text.wrap(Role::Plain, file.scenario.about);
    text.gap();
    part(&mut text, "Every step", Role::Aside, report::LEGEND);
    text.append(report::lines(&replayed.story(), Detail::Steps));
    let waits = replayed.waits();
    if !waits.is_empty() {
        text.gap();
        part(&mut text, "Who waits at the end", Role::Plain, &waits);
    }
    terminal::print(&text);
    Ok(replayed.status())
}

fn part(text: &mut Text, title: &str, role: Role, body: &str) {
    text.add(Role::Heading, format!("{title}:"));
    text.add(role, body);
    text.gap();
}

/// A file that was run again.
struct Replayed {
    parsed: Parsed,
    machine: Machine,
    outcome: Outcome,
    points: Vec<u64>,
}

impl Replayed {
    fn new(args: &FileArgs) -> Result<Replayed, Wrong> {
        let path = &args.file;
        let located = |wrong: Diagnostic| Wrong(format!("{}:{wrong}", path.display()));
        let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
        let parsed = Parsed::read(&bytes).map_err(located)?;
        let cpus = parsed.file.config.ncpu;
        if let Some(asked) = args.cpus.filter(|asked| *asked != cpus) {
            let message = format!("this file is for {cpus} CPUs, and {asked} were asked for");
            let help = "a schedule fits one number of CPUs: leave --cpus away, or find the failure on so many";
            return Err(located(Diagnostic::new(parsed.cpus_at, message, help)));
        }
        let mut machine = Machine::new();
        match parsed.replay(&mut machine, &LIMITS) {
            Ok((outcome, points)) => {
                if let Some(path) = &args.pcap {
                    pcap::write(path, &machine.sent()).map_err(Wrong)?;
                }
                Ok(Replayed {
                    parsed,
                    machine,
                    outcome,
                    points,
                })
            }
            Err(ReplayError::Misfit(wrong)) => Err(located(wrong)),
            Err(ReplayError::Boot(failure)) => Err(Wrong(format!(
                "{}: the kernel does not boot: {failure}",
                path.display()
            ))),
        }
    }

    fn story(&self) -> Story<'_> {
        Story {
            cpus: self.parsed.file.config.ncpu,
            outcome: &self.outcome,
            trace: self.machine.trace(),
            departures: &self.parsed.file.schedule,
            points: &self.points,
        }
    }

    fn status(&self) -> Status {
        match self.outcome.verdict {
            Verdict::Passed => Status::Nothing,
            Verdict::Failed(_) => Status::Found,
        }
    }

    /// The wait-for graph, if somebody waits and the verdict does not show it already.
    fn waits(&self) -> String {
        match &self.outcome.verdict {
            Verdict::Failed(failure) if failure.kind != FailureKind::Deadlock => {
                let graph = self.machine.waits();
                // In the midst of a run it is no fault to wait without being in a cycle.
                let lines = graph.lines().filter(|line| !line.starts_with("no cycle"));
                Vec::from_iter(lines).join("\n")
            }
            Verdict::Failed(_) | Verdict::Passed => String::new(),
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Wrong {
    let help = "give the path of a replay file, as `rumplab run` prints it";
    Wrong(format!(
        "cannot read {}: {error}\n  help: {help}",
        path.display()
    ))
}
