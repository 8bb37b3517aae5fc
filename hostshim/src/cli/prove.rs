//! `rumplab prove`: its arguments, and what it says.

mod args;
mod files;

use std::path::{Path, PathBuf};

use kmod::config::{Config, Wiring};
use kmod::scenario::Scenario;
use kmod::scenario::ops::Language;
use serde::Serialize;

use super::args::MemoryArg;
use super::interrupt::Interrupt;
use super::results::{self, Kept};
use super::run::say_next_steps;
use super::targets::{Target, check_cpus, targets};
use super::{Status, Wrong, progress, save, terminal};
use crate::capture::Capture;
use crate::files::for_shell;
use crate::hunt::Found;
use crate::machine::Races;
use crate::minimize::Effort;
use crate::prove::certificate::Certificate;
use crate::prove::{LONGEST, Progress, Proof, Proved, Shard};
use crate::registry::Registry;
use crate::replay::LIMITS;
use crate::report::{self, Role};
use crate::stopwatch::Stopwatch;

pub(super) use args::ProveArgs;

/// What came of a proof.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// Everything was tried, and nothing failed.
    Complete,
    /// It failed.
    Failed,
    /// Everything was tried, and nothing failed, though the variant has a bug.
    NotReproduced,
    /// The certificate that was checked says something else.
    Differs,
    /// Not everything was tried: the time was over, or runs were too long.
    Incomplete,
    /// The user stopped it.
    Stopped,
    /// It could not be run.
    Broken,
}

/// What came of one scenario and variant.
#[derive(Serialize)]
struct Ran {
    scenario: &'static str,
    variant: &'static str,
    /// Whether the variant has a bug, and so must fail.
    must_fail: bool,
    cpus: usize,
    xcall: &'static str,
    net_mpsafe: bool,
    history: Vec<&'static str>,
    granularity: &'static str,
    early_ticks: u32,
    outcome: Outcome,
    /// Forced switches up to which everything was tried; none if not even the default run was.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete_up_to: Option<u32>,
    /// The part of the proof that this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    /// Executions with the largest number of forced switches that was begun.
    executions: u64,
    /// Schedules that were run, with all numbers of forced switches.
    runs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Kept>,
    /// The file with the certificate, or with what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A proof to be made, and from where.
struct Job {
    proof: Proof,
    /// Forced switches, at first and at last.
    bounds: (u32, u32),
    /// What the first of them has done already.
    progress: Option<Progress>,
    /// The file that it came from, or goes to.
    file: Option<PathBuf>,
    /// What it is compared with.
    expected: Option<Certificate>,
}

/// Proves, for everything that was asked for.
pub(super) fn prove(args: &ProveArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    if args.memory == MemoryArg::Tso {
        return Err(Wrong(
            "--memory tso: a proof tries every schedule of a sequentially consistent memory, and none of store buffers\n  \
             help: `rumplab run --memory tso` samples schedules with store buffers"
                .to_owned(),
        ));
    }
    if !args.merge.is_empty() {
        return files::merge(args);
    }
    let jobs = jobs(args, registry)?;
    let out = save::directory(args.out.as_deref())?;
    if let Some(directory) = &args.certificates {
        std::fs::create_dir_all(directory).map_err(|error| {
            Wrong(format!(
                "--certificates {}: {error}\n  help: give a directory that can be written",
                directory.display()
            ))
        })?;
    }
    terminal::leave_to_document(args.form);
    let interrupt = Interrupt::listen();
    let wanted = jobs.len();
    let mut all = Vec::new();
    for job in jobs {
        all.push(Proving::of(args, &out, &interrupt, &job).go());
        if interrupt.is_wanted() {
            break;
        }
    }
    summary(&all, wanted);
    let has = |outcome| all.iter().any(|result: &Ran| result.outcome == outcome);
    let status = if has(Outcome::Broken) {
        Status::Broken
    } else if has(Outcome::Stopped) || all.len() < wanted {
        interrupt.status()
    } else if [Outcome::Failed, Outcome::NotReproduced, Outcome::Differs]
        .into_iter()
        .any(has)
    {
        Status::Found
    } else if has(Outcome::Incomplete) {
        Status::Incomplete
    } else {
        Status::Nothing
    };
    Ok(results::print(args.form, "prove", status, &all))
}

/// What is to be proved.
fn jobs(args: &ProveArgs, registry: Registry<'_>) -> Result<Vec<Job>, Wrong> {
    if let Some(path) = &args.resume {
        return Ok(vec![files::resume(path, args, registry)?]);
    }
    if !args.check.is_empty() {
        let check = |path: &PathBuf| files::check(path, args, registry);
        return args.check.iter().map(check).collect();
    }
    let wiring = args.xcall.map(Wiring::from);
    let targets = targets(&args.scenarios, &args.variant, wiring, registry)?;
    for (scenario, _) in &targets {
        check_cpus(scenario, args.cpus)?;
        if args.scenarios.iter().any(|word| word == scenario.name) && is_open(scenario) {
            return Err(Wrong(format!(
                "{0} has no program of its own, so there is nothing to prove\n  help: `rumplab run {0}` generates programs for it",
                scenario.name
            )));
        }
    }
    let targets = targets
        .into_iter()
        .filter(|(scenario, _)| !is_open(scenario));
    let jobs = Vec::from_iter(targets.map(|target| job(args, target)));
    if jobs.is_empty() {
        return Err(Wrong(format!(
            "{} matches only scenarios that have no program of their own\n  help: `rumplab run ops` generates programs",
            args.scenarios.join(" ")
        )));
    }
    Ok(jobs)
}

/// Whether the scenario runs programs that somebody gives it.
fn is_open(scenario: &Scenario) -> bool {
    Language::of(scenario).is_some()
}

fn job(args: &ProveArgs, (scenario, variant): Target) -> Job {
    let cpus = args.cpus.unwrap_or(scenario.default_cpus);
    let mut config = scenario.config(Config::small(cpus), variant);
    config.xcall = args.xcall.map_or(config.xcall, Wiring::from);
    config.net_mpsafe = args.net_mpsafe.unwrap_or(config.net_mpsafe);
    for bug in &args.history {
        config.history = config.history.with(*bug);
    }
    let shard = args.shard.unwrap_or(Shard::WHOLE);
    let first = match shard == Shard::WHOLE {
        true => 0,
        // The parts are of one number of forced switches.
        false => args.bound,
    };
    Job {
        proof: Proof {
            scenario,
            variant,
            config,
            granularity: args.granularity.into(),
            early_ticks: args.early_ticks,
            shard,
            jobs: args.jobs,
            reduces: true,
        },
        bounds: (first, args.bound),
        progress: None,
        file: None,
        expected: None,
    }
}

/// A proof under way.
struct Proving<'a> {
    args: &'a ProveArgs,
    out: &'a Path,
    interrupt: &'a Interrupt,
    job: &'a Job,
    title: String,
    clock: Stopwatch,
    result: Ran,
}

