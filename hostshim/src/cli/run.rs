//! `rumplab run`.

use std::path::{Path, PathBuf};

use kmod::config::{Config, Wiring};
use kmod::scenario::Scenario;
use serde::Serialize;

use super::args::{Campaign, RunArgs};
use super::interrupt::Interrupt;
use super::junit::{self, Case};
use super::results::{self, Kept, Outcome, Subject};
use super::targets::{Target, check_cpus, targets};
use super::unmarked::{self, Listed};
use super::{Status, Wrong, progress, save, terminal};
use crate::capture::Capture;
use crate::files::for_shell;
use crate::hunt::{Budget, Found, Hunt, Hunted};
use crate::machine::Never;
use crate::minimize::Effort;
use crate::pcap;
use crate::registry::Registry;
use crate::replay::LIMITS;
use crate::report::{self, Role};
use crate::wire::Frame;

/// Schedules if nobody says how many, nor how long. The help of `--schedules` says so too.
const SCHEDULES: u64 = 100_000;

/// What came of one scenario and variant.
#[derive(Serialize)]
struct Ran {
    #[serde(flatten)]
    subject: Subject,
    /// The scenario and the variant for people.
    #[serde(skip)]
    title: String,
    outcome: Outcome,
    /// Schedules that were run; if one failed, up to that one.
    schedules: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Kept>,
    /// Data races of C code that the runs went on past.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmarked_races: Vec<Listed>,
    /// What happened in none of the schedules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    never: Vec<Never>,
    /// Why it is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Hunts in every scenario and variant that was asked for.
pub(super) fn run(args: &RunArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    run_targets(args, &args.campaign.targets(registry)?)
}

/// Hunts in these, each on a machine that it can have.
pub(super) fn run_targets(args: &RunArgs, targets: &[Target]) -> Result<Status, Wrong> {
    let campaign = &args.campaign;
    let hunts = targets.iter().map(|target| hunt_of(*target, args));
    let hunts = hunts.collect::<Result<Vec<Hunt>, Wrong>>()?;
    let out = save::directory(campaign.out.as_deref())?;
    terminal::leave_to_document(campaign.form);
    let interrupt = Interrupt::listen();
    let mut all = Vec::new();
    for hunt in &hunts {
        all.push(hunt_one(hunt, args, &out, &interrupt));
        if interrupt.is_wanted() {
            break;
        }
    }
    if hunts.len() > 1 {
        summary(&all, hunts.len());
    }
    if let Some(path) = &args.junit {
        junit::write(path, vec![("run", all.iter().map(case).collect())]);
    }
    let has = |outcome| all.iter().any(|ran: &Ran| ran.outcome == outcome);
    let status = if has(Outcome::Broken) {
        Status::Broken
    } else if has(Outcome::Stopped) || all.len() < hunts.len() {
        interrupt.status()
    } else if [
        Outcome::Failed,
        Outcome::NotReproduced,
        Outcome::UnmarkedRaces,
    ]
    .into_iter()
    .any(has)
    {
        Status::Found
    } else {
        Status::Nothing
    };
    Ok(results::print(campaign.form, "run", status, &all))
}

impl Campaign {
    /// What is to be run, each on a machine that it can have.
    pub(super) fn targets(&self, registry: Registry<'_>) -> Result<Vec<Target>, Wrong> {
        let wiring = self.xcall.map(Wiring::from);
        let targets = targets(&self.scenarios, &self.variant, wiring, registry)?;
        for (scenario, _) in &targets {
            check_cpus(scenario, self.cpus)?;
        }
        Ok(targets)
    }

