//! Output that cannot be written, and output that is no regular file: every command says so, ends with status 2, loses no
//! report, and replaces nothing.
//!
//! Each device, FIFO and link is made for the test, in a folder of its own: none of the machine's is ever written to.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

// The kernel, whose symbols the program's library needs, links only with a machine beside it.
use hostshim as _;

use crate::program::{Ran, Scratch};

/// A failing run, kept in the repository.
const KEPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../snapshots/replays/lost-update.replay"
);

/// How the report of a failing run begins.
const REPORT: &str = "ASSERTION lost-update FAILED";

fn rumplab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rumplab"));
    command.args(arguments);
    command
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Ran {
        status: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// Commands that write the file behind their last argument, each with the status that it has if it can, and with what
/// the file then has in it.
const WRITES_A_FILE: [(&[&str], i32, &str); 11] = [
    (&["explain", KEPT, "--out"], 0, REPORT),
    (&["explain", KEPT, "--html", "--out"], 0, "<html"),
    (&["explain", KEPT, "--json", "--out"], 0, "rumplab-account"),
    (&["explain", KEPT, "--svg", "--out"], 0, "<svg"),
    (&["explain", KEPT, "--dot", "--out"], 0, "digraph"),
    (&["explain", KEPT, "--perfetto", "--out"], 0, "traceEvents"),
    (&["explain", KEPT, "--pcap"], 0, ""),
    (&["replay", KEPT, "--pcap"], 1, ""),
    (&["minimize", KEPT, "--out"], 1, "rumplab-replay"),
    (
        &["run", "abba", "--schedules", "100", "--junit"],
        1,
        "<testsuites",
    ),
    (
        &["hunt", "xcall-early-count", "--schedules", "1", "--junit"],
        1,
        "<testsuites",
    ),
];

/// Runs a command in a folder of its own, so that what it keeps is not in the way.
fn write_to(scratch: &Scratch, arguments: &[&str], path: &str) -> Ran {
    let mut command = rumplab(arguments);
    ran(command.arg(path).env("CARGO_TARGET_DIR", &scratch.0))
}

fn mknod(path: &Path, mode: libc::mode_t, device: libc::dev_t) -> bool {
    let name = CString::new(path.as_os_str().as_bytes()).expect("no zero in the name");
    // SAFETY: the name is a string that ends with a zero and outlives the call.
    unsafe { libc::mknod(name.as_ptr(), mode, device) == 0 }
}

fn is_root() -> bool {
    // SAFETY: it has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn a_fifo_is_written_to_and_stays() {
    let scratch = Scratch::new("fifo");
    for (number, (arguments, status, begin)) in WRITES_A_FILE.into_iter().enumerate() {
        let path = scratch.path(&format!("fifo-{number}"));
        assert!(mknod(Path::new(&path), libc::S_IFIFO | 0o600, 0));
        let there = path.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = File::open(&there).and_then(|mut fifo| fifo.read_to_end(&mut bytes));
            read.map(|_| String::from_utf8_lossy(&bytes).into_owned())
        });
        let ran = write_to(&scratch, arguments, &path);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.err);
        let read = reader.join().expect("the reader ends").expect("it reads");
        assert!(read.contains(begin), "{arguments:?}: {read}");
        assert!(!read.is_empty(), "{arguments:?}");
        let kind = fs::symlink_metadata(&path).map(|data| data.file_type().is_fifo());
        assert_eq!(kind.ok(), Some(true), "{arguments:?} has replaced the FIFO");
    }
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_written() {
    let scratch = Scratch::new("link");
    for (number, (arguments, status, begin)) in WRITES_A_FILE.into_iter().enumerate() {
        let (link, file) = (format!("link-{number}"), format!("file-{number}"));
        let path = scratch.path(&link);
        symlink(&file, &path).unwrap_or_else(|error| panic!("{error}"));
        let ran = write_to(&scratch, arguments, &path);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.err);
        let to = fs::read_link(&path).ok();
        assert_eq!(to.as_deref(), Some(Path::new(&file)), "{arguments:?}");
        let read = fs::read(scratch.path(&file)).unwrap_or_default();
        let read = String::from_utf8_lossy(&read);
        assert!(!read.is_empty() && read.contains(begin), "{arguments:?}");
    }
}

