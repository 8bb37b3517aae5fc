//! `rumplab hunt`: every scenario in every variant, on the simulated machine and, if asked, on the booted one.
//!
//! A row is as expected if a variant that has a bug failed and every other one held, on both machines. A bug that was
//! not reproduced is not a variant that holds.

use std::path::Path;

use kmod::config::Wiring;
use kmod::scenario::{Scenario, Variant};
use serde::Serialize;

use super::args::{FileArgs, HuntArgs};
use super::explain::Replayed;
use super::interrupt::Interrupt;
use super::junit::{self, Case};
use super::results::{self, Kept, Outcome};
use super::targets::{Target, targets};
use super::{Status, Wrong, boots, progress, save, table, terminal};
use crate::capture::Capture;
use crate::files::for_shell;
use crate::hunt::{Budget, Found, Hunt};
use crate::minimize::Effort;
use crate::registry::Registry;
use crate::replay::LIMITS;
use crate::report::Role;

/// What came of one variant on one machine.
#[derive(Serialize)]
pub(super) struct World {
    pub(super) outcome: Outcome,
    /// It in a few words.
    pub(super) text: String,
    /// Who waits for whom, if it is a cycle.
    pub(super) cycle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Kept>,
    /// The path of a page about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) page: Option<String>,
}

impl World {
    /// Nobody tried.
    pub(super) fn skipped() -> World {
        World::new(Outcome::Skipped, "-")
    }

    pub(super) fn new(outcome: Outcome, text: impl Into<String>) -> World {
        World {
            outcome,
            text: text.into(),
            cycle: None,
            found: None,
            page: None,
        }
    }

    /// It failed, and said this.
    pub(super) fn failed(text: impl Into<String>, said: &str) -> World {
        let cycle = |line: &str| line.trim().strip_prefix("cycle: ").map(str::to_owned);
        World {
            cycle: said.lines().find_map(cycle),
            ..World::new(Outcome::Failed, text)
        }
    }

    /// Nothing was found, over so much.
    pub(super) fn quiet(variant: &Variant, held: String, not_reproduced: String) -> World {
        match variant.fails {
            true => World::new(Outcome::NotReproduced, not_reproduced),
            false => World::new(Outcome::Held, held),
        }
    }

    /// Whether this is what must come of the variant.
    pub(super) fn is_right(&self, variant: &Variant) -> bool {
        match self.outcome {
            Outcome::Failed => variant.fails,
            Outcome::Held => !variant.fails,
            Outcome::Skipped | Outcome::Stopped => true,
            Outcome::NotReproduced | Outcome::UnmarkedRaces | Outcome::Broken => false,
        }
    }
}

/// A row of the table.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(rename = "scenario", serialize_with = "name_of_scenario")]
    pub(super) scenario: &'static Scenario,
    #[serde(rename = "variant", serialize_with = "name_of_variant")]
    pub(super) variant: &'static Variant,
    pub(super) must_fail: bool,
    pub(super) simulated: World,
    pub(super) booted: World,
}

fn name_of_scenario<S: serde::Serializer>(scenario: &Scenario, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(scenario.name)
}

fn name_of_variant<S: serde::Serializer>(variant: &Variant, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(variant.name)
}

impl Row {
    /// Both machines, by their names.
    pub(super) fn worlds(&self) -> [(&'static str, &World); 2] {
        [("simulated", &self.simulated), ("booted", &self.booted)]
    }

    pub(super) fn is_right(&self) -> bool {
        let mut worlds = self.worlds().into_iter();
        worlds.all(|(_, world)| world.is_right(self.variant))
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.scenario.name, self.variant.name)
    }
}

/// Hunts everything and prints the table.
pub(super) fn hunt(args: &HuntArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    if let Some(script) = &args.boot {
        boots::check(script)?;
    }
    let every = every(&args.scenarios, registry)?;
    let out = save::directory(args.out.as_deref())?;
    terminal::leave_to_document(args.form);
    let interrupt = Interrupt::listen();
    let mut rows = Vec::new();
    for &(scenario, variant) in &every {
        let simulated = simulate(scenario, variant, args, &out, &interrupt);
        if interrupt.is_wanted() && simulated.outcome == Outcome::Stopped {
            break;
        }
        rows.push(Row {
            scenario,
            variant,
            must_fail: variant.fails,
            simulated,
            booted: World::skipped(),
        });
    }
    if let Some(script) = &args.boot
        && !interrupt.is_wanted()
    {
        boots::boot_all(script, &mut rows, args, &interrupt);
    }
    table::print(&rows, every.len(), &out, interrupt.is_wanted());
    if let Some(path) = &args.junit {
        let suite = |name| (name, rows.iter().map(|row| case(row, name)).collect());
        let booted = args.boot.as_ref().map(|_| suite("booted"));
        let suites = [Some(suite("simulated")), booted];
        junit::write(path, suites.into_iter().flatten().collect());
    }
    let status = match rows.iter().all(Row::is_right) {
        _ if interrupt.is_wanted() => interrupt.status(),
        true => Status::Nothing,
        false => Status::Found,
    };
    Ok(results::print(args.form, "hunt", status, &rows))
}

