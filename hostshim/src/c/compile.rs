//! The compiler: which one it is, and how it compiles a file for the simulated machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::object::Input;
use super::{assembly, copies, replace};

/// Compilers that are tried if none is named.
const USUAL: [&str; 2] = ["clang-19", "clang"];

/// What each file is compiled with.
///
/// The code is loaded anywhere, so addresses have 8 bytes. Frames are found by their frame pointers, and no call takes the
/// place of a return. A vector is several cells, and not every compiler announces it. Without the exchange of 16 bytes, clang calls a
/// library for atomic accesses of that size.
const FLAGS: [&str; 17] = [
    "-g",
    "-O2",
    "-std=gnu11",
    "-ffreestanding",
    "-fsanitize=thread",
    "-mcmodel=large",
    "-fno-pic",
    "-fno-common",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fcf-protection=none",
    "-fno-strict-aliasing",
    "-mno-avx",
    "-mcx16",
    "-Wno-unused-command-line-argument",
];
/// clang announces the read of `x++` and tells volatile accesses apart only if asked.
///
/// It leaves out what it takes for local: each access to a variable on the stack whose address it has not seen to escape.
/// It looks at the address of the access alone, so it misses that the structure around a field has escaped. A search
/// that may look at no use finds no address local, and every access to memory is announced.
///
/// What it knows of whole programs is not used: it moves accesses of a static variable out of a critical section.
const CLANG: [&str; 12] = [
    "-nostdlibinc",
    "-fno-vectorize",
    "-fno-slp-vectorize",
    "-fdebug-default-version=5",
    "-mllvm",
    "-tsan-instrument-read-before-write=1",
    "-mllvm",
    "-tsan-distinguish-volatile=1",
    "-mllvm",
    "-capture-tracking-max-uses-to-explore=0",
    "-mllvm",
    "-enable-global-analyses=0",
];
/// gcc moves accesses of a static variable out of a critical section, too.
const GCC: [&str; 6] = [
    "-nostdinc",
    "-fno-ipa-reference",
    "-fno-tree-vectorize",
    "-fno-tree-slp-vectorize",
    "--param",
    "tsan-distinguish-volatile=1",
];

/// What gcc includes first: it announces less of builtins than of functions.
const BUILTINS: &str = "rumplab_builtins.h";

/// How the directory of our headers is called in reports.
const SHOWN: &str = "rumplab";

/// What the user says about compiling.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The compiler; the first of the usual ones that is there if none is named.
    pub compiler: Option<String>,
    /// Directories for `#include`.
    pub include: Vec<PathBuf>,
    /// Macros, as `NAME` or `NAME=VALUE`.
    pub define: Vec<String>,
    /// Primitives of the kernel that the files define themselves.
    pub replace: Vec<String>,
    /// More arguments for the compiler.
    pub more: Vec<String>,
    /// What is known of accesses besides: a file of marks.
    pub marks: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Clang,
    Gcc,
}

/// A compiler that is there.
pub(super) struct Compiler {
    name: String,
    family: Family,
}

impl Compiler {
    /// The compiler that is asked for, or the first of the usual ones.
    pub(super) fn find(options: &Options) -> Result<Compiler, String> {
        if let Some(name) = &options.compiler {
            return Compiler::of(name).map_err(|why| {
                format!("the compiler `{name}` {why}\n  help: install it, as with `apt-get install {name}`, or leave --cc away")
            });
        }
        let mut usual = USUAL.iter().map(|name| Compiler::of(name));
        usual.find_map(Result::ok).ok_or_else(|| {
            "there is no clang to compile C files with\n  help: `apt-get install clang-19`, or name another one with --cc: gcc-12".to_owned()
        })
    }

    fn of(name: &str) -> Result<Compiler, String> {
        let mut command = Command::new(name);
        command.args(["-dM", "-E", "-x", "c", "/dev/null"]);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cannot be run: {error}"))?;
        let macros = String::from_utf8_lossy(&output.stdout);
        let family = if macros.contains("__clang__") {
            Family::Clang
        } else if macros.contains("__GNUC__") {
            Family::Gcc
        } else {
            return Err("is neither clang nor gcc".to_owned());
        };
        Ok(Compiler {
            name: name.to_owned(),
            family,
        })
    }

