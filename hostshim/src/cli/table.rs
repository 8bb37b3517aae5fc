//! `rumplab hunt`: every scenario in every variant, on the simulated machine and, if asked, on the booted one.
//!
//! The table says, for each variant, what was found or over how much it held. It is as it should be if every
//! historical variant fails and every fixed one holds, in both worlds.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use hostshim::capture::Capture;
use hostshim::hunt::{Budget, Hunt, Hunted, Plan};
use hostshim::minimize::Effort;
use hostshim::replay::LIMITS;
use hostshim::report::Role;
use kmod::config::{Config, Wiring};
use kmod::scenario::{self, Kind, Scenario, Variant};

use super::args::HuntArgs;
use super::interrupt::Interrupt;
use super::run::for_shell;
use super::{Status, Wrong, progress, save, terminal};

/// What came of one variant in one world.
enum Cell {
    /// It failed.
    Found(String),
    /// It held.
    Held(String),
    /// Nobody tried.
    Skipped,
    /// It ended in a way that says nothing about the variant.
    Broken(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Found(text) | Cell::Held(text) => f.pad(text),
            Cell::Skipped => f.pad("-"),
            Cell::Broken(text) => f.pad(text),
        }
    }
}

impl Cell {
    /// Whether this is what the variant must come to.
    fn as_it_should(&self, variant: &Variant) -> bool {
        match self {
            Cell::Found(_) => variant.fails,
            Cell::Held(_) => !variant.fails,
            Cell::Skipped => true,
            Cell::Broken(_) => false,
        }
    }
}

/// A row of the table.
struct Row {
    scenario: &'static Scenario,
    variant: &'static Variant,
    simulated: Cell,
    booted: Cell,
}

impl Row {
    fn as_it_should(&self) -> bool {
        self.simulated.as_it_should(self.variant) && self.booted.as_it_should(self.variant)
    }
}

/// Hunts everything and prints the table.
pub(super) fn hunt(args: &HuntArgs) -> Result<Status, Wrong> {
    save::prepare(&args.out)?;
    let interrupt = Interrupt::listen();
    let mut rows = Vec::new();
    for scenario in scenario::ALL.iter().filter(|s| s.kind == Kind::Sound) {
        for variant in scenario.variants {
            let Some(simulated) = simulate(scenario, variant, args, &interrupt)? else {
                return Ok(Status::Interrupted);
            };
            // A program comes from a fuzzer or a file: there is none to boot.
            let wanted = args
                .boot
                .as_deref()
                .filter(|_| scenario.name != scenario::ops::SCENARIO.name);
            let booted = match wanted {
                Some(script) => boot(script, scenario, variant, args)?,
                None => Cell::Skipped,
            };
            // Ctrl-C reaches the boot, too.
            if interrupt.is_wanted() {
                return Ok(Status::Interrupted);
            }
            rows.push(Row {
                scenario,
                variant,
                simulated,
                booted,
            });
        }
    }
    print(&rows);
    if rows.iter().all(Row::as_it_should) {
        Ok(Status::Nothing)
    } else {
        Ok(Status::Found)
    }
}

fn print(rows: &[Row]) {
    terminal::say(Role::Plain, String::new());
    let head = format!(
        "{:20} {:12} {:48} {}",
        "scenario", "variant", "simulated", "booted on 4 CPUs"
    );
    terminal::say(Role::Heading, head.trim_end());
    for row in rows {
        let Row {
            scenario,
            variant,
            simulated,
            booted,
        } = row;
        let line = format!(
            "{:20} {:12} {simulated:48} {booted}",
            scenario.name, variant.name
        );
        let role = if row.as_it_should() {
            Role::Plain
        } else {
            Role::Failure
        };
        terminal::say(role, line.trim_end());
    }
    let wrong = rows.iter().filter(|row| !row.as_it_should()).count();
    if wrong == 0 {
        terminal::say(
            Role::Success,
            "every historical variant fails, every fixed one holds",
        );
    } else {
        terminal::say(
            Role::Failure,
            format!("{wrong} of {} are not as they should be", rows.len()),
        );
    }
}

