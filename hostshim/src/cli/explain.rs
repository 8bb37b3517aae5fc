//! `rumplab replay` and `rumplab explain`.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::{AccountForm, ExplainArgs, FileArgs};
use super::{Status, Wrong, c, save, terminal};
use crate::contracts;
use crate::fences;
use crate::files::for_shell;
use crate::machine::{Later, Races};
use crate::pcap;
use crate::registry::Registry;
use crate::replay::{Diagnostic, LIMITS, Parsed, ReplayError};
use crate::report::{self, Account, Detail, Origin, Story};
use crate::suggest;
use crate::{Machine, Outcome, Verdict};

/// Prints every access of the run, and the verdict.
pub(super) fn replay(args: &FileArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    let replayed = Replayed::new(args, registry)?;
    replayed.write_pcap(args);
    let mut text = report::subject(&replayed.parsed.file);
    text.gap();
    text.append(report::lines(&replayed.story(), Detail::Accesses));
    text.gap();
    text.append(report::verdict(&replayed.account()));
    terminal::print(&text);
    Ok(replayed.status())
}

/// Tells the run in the form that was asked for, on the standard output or in a file. If that cannot be
/// written, the text goes to the standard error.
pub(super) fn explain(args: &ExplainArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    if let Some(text) = contract(&args.of.file)? {
        terminal::raw(&text);
        return Ok(Status::Nothing);
    }
    let replayed = Replayed::new(&args.of, registry)?;
    replayed.write_pcap(&args.of);
    let status = match args.exit_code {
        true => replayed.status(),
        false => Status::Nothing,
    };
    let account = replayed.account();
    let text = || report::explain(&account, &replayed.machine.waits());
    let rendered = match args.account() {
        AccountForm::Text if args.out.is_none() => {
            terminal::print(&text());
            return Ok(status);
        }
        AccountForm::Text => text().to_string(),
        AccountForm::Json => report::json(&account),
        AccountForm::Dot => report::dot(&account),
        AccountForm::Svg => report::svg(&account),
        AccountForm::Perfetto => report::perfetto(&account),
        AccountForm::Html => replayed.page(),
    };
    let written = match &args.out {
        Some(path) => save::write(path, rendered.as_bytes(), "--out"),
        None => terminal::raw(&rendered),
    };
    if !written {
        terminal::spill(&text().to_string());
    }
    Ok(status)
}

/// The entry of a contract: if there is no such file, the argument can be the name of one.
fn contract(asked: &Path) -> Result<Option<String>, Wrong> {
    let Some(name) = asked.to_str().filter(|_| !asked.exists()) else {
        return Ok(None);
    };
    let suggestion = suggest::nearest(name, contracts::names());
    match contracts::explain(name) {
        Some(text) => Ok(Some(text)),
        None if suggestion.names().is_empty() => Ok(None),
        None => Err(Wrong(format!(
            "there is neither a file nor a contract {name}\n  help: {}",
            suggestion.help()
        ))),
    }
}

/// A file that was run again.
pub(super) struct Replayed {
    path: PathBuf,
    pub(super) parsed: Parsed,
    machine: Machine,
    pub(super) outcome: Outcome,
    points: Vec<u64>,
}

impl Replayed {
    /// Reads it and runs it.
    pub(super) fn new(args: &FileArgs, registry: Registry<'_>) -> Result<Replayed, Wrong> {
        let path = &args.file;
        // With the program in C that the command names.
        let mut scenarios = Vec::from_iter(registry.all());
        if !args.sources.is_empty() {
            scenarios.push(c::build(&args.sources, &args.compiling, registry)?.scenario());
        }
        let registry = Registry::of(&scenarios);
        let located = |wrong: Diagnostic| Wrong(format!("{}:{wrong}", path.display()));
        let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
        let parsed = Parsed::read(&bytes, registry).map_err(located)?;
        let cpus = parsed.file.config.ncpu;
        if let Some(asked) = args.cpus.filter(|asked| *asked != cpus) {
            let message = format!("this file is for {cpus} CPUs, and {asked} were asked for");
            let help = "a schedule fits one number of CPUs: leave --cpus away, or find the failure on so many";
            return Err(located(Diagnostic::new(parsed.cpus_at, message, help)));
        }
        let mut machine = Machine::new();
        match parsed.replay(&mut machine, &LIMITS) {
            Ok((outcome, points)) => {
                if let (Races::Until(later), Verdict::Passed) =
                    (&parsed.file.races, &outcome.verdict)
                {
                    unmet(path, later);
                }
                Ok(Replayed {
                    path: path.clone(),
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

    /// Writes what the network cards sent, if that was asked for.
    pub(super) fn write_pcap(&self, args: &FileArgs) {
        if let Some(path) = &args.pcap
            && let Err(why) = pcap::write(path, &self.machine.sent())
        {
            terminal::lose(format!(
                "{why}\n  help: give a place that can be written, with --pcap"
            ));
        }
    }

    fn story(&self) -> Story<'_> {
        Story {
            cpus: self.parsed.file.config.cpus(),
            outcome: &self.outcome,
            trace: self.machine.trace(),
            departures: &self.parsed.file.schedule,
            points: &self.points,
        }
    }

    fn account(&self) -> Account<'_> {
        let file = &self.parsed.file;
        let fences = match &self.outcome.verdict {
            Verdict::Failed(failure) => fences::missing(file, failure, &LIMITS),
            Verdict::Passed => Vec::new(),
        };
        let account = Account::new(file, self.story(), self.machine.wait_graph());
        account.with_fences(fences)
    }

    /// The run as a page to look at.
    pub(super) fn page(&self) -> String {
        let name = self.path.file_name().unwrap_or(self.path.as_os_str());
        // A page may be sent to others: it has no path of this machine.
        let shown = match self.path.is_absolute() {
            true => Path::new(name),
            false => &self.path,
        };
        let origin = Origin {
            name: &name.to_string_lossy(),
            command: &format!("rumplab replay {}", for_shell(shown)),
        };
        report::page(&self.account(), origin)
    }

    fn status(&self) -> Status {
        match self.outcome.verdict {
            Verdict::Passed => Status::Nothing,
            Verdict::Failed(_) => Status::Found,
        }
    }
}

/// The race is not met at which the run of this file ended.
fn unmet(path: &Path, Later { what, file, line }: &Later) {
    terminal::remark(format!(
        "{}: no race is met whose later access is the {what} at {file}:{line}\n  help: if the line has moved, correct it in the \
         line `races` of the file",
        path.display()
    ));
}

fn unreadable(path: &Path, error: &std::io::Error) -> Wrong {
    let help = "give the path of a replay file, as `rumplab run` prints it";
    Wrong(format!(
        "cannot read {}: {error}\n  help: {help}",
        path.display()
    ))
}