    /// The kernel that was asked for.
    pub(super) fn config(&self, (scenario, variant): Target) -> Config {
        let cpus = self.cpus.unwrap_or(scenario.default_cpus);
        let mut config = scenario.config(Config::small(cpus), variant);
        config.xcall = self.xcall.map_or(config.xcall, Wiring::from);
        for bug in &self.history {
            config.history = config.history.with(*bug);
        }
        config
    }
}

fn hunt_of(target: Target, args: &RunArgs) -> Result<Hunt, Wrong> {
    let campaign = &args.campaign;
    let (scenario, variant) = target;
    let mut config = campaign.config(target);
    config.net_mpsafe = args.net_mpsafe.unwrap_or(config.net_mpsafe);
    Ok(Hunt {
        scenario,
        variant,
        config,
        frames: frames(scenario, &config, args)?,
        plan: campaign.strategy,
        granularity: args.steps.granularity(),
        allocations: args.supply.allocations(),
        memory: args.model.memory(),
        seed: campaign.seed,
        budget: match args.seconds {
            Some(time) => Budget::Time(time),
            None => Budget::Schedules(args.schedules.unwrap_or(SCHEDULES)),
        },
        jobs: campaign.jobs,
        limits: LIMITS,
        races: args.races.into(),
    })
}

fn hunt_one(hunt: &Hunt, args: &RunArgs, out: &Path, interrupt: &Interrupt) -> Ran {
    let title = report::title(hunt.scenario, hunt.variant);
    let target = (hunt.scenario, hunt.variant);
    let ran = |outcome, schedules, found, error| Ran {
        subject: Subject::new(target, &hunt.config, hunt.plan, hunt.seed),
        title: title.clone(),
        outcome,
        schedules,
        found,
        unmarked_races: Vec::new(),
        never: Vec::new(),
        error,
    };
    let broken = |why: String| {
        terminal::complain(&why);
        ran(Outcome::Broken, 0, None, Some(why))
    };
    let hunted = match progress::hunt(hunt, &title, interrupt) {
        Ok(hunted) => hunted,
        Err(failure) => return broken(format!("{title}: the kernel does not boot: {failure}")),
    };
    let Hunted {
        found,
        races,
        schedules,
        interrupted,
        census,
    } = hunted;
    if let Some(found) = found {
        let number = found.run + 1;
        let ran = match keep(hunt, &found, args, out) {
            Ok(kept) => ran(Outcome::Failed, number, Some(kept), None),
            Err(Wrong(why)) => broken(format!("{title}: {why}")),
        };
        return Ran {
            unmarked_races: unmarked::list(hunt, &races, args, out),
            ..ran
        };
    }
    let outcome = match (interrupted, hunt.variant.fails) {
        (true, _) => Outcome::Stopped,
        (false, true) => Outcome::NotReproduced,
        (false, false) if !races.is_empty() => Outcome::UnmarkedRaces,
        (false, false) => Outcome::Held,
    };
    let how = how(hunt);
    match outcome {
        Outcome::Stopped => terminal::say(
            Role::Plain,
            format!("{title}: stopped after {schedules} schedules {how}, nothing found so far"),
        ),
        Outcome::NotReproduced => {
            let line = format!(
                "{title}: nothing found in {schedules} schedules {how}, but this variant has a bug: it was not reproduced"
            );
            terminal::say(Role::Failure, line);
            terminal::say(Role::Plain, format!("  help: {}", advice(args)));
        }
        Outcome::UnmarkedRaces => terminal::say(
            Role::Plain,
            format!("{title}: nothing found but unmarked races in {schedules} schedules {how}"),
        ),
        _ => terminal::say(
            Role::Success,
            format!("{title}: nothing found in {schedules} schedules {how}"),
        ),
    }
    for line in census.lines(schedules) {
        terminal::say(Role::Plain, line);
    }
    Ran {
        unmarked_races: unmarked::list(hunt, &races, args, out),
        never: census.never(),
        ..ran(outcome, schedules, None, None)
    }
}

/// What may show a bug that did not show itself.
fn advice(args: &RunArgs) -> &'static str {
    let Campaign { cpus, xcall, .. } = &args.campaign;
    match cpus.is_some() || xcall.is_some() || args.net_mpsafe.is_some() {
        true => "try more schedules, or leave --cpus, --xcall and --net-mpsafe to the scenario",
        false => "try more schedules, another seed, or another strategy",
    }
}

fn how(hunt: &Hunt) -> String {
    format!("({}, seed {})", hunt.plan, hunt.seed)
}

/// The frames that come from outside.
fn frames(scenario: &Scenario, config: &Config, args: &RunArgs) -> Result<Vec<Frame>, Wrong> {
    let Some(path) = &args.frames else {
        return Ok(Vec::new());
    };
    let name = scenario.name;
    // What each of them asks and answers is checked against the other: a frame from outside could pretend to be either.
    if config.kernels > 1 {
        return Err(Wrong(format!(
            "{name} has a wire between its own kernels, on which no frames come from outside\n  help: leave --frames away"
        )));
    }
    if config.nics == 0 {
        return Err(Wrong(format!(
            "{name} has no network cards to receive frames\n  help: leave --frames away"
        )));
    }
    pcap::read(path, 0).map_err(Wrong)
}

