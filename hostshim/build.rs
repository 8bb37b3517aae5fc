//! Tells the program which commit it is built from, if it is built in a checkout of git.

use std::path::Path;
use std::process::Command;

/// What the simulated machine and its kernel are built from, below this package.
const SOURCES: [&str; 5] = [
    "src",
    "Cargo.toml",
    "../kmod/src",
    "../kmod/Cargo.toml",
    "../Cargo.lock",
];

fn main() {
    for path in ["build.rs"].iter().chain(&SOURCES) {
        println!("cargo::rerun-if-changed={path}");
    }
    // Every commit and every checkout adds a line to it.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo::rerun-if-changed={log}");
    }
    if let Some(commit) = commit() {
        println!("cargo::rustc-env=RUMPLAB_COMMIT={commit}");
    }
}

/// The commit, with a `+` if the sources differ from it.
fn commit() -> Option<String> {
    // A copy of the sources inside of another project's checkout has none of its own.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let changes = git(&status)?;
    let mark = if changes.is_empty() { "" } else { "+" };
    Some(format!("{commit}{mark}"))
}

fn git(arguments: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(ran.stdout).ok()?;
    ran.status.success().then(|| text.trim().to_owned())
}
