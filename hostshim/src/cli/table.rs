//! `rumplab hunt`: every scenario in every variant, on the simulated machine and, if asked, on the booted one.
//!
//! The table says, for each variant, what was found or over how much it held. It is as it should be if every
//! variant that must fail fails and every other one holds, in both worlds. Where somebody waits in a cycle, the cycle
//! is told for each world.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use hostshim::Failure;
use hostshim::capture::Capture;
use hostshim::hunt::{Budget, Hunt, Hunted};
use hostshim::minimize::Effort;
use hostshim::replay::LIMITS;
use hostshim::report::Role;
use kmod::config::{Config, Wiring};
use kmod::scenario::ops::Language;
use kmod::scenario::{self, Kind, Scenario, Variant};

use super::args::{FileArgs, HuntArgs};
use super::explain::Replayed;
use super::interrupt::Interrupt;
use super::run::for_shell;
use super::{Status, Wrong, progress, save, terminal};

/// Machines that are booted at once, at most: each has 4 CPUs.
const BOOTS_AT_ONCE: usize = 2;

/// What came of one variant in one world.
enum Outcome {
    /// It failed; if somebody waited in a cycle, with that.
    Found { what: String, cycle: Option<String> },
    /// It held.
    Held(String),
    /// Nobody tried.
    Skipped,
    /// It ended in a way that says nothing about the variant.
    Broken(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Found { what: text, .. } | Outcome::Held(text) | Outcome::Broken(text) => {
                f.pad(text)
            }
            Outcome::Skipped => f.pad("-"),
        }
    }
}

impl Outcome {
    /// Whether this is what the variant must come to.
    fn as_it_should(&self, variant: &Variant) -> bool {
        match self {
            Outcome::Found { .. } => variant.fails,
            Outcome::Held(_) => !variant.fails,
            Outcome::Skipped => true,
            Outcome::Broken(_) => false,
        }
    }

    fn cycle(&self) -> Option<&str> {
        match self {
            Outcome::Found { cycle, .. } => cycle.as_deref(),
            _ => None,
        }
    }
}

/// The first cycle that a report of who waits for whom tells.
fn cycle_in(text: &str) -> Option<String> {
    let cycle = |line: &str| line.trim().strip_prefix("cycle: ").map(str::to_owned);
    text.lines().find_map(cycle)
}

/// A row of the table.
struct Row {
    scenario: &'static Scenario,
    variant: &'static Variant,
    simulated: Outcome,
    booted: Outcome,
}

impl Row {
    fn as_it_should(&self) -> bool {
        self.simulated.as_it_should(self.variant) && self.booted.as_it_should(self.variant)
    }

    fn has_page(&self) -> bool {
        matches!(self.simulated, Outcome::Found { .. })
    }

    fn name(&self) -> String {
        format!("{} {}", self.scenario.name, self.variant.name)
    }
}

/// Hunts everything and prints the table.
pub(super) fn hunt(args: &HuntArgs) -> Result<Status, Wrong> {
    save::prepare(&args.out)?;
    let interrupt = Interrupt::listen();
    let mut rows = Vec::new();
    for scenario in scenario::ALL.iter().filter(|s| s.kind.must_hold()) {
        for variant in scenario.variants {
            let Some(simulated) = simulate(scenario, variant, args, &interrupt)? else {
                return Ok(Status::Interrupted);
            };
            rows.push(Row {
                scenario,
                variant,
                simulated,
                booted: Outcome::Skipped,
            });
        }
    }
    if let Some(script) = &args.boot {
        boot_all(script, &mut rows, args, &interrupt)?;
        // Ctrl-C reaches the boots, too.
        if interrupt.is_wanted() {
            return Ok(Status::Interrupted);
        }
    }
    print(&rows, &args.out);
    if rows.iter().all(Row::as_it_should) {
        Ok(Status::Nothing)
    } else {
        Ok(Status::Found)
    }
}

/// The width of a column.
fn width<'a>(head: &str, cells: impl Iterator<Item = &'a dyn fmt::Display>) -> usize {
    let cells = cells.map(|cell| cell.to_string().chars().count());
    cells.fold(head.len(), usize::max)
}