/// Every variant of the scenarios that are named, or of all.
fn every(words: &[String], registry: Registry<'_>) -> Result<Vec<Target>, Wrong> {
    let all = ["all".to_owned()];
    let words = if words.is_empty() { &all } else { words };
    let targets = targets(words, "all", None, registry)?;
    match targets.iter().find(|(s, _)| !s.kind.must_hold()) {
        None => Ok(targets),
        Some((scenario, _)) => Err(Wrong(format!(
            "{0} fails on purpose: there is nothing that it must hold\n  help: rumplab run {0}",
            scenario.name
        ))),
    }
}

fn case(row: &Row, machine: &str) -> Case {
    let world = match machine {
        "booted" => &row.booted,
        _ => &row.simulated,
    };
    Case {
        scenario: row.scenario.name,
        variant: row.variant.name,
        outcome: world.outcome,
        is_right: world.is_right(row.variant),
        message: world.text.clone(),
        details: world
            .found
            .as_ref()
            .map(|kept| kept.report.clone())
            .unwrap_or_default(),
    }
}

/// Steps that are made for a variant and a wiring, at most: of schedules that are longer than most there are fewer.
const STEPS: u64 = 100_000_000;

/// Runs a variant on the simulated machine, in both wirings if it must hold.
fn simulate(
    scenario: &'static Scenario,
    variant: &'static Variant,
    args: &HuntArgs,
    out: &Path,
    interrupt: &Interrupt,
) -> World {
    let usual = Hunt {
        seed: args.seed,
        jobs: args.jobs,
        ..Hunt::new(scenario, variant, Budget::Schedules(args.schedules))
    };
    // To fail once is enough.
    let enough = if variant.fails { 1 } else { Wiring::ALL.len() };
    let mut schedules = 0;
    for &xcall in variant.wirings().iter().take(enough) {
        let mut hunt = usual.clone();
        hunt.config.xcall = xcall;
        let title = format!("{} {}, xcall {}", scenario.name, variant.name, xcall.name());
        let broken = |why: String| {
            terminal::complain(format!("{title}: {why}"));
            World::new(Outcome::Broken, why.lines().next().unwrap_or_default())
        };
        let hunt = match variant.fails {
            true => Ok(hunt),
            false => hunt.within(STEPS),
        };
        let hunted = hunt.and_then(|hunt| {
            let hunted = progress::hunt(&hunt, &title, interrupt)?;
            Ok((hunt, hunted))
        });
        let (hunt, hunted) = match hunted {
            Ok(hunted) => hunted,
            Err(failure) => return broken(format!("the kernel does not boot: {failure}")),
        };
        if let Some(found) = &hunted.found {
            return keep(&hunt, found, out).unwrap_or_else(|Wrong(why)| broken(why));
        }
        if hunted.interrupted {
            return World::new(Outcome::Stopped, "stopped");
        }
        schedules += hunted.schedules;
    }
    World::quiet(
        variant,
        format!("held over {schedules} schedules"),
        format!("not reproduced in {schedules} schedules"),
    )
}

/// Minimizes a failure, and keeps its file and a page about it.
fn keep(hunt: &Hunt, found: &Found, out: &Path) -> Result<World, Wrong> {
    let captured = hunt.catch(found).capture(&LIMITS, Effort::default());
    let Capture { file, report, .. } = captured.map_err(|error| Wrong(error.to_string()))?;
    let number = found.run + 1;
    let what = format!("{} after {number} schedules", found.failure.rule);
    if !hunt.variant.fails {
        terminal::print(&report);
    }
    let path = save::save(&file, out);
    let page = path.as_deref().map(|path| write_page(path, hunt.scenario));
    let page = page.transpose()?.flatten();
    let title = format!("{} {}", hunt.scenario.name, hunt.variant.name);
    let next = match (&path, &page) {
        (Some(path), None) => format!("; rumplab explain {}", for_shell(path)),
        (Some(path), Some(page)) => format!(
            "; rumplab explain {}, or look at {}",
            for_shell(path),
            for_shell(Path::new(page))
        ),
        (None, _) => String::new(),
    };
    terminal::say(Role::Plain, format!("{title}: {what}{next}"));
    let kept = Kept::new(number, &found.failure, &file, path.as_deref(), &report);
    Ok(World {
        found: Some(kept),
        page,
        ..World::failed(what, &found.failure.message)
    })
}

/// Writes a page about a replay file beside it; gives its path if it could be written.
fn write_page(path: &Path, scenario: &'static Scenario) -> Result<Option<String>, Wrong> {
    let page = path.with_extension("html");
    let replayed = Replayed::new(&FileArgs::of(path), Registry::of(&[scenario]))?;
    let written = save::write(&page, replayed.page().as_bytes(), "--out");
    Ok(written.then(|| page.display().to_string()))
}
