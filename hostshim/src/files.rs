//! Writing the files that a user names.
//!
//! A regular file is written atomically: the text goes to a temporary file beside it, which is renamed. Anything else
//! (a device, a FIFO, an open file of a process such as `/dev/stdout`) is written to and never replaced. A symbolic
//! link stays, and its target is treated by the same rule.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How a path is written.
#[derive(PartialEq, Eq, Debug)]
enum Target {
    /// Atomically: it is a regular file, or does not exist yet.
    Regular(PathBuf),
    /// As a stream of bytes.
    Stream(PathBuf),
}

/// The most symbolic links that are followed, as in Linux.
const LINKS: usize = 40;

/// Writes a file. A regular file has either its old content or the new one, whatever happens. Other files get the
/// bytes as from any program that writes to them. Opening a FIFO waits until it has a reader.
///
/// # Errors
///
/// The error of the host if the file cannot be written. A regular file is then unchanged.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match target(path)? {
        Target::Regular(path) => replace(&path, bytes),
        Target::Stream(path) => append(&path, bytes),
    }
}

/// The target of the links at `path`, and how it is written.
fn target(path: &Path) -> io::Result<Target> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let kind = match fs::symlink_metadata(&path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Target::Regular(path)),
            Err(error) => return Err(error),
        };
        if kind.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if kind.is_file() {
            return Ok(Target::Regular(path));
        }
        // The links in /proc stand for open files. Opened by its name, such a file could be a different one.
        if !kind.is_symlink() || is_open_file(&path) {
            return Ok(Target::Stream(path));
        }
        let next = fs::read_link(&path)?;
        path = folder(&path).join(next);
    }
    Err(io::Error::other("too many levels of symbolic links"))
}

fn is_open_file(link: &Path) -> bool {
    fs::canonicalize(folder(link)).is_ok_and(|folder| folder.starts_with("/proc"))
}

/// The directory of a path.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Creates or replaces a regular file.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let old = match File::options().write(true).open(path) {
        Ok(old) => Some(old.metadata()?.permissions()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let anyone = fs::Permissions::from_mode(0o666);
    let beside = tempfile::Builder::new()
        .prefix(".rumplab-")
        .suffix(".tmp")
        // Minus the umask, as for any new file.
        .permissions(anyone)
        .tempfile_in(folder(path))
        // The name of the temporary file means nothing to the user.
        .map_err(|error| io::Error::from(error.kind()))?;
    let mut file = beside.as_file();
    file.write_all(bytes)?;
    if let Some(permissions) = old {
        file.set_permissions(permissions)?;
    }
    file.sync_all()?;
    beside.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes to an existing file that is not regular.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut stream = File::options()
        .append(true)
        // A terminal must not become the controlling terminal of this process.
        .custom_flags(libc::O_NOCTTY)
        .open(path)?;
    stream.write_all(bytes)?;
    stream.flush()
}

/// The path as one word of a command line.
pub fn for_shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The names in a directory, in order.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there").flatten();
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names = Vec::from_iter(entries.map(name));
        names.sort();
        names
    }

    #[test]
    fn a_regular_file_is_written_whole_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.replay");
        assert!(write_whole(&path, b"old").is_ok());
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(&path, mode).expect("the file is ours");
        assert!(write_whole(&path, b"new").is_ok());
        assert_eq!(fs::read(&path).ok().as_deref(), Some(&b"new"[..]));
        let mode = fs::metadata(&path).map(|data| data.permissions().mode() & 0o777);
        assert_eq!(mode.ok(), Some(0o640));
        // The target is a directory: an error, and nothing remains.
        let blocked = folder.path().join("blocked");
        assert!(fs::create_dir_all(blocked.join("full")).is_ok());
        assert!(write_whole(&blocked, b"never").is_err());
        assert_eq!(names(folder.path()), ["blocked", "x.replay"]);
    }

    #[test]
    fn a_link_stays_and_the_file_that_it_leads_to_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("deep")).expect("a folder");
        symlink("deep/file", at("one")).expect("a link");
        symlink(at("one"), at("two")).expect("a link");
        // Once for a file that does not exist yet, once for one that does.
        for text in [&b"first"[..], b"second"] {
            assert!(write_whole(&at("two"), text).is_ok());
            assert_eq!(fs::read(at("deep/file")).ok().as_deref(), Some(text));
        }
        assert_eq!(fs::read_link(at("one")).ok(), Some("deep/file".into()));
        assert_eq!(fs::read_link(at("two")).ok(), Some(at("one")));
        symlink("ring", at("ring")).expect("a link");
        assert!(write_whole(&at("ring"), b"never").is_err());
        assert_eq!(names(folder.path()), ["deep", "one", "ring", "two"]);
    }

    #[test]
    fn an_open_file_is_written_to_and_not_its_name() {
        use std::os::fd::AsRawFd;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        fs::write(&path, "before, ").expect("a file");
        let open = File::options().append(true).open(&path).expect("a file");
        fs::remove_file(&path).expect("its name goes");
        fs::write(&path, "another").expect("another file");
        let link = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
        assert!(write_whole(&link, b"after").is_ok());
        let written = fs::read_to_string(&link);
        assert_eq!(written.ok().as_deref(), Some("before, after"));
        assert_eq!(fs::read_to_string(&path).ok().as_deref(), Some("another"));
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        assert_eq!(for_shell(Path::new("./a-1/b.replay")), "./a-1/b.replay");
        assert_eq!(for_shell(Path::new("a b")), "'a b'");
        assert_eq!(for_shell(Path::new("it's")), "'it'\\''s'");
    }
}
