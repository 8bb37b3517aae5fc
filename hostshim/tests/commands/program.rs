//! The program, run from outside.

use std::fs;
use std::path::PathBuf;
use std::process::{self, Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory of this test's own, gone when the test is over.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// An empty one.
    pub(crate) fn new(name: &str) -> Scratch {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rumplab-{name}-{}-{number}", process::id()));
        assert!(fs::create_dir_all(&path).is_ok(), "{}", path.display());
        Scratch(path)
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// Writes a file into it; gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        assert!(fs::write(&path, text).is_ok(), "{path}");
        path
    }

    /// What is in it.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).map(|entries| entries.flatten().collect::<Vec<_>>());
        let mut names: Vec<String> = entries
            .unwrap_or_default()
            .iter()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How the program ended, and what it said.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program.
pub(crate) fn rumplab(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_rumplab"))
        .args(arguments)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap_or_else(|error| panic!("{error}"));
    Ran {
        status: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// The C compilers that are here. `scripts/setup c` installs both.
pub(crate) fn compilers() -> Vec<&'static str> {
    let is_here = |name: &&str| {
        let ran = Command::new(name).arg("--version").output();
        ran.is_ok_and(|output| output.status.success())
    };
    let here = Vec::from_iter(["clang-19", "gcc-12"].into_iter().filter(is_here));
    assert!(!here.is_empty(), "no C compiler: run `scripts/setup c`");
    here
}