/// Minimizes a failure, prints its report, and writes its file.
fn keep(hunt: &Hunt, found: &Found, args: &RunArgs, out: &Path) -> Result<Kept, Wrong> {
    let effort = match args.as_found {
        true => Effort::NONE,
        false => Effort::default(),
    };
    let captured = hunt.catch(found).capture(&LIMITS, effort);
    let captured = captured.map_err(|error| Wrong(error.to_string()))?;
    let Capture {
        file,
        report,
        found: before,
        ..
    } = captured;
    let number = found.run + 1;
    let minimized = match args.as_found {
        true => String::new(),
        false => format!(", minimized to {}", report::size(&file)),
    };
    let mut told = report.clone();
    told.extend_first(&format!(", found in schedule {number}"));
    told.insert(
        1,
        Role::Aside,
        format!(
            "  ({}; found with {before}{minimized})",
            how(hunt).trim_matches(['(', ')'])
        ),
    );
    terminal::print(&told);
    let path = save::save(&file, out);
    if let Some(path) = &path {
        say_next_steps(path, &args.sources);
    }
    let failure = &found.failure;
    Ok(Kept::new(number, failure, &file, path.as_deref(), &report))
}

/// What to do with a replay file, for which a command also needs these `sources`: the shortest account first.
pub(super) fn say_next_steps(file: &Path, sources: &str) {
    let page = for_shell(&file.with_extension("html"));
    let file = format!("{}{sources}", for_shell(file));
    terminal::say(
        Role::Plain,
        format!(
            "\nsee why:      rumplab explain {file}\nas a page:    rumplab explain {file} --html --out {page}\n\
             every access: rumplab replay {file}"
        ),
    );
}

/// What came of all of them.
fn summary(all: &[Ran], wanted: usize) {
    let count = |outcome| all.iter().filter(|ran| ran.outcome == outcome).count();
    let mut line = format!("summary: {} of {wanted} run", all.len());
    for (outcome, what) in [
        (Outcome::Held, "held"),
        (Outcome::Failed, "failed"),
        (Outcome::UnmarkedRaces, "had unmarked races only"),
        (
            Outcome::NotReproduced,
            "did not show the bug that they have",
        ),
        (Outcome::Stopped, "stopped"),
        (Outcome::Broken, "could not be run"),
    ] {
        if count(outcome) > 0 {
            line += &format!(", {} {what}", count(outcome));
        }
    }
    let all_held = count(Outcome::Held) == wanted;
    let role = if all_held {
        Role::Success
    } else {
        Role::Failure
    };
    terminal::say(role, format!("\n{line}"));
    for ran in all.iter().filter(|ran| ran.outcome != Outcome::Held) {
        terminal::say(Role::Plain, format!("  {}: {}", ran.title, ran.line()));
    }
}

impl Ran {
    /// What came of it, in a line.
    fn line(&self) -> String {
        let schedules = self.schedules;
        match (self.outcome, &self.found, &self.error) {
            (Outcome::Failed, Some(kept), _) => {
                let rule = &kept.failure.rule;
                let next = kept
                    .replay
                    .as_ref()
                    .map(|path| format!(": rumplab explain {}", for_shell(&PathBuf::from(path))));
                format!("{rule} in schedule {schedules}{}", next.unwrap_or_default())
            }
            (Outcome::Broken, _, Some(why)) => why.lines().next().unwrap_or_default().to_owned(),
            (Outcome::NotReproduced, ..) => {
                format!("this variant has a bug, and {schedules} schedules did not reproduce it")
            }
            (Outcome::Stopped, ..) => format!("stopped after {schedules} schedules"),
            _ => format!("nothing found in {schedules} schedules"),
        }
    }
}

fn case(ran: &Ran) -> Case {
    let Subject {
        scenario, variant, ..
    } = ran.subject;
    Case {
        scenario,
        variant,
        outcome: ran.outcome,
        is_right: ran.outcome == Outcome::Held,
        message: ran.line(),
        details: ran
            .found
            .as_ref()
            .map(|kept| kept.report.clone())
            .unwrap_or_default(),
    }
}
