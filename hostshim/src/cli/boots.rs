//! The booted half of `rumplab hunt`: each variant by scripts/boot.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use kmod::config::Config;
use kmod::scenario::ops::Language;
use kmod::scenario::{Kind, Scenario, Variant};

use super::args::HuntArgs;
use super::hunt::{Row, World};
use super::interrupt::Interrupt;
use super::results::Outcome;
use super::{Wrong, terminal};

/// Machines that are booted at once, at most: each has 4 CPUs.
const BOOTS_AT_ONCE: usize = 2;

/// How long a variant that has a bug is booted, in seconds, if it does not show it.
const SHOW_WITHIN: u64 = 60;

/// Whether there is such a script, before anything works for minutes.
pub(super) fn check(script: &Path) -> Result<(), Wrong> {
    match script.is_file() {
        true => Ok(()),
        false => Err(Wrong(format!(
            "--boot {}: there is no such file\n  help: give the path of scripts/boot",
            script.display()
        ))),
    }
}

/// Boots every variant of every scenario that can be booted, a few at once.
pub(super) fn boot_all(script: &Path, rows: &mut [Row], args: &HuntArgs, interrupt: &Interrupt) {
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
            let booted = boot(script, row.scenario, row.variant, args);
            // Ctrl-C reaches the boots, too: what they say then is nothing about the variant.
            if !interrupt.is_wanted() {
                row.booted = booted;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..args.jobs.min(BOOTS_AT_ONCE) {
            scope.spawn(worker);
        }
    });
}

/// How long a variant is booted, in seconds, if nothing is found: the code of a documented bug for as long as was asked
/// for, other scenarios a sixth of it.
fn boot_seconds(scenario: &Scenario, variant: &Variant, args: &HuntArgs) -> u64 {
    let asked = args.boot_seconds.as_millis().div_ceil(1000) as u64;
    match (variant.fails, scenario.variants.iter().any(|v| v.fails)) {
        (true, _) => SHOW_WITHIN,
        (false, true) => asked,
        (false, false) => asked.div_ceil(6),
    }
}

/// Boots a variant, and reads the line of the test in what it says.
fn boot(
    script: &Path,
    scenario: &'static Scenario,
    variant: &'static Variant,
    args: &HuntArgs,
) -> World {
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
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            let why = format!("{} does not start: {error}", script.display());
            terminal::complain(format!("{why}\n  help: give the path of scripts/boot"));
            return World::new(Outcome::Broken, why);
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let after = |start: &str| {
        let line = said.lines().find(|line| line.starts_with(start))?;
        let (_, comment) = line.split_once("# ").unwrap_or_default();
        Some(comment.to_owned())
    };
    let field = |key: &str| said.lines().find_map(|line| line.trim().strip_prefix(key));
    match (output.status.code(), after("ok 1"), after("not ok 1")) {
        (Some(0), Some(comment), _) => World::quiet(
            variant,
            format!("held: {comment}"),
            format!("not reproduced in {seconds} s: {comment}"),
        ),
        // A broken rule, or a hang.
        (Some(1 | 4), _, Some(comment)) => {
            let rule = field("rule: ").or_else(|| field("kind: "));
            World::failed(format!("{} {comment}", rule.unwrap_or("failed")), &said)
        }
        (status, _, _) => {
            terminal::complain(&said);
            let how = match status {
                Some(status) => format!("with status {status}"),
                None => "by a signal".to_owned(),
            };
            World::new(
                Outcome::Broken,
                format!("the boot ended {how}, which says nothing about the variant"),
            )
        }
    }
}