fn print(rows: &[Row], out: &Path) {
    terminal::say(Role::Plain, String::new());
    let heads = ["scenario", "variant", "simulated"];
    let scenarios = width(heads[0], rows.iter().map(|row| &row.scenario.name as _));
    let variants = width(heads[1], rows.iter().map(|row| &row.variant.name as _));
    let simulated = width(heads[2], rows.iter().map(|row| &row.simulated as _));
    let [head0, head1, head2] = heads;
    terminal::say(
        Role::Heading,
        format!("{head0:scenarios$}  {head1:variants$}  {head2:simulated$}  booted on 4 CPUs"),
    );
    for row in rows {
        let line = format!(
            "{:scenarios$}  {:variants$}  {:simulated$}  {}",
            row.scenario.name, row.variant.name, row.simulated, row.booted
        );
        let role = match row.as_it_should() {
            true => Role::Plain,
            false => Role::Failure,
        };
        terminal::say(role, line.trim_end());
    }
    rows.iter().for_each(print_cycles);
    if rows.iter().any(Row::has_page) {
        let line = format!("a page for each failure: {}/*.html", for_shell(out));
        terminal::say(Role::Plain, line);
    }
    let wrong = rows.iter().filter(|row| !row.as_it_should()).count();
    if wrong == 0 {
        let line = "every variant that must fail fails, every other one holds";
        terminal::say(Role::Success, line);
    } else {
        let line = format!("{wrong} of {} are not as they should be", rows.len());
        terminal::say(Role::Failure, line);
    }
}

/// The cycles of a row, once if both worlds have the same.
fn print_cycles(row: &Row) {
    let say = |world: &str, cycle: &str| {
        terminal::say(Role::Plain, format!("{}, {world}: {cycle}", row.name()));
    };
    match (row.simulated.cycle(), row.booted.cycle()) {
        (Some(one), Some(other)) if one == other => say("both worlds", one),
        (simulated, booted) => {
            simulated
                .into_iter()
                .for_each(|cycle| say("simulated", cycle));
            booted.into_iter().for_each(|cycle| say("booted", cycle));
        }
    }
}

/// Steps that are made for a variant and a wiring, at most: of schedules that are longer than most there are fewer.
const STEPS: u64 = 100_000_000;

/// Runs a variant on the simulated machine, in both wirings if it is a fixed one. `None` if it was stopped.
fn simulate(
    scenario: &'static Scenario,
    variant: &'static Variant,
    args: &HuntArgs,
    interrupt: &Interrupt,
) -> Result<Option<Outcome>, Wrong> {
    let usual = Hunt {
        seed: args.seed,
        jobs: args.jobs.into(),
        ..Hunt::new(scenario, variant, Budget::Schedules(args.schedules))
    };
    // To fail once is enough.
    let enough = if variant.fails { 1 } else { Wiring::ALL.len() };
    let mut schedules = 0;
    for &xcall in variant.wirings().iter().take(enough) {
        let mut hunt = usual.clone();
        hunt.config.xcall = xcall;
        let title = format!("{} {}, xcall {}", scenario.name, variant.name, xcall.name());
        let hunt = match variant.fails {
            true => hunt,
            false => hunt
                .within(STEPS)
                .map_err(|failure| no_boot(&title, &failure))?,
        };
        let hunted = progress::hunt(&hunt, &title, interrupt)
            .map_err(|failure| no_boot(&title, &failure))?;
        if hunted.interrupted {
            return Ok(None);
        }
        schedules += hunted.schedules;
        if hunted.found.is_some() {
            return keep(&hunt, &hunted, args).map(Some);
        }
    }
    Ok(Some(Outcome::Held(format!(
        "held over {schedules} schedules"
    ))))
}

fn no_boot(title: &str, failure: &Failure) -> Wrong {
    Wrong(format!("{title}: the kernel does not boot: {failure}"))
}

