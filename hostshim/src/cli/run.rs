//! `rumplab run`.

use std::path::Path;
use std::time::Duration;

use hostshim::capture::Capture;
use hostshim::hunt::{Budget, Found, Hunt};
use hostshim::minimize::Effort;
use hostshim::pcap;
use hostshim::replay::LIMITS;
use hostshim::report::{self, Role};
use hostshim::suggest::nearest;
use hostshim::wire::Frame;
use kmod::config::{Config, Wiring};
use kmod::scenario::{self, Scenario, Variant};

use super::args::RunArgs;
use super::interrupt::Interrupt;
use super::{Status, Wrong, progress, save, terminal};

/// Schedules if nobody says how many, nor how long. The help of `--schedules` says so too.
const SCHEDULES: u64 = 100_000;

pub(super) type Target = (&'static Scenario, &'static Variant);

/// Hunts in every scenario and variant that was asked for.
pub(super) fn run(args: &RunArgs) -> Result<Status, Wrong> {
    let targets = targets(&args.scenario, &args.variant, args.xcall.map(Wiring::from))?;
    each(targets, args.cpus, &args.out, |target, interrupt| {
        hunt(target, args, interrupt)
    })
}

/// Does something with each target, unless Ctrl-C ends it. Gives whether any of them found something.
pub(super) fn each(
    targets: Vec<Target>,
    cpus: Option<usize>,
    out: &Path,
    mut part: impl FnMut(Target, &Interrupt) -> Result<Status, Wrong>,
) -> Result<Status, Wrong> {
    for (scenario, _) in &targets {
        check_cpus(scenario, cpus)?;
    }
    save::prepare(out)?;
    let interrupt = Interrupt::listen();
    let mut status = Status::Nothing;
    for target in targets {
        match part(target, &interrupt)? {
            Status::Nothing => {}
            Status::Found => status = Status::Found,
            Status::Interrupted => return Ok(Status::Interrupted),
        }
    }
    Ok(status)
}

/// What `SCENARIO` and `--variant` name, in the order of the list.
pub(super) fn targets(
    scenario: &str,
    variant: &str,
    xcall: Option<Wiring>,
) -> Result<Vec<Target>, Wrong> {
    let scenarios = match scenario {
        "all" => Vec::from_iter(scenario::ALL.iter().copied().filter(|s| s.kind.must_hold())),
        name => vec![find(name)?],
    };
    // Of all, those for which the wiring that was asked for means something; of one, what was asked for.
    let fits = |v: &Variant| scenario != "all" || xcall.is_none_or(|x| v.wirings().contains(&x));
    let matching = |s: &'static Scenario| {
        let wanted = move |v: &&Variant| (variant == "all" || v.name == variant) && fits(v);
        s.variants.iter().filter(wanted).map(move |v| (s, v))
    };
    let targets: Vec<Target> = scenarios.iter().copied().flat_map(matching).collect();
    if targets.is_empty() {
        let mut names = Vec::new();
        for name in scenarios.iter().flat_map(|s| s.variants).map(|v| v.name) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.push("all");
        let help = nearest(variant, names).help();
        return Err(Wrong(format!(
            "{scenario} has no variant `{variant}`\n  help: {help}"
        )));
    }
    Ok(targets)
}

fn find(name: &str) -> Result<&'static Scenario, Wrong> {
    let Some(found) = scenario::find(name) else {
        let names = scenario::ALL.iter().map(|s| s.name).chain(["all"]);
        let help = nearest(name, names).help();
        return Err(Wrong(format!(
            "there is no scenario `{name}`\n  help: {help}"
        )));
    };
    if found.kind.only_booted() {
        let boot = format!("scripts/boot --scenario {name}");
        return Err(Wrong(format!(
            "{name} runs on the booted machine only\n  help: {boot}"
        )));
    }
    Ok(found)
}

/// Whether the scenario runs on so many CPUs, if somebody says how many.
fn check_cpus(scenario: &Scenario, cpus: Option<usize>) -> Result<(), Wrong> {
    match cpus {
        Some(cpus) if cpus < scenario.min_cpus => Err(Wrong(format!(
            "{} does not run on {cpus} CPUs\n  help: give it {} at least, with --cpus",
            scenario.name, scenario.min_cpus
        ))),
        Some(cpus) => {
            let config = scenario.config(Config::small(cpus), &scenario.variants[0]);
            if config.cpus() <= Config::MAXCPUS {
                return Ok(());
            }
            Err(Wrong(format!(
                "{} has {} kernels: {cpus} CPUs for each are too many\n  help: give it {} at most, with --cpus",
                scenario.name,
                config.kernels,
                Config::MAXCPUS / config.kernels
            )))
        }
        None => Ok(()),
    }
}

