//! Where replay files go, and what they are called.

use std::fs;
use std::path::{Path, PathBuf};

use hostshim::files::write_whole;
use hostshim::replay::ReplayFile;

use super::Wrong;

/// Makes sure that there is such a directory, before anybody works for hours to write into it.
pub(super) fn prepare(directory: &Path) -> Result<(), Wrong> {
    fs::create_dir_all(directory).map_err(|error| {
        Wrong(format!(
            "--out {}: {error}\n  help: give a directory that can be written",
            directory.display()
        ))
    })
}

/// Writes a replay file and gives its path. The same run gives the same name, so that duplicates fold into one.
pub(super) fn save(file: &ReplayFile, directory: &Path) -> Result<PathBuf, Wrong> {
    let text = file.to_string();
    let name = format!(
        "{}-{}-{:08x}.replay",
        file.scenario.name,
        file.variant.name,
        digest(&text)
    );
    let path = directory.join(name);
    match write_whole(&path, text.as_bytes()) {
        Ok(()) => Ok(path),
        Err(error) => Err(Wrong(format!(
            "cannot write {}: {error}\n  help: give another directory with --out; the file is\n{text}",
            path.display()
        ))),
    }
}

/// Writes a file that somebody has named, whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Wrong> {
    write_whole(path, bytes).map_err(|error| {
        Wrong(format!(
            "cannot write {}: {error}\n  help: give a file in a directory that can be written, with --out",
            path.display()
        ))
    })
}

/// FNV-1a, folded: a name for a content, the same for ever.
fn digest(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 32) as u32 ^ hash as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_never_changes() {
        // FNV-1a of nothing is its offset basis, of "a" 0xaf63dc4c8601ec8c.
        assert_eq!(digest(""), 0xcbf2_9ce4 ^ 0x8422_2325);
        assert_eq!(digest("a"), 0xaf63_dc4c ^ 0x8601_ec8c);
    }
}
