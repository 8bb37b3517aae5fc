//! Where replay files go, and what they are called.
//!
//! A file that cannot be written does not end the program: what was found is told first, the file's text goes to the
//! standard error, and the program ends with status 2.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use super::{Wrong, terminal};
use crate::files::write_whole;
use crate::replay::ReplayFile;

/// The directory for replay files. One that the user names is made at once, before anything works for hours to write into
/// it; the usual one is made when it is needed.
pub(super) fn directory(named: Option<&Path>) -> Result<PathBuf, Wrong> {
    let Some(directory) = named else {
        let target = env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty());
        return Ok(PathBuf::from(target.unwrap_or("target".into())).join("rumplab"));
    };
    fs::create_dir_all(directory).map_err(|error| {
        Wrong(format!(
            "--out {}: {error}\n  help: give a directory that can be written",
            directory.display()
        ))
    })?;
    Ok(directory.to_owned())
}

/// Writes a replay file and gives its path. The same run gives the same name, so that duplicates fold into one. If it
/// cannot be written, its text goes to the standard error.
pub(super) fn save(file: &ReplayFile, directory: &Path) -> Option<PathBuf> {
    let text = file.to_string();
    let path = directory.join(file.name());
    let result = fs::create_dir_all(directory).and_then(|()| write_whole(&path, text.as_bytes()));
    or_spill(is_written(&path, result, "--out"), &text).then_some(path)
}

/// Writes a replay file that the user names. If it cannot be written, its text goes to the standard error.
pub(super) fn write_replay(path: &Path, text: &str) -> bool {
    or_spill(write(path, text.as_bytes(), "--out"), text)
}

/// Writes the file that an option names. Whether it could be written; if not, that is said.
pub(super) fn write(path: &Path, bytes: &[u8], option: &str) -> bool {
    is_written(path, write_whole(path, bytes), option)
}

fn is_written(path: &Path, result: io::Result<()>, option: &str) -> bool {
    if let Err(error) = &result {
        terminal::lose(format!(
            "cannot write {}: {error}\n  help: give a place that can be written, with {option}",
            path.display()
        ));
    }
    result.is_ok()
}

fn or_spill(is_written: bool, text: &str) -> bool {
    if !is_written {
        terminal::spill(&format!("  the file is\n{text}"));
    }
    is_written
}
