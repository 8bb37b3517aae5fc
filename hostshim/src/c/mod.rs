//! C on the simulated machine: files of a kernel's tree as they are, and scenarios that are written in C.
//!
//! # Overview
//!
//! [`Program::build`] compiles C files with the hooks of the thread sanitizer and links them into a
//! [module](crate::machine). The module is loaded into each kernel that boots with the program's scenario. Its accesses
//! are steps of the machine, and are checked, as those of the kernel's cells are; the kernel's functions that it calls
//! are those of `kmod`.
//!
//! | module | contents |
//! |---|---|
//! | `compile`, `assembly`, `copies` | the compiler and its flags; what it announces nothing of |
//! | `object`, `debug` | the linker; source lines and names from debugging information |
//! | `marks` | what a file of marks says of accesses |
//! | `bind`, `names` | the kernel's functions under their names in C |
//! | `replace` | primitives that are the program's and not the kernel's |
//! | `scenario` | a scenario whose functions are in the module |
//!
//! `docs/c.md` is for those who write C.

mod assembly;
mod bind;
mod compile;
#[cfg(test)]
mod constructs;
mod copies;
mod debug;
mod marks;
mod names;
mod object;
mod replace;
mod scenario;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use kmod::scenario::Scenario;

pub use compile::Options;

use assembly::Unwatched;
use compile::Compiler;
use object::Input;

use crate::machine::module::Area;

/// The headers that C files are compiled with.
const HEADERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/include");

/// Scenarios in C of the kernel's primitives.
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");

/// The file of the scenario in C with this name, with or without the `c-` in front that tells it from one in Rust.
pub fn scenario_file(name: &str) -> Option<PathBuf> {
    let names = [format!("c-{name}.c"), format!("{name}.c")];
    let mut files = names.iter().map(|name| Path::new(SCENARIOS).join(name));
    files.find(|file| file.is_file())
}

/// The names of the scenarios in C, without the `c-`.
pub fn scenario_names() -> Vec<String> {
    let files = std::fs::read_dir(SCENARIOS).into_iter().flatten().flatten();
    let name = |file: std::fs::DirEntry| {
        let name = file.file_name().into_string().ok()?;
        Some(name.strip_prefix("c-")?.strip_suffix(".c")?.to_owned())
    };
    let mut names = Vec::from_iter(files.filter_map(name));
    names.sort();
    names
}

/// A C program.
pub struct Program {
    scenario: &'static Scenario,
    unwatched: Vec<String>,
    stale: Option<String>,
}

impl Program {
    /// Compiles and links C files. One of them, or several together, defines the functions of a scenario.
    ///
    /// `name` is the scenario's.
    ///
    /// # Errors
    ///
    /// What is wrong and what to do, in words.
    pub fn build(name: &str, files: &[PathBuf], options: &Options) -> Result<Program, String> {
        let compiler = Compiler::find(options)?;
        let headers = Path::new(HEADERS);
        if !headers.is_dir() {
            return Err(
                "the headers for C are not where rumplab was built\n  help: build it again in its source directory"
                    .to_owned(),
            );
        }
        let marks = options.marks.as_deref().map(marks::read).transpose()?;
        let directory = tempfile::tempdir()
            .map_err(|error| format!("there is no place for temporary files: {error}"))?;
        let mut inputs = Vec::new();
        for file in files {
            inputs.push(compiler.compile(file, options, headers, directory.path())?);
        }
        let mut linked = object::link(&inputs, &options.replace)?;
        let stale = marks.and_then(|marks| marks::apply(&marks, &mut linked));
        let unwatched = inputs.iter().flat_map(unwatched).collect();
        let scenario = scenario::add(name, linked)?;
        Ok(Program {
            scenario,
            unwatched,
            stale,
        })
    }

    /// The scenario.
    pub fn scenario(&self) -> &'static Scenario {
        self.scenario
    }

    /// A warning, if there are marks that say nothing of this program.
    pub fn stale(&self) -> Option<&str> {
        self.stale.as_deref()
    }

    /// What of the program was not watched: a line for each kind of thing in a file.
    pub fn unwatched(&self) -> &[String] {
        &self.unwatched
    }
}

/// Whether bytes are an object file that [`Program::build`] would load, whatever compiler has made them. They are linked, placed
/// and not run: for fuzzing.
///
/// # Errors
///
/// Why they are refused, in words.
///
/// # Panics
///
/// If a relocation was accepted that is outside of the module.
pub fn check_object(bytes: &[u8]) -> Result<(), String> {
    let input = Input {
        name: "a.o".to_owned(),
        bytes: bytes.to_vec(),
        unwatched: Unwatched::default(),
    };
    let linked = object::link(&[input], &[])?;
    let module = &linked.module;
    for fixup in &module.fixups {
        let end = fixup.at.offset + fixup.form.size();
        let size = match fixup.at.area {
            Area::Code => module.code.len(),
            Area::Data => module.data.len(),
        };
        assert!(end <= size, "{fixup:?} is outside of {size} bytes");
    }
    let _ = module.relocated(0x1000_0000, 0x2000_0000);
    Ok(())
}

/// Whether text is a file of marks ([`Options::marks`]): for fuzzing.
///
/// # Errors
///
/// The first thing that is wrong with it, with its line.
pub fn check_marks(text: &str) -> Result<(), String> {
    marks::parse("marks".to_owned(), text).map(drop)
}

/// Names and places that are listed in a line.
const LISTED: usize = 6;

/// A line for each thing that is not watched in a file.
fn unwatched(input: &Input) -> Vec<String> {
    let Unwatched {
        assembly,
        functions,
        copies,
    } = &input.unwatched;
    let mut lines = Vec::new();
    if !assembly.is_empty() {
        let places = assembly.iter().map(|(file, line)| format!("{file}:{line}"));
        lines.push(format!("inline assembly at {}", listed(places)));
    }
    if !copies.is_empty() {
        let places = copies.iter().map(|(file, line)| format!("{file}:{line}"));
        lines.push(format!(
            "structures and wide values that the compiler copies itself at {} (docs/c-constructs.md)",
            listed(places)
        ));
    }
    if !functions.is_empty() {
        let functions = listed(functions.iter().cloned());
        lines.push(format!(
            "accesses in functions of {} that were compiled without hooks: {functions}",
            input.name
        ));
    }
    lines
}

fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let rest = items.len().saturating_sub(LISTED);
    let mut text = Vec::from_iter(items.take(LISTED)).join(", ");
    if rest > 0 {
        text += &format!(" and {rest} more");
    }
    text
}