fn switches(count: u32) -> String {
    match count {
        1 => "1 forced switch".to_owned(),
        count => format!("{count} forced switches"),
    }
}

/// A number of things in words.
fn of(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

impl<'a> Proving<'a> {
    fn of(
        args: &'a ProveArgs,
        out: &'a Path,
        interrupt: &'a Interrupt,
        job: &'a Job,
    ) -> Proving<'a> {
        let Proof {
            scenario,
            variant,
            config,
            ..
        } = job.proof;
        let (first, _) = job.bounds;
        Proving {
            args,
            out,
            interrupt,
            job,
            title: report::title(scenario, variant),
            clock: Stopwatch::start(),
            result: Ran {
                scenario: scenario.name,
                variant: variant.name,
                must_fail: variant.fails,
                cpus: config.cpus(),
                xcall: config.xcall.name(),
                net_mpsafe: config.net_mpsafe,
                history: config.history.bugs().map(|bug| bug.name()).collect(),
                granularity: job.proof.granularity.name(),
                early_ticks: job.proof.early_ticks,
                outcome: Outcome::Complete,
                complete_up_to: first
                    .checked_sub(1)
                    .filter(|_| job.progress.is_some() && job.proof.shard == Shard::WHOLE),
                part: match job.proof.shard {
                    Shard::WHOLE => None,
                    Shard { number, of } => Some(format!("{number}/{of}")),
                },
                executions: 0,
                runs: 0,
                found: None,
                certificate: None,
                error: None,
            },
        }
    }

    fn go(mut self) -> Ran {
        if let Err(Wrong(why)) = self.bounds() {
            terminal::complain(&why);
            self.result.outcome = Outcome::Broken;
            self.result.error = Some(why);
        }
        self.result
    }

    /// One number of forced switches after the other.
    fn bounds(&mut self) -> Result<(), Wrong> {
        let (first, last) = self.job.bounds;
        for bound in first..=last {
            let progress = self.job.progress.clone().filter(|_| bound == first);
            let proof = &self.job.proof;
            let budget = self.args.seconds;
            let left = budget.map(|budget| budget.saturating_sub(self.clock.elapsed()));
            let title = format!("{}, {}", self.title, switches(bound));
            let proved = progress::search(left, &title, self.interrupt, |watch| match progress {
                Some(progress) => proof.go_on(bound, progress, watch),
                None => proof.run(bound, watch),
            });
            let proved = proved.map_err(|failure| {
                Wrong(format!(
                    "{}: the kernel does not boot: {failure}",
                    self.title
                ))
            })?;
            self.result.runs += proved.runs;
            self.result.executions = proved.executions.len() as u64;
            if !self.take(&proved, bound == last)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes what came of one number. Returns whether the next one is to be tried.
    fn take(&mut self, proved: &Proved, is_last: bool) -> Result<bool, Wrong> {
        let title = self.title.clone();
        let bound = proved.bound;
        if let Some(found) = &proved.found {
            self.result.outcome = Outcome::Failed;
            let kept = self.keep(found, bound)?;
            self.result.found = Some(kept);
            return Ok(false);
        }
        if proved.diverged > 0 {
            return Err(Wrong(format!(
                "{title}: {} went otherwise when a part of it was repeated: not everything that matters is reset between two runs, or the file \
                 is of another build",
                of(proved.diverged, "run")
            )));
        }
        if proved.is_complete() {
            self.result.complete_up_to = Some(bound);
            if is_last {
                self.completed(proved);
            }
            return Ok(!is_last);
        }
        self.incomplete(proved);
        Ok(false)
    }

    fn completed(&mut self, proved: &Proved) {
        let title = &self.title;
        let executions = of(proved.executions.len() as u64, "execution");
        let runs = of(proved.runs, "run");
        let bound = switches(proved.bound);
        let cpus = of(self.result.cpus as u64, "CPU");
        let Shard { number, of } = self.job.proof.shard;
        let part = match of {
            1 => String::new(),
            of => format!(" of part {number} of {of}"),
        };
        let line = format!(
            "{title}, {cpus}: complete up to {bound}{part}: {executions} ({runs}), no failure"
        );
        // Whether the whole shows the bug is not known from a part, nor asked of what was proved before.
        let is_judged = self.job.proof.shard == Shard::WHOLE && self.job.expected.is_none();
        match self.result.must_fail && is_judged {
            false => terminal::say(Role::Success, line),
            true => {
                self.result.outcome = Outcome::NotReproduced;
                let what = "but this variant has a bug: it was not reproduced";
                terminal::say(Role::Failure, format!("{line}, {what}"));
                let help = "  help: allow more forced switches (--bound), early clock ticks (--early-ticks) or finer steps (--granularity fine)";
                terminal::say(Role::Plain, help);
            }
        }
        let (_, last) = self.job.bounds;
        let certificate = Certificate::of(&self.job.proof, proved, last);
        if let Some(expected) = &self.job.expected {
            if let Some(difference) = expected.difference(&certificate) {
                self.result.outcome = Outcome::Differs;
                let line = format!("{title}: the certificate is not confirmed: {difference}");
                terminal::say(Role::Failure, line);
                let help = "  help: another build of the program or of the kernel has other executions; if both are the same, report it";
                terminal::say(Role::Plain, help);
            } else {
                terminal::say(
                    Role::Success,
                    format!("{title}: the certificate is confirmed"),
                );
            }
            return;
        }
        let directory = self.args.certificates.as_deref();
        let is_part = self.job.proof.shard != Shard::WHOLE;
        let path = match (&self.job.file, directory) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(directory)) => {
                Some(directory.join(files::name(&self.job.proof, &certificate)))
            }
            (None, None) if is_part => {
                Some(self.out.join(files::name(&self.job.proof, &certificate)))
            }
            (None, None) => None,
        };
        if let Some(path) = path
            && files::write(&path, &certificate)
        {
            if is_part {
                let line = format!("  kept for --merge: {}", for_shell(&path));
                terminal::say(Role::Plain, line);
            }
            self.result.certificate = Some(path.display().to_string());
        }
    }

    fn incomplete(&mut self, proved: &Proved) {
        let title = &self.title;
        let stopped = self.interrupt.is_wanted();
        self.result.outcome = match stopped {
            true => Outcome::Stopped,
            false => Outcome::Incomplete,
        };
        let bound = switches(proved.bound);
        let before = match self.result.complete_up_to {
            Some(bound) => format!("complete up to {}", switches(bound)),
            None => "not complete".to_owned(),
        };
        let runs = of(proved.runs, "run");
        let why = match (&proved.left, stopped) {
            (Some(_), true) => format!("stopped after {runs} with {bound}"),
            (Some(_), false) => format!("the time was over after {runs} with {bound}"),
            (None, _) => format!(
                "with {bound} {} had more than {LONGEST} points and were cut off",
                of(proved.cut, "run")
            ),
        };
        terminal::say(
            Role::Failure,
            format!("{title}: {before}, no failure; {why}"),
        );
        if proved.left.is_some() && self.job.expected.is_none() {
            let (_, last) = self.job.bounds;
            let certificate = Certificate::of(&self.job.proof, proved, last);
            let file = self.job.file.clone();
            let name = || self.out.join(files::name(&self.job.proof, &certificate));
            let path = file.unwrap_or_else(name);
            if files::write(&path, &certificate) {
                let line = format!("  to go on: rumplab prove --resume {}", for_shell(&path));
                terminal::say(Role::Plain, line);
                self.result.certificate = Some(path.display().to_string());
            }
        }
    }

    /// Keeps a failure, and says what it is. It has the fewest forced switches already: nothing is minimized, which could leave the scope.
    fn keep(&self, found: &Found, bound: u32) -> Result<Kept, Wrong> {
        let Proof {
            scenario,
            variant,
            config,
            ..
        } = self.job.proof;
        let races = Races::Stop;
        let caught = found.catch(scenario, variant, config, &races);
        let captured = caught.capture(&LIMITS, Effort::NONE);
        let captured = captured.map_err(|error| Wrong(format!("{}: {error}", self.title)))?;
        let Capture { file, report, .. } = captured;
        let number = self.result.runs;
        let mut told = report.clone();
        told.extend_first(&format!(", found in run {number}"));
        let (first, _) = self.job.bounds;
        let tried = bound
            .checked_sub(1)
            .filter(|_| first == 0 || self.result.complete_up_to.is_some());
        let before = match (tried, bound) {
            (Some(fewer), _) => format!("; with up to {} nothing fails", switches(fewer)),
            (None, 0) => "; this is the default run".to_owned(),
            (None, _) => String::new(),
        };
        told.insert(1, Role::Aside, format!("  (exhaustive search{before})"));
        terminal::print(&told);
        let path = save::save(&file, self.out);
        if let Some(path) = &path {
            say_next_steps(path, "");
        }
        Ok(Kept::new(
            number,
            &found.failure,
            &file,
            path.as_deref(),
            &report,
        ))
    }
}