/// Runs a variant on the simulated machine, in both wirings if it is a fixed one. `None` if it was stopped.
fn simulate(
    scenario: &'static Scenario,
    variant: &'static Variant,
    args: &HuntArgs,
    interrupt: &Interrupt,
) -> Result<Option<Cell>, Wrong> {
    let usual = scenario.config(Config::small(scenario.default_cpus), variant);
    // To fail once is enough.
    let enough = if variant.fails { 1 } else { Wiring::ALL.len() };
    let mut schedules = 0;
    for &xcall in variant.wirings().iter().take(enough) {
        let config = Config { xcall, ..usual };
        let hunt = Hunt {
            scenario,
            variant,
            config,
            plan: Plan::Portfolio,
            seed: args.seed,
            budget: Budget::Schedules(args.schedules),
            jobs: args.jobs.into(),
            limits: LIMITS,
        };
        let title = format!("{} {}, xcall {}", scenario.name, variant.name, xcall.name());
        let hunted = progress::hunt(&hunt, &title, interrupt)
            .map_err(|failure| Wrong(format!("{title}: the kernel does not boot: {failure}")))?;
        if hunted.interrupted {
            return Ok(None);
        }
        schedules += hunted.schedules;
        if hunted.found.is_some() {
            return keep(&hunt, &hunted, args).map(Some);
        }
    }
    Ok(Some(Cell::Held(format!("held over {schedules} schedules"))))
}

/// Minimizes a failure and keeps its file.
fn keep(hunt: &Hunt, hunted: &Hunted, args: &HuntArgs) -> Result<Cell, Wrong> {
    let Some(found) = &hunted.found else {
        return Ok(Cell::Skipped);
    };
    let captured = hunt.catch(found).capture(&LIMITS, Effort::default());
    let Capture { file, report, .. } = captured.map_err(|error| Wrong(error.to_string()))?;
    let path = save::save(&file, &args.out)?;
    let number = found.run + 1;
    if !hunt.variant.fails {
        terminal::print(&report);
    }
    terminal::say(
        Role::Plain,
        format!(
            "{} {}: {} after {number} schedules; rumplab explain {}",
            hunt.scenario.name,
            hunt.variant.name,
            found.failure.rule,
            for_shell(&path)
        ),
    );
    Ok(Cell::Found(format!(
        "{} after {number} schedules",
        found.failure.rule
    )))
}

/// Boots a variant, and reads the line of the test in what it says.
fn boot(
    script: &Path,
    scenario: &'static Scenario,
    variant: &'static Variant,
    args: &HuntArgs,
) -> Result<Cell, Wrong> {
    let seconds = match variant.fails {
        true => 60,
        false => args.boot_seconds,
    };
    terminal::remark(format!(
        "booting {} {} for {seconds} s at most",
        scenario.name, variant.name
    ));
    let output = Command::new(script)
        .args([
            "--cpus",
            "4",
            "--scenario",
            scenario.name,
            "--variant",
            variant.name,
        ])
        .args(["--seconds", &seconds.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            Wrong(format!(
                "--boot {}: {error}\n  help: give the path of scripts/boot",
                script.display()
            ))
        })?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = |start: &str| {
        said.lines()
            .find(|line| line.starts_with(start))
            .map(str::to_owned)
    };
    let comment = |line: String| {
        line.split_once("# ")
            .map_or(String::new(), |(_, text)| text.to_owned())
    };
    let rule = || {
        let rule = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("rule: "));
        rule.unwrap_or("failed").to_owned()
    };
    Ok(
        match (output.status.code(), line("ok 1"), line("not ok 1")) {
            (Some(0), Some(ok), _) => Cell::Held(format!("held: {}", comment(ok))),
            (Some(1), _, Some(not_ok)) => Cell::Found(format!("{} {}", rule(), comment(not_ok))),
            (status, _, _) => {
                terminal::complain(&said);
                Cell::Broken(format!("the boot ended with status {status:?}"))
            }
        },
    )
}