fn hunt(
    (scenario, variant): Target,
    args: &RunArgs,
    interrupt: &Interrupt,
) -> Result<Status, Wrong> {
    let cpus = args.cpus.unwrap_or(scenario.default_cpus);
    let mut config = scenario.config(Config::small(cpus), variant);
    config.xcall = args.xcall.map_or(config.xcall, Wiring::from);
    config.net_mpsafe = args.net_mpsafe.unwrap_or(config.net_mpsafe);
    for bug in &args.history {
        config.history = config.history.with(*bug);
    }
    let hunt = Hunt {
        scenario,
        variant,
        config,
        frames: frames(scenario, config.nics, args)?,
        plan: args.strategy,
        seed: args.seed,
        budget: match args.seconds {
            Some(seconds) => Budget::Time(Duration::from_secs(seconds)),
            None => Budget::Schedules(args.schedules.unwrap_or(SCHEDULES)),
        },
        jobs: args.jobs.into(),
        limits: LIMITS,
    };
    let title = report::title(scenario, variant);
    let hunted = progress::hunt(&hunt, &title, interrupt)
        .map_err(|failure| Wrong(format!("{title}: the kernel does not boot: {failure}")))?;
    let how = format!("({}, seed {})", args.strategy, args.seed);
    let count = hunted.schedules;
    match hunted.found {
        Some(found) => keep(&hunt, &found, args, &how),
        None if hunted.interrupted => {
            let line =
                format!("{title}: stopped after {count} schedules {how}, nothing found so far");
            terminal::say(Role::Plain, line);
            Ok(Status::Interrupted)
        }
        None => {
            let line = format!("{title}: nothing found in {count} schedules {how}");
            terminal::say(Role::Success, line);
            Ok(Status::Nothing)
        }
    }
}

/// The frames that come from outside.
fn frames(scenario: &Scenario, nics: usize, args: &RunArgs) -> Result<Vec<Frame>, Wrong> {
    let Some(path) = &args.frames else {
        return Ok(Vec::new());
    };
    if nics == 0 {
        let name = scenario.name;
        return Err(Wrong(format!(
            "{name} has no network cards to receive frames\n  help: leave --frames away"
        )));
    }
    pcap::read(path, 0).map_err(Wrong)
}

/// Minimizes a failure, writes its file, and prints its report.
fn keep(hunt: &Hunt, found: &Found, args: &RunArgs, how: &str) -> Result<Status, Wrong> {
    let effort = match args.as_found {
        true => Effort::NONE,
        false => Effort::default(),
    };
    let captured = hunt.catch(found).capture(&LIMITS, effort);
    let captured = captured.map_err(|error| Wrong(error.to_string()))?;
    let Capture {
        file,
        mut report,
        found: before,
        ..
    } = captured;
    let path = save::save(&file, &args.out)?;
    let minimized = match args.as_found {
        true => String::new(),
        false => format!(", minimized to {}", report::size(&file)),
    };
    let how = how.trim_matches(['(', ')']);
    report.extend_first(&format!(", found in schedule {}", found.run + 1));
    report.insert(
        1,
        Role::Aside,
        format!("  ({how}; found with {before}{minimized})"),
    );
    terminal::print(&report);
    terminal::say(Role::Plain, format!("\n{}", next_steps(&path)));
    Ok(Status::Found)
}

/// What to do with a replay file.
pub(super) fn next_steps(path: &Path) -> String {
    let file = for_shell(path);
    format!(
        "see why:      rumplab explain {file}   (as a page: --html --out FILE)\nevery access: rumplab replay {file}"
    )
}

/// The path as one word of a command line.
pub(super) fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(for_shell(Path::new("./a-1/b.replay")), "./a-1/b.replay");
        assert_eq!(for_shell(Path::new("a b")), "'a b'");
        assert_eq!(for_shell(Path::new("it's")), "'it'\\''s'");
    }
}
