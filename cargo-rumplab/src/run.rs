//! Builds the tests with hooks, says what has some, and runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use serde::Deserialize;

use crate::packages::{Metadata, Package};
use crate::toolchain::{Hooks, Toolchain};
use crate::wrapper::{CRATES, HOOKS, IDLE};
use crate::{TestArgs, WRONG, Wrong};

/// The hooks of programs without a machine.
const IDLE_SOURCE: &str = include_str!("idle.rs");

/// The command of a report that runs a failure again.
const COMMAND: &str = "RUMPLAB_COMMAND";

/// Runs the tests. The status is that of the program.
pub(crate) fn test(args: &TestArgs) -> Result<ExitCode, Wrong> {
    let toolchain = Toolchain::find(args.toolchain.as_deref())?;
    if toolchain.host != "x86_64-unknown-linux-gnu" {
        return Err(Wrong(format!(
            "the machine runs on x86_64-unknown-linux-gnu, and this compiler is for {}",
            toolchain.host
        )));
    }
    let metadata = Metadata::ask(&toolchain, &args.cargo)?;
    let named = metadata.named(&args.instrument)?;
    let crates = Vec::from_iter(metadata.crates(&named)).join(",");
    let build = Build::new(&toolchain, &metadata, crates)?;
    say_what_is_watched(&named, &toolchain, args.toolchain.is_some());
    let Some(artifacts) = build.build(&args.cargo)? else {
        return Ok(WRONG.into());
    };
    for package in named {
        let of_it = artifacts
            .iter()
            .filter(|artifact| artifact.package_id == package.id);
        let files = of_it.flat_map(|artifact| &artifact.filenames);
        say_if_without_hooks(package, files);
    }
    if args.cargo.iter().any(|word| word == "--no-run") {
        return Ok(ExitCode::SUCCESS);
    }
    let mut cargo = build.cargo(&["test"]);
    cargo.args(&args.cargo).env(COMMAND, command(args));
    // A crate's static variables are one in the process, and belong to a run while it lasts.
    if env::var_os("RUST_TEST_THREADS").is_none() {
        cargo.env("RUST_TEST_THREADS", "1");
    }
    let status = cargo.status().map_err(cannot_run)?;
    Ok(ExitCode::from(if status.success() { 0 } else { 1 }))
}

fn cannot_run(error: std::io::Error) -> Wrong {
    Wrong(format!("cargo cannot be run: {error}"))
}

/// The command without arguments for cargo.
fn command(args: &TestArgs) -> String {
    let mut text = "cargo rumplab test".to_owned();
    if let Some(toolchain) = &args.toolchain {
        text += &format!(" --toolchain {toolchain}");
    }
    if !args.instrument.is_empty() {
        text += &format!(" --instrument {}", args.instrument.join(","));
    }
    text
}

fn say_what_is_watched(named: &[&Package], toolchain: &Toolchain, is_chosen: bool) {
    let mut what = String::new();
    for Package { name, version, .. } in named {
        what += &format!("{name} {version}, ");
    }
    what += if named.is_empty() {
        "the crates of this workspace"
    } else {
        "and the crates of this workspace"
    };
    let how = match toolchain.hooks {
        Hooks::All => "plain and atomic accesses",
        Hooks::Atomics => "atomics alone",
    };
    eprintln!("rumplab: watched are {what}: {how} ({})", toolchain.version);
    if toolchain.hooks == Hooks::Atomics && !is_chosen {
        eprintln!(
            "rumplab: a nightly toolchain sees plain accesses, too, and data races: rustup toolchain install nightly"
        );
    }
}

/// What cargo has built.
#[derive(Debug, Deserialize)]
struct Artifact {
    package_id: String,
    filenames: Vec<PathBuf>,
}

fn say_if_without_hooks<'a>(package: &Package, files: impl Iterator<Item = &'a PathBuf>) {
    let is_library = |file: &&PathBuf| {
        file.extension()
            .is_some_and(|extension| extension == "rlib")
    };
    let mut libraries = files.filter(is_library).peekable();
    let Package { name, version, .. } = package;
    if libraries.peek().is_none() {
        eprintln!("rumplab: {name} {version} is not used by these tests");
    } else if !libraries.any(|file| has_hooks(&fs::read(file).unwrap_or_default())) {
        eprintln!(
            "rumplab: {name} {version} has no hook of its own: all of it is generic or inlined, and watched in the crates that use it"
        );
    }
}