#[test]
fn a_device_is_written_to_and_stays() {
    let scratch = Scratch::new("device");
    let null = scratch.path("null");
    let full = scratch.path("full");
    let made = mknod(Path::new(&null), libc::S_IFCHR | 0o600, libc::makedev(1, 3))
        && mknod(Path::new(&full), libc::S_IFCHR | 0o600, libc::makedev(1, 7));
    // A file system without devices (nodev) does not open them.
    if !made || OpenOptions::new().write(true).open(&null).is_err() {
        eprintln!("left out: only root can make devices, on a file system that has them");
        return;
    }
    for (arguments, status, _) in WRITES_A_FILE {
        let ran = write_to(&scratch, arguments, &null);
        assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.err);
        let ran = write_to(&scratch, arguments, &full);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("cannot write"), "{arguments:?}");
        assert!(ran.err.contains("No space left"), "{arguments:?}");
        report_is_there(arguments, &ran);
        for (path, minor) in [(&null, 3), (&full, 7)] {
            let node = fs::symlink_metadata(path).expect("the device is there");
            assert!(node.file_type().is_char_device(), "{arguments:?}");
            assert_eq!(node.rdev(), libc::makedev(1, minor), "{arguments:?}");
        }
    }
}

/// Whether what the command found is still told.
fn report_is_there(arguments: &[&str], ran: &Ran) {
    let said = format!("{}{}", ran.out, ran.err);
    let words = match arguments[0] {
        "hunt" => "not behave as expected",
        "run" => "DEADLOCK in abba",
        _ => REPORT,
    };
    assert!(said.contains(words), "{arguments:?} has lost: {said}");
}

#[test]
fn what_cannot_be_written_is_an_error_and_the_report_is_told() {
    let scratch = Scratch::new("unwritable");
    let file = scratch.file("file", "old");
    let below = format!("{file}/below");
    let nowhere = scratch.path("none/below");
    let folder = scratch.0.display().to_string();
    for (arguments, ..) in WRITES_A_FILE {
        for path in [&below, &nowhere, &folder] {
            let ran = write_to(&scratch, arguments, path);
            assert_eq!(ran.status, Some(2), "{arguments:?} {path}: {}", ran.err);
            assert!(ran.err.contains("cannot write"), "{arguments:?}");
            assert!(ran.err.contains("help: "), "{arguments:?}");
            report_is_there(arguments, &ran);
        }
    }
    assert_eq!(fs::read_to_string(&file).ok().as_deref(), Some("old"));
    assert!(!Path::new(&scratch.path("none")).exists());
}

/// Commands that keep replay files in the folder behind their last argument, and what they say.
const KEEPS_FILES: [(&[&str], &str); 4] = [
    (&["run", "lost-update", "--out"], REPORT),
    (
        &["run", "lost-update", "abba", "--json", "--out"],
        "\"replay\": null",
    ),
    (
        &[
            "predict",
            "abba",
            "--schedules",
            "20",
            "--races",
            "0",
            "--out",
        ],
        "predicted: ",
    ),
    (
        &["hunt", "xcall-early-count", "--schedules", "500", "--out"],
        "every variant that must fail",
    ),
];

/// A folder that the program cannot write to. Permissions do not hold root back: then the program runs as nobody.
#[test]
fn a_folder_that_is_read_only_loses_nothing() {
    let scratch = Scratch::new("read-only");
    // As nobody the program can be executed only where every folder above it can be entered: here.
    let program = scratch.path("rumplab");
    fs::copy(env!("CARGO_BIN_EXE_rumplab"), &program).expect("it can be copied");
    let folder = scratch.path("folder");
    fs::create_dir(&folder).expect("a folder");
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
    fs::set_permissions(&folder, mode(0o555)).expect("it is ours");
    for (arguments, words) in &KEEPS_FILES[..3] {
        let mut command = Command::new(&program);
        command.args(*arguments).arg(&folder);
        if is_root() {
            std::os::unix::process::CommandExt::uid(&mut command, 65534);
        }
        let ran = ran(&mut command);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(words), "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains("cannot write"), "{arguments:?}");
        // The replay file itself, whole.
        assert!(ran.err.contains("rumplab-replay 1\n"), "{arguments:?}");
        assert!(ran.err.contains("\nend\n"), "{arguments:?}");
    }
    let left = fs::read_dir(&folder).expect("it is there").count();
    assert_eq!(left, 0);
}

/// A file system of a few pages, which is full.
struct FullDisk(String);