    /// Compiles a file into `directory`. The compiler's own complaints go to the standard error.
    pub(super) fn compile(
        &self,
        source: &Path,
        options: &Options,
        headers: &Path,
        directory: &Path,
    ) -> Result<Input, String> {
        let name = source.display().to_string();
        if source.is_dir() {
            return Err(format!(
                "{name} is a directory\n  help: give the paths of its C files: {}",
                source.join("*.c").display()
            ));
        }
        if !source.is_file() {
            return Err(format!(
                "there is no file {name}\n  help: give the path of a C file"
            ));
        }
        let [text, form, object] =
            ["s", "form", "o"].map(|end| directory.join("module").with_extension(end));
        let mut command = Command::new(&self.name);
        command.args(FLAGS);
        match self.family {
            Family::Clang => command.args(CLANG),
            Family::Gcc => command.args(GCC),
        };
        command.args(options.define.iter().map(|define| format!("-D{define}")));
        command.args(options.replace.iter().map(|name| replace::define(name)));
        for directory in &options.include {
            command.arg("-I").arg(directory);
        }
        command.arg("-isystem").arg(headers);
        if self.family == Family::Gcc {
            // After ours: its <stddef.h> wants headers of the system for which it is said to compile.
            command.arg("-isystem").arg(self.own_headers()?);
            command.arg("-include").arg(headers.join(BUILTINS));
        }
        // Lines in reports are the same wherever this is built, and wherever it runs.
        command.arg(prefix(headers, SHOWN));
        if let Ok(here) = std::env::current_dir() {
            command.arg(prefix(&here, "."));
        }
        command.args(&options.more).arg(source);
        // Its assembly text and its intermediate form show what no hook announces.
        let mut former = None;
        match self.family {
            Family::Clang => {
                let mut again = copy_of(&command);
                again.args(["-w", "-S", "-emit-llvm", "-o"]).arg(&form);
                former = Some(again);
            }
            Family::Gcc => {
                let mut dump = OsString::from("-fdump-tree-optimized-lineno=");
                dump.push(&form);
                command.arg(dump);
            }
        }
        command.arg("-S").arg("-o").arg(&text);
        let mut assembler = Command::new(&self.name);
        assembler.arg("-c").arg(&text).arg("-o").arg(&object);
        let all = [Some(command), former, Some(assembler)];
        let mut compiles = true;
        for command in all.into_iter().flatten() {
            compiles = compiles && self.succeeds(command)?;
        }
        if !compiles {
            return Err(format!(
                "{name} does not compile\n  help: mend what {} complains about; -I DIR adds a directory of headers, -D NAME a macro",
                self.name
            ));
        }
        let unread = |error| format!("cannot read what {} made of {name}: {error}", self.name);
        let bytes = std::fs::read(&object).map_err(unread)?;
        let text = std::fs::read(&text).map_err(unread)?;
        let text = String::from_utf8_lossy(&text);
        let mut unwatched = assembly::unwatched(&text, SHOWN);
        // A file without functions has no such form.
        let form = std::fs::read(&form).unwrap_or_default();
        let form = String::from_utf8_lossy(&form);
        let copies = match self.family {
            Family::Clang => copies::of_clang(&form),
            Family::Gcc => copies::of_gcc(&form, &text),
        };
        let is_ours = |(file, _): &(String, u32)| file.starts_with(SHOWN);
        unwatched.copies = copies.into_iter().filter(|place| !is_ours(place)).collect();
        Ok(Input {
            name,
            bytes,
            unwatched,
        })
    }

    fn succeeds(&self, mut command: Command) -> Result<bool, String> {
        match command.stdin(Stdio::null()).status() {
            Ok(status) => Ok(status.success()),
            Err(error) => Err(format!(
                "the compiler `{}` cannot be run: {error}",
                self.name
            )),
        }
    }

    /// The directory of the compiler's own headers, which has those of the language.
    fn own_headers(&self) -> Result<OsString, String> {
        let output = Command::new(&self.name)
            .arg("-print-file-name=include")
            .output();
        let output = output
            .map_err(|error| format!("the compiler `{}` cannot be run: {error}", self.name))?;
        let path = String::from_utf8_lossy(&output.stdout);
        Ok(path.trim().into())
    }
}

/// A command with the same arguments.
fn copy_of(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

fn prefix(from: &Path, to: &str) -> OsString {
    let mut argument = OsString::from("-ffile-prefix-map=");
    argument.push(from);
    argument.push("=");
    argument.push(to);
    argument
}