/// Whether a library calls hooks at accesses: it has their names.
fn has_hooks(library: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [
        b"__tsan_read",
        b"__tsan_write",
        b"__tsan_unaligned_",
        b"__tsan_atomic",
        b"__tsan_mem",
    ];
    let starts = library
        .windows(2)
        .enumerate()
        .filter(|(_, pair)| *pair == b"__");
    starts
        .into_iter()
        .any(|(start, _)| NAMES.iter().any(|name| library[start..].starts_with(name)))
}

/// A build with hooks.
struct Build<'a> {
    toolchain: &'a Toolchain,
    crates: String,
    /// Cargo's target directory for this compiler and these crates: cargo does not know what the wrapper adds.
    directory: PathBuf,
    idle: PathBuf,
}

impl Build<'_> {
    fn new<'a>(
        toolchain: &'a Toolchain,
        metadata: &Metadata,
        crates: String,
    ) -> Result<Build<'a>, Wrong> {
        let key = hash(&[env!("CARGO_PKG_VERSION"), IDLE_SOURCE, &crates]);
        let name = format!("{}-{key:08x}", toolchain.hooks.name());
        let directory = metadata.target_directory.join("watched").join(name);
        let idle = make_idle(toolchain, &directory)?;
        Ok(Build {
            toolchain,
            crates,
            directory,
            idle,
        })
    }

    /// Cargo, as it builds with hooks.
    fn cargo(&self, command: &[&str]) -> Command {
        let mut cargo = self.toolchain.command("cargo");
        cargo.args(command).args(["--target", &self.toolchain.host]);
        cargo.env("CARGO_TARGET_DIR", &self.directory);
        // Most of it is not edited, and a build that was stopped must not spoil the next.
        cargo.env("CARGO_INCREMENTAL", "0");
        cargo
            .env(HOOKS, self.toolchain.hooks.name())
            .env(CRATES, &self.crates)
            .env(IDLE, &self.idle);
        if let Ok(this) = env::current_exe() {
            cargo.env("RUSTC_WRAPPER", this);
        }
        cargo
    }

    /// Builds the tests. `None` if that failed, which cargo has told.
    fn build(&self, arguments: &[String]) -> Result<Option<Vec<Artifact>>, Wrong> {
        let mut cargo = self.cargo(&["test", "--message-format=json-render-diagnostics"]);
        let own = arguments.iter().take_while(|word| *word != "--");
        if !arguments.iter().any(|word| word == "--no-run") {
            cargo.arg("--no-run");
        }
        cargo.args(own).stdout(Stdio::piped());
        let output = cargo
            .spawn()
            .and_then(|child| child.wait_with_output())
            .map_err(cannot_run)?;
        if !output.status.success() {
            return Ok(None);
        }
        let lines = output.stdout.split(|byte| *byte == b'\n');
        Ok(Some(
            lines
                .filter_map(|line| serde_json::from_slice(line).ok())
                .collect(),
        ))
    }
}

/// Compiles the hooks of programs without a machine.
fn make_idle(toolchain: &Toolchain, directory: &Path) -> Result<PathBuf, Wrong> {
    let folder = directory.join("idle");
    let (source, library) = (folder.join("idle.rs"), folder.join("libidle.rlib"));
    let failed = |what: &dyn std::fmt::Display| {
        Wrong(format!("{} cannot be made: {what}", library.display()))
    };
    if fs::read_to_string(&source).is_ok_and(|text| text == IDLE_SOURCE) && library.exists() {
        return Ok(library);
    }
    fs::create_dir_all(&folder).map_err(|error| failed(&error))?;
    fs::write(&source, IDLE_SOURCE).map_err(|error| failed(&error))?;
    let mut rustc = toolchain.command("rustc");
    rustc.args([
        "--edition=2024",
        "--crate-type=rlib",
        "-Copt-level=2",
        "-Cpanic=abort",
        "-o",
    ]);
    let output = rustc
        .arg(&library)
        .arg(&source)
        .output()
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(library)
}

/// A number for these texts (FNV-1a).
fn hash(texts: &[&str]) -> u32 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_found_in_a_library() {
        assert!(has_hooks(b"\0__rust\0__tsan_atomic32_load\0"));
        assert!(!has_hooks(b"\0__tsan_init\0__tsan_func_entry\0__"));
    }

    #[test]
    fn the_command_of_a_report_has_what_was_watched() {
        let args = TestArgs {
            instrument: vec!["spin".to_owned(), "heapless".to_owned()],
            toolchain: None,
            cargo: vec!["--nocapture".to_owned()],
        };
        assert_eq!(
            command(&args),
            "cargo rumplab test --instrument spin,heapless"
        );
    }

    #[test]
    fn other_crates_have_another_directory() {
        assert_ne!(hash(&["a", "bc"]), hash(&["ab", "c"]));
    }
}
