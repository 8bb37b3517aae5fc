//! Rejects what the simulated machine cannot see in scenarios.
//!
//! It does not see accesses to an atomic of `core`: a race on one is not found, and a loop on one is never held back.
//! The author of a scenario should learn that before the scenario has held for a million schedules.

use std::fs;
use std::path::{Path, PathBuf};

/// What a scenario must not contain, and what to use instead.
const REFUSED: [(&str, &str); 5] = [
    ("core::sync::atomic", "the cells and fences of `crate::mem`"),
    ("std::sync", "the primitives of `crate::kern`"),
    ("core::cell::", "the cells of `crate::mem`"),
    ("UnsafeCell", "the cells of `crate::mem`"),
    ("static mut", "a `static` of a cell of `crate::mem`"),
];
/// A line with this is accepted: it says why the machine need not see it.
const LET_THROUGH: &str = "// not watched: ";

fn main() {
    println!("cargo::rerun-if-changed=src/scenario");
    let mut files = Vec::new();
    collect(Path::new("src/scenario"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for (number, line) in (1..).zip(text.lines()) {
            let code = line.split("//").next().unwrap_or_default();
            let refused = REFUSED.iter().find(|(word, _)| code.contains(word));
            if let Some((word, instead)) = refused
                && !line.contains(LET_THROUGH)
            {
                println!(
                    "cargo::error={}:{number}: the simulated machine does not see `{word}`: use {instead}, or end the line with \
                     `{LET_THROUGH}` and a reason",
                    file.display()
                );
            }
        }
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