/// Minimizes a failure, and keeps its file and a page about it.
fn keep(hunt: &Hunt, hunted: &Hunted, args: &HuntArgs) -> Result<Outcome, Wrong> {
    let Some(found) = &hunted.found else {
        return Ok(Outcome::Skipped);
    };
    let captured = hunt.catch(found).capture(&LIMITS, Effort::default());
    let Capture { file, report, .. } = captured.map_err(|error| Wrong(error.to_string()))?;
    let path = save::save(&file, &args.out)?;
    let page = path.with_extension("html");
    let replayed = Replayed::new(&FileArgs::of(&path))?;
    save::write(&page, replayed.page().as_bytes())?;
    let number = found.run + 1;
    if !hunt.variant.fails {
        terminal::print(&report);
    }
    terminal::say(
        Role::Plain,
        format!(
            "{} {}: {} after {number} schedules; rumplab explain {}, or look at {}",
            hunt.scenario.name,
            hunt.variant.name,
            found.failure.rule,
            for_shell(&path),
            for_shell(&page)
        ),
    );
    Ok(Outcome::Found {
        what: format!("{} after {number} schedules", found.failure.rule),
        cycle: cycle_in(&found.failure.message),
    })
}

/// Boots every variant of every scenario that can be booted, a few at once.
fn boot_all(
    script: &Path,
    rows: &mut [Row],
    args: &HuntArgs,
    interrupt: &Interrupt,
) -> Result<(), Wrong> {
    // A program comes from a fuzzer or a file, and a wire is part of the simulated machine: there is none to boot.
    // Programs of other kernels are booted by hand.
    let bootable = |row: &&mut Row| {
        let has_program = Language::of(row.scenario).is_some();
        let config = row.scenario.config(Config::small(1), row.variant);
        !has_program && config.nics == 0 && row.scenario.kind == Kind::Sound
    };
    let queue = Mutex::new(rows.iter_mut().filter(bootable));
    let next = || match interrupt.is_wanted() {
        true => None,
        // A boot that panics takes the hunt with it.
        false => queue.lock().ok()?.next(),
    };
    let worker = || {
        while let Some(row) = next() {
            row.booted = boot(script, row.scenario, row.variant, args)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers = usize::from(args.jobs).min(BOOTS_AT_ONCE);
        let workers = Vec::from_iter((0..workers).map(|_| scope.spawn(worker)));
        workers.into_iter().try_for_each(|worker| {
            let result = worker.join();
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })
}

/// How long a variant is booted, in seconds, if nothing is found: the code of a documented bug for as long as was asked
/// for, other scenarios a sixth of it.
fn boot_seconds(scenario: &Scenario, variant: &Variant, args: &HuntArgs) -> u64 {
    match (variant.fails, scenario.variants.iter().any(|v| v.fails)) {
        (true, _) => 60,
        (false, true) => args.boot_seconds,
        (false, false) => args.boot_seconds.div_ceil(6),
    }
}

/// Boots a variant, and reads the line of the test in what it says.
fn boot(
    script: &Path,
    scenario: &'static Scenario,
    variant: &'static Variant,
    args: &HuntArgs,
) -> Result<Outcome, Wrong> {
    let seconds = boot_seconds(scenario, variant, args);
    terminal::remark(format!(
        "booting {} {} for {seconds} s at most",
        scenario.name, variant.name
    ));
    let output = Command::new(script)
        .args(["--cpus", "4", "--scenario", scenario.name])
        .args(["--variant", variant.name, "--seconds", &seconds.to_string()])
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
    let after = |start: &str| {
        let line = said.lines().find(|line| line.starts_with(start))?;
        let (_, comment) = line.split_once("# ").unwrap_or_default();
        Some(comment.to_owned())
    };
    let field = |key: &str| said.lines().find_map(|line| line.trim().strip_prefix(key));
    Ok(
        match (output.status.code(), after("ok 1"), after("not ok 1")) {
            (Some(0), Some(comment), _) => Outcome::Held(format!("held: {comment}")),
            // A broken rule, or a hang.
            (Some(1 | 4), _, Some(comment)) => {
                let rule = field("rule: ").or_else(|| field("kind: "));
                Outcome::Found {
                    what: format!("{} {comment}", rule.unwrap_or("failed")),
                    cycle: cycle_in(&said),
                }
            }
            (status, _, _) => {
                terminal::complain(&said);
                Outcome::Broken(format!("the boot ended with status {status:?}"))
            }
        },
    )
}
