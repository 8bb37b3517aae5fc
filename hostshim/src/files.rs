//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

/// Writes beside the file and renames, so that no reader and no accident ever sees half of it.
///
/// # Errors
///
/// What the host says if it does not let the file be written or renamed. Then nothing is left of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", process::id()));
    let beside = PathBuf::from(beside);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let result = written.and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        // What is left of it is of no use; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_nothing_is_left_beside_it() {
        let directory = std::env::temp_dir().join(format!("rumplab-files-{}", process::id()));
        assert!(fs::create_dir_all(&directory).is_ok());
        let path = directory.join("x.replay");
        assert!(write_whole(&path, b"old").is_ok());
        assert!(write_whole(&path, b"new").is_ok());
        assert_eq!(fs::read(&path).ok().as_deref(), Some(&b"new"[..]));
        // A directory in the way: an error, and no remains.
        let blocked = directory.join("blocked");
        assert!(fs::create_dir_all(blocked.join("full")).is_ok());
        assert!(write_whole(&blocked, b"never").is_err());
        let names = fs::read_dir(&directory).map(|entries| entries.count());
        assert_eq!(names.ok(), Some(2));
        assert!(fs::remove_dir_all(&directory).is_ok());
    }
}
