//! `rumplab c`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::args::{CArgs, Campaign, Compiling, FileArgs, RunArgs};
use super::run::run_targets;
use super::targets::check_cpus;
use super::{Status, Wrong, explain, terminal};
use crate::c::{self, Options, Program};
use crate::files::for_shell;
use crate::registry::Registry;
use crate::report::Role;

/// Compiles the files and looks for a failure, or replays one.
pub(super) fn run(args: &CArgs, registry: Registry<'_>) -> Result<Status, Wrong> {
    let mut files = args.files.clone();
    if let Some(scenario) = &args.scenario {
        files.push(scenario_file(scenario, registry)?);
    }
    if let Some(file) = &args.replay {
        let of = FileArgs {
            cpus: args.cpus,
            sources: files,
            compiling: args.compiling.clone(),
            ..FileArgs::of(file)
        };
        return explain::replay(&of, registry);
    }
    let program = build(&files, &args.compiling, registry)?;
    let scenario = program.scenario();
    check_cpus(scenario, args.cpus)?;
    let run = RunArgs {
        campaign: Campaign {
            scenarios: vec![scenario.name.to_owned()],
            variant: scenario.variants[0].name.to_owned(),
            strategy: args.strategy,
            seed: args.seed,
            cpus: args.cpus,
            jobs: args.jobs,
            xcall: None,
            history: Vec::new(),
            out: args.out.clone(),
            form: args.form,
        },
        steps: args.steps,
        supply: args.supply,
        model: args.model,
        schedules: args.schedules,
        seconds: args.seconds,
        net_mpsafe: None,
        frames: None,
        as_found: args.as_found,
        junit: None,
        sources: sources(&files, &args.compiling),
        races: args.races,
    };
    let status = run_targets(&run, &[(scenario, &scenario.variants[0])])?;
    for line in program.unwatched() {
        terminal::say(Role::Aside, format!("not watched: {line}"));
    }
    Ok(status)
}

/// The file of a scenario that is named by its path, or by its name.
fn scenario_file(of: &Path, registry: Registry<'_>) -> Result<PathBuf, Wrong> {
    let name = of.to_string_lossy();
    if of.extension().is_some() || name.contains('/') {
        return Ok(of.to_owned());
    }
    c::scenario_file(&name).ok_or_else(|| {
        let names = c::scenario_names().join(", ");
        let why = match registry.find(&name) {
            Some(_) => {
                format!("the scenario `{name}` is not in C: it calls the kernel's own primitives")
            }
            None => format!("there is no scenario `{name}` in C"),
        };
        Wrong(format!("{why}\n  help: give a C file, or one of {names}"))
    })
}

/// Compiles and links the files. The last of them gives the scenario its name.
///
/// It must be none that a scenario of the registry has: a replay file names its scenario.
pub(super) fn build(
    files: &[PathBuf],
    compiling: &Compiling,
    registry: Registry<'_>,
) -> Result<Program, Wrong> {
    let options = Options {
        compiler: compiling.cc.clone(),
        include: compiling.include.clone(),
        define: compiling.define.clone(),
        replace: compiling.replace.clone(),
        more: compiling.cflag.clone(),
        marks: compiling.marks.clone(),
    };
    let stem = files.last().and_then(|file| file.file_stem());
    let name = stem.map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    if registry.find(&name).is_some() {
        return Err(Wrong(format!(
            "there is a scenario `{name}` already, which is not in these files\n  help: give the last file another name"
        )));
    }
    let program = Program::build(&name, files, &options).map_err(Wrong)?;
    if let Some(marks) = program.stale() {
        terminal::remark(marks);
    }
    Ok(program)
}

/// The arguments with which other commands compile the same program.
pub(super) fn sources(files: &[PathBuf], compiling: &Compiling) -> String {
    let mut text = String::new();
    let mut add = |option: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = write!(text, " {option}{}", for_shell(value.as_ref()));
    };
    for file in files {
        add("--c ", &file.to_string_lossy());
    }
    if let Some(cc) = &compiling.cc {
        add("--cc ", cc);
    }
    for directory in &compiling.include {
        add("-I ", &directory.to_string_lossy());
    }
    for define in &compiling.define {
        add("-D ", define);
    }
    for name in &compiling.replace {
        add("--replace ", name);
    }
    for flag in &compiling.cflag {
        add("--cflag=", flag);
    }
    if let Some(marks) = &compiling.marks {
        add("--marks ", &marks.to_string_lossy());
    }
    text
}
