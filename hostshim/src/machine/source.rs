//! Places in the source, as text.

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use kmod::machine::At;

use super::{foreign, module};

/// Where functions of the kernel are called for foreign code: a place there is that of the call in foreign code.
const BINDING: &str = "src/c/bind";

/// A line of a file, as line tables name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) file: String,
    pub(crate) line: u32,
}

impl Line {
    /// Whether the file is Rust, and neither the standard library's nor a package's from outside.
    pub(crate) fn is_ours(&self) -> bool {
        self.file.ends_with(".rs")
            && !self.file.contains("/rustc/")
            && !self.file.contains("/registry/")
    }

    /// Whether the file is the standard library's.
    pub(crate) fn is_of_std(&self) -> bool {
        self.file.contains("/rustc/") || self.file.contains("/lib/rustlib/src/")
    }

    /// The line as [text](place_of).
    pub(crate) fn place(&self) -> String {
        place_of(&self.file, self.line)
    }
}

impl From<&Location<'_>> for Line {
    fn from(at: &Location<'_>) -> Line {
        Line {
            file: at.file().to_owned(),
            line: at.line(),
        }
    }
}

/// The line of a place, if it is known: of the innermost function that is not the standard library's.
pub(crate) fn line(at: At) -> Option<Line> {
    let at = of_program(at);
    if let Some(location) = at.location() {
        return Some(Line::from(location));
    }
    let lines = lines_of(at.address()?);
    let line = lines.iter().find(|line| !line.is_of_std());
    line.or(lines.first()).cloned()
}

/// The place in the program under test: that of its call, for a call of the kernel that foreign code has made.
pub(crate) fn of_program(at: At) -> At {
    let is_binding = at
        .location()
        .is_some_and(|location| location.file().contains(BINDING));
    match is_binding {
        true => foreign::caller().unwrap_or(at),
        false => at,
    }
}

/// A place in the source as text: without a column, and as a path from the crate's folder, wherever it was built.
pub(crate) fn place(at: At) -> String {
    let at = of_program(at);
    match at.location() {
        Some(location) => place_of(location.file(), location.line()),
        None => line(at).map_or_else(|| "an unknown place".to_owned(), |line| line.place()),
    }
}

/// The same of a file and a line.
pub(crate) fn place_of(file: &str, line: u32) -> String {
    let begin = ["kmod/", "hostshim/", "rumplab/src/"]
        .iter()
        .filter_map(|folder| file.rfind(folder))
        .max();
    let file = match begin {
        Some(begin) => &file[begin..],
        None => in_package(file),
    };
    format!("{file}:{line}")
}

/// A path from the folder of the package or workspace that is built here, if the file is in it: line tables have whole paths. That of
/// a package from a registry begins with its name and version, and that of the standard library with `library`.
fn in_package(file: &str) -> &str {
    if let Some((_, path)) = file.split_once("/rustc/") {
        // Behind the commit.
        return path.split_once('/').map_or(path, |(_, path)| path);
    }
    if let Some((_, path)) = file.split_once("/registry/src/") {
        return path.split_once('/').map_or(path, |(_, path)| path);
    }
    static ROOT: OnceLock<String> = OnceLock::new();
    let root = ROOT.get_or_init(|| {
        let here = std::env::current_dir().unwrap_or_default();
        let root = here
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").exists());
        format!("{}/", root.unwrap_or(&here).display())
    });
    file.strip_prefix(root.as_str()).unwrap_or(file)
}

/// The lines of the instruction at this address: the innermost function first, and then those into which it is inlined.
pub(crate) fn lines_of(address: usize) -> Arc<[Line]> {
    // A module is not always at the same address.
    if let Some(line) = module::line_of(address) {
        return Arc::new([line]);
    }
    static KNOWN: Known<Line> = Known::new();
    KNOWN.get(address, |symbol| {
        let file = symbol.filename()?.to_string_lossy().into_owned();
        let line = symbol.lineno()?;
        Some(Line { file, line })
    })
}

/// The names of the functions of the instruction at this address, the innermost first.
pub(crate) fn functions_at(address: usize) -> Arc<[String]> {
    static KNOWN: Known<String> = Known::new();
    KNOWN.get(address, |symbol| Some(format!("{:#}", symbol.name()?)))
}

/// What debugging information says of instructions.
struct Known<T>(Mutex<BTreeMap<usize, Arc<[T]>>>);

impl<T: Send + 'static> Known<T> {
    const fn new() -> Known<T> {
        Known(Mutex::new(BTreeMap::new()))
    }

    /// What `read` makes of each function at an address, the innermost first. Each address is looked up once.
    fn get(&self, address: usize, read: fn(&backtrace::Symbol) -> Option<T>) -> Arc<[T]> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.entry(address).or_insert_with(|| {
            // Line tables are read on a stack of their own: those of contexts are too small for that. A scope would wait with
            // `park`, in the middle of which code under test may be on this thread.
            let look_up = move || {
                let mut found = Vec::new();
                let at = std::ptr::without_provenance_mut(address);
                backtrace::resolve(at, |symbol| found.extend(read(symbol)));
                found
            };
            let reader = thread::Builder::new().spawn(look_up).ok();
            let found = reader.and_then(|reader| reader.join().ok());
            found.unwrap_or_default().into()
        });
        Arc::clone(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_paths_from_the_crates_folder() {
        assert_eq!(place_of("/a/b/kmod/src/x.rs", 3), "kmod/src/x.rs:3");
        assert_eq!(place_of("table.c", 3), "table.c:3");
        let of_registry = "/home/.cargo/registry/src/index.crates.io-1/spin-0.12.3/src/once.rs";
        assert_eq!(place_of(of_registry, 3), "spin-0.12.3/src/once.rs:3");
        assert_eq!(
            place_of("/rustc/e50aa6/library/core/src/mem.rs", 3),
            "library/core/src/mem.rs:3"
        );
    }

    #[test]
    fn an_instruction_has_the_line_of_its_source() {
        let here = Location::caller();
        assert_eq!(place(At::from(here)), place_of(file!(), here.line()));
        let mut frames = Vec::new();
        backtrace::trace(|frame| {
            frames.push(frame.ip().addr());
            true
        });
        let mut lines = frames
            .iter()
            .filter_map(|address| line(At::code(address - 1)));
        assert!(lines.any(|line| line.file.ends_with("source.rs") && line.is_ours()));
        assert_eq!(place(At::code(1)), "an unknown place");
    }
}