/// What all of it covers, and what became of it.
fn summary(all: &[Ran], wanted: usize) {
    let complete = |result: &&Ran| result.outcome == Outcome::Complete;
    let count = all.iter().filter(complete).count();
    if wanted > 1 {
        let role = match count == wanted {
            true => Role::Success,
            false => Role::Failure,
        };
        terminal::say(role, format!("\nsummary: {count} of {wanted} complete"));
        for result in all.iter().filter(|result| !complete(result)) {
            let (name, variant) = (result.scenario, result.variant);
            let outcome = match result.outcome {
                Outcome::Failed => "failed",
                Outcome::NotReproduced => "did not show the bug that it has",
                Outcome::Differs => "is not what the certificate says",
                Outcome::Stopped => "stopped",
                Outcome::Broken => "could not be run",
                _ => "not complete",
            };
            terminal::say(Role::Plain, format!("  {name} {variant}: {outcome}"));
        }
    }
    let whole = |result: &&Ran| complete(result) && result.part.is_none();
    if all
        .iter()
        .any(|result| complete(&result) && result.part.is_some())
    {
        let line = "\nA part alone says nothing: put all parts together with --merge.";
        terminal::say(Role::Plain, line);
    }
    let Some(result) = all.iter().find(whole) else {
        return;
    };
    let scope = |result: &Ran| {
        let Ran {
            complete_up_to,
            granularity,
            early_ticks,
            ..
        } = *result;
        (complete_up_to, granularity, early_ticks)
    };
    if !all
        .iter()
        .filter(whole)
        .all(|other| scope(other) == scope(result))
    {
        let line = "\nThe proofs have different scopes: what is complete, and up to which number of forced switches, is in each line.";
        return terminal::say(Role::Plain, line);
    }
    let steps = match result.granularity {
        "fine" => "every access is a step",
        _ => "a step is what the kernel announces, not a single instruction",
    };
    let bound = switches(result.complete_up_to.unwrap_or_default());
    let ticks = result.early_ticks;
    terminal::say(
        Role::Plain,
        format!(
            "\nComplete means: every schedule with at most {bound} from the default was tried, or one that differs from it only in the \
             order of steps that do not depend on each other. Putting an interrupt off counts as a forced switch. Clocks tick only \
             when no CPU can go on{}. Here {steps}, memory is sequentially consistent, and no allocation fails. Nothing is said about \
             schedules with more forced switches.",
            match ticks {
                0 => String::new(),
                ticks => format!(
                    ", and up to {} earlier, each of which counts as well",
                    of(u64::from(ticks), "time")
                ),
            }
        ),
    );
}
