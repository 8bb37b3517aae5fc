//! Lines of the kernel's source for a page, as far as the files are at hand.
//!
//! A location is relative to the top of the checkout. The file is looked for in the checkout that the program was built in, and
//! if that was moved, in the folders that the program lies in. A file that was changed after the program was built may say
//! something else at that line, so nothing of it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most bytes of a line that are shown.
const WIDTH: usize = 200;

/// Lines by their numbers, by file.
pub(super) type Excerpts = BTreeMap<String, BTreeMap<usize, String>>;

/// Reads the lines of each location `FILE:LINE`, and so many around it.
pub(super) fn excerpts<'a>(locations: impl IntoIterator<Item = (&'a str, usize)>) -> Excerpts {
    let mut wanted: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (location, around) in locations {
        if let Some((file, line)) = split(location) {
            let lines = line.saturating_sub(around).max(1)..=line + around;
            wanted.entry(file).or_default().extend(lines);
        }
    }
    let (folders, built) = (folders(), built());
    let mut excerpts = Excerpts::new();
    for (file, lines) in wanted {
        let path = folders.iter().map(|folder| folder.join(file));
        let Some(text) = path.filter_map(|path| read(&path, built)).next() else {
            continue;
        };
        let numbered = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        let shown = numbered.filter(|(number, _)| lines.contains(number));
        let shown = shown.map(|(number, line)| (number, line.chars().take(WIDTH).collect()));
        excerpts.insert(file.to_owned(), shown.collect());
    }
    excerpts
}

/// File and line of a location.
fn split(location: &str) -> Option<(&str, usize)> {
    let (file, line) = location.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// Where the checkout may be.
fn folders() -> Vec<PathBuf> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..")];
    let program = std::env::current_exe().unwrap_or_default();
    folders.extend(program.ancestors().skip(1).map(Path::to_owned));
    folders
}

/// When the program was built.
fn built() -> Option<SystemTime> {
    let program = std::env::current_exe().ok()?;
    fs::metadata(program).ok()?.modified().ok()
}

/// The file, if it is as it was when the program was built.
fn read(path: &Path, built: Option<SystemTime>) -> Option<String> {
    let changed = fs::metadata(path).ok()?.modified().ok()?;
    match built {
        Some(built) if changed <= built => fs::read_to_string(path).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_location_is_a_file_and_a_line() {
        assert_eq!(split("kmod/src/a.rs:7"), Some(("kmod/src/a.rs", 7)));
        assert_eq!(split("kmod/src/a.rs"), None);
        assert_eq!(split(""), None);
    }

    #[test]
    fn lines_are_those_of_the_file_and_what_is_not_there_is_left_out() {
        let here = "hostshim/src/report/page/source.rs:1";
        let nowhere = "hostshim/src/no_such_file.rs:1";
        let found = excerpts([(here, 1), (nowhere, 1)]);
        assert_eq!(found.len(), 1, "{found:?}");
        let lines = &found["hostshim/src/report/page/source.rs"];
        assert_eq!(Vec::from_iter(lines.keys()), [&1, &2]);
        assert!(lines[&1].starts_with("//! Lines of the kernel's source"));
    }

    #[test]
    fn a_file_that_changed_since_the_build_is_not_read() {
        let path = std::env::current_exe().unwrap_or_default();
        let changed = fs::metadata(&path).and_then(|known| known.modified());
        let changed = changed.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read(&path, Some(changed - Duration::from_secs(1))), None);
        assert_eq!(read(&path, None), None);
    }
}
