//! What the compiler gets besides what cargo says: this program as cargo's `RUSTC_WRAPPER`.
//!
//! # Overview
//!
//! Cargo is always given a target, so what it compiles for itself (build scripts, procedural macros) has none and stays as it is.
//!
//! | crate | gets |
//! |---|---|
//! | those that are watched | hooks |
//! | `hostshim` | the functions that hooks call, and the names of the crates |
//! | programs | other functions in place of some of the system's, and the hooks of programs without a machine |
//! | most | optimizations, unless the profile says how much: hooks cost less than calls of small functions |

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::WRONG;
use crate::toolchain::Hooks;

/// Tells the wrapper that it is one, and which hooks to make ([`Hooks::name`]).
pub(crate) const HOOKS: &str = "RUMPLAB_HOOKS";
/// The crates that get hooks, separated by commas.
pub(crate) const CRATES: &str = "RUMPLAB_CRATES";
/// The library with the hooks of programs without a machine.
pub(crate) const IDLE: &str = "RUMPLAB_IDLE";

/// Functions of the system in whose place rumplab has its own.
const WRAPPED: [&str; 6] = [
    "syscall",
    "sched_yield",
    "nanosleep",
    "clock_nanosleep",
    "pthread_create",
    "__cxa_thread_atexit_impl",
];

/// Crates of others that the machine calls at every step, or for every place in a report.
const BUSY: [&str; 10] = [
    "kmod",
    "hostshim",
    "rumplab",
    "corosensei",
    "backtrace",
    "addr2line",
    "gimli",
    "object",
    "miniz_oxide",
    "rustc_demangle",
];

/// Compiles, if cargo has called this program for that. Returns only if it has not, or if the compiler cannot be run.
pub(crate) fn compile() -> Option<ExitCode> {
    let hooks = Hooks::of(&env::var(HOOKS).ok()?)?;
    let mut words = env::args_os().skip(1);
    let compiler = words.next()?;
    if !Path::new(&compiler)
        .file_stem()?
        .to_string_lossy()
        .starts_with("rustc")
    {
        return None;
    }
    let words = Vec::from_iter(words.map(|word| word.to_string_lossy().into_owned()));
    let crates = env::var(CRATES).unwrap_or_default();
    let crates = Vec::from_iter(crates.split(','));
    let idle = env::var(IDLE).unwrap_or_default();
    let more = more(&words, hooks, &crates, &idle);
    let error = Command::new(&compiler).args(words).args(more).exec();
    eprintln!("error: {} cannot be run: {error}", compiler.display());
    Some(WRONG.into())
}

/// What cargo has said to the compiler.
struct Said<'a>(&'a [String]);

impl Said<'_> {
    /// The value of an option, as `--target x` or `--target=x`.
    fn value<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values(name).next()
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().enumerate().filter_map(move |(index, word)| {
            match word.strip_prefix(name)? {
                "" => self.0.get(index + 1).map(String::as_str),
                rest => rest.strip_prefix('='),
            }
        })
    }

    /// The value of an option for code generation.
    fn codegen<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.values("-C")
            .find_map(|value| value.strip_prefix(name)?.strip_prefix('='))
    }

    fn is_program(&self) -> bool {
        self.0.iter().any(|word| word == "--test")
            || self.values("--crate-type").any(|kind| kind == "bin")
    }
}

/// The arguments to add.
fn more(words: &[String], hooks: Hooks, crates: &[&str], idle: &str) -> Vec<String> {
    let said = Said(words);
    let (Some(name), Some(_)) = (said.value("--crate-name"), said.value("--target")) else {
        return Vec::new();
    };
    let mut more = Vec::new();
    let mut add = |argument: &str| more.push(argument.to_owned());
    let is_watched = crates.contains(&name);
    if hooks == Hooks::All {
        // Without the runtime of the sanitizer there is nothing in which crates with and without hooks could differ.
        add("-Cunsafe-allow-abi-mismatch=sanitizer");
    }
    match hooks {
        Hooks::All if is_watched => {
            add("-Zsanitizer=thread");
            add("-Zexternal-clangrt");
        }
        Hooks::Atomics if is_watched => add("-Cpasses=tsan"),
        _ => {}
    }
    if name == "hostshim" {
        add("--cfg=rumplab_hooks");
    }
    if (is_watched || BUSY.contains(&name))
        && said.codegen("opt-level").is_none_or(|level| level == "0")
    {
        add("-Copt-level=2");
        if said.codegen("debug-assertions").is_none() {
            add("-Cdebug-assertions=on");
        }
    }
    // Reports have lines, and they tell whose an access is.
    add("-Cdebuginfo=line-tables-only");
    add("-Cstrip=none");
    if said.is_program() {
        for function in WRAPPED {
            add(&format!("-Clink-arg=-Wl,--wrap={function}"));
        }
        add(&format!("-Clink-arg={idle}"));
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(words: &str, hooks: Hooks) -> String {
        let words = Vec::from_iter(words.split(' ').map(str::to_owned));
        more(&words, hooks, &["spin", "mine"], "idle.rlib").join(" ")
    }

    #[test]
    fn watched_crates_get_hooks_and_others_do_not() {
        let spin = "--crate-name spin --crate-type lib --target x86_64-unknown-linux-gnu";
        assert!(added(spin, Hooks::All).contains("-Zsanitizer=thread"));
        let on_stable = added(spin, Hooks::Atomics);
        assert!(
            on_stable.contains("-Cpasses=tsan") && !on_stable.contains("-Z"),
            "{on_stable}"
        );
        let other = added("--crate-name other --crate-type lib --target=x", Hooks::All);
        assert!(
            !other.contains("sanitizer=thread") && !other.contains("opt-level"),
            "{other}"
        );
        assert!(
            added("--crate-name hostshim --target x", Hooks::All).contains("--cfg=rumplab_hooks")
        );
    }

    #[test]
    fn what_runs_in_the_compiler_stays_as_it_is() {
        assert_eq!(added("--crate-name spin --crate-type lib", Hooks::All), "");
        assert_eq!(
            added("- --crate-name ___ --print=file-names", Hooks::All),
            ""
        );
    }

    #[test]
    fn the_profile_decides_about_optimizations_if_it_says_something() {
        let plain = "--crate-name mine --test --target x";
        assert!(added(plain, Hooks::All).contains("-Copt-level=2 -Cdebug-assertions=on"));
        let chosen = added(&format!("{plain} -C opt-level=1"), Hooks::All);
        assert!(
            !chosen.contains("opt-level") && !chosen.contains("debug-assertions"),
            "{chosen}"
        );
    }

    #[test]
    fn programs_are_linked_with_everything_that_hooks_need() {
        let program = added("--crate-name mine --test --target x", Hooks::Atomics);
        assert!(
            program.contains("--wrap=syscall") && program.ends_with("-Clink-arg=idle.rlib"),
            "{program}"
        );
        assert!(
            !added("--crate-name mine --crate-type lib --target x", Hooks::All)
                .contains("link-arg")
        );
    }
}