impl FullDisk {
    fn mount(path: String) -> Option<FullDisk> {
        fs::create_dir(&path).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs", &path])
            .stderr(Stdio::null())
            .status();
        mounted.is_ok_and(|status| status.success()).then(|| {
            // Fails when the last page is taken, as it should.
            let _ = fs::write(format!("{path}/filler"), vec![0; 1 << 20]);
            FullDisk(path)
        })
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_file_system_loses_nothing() {
    let scratch = Scratch::new("full-disk");
    let Some(disk) = FullDisk::mount(scratch.path("disk")) else {
        eprintln!("left out: no file system can be mounted here");
        return;
    };
    let old = format!("{}/old", disk.0);
    for (arguments, words) in KEEPS_FILES {
        let ran = ran(rumplab(arguments).arg(&disk.0));
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains(words), "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains("No space left"), "{arguments:?}");
        assert!(ran.err.contains("\nend\n"), "{arguments:?}");
    }
    // A file that was there before stays what it was.
    fs::write(&old, "").expect("an empty file needs no page");
    for (arguments, ..) in WRITES_A_FILE {
        let ran = write_to(&scratch, arguments, &old);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("cannot write"), "{arguments:?}");
        report_is_there(arguments, &ran);
        assert_eq!(fs::read(&old).ok().as_deref(), Some(&b""[..]));
    }
    let names = fs::read_dir(&disk.0).expect("it is there").count();
    assert_eq!(names, 2, "something is left beside the old files");
}

/// Every command whose results go to the standard output, with a few of its words.
const PRINTS: [(&[&str], &str); 18] = [
    (&["list"], "xcall-early-count"),
    (&["list", "--json"], "rumplab-results"),
    (&["describe", "abba"], "Variants:"),
    (&["run", "abba"], "DEADLOCK in abba"),
    (&["run", "abba", "--json"], "rumplab-results"),
    (
        &["run", "mutex-exclusion", "--schedules", "10"],
        "nothing found in 10 schedules",
    ),
    (
        &["hunt", "xcall-early-count", "--schedules", "1"],
        "did not behave as expected",
    ),
    (
        &[
            "predict",
            "drain-vs-perform",
            "--schedules",
            "2",
            "--races",
            "0",
        ],
        "nothing predicted",
    ),
    (&["replay", KEPT], REPORT),
    (&["explain", KEPT], REPORT),
    (&["explain", KEPT, "--html"], REPORT),
    (&["explain", KEPT, "--json"], REPORT),
    (&["minimize", KEPT], "rumplab-replay 1\n"),
    (&["completions", "bash"], ""),
    (&["man"], ""),
    (&["--help"], "Exit status:"),
    (&["run", "--help"], "Exit status:"),
    (&["--version"], "replay format"),
];

#[test]
fn a_standard_output_that_is_full_is_an_error_and_loses_nothing() {
    let scratch = Scratch::new("stdout");
    let folder = scratch.0.parent().unwrap_or(Path::new("/"));
    let found = scratch.path("found");
    let triage: (&[&str], &str) = (&["triage", &found], "1 finding in 1 file");
    fs::create_dir(&found).expect("a folder");
    fs::copy(KEPT, format!("{found}/one.replay")).expect("it can be copied");
    for (arguments, words) in PRINTS.into_iter().chain([triage]) {
        let full = OpenOptions::new().write(true).open("/dev/full");
        let mut command = rumplab(arguments);
        command
            .stdout(full.expect("Linux has it"))
            .stderr(Stdio::piped())
            .current_dir(folder)
            .env("CARGO_TARGET_DIR", &scratch.0);
        let ran = ran(&mut command);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.err);
        assert!(
            ran.err.contains("cannot write to the standard output"),
            "{arguments:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let scratch = Scratch::new("pipe");
    for (arguments, _) in PRINTS {
        let usual = rumplab(arguments)
            .env("CARGO_TARGET_DIR", &scratch.0)
            .output()
            .map(|output| output.status.code());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = rumplab(arguments);
        command.stdout(writer).stderr(Stdio::piped());
        let ran = ran(command.env("CARGO_TARGET_DIR", &scratch.0));
        assert_eq!(Some(ran.status), usual.ok(), "{arguments:?}: {}", ran.err);
        for word in ["error:", "panicked"] {
            assert!(!ran.err.contains(word), "{arguments:?}: {}", ran.err);
        }
    }
}

/// The link is made for the test: `/dev/stdout` is the machine's.
#[test]
fn the_standard_output_by_its_name_is_not_replaced() {
    let scratch = Scratch::new("by-name");
    let (log, link) = (scratch.path("log"), scratch.path("stdout"));
    symlink("/proc/self/fd/1", &link).unwrap_or_else(|error| panic!("{error}"));
    let out = OpenOptions::new().create(true).append(true).open(&log);
    let mut command = rumplab(&["minimize", KEPT, "--out", &link]);
    let ran = ran(command.stdout(out.expect("a file")));
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let text = fs::read_to_string(&log).unwrap_or_default();
    // The file, and the report around it, in one open file.
    assert!(text.contains("rumplab-replay 1\n"), "{text}");
    assert!(text.contains("every access: "), "{text}");
    let to = fs::read_link(&link).ok();
    assert_eq!(to.as_deref(), Some(Path::new("/proc/self/fd/1")));
}
