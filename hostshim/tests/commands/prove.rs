//! `rumplab prove`: what it says, its exit status, and its files.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

// The kernel, whose symbols the program's library needs, links only with a machine beside it.
use hostshim as _;

use crate::program::{Scratch, rumplab};

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The only file in a directory.
fn only(scratch: &Scratch) -> String {
    match &scratch.names()[..] {
        [name] => scratch.path(name),
        names => panic!("{names:?}"),
    }
}

#[test]
fn a_proof_says_what_it_covers() {
    let ran = rumplab(&["prove", "condvar-signal", "--bound", "1"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    for words in [
        "condvar-signal fixed, 2 CPUs: complete up to 1 forced switch: ",
        ", no failure\n",
        "every schedule with at most 1 forced switch from the default",
        "Nothing is said about schedules with more forced switches.",
    ] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert_eq!(
        rumplab(&["prove", "condvar-signal", "--bound", "1"]).out,
        ran.out
    );
}

#[test]
fn a_failure_is_kept_and_replays() {
    let scratch = Scratch::new("prove");
    let out = scratch.path("out");
    let variant = ["--variant", "historical", "--out", &out];
    let ran = rumplab(&[&["prove", "xcall-early-count"], &variant[..]].concat());
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let first = ran.out.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("API CONTRACT xcall-early BROKEN in xcall-early-count (variant historical), needs 1 forced switch, found in run "),
        "{first}"
    );
    assert!(
        ran.out
            .contains("(exhaustive search; with up to 0 forced switches nothing fails)")
    );
    let files = fs::read_dir(&out).unwrap_or_else(|error| panic!("{error}"));
    let files = Vec::from_iter(files.flatten().map(|entry| entry.path()));
    let [file] = &files[..] else {
        panic!("{files:?}")
    };
    let replayed = rumplab(&["replay", &file.display().to_string()]);
    assert_eq!(replayed.status, Some(1), "{}", replayed.err);
}

#[test]
fn a_bug_that_is_not_reached_is_told() {
    let ran = rumplab(&[
        "prove",
        "xcall-early-count",
        "--variant",
        "historical",
        "--bound",
        "0",
    ]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(
        ran.out
            .contains("but this variant has a bug: it was not reproduced"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("  help: allow more forced switches (--bound)"),
        "{}",
        ran.out
    );
}

#[test]
fn certificates_are_confirmed_or_not() {
    let scratch = Scratch::new("certificates");
    let directory = scratch.0.display().to_string();
    let keep = ["--bound", "1", "--certificates", &directory];
    let ran = rumplab(&[&["prove", "perform-vs-callout"], &keep[..]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let file = only(&scratch);
    let ran = rumplab(&["prove", "--check", &file, "--jobs", "2"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("the certificate is confirmed"),
        "{}",
        ran.out
    );
    let certificate = text(&file);
    let (before, rest) = certificate
        .split_once("\"executions\": ")
        .unwrap_or_default();
    let (_, after) = rest.split_once(',').unwrap_or_default();
    let other = scratch.file("other.proof", &format!("{before}\"executions\": 7,{after}"));
    let ran = rumplab(&["prove", "--check", &other]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(
        ran.out
            .contains("the certificate is not confirmed: it has 7 executions, and now there are "),
        "{}",
        ran.out
    );
}

#[test]
fn a_proof_that_runs_out_of_time_goes_on() {
    let (scratch, whole) = (Scratch::new("resume"), Scratch::new("whole"));
    let (out, directory) = (scratch.path("out"), whole.0.display().to_string());
    let stop = ["prove", "psref-drain", "--seconds", "0.2", "--out", &out];
    let ran = rumplab(&stop);
    assert_eq!(ran.status, Some(3), "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("; the time was over after "),
        "{}",
        ran.out
    );
    let to_go_on = ran
        .out
        .lines()
        .find_map(|line| line.strip_prefix("  to go on: rumplab prove --resume "));
    let file = to_go_on.unwrap_or_else(|| panic!("{}", ran.out)).to_owned();
    let ran = rumplab(&["prove", "--resume", &file, "--jobs", "2"]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    let ran = rumplab(&["prove", "psref-drain", "--certificates", &directory]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(text(&file), text(&only(&whole)));
    let ran = rumplab(&["prove", "--resume", &file]);
    assert_eq!(ran.status, Some(2));
    assert!(
        ran.err.contains("nothing is left of this proof"),
        "{}",
        ran.err
    );
}

#[test]
fn ctrl_c_leaves_a_file_to_go_on_with() {
    let scratch = Scratch::new("interrupted-proof");
    let child = Command::new(env!("CARGO_BIN_EXE_rumplab"))
        .args(["prove", "drain-vs-perform", "--bound", "5", "--out"])
        .arg(&scratch.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let child = child.unwrap_or_else(|error| panic!("{error}"));
    // Long enough for it to listen to signals; it has work for hours.
    thread::sleep(Duration::from_secs(2));
    // SAFETY: a signal to a process of this test.
    let sent = unsafe { libc::kill(child.id().cast_signed(), libc::SIGINT) };
    assert_eq!(sent, 0);
    let ended = child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.status.code(), Some(130));
    let out = String::from_utf8_lossy(&ended.stdout);
    assert!(out.contains("; stopped after "), "{out}");
    let file = only(&scratch);
    assert!(
        Path::new(&file)
            .extension()
            .is_some_and(|extension| extension == "proof")
    );
    assert!(text(&file).contains("\"left\""));
}

#[test]
fn parts_are_put_together() {
    let (scratch, whole) = (Scratch::new("parts"), Scratch::new("of-parts"));
    let out = scratch.0.display().to_string();
    let directory = whole.0.display().to_string();
    for shard in ["1/3", "2/3", "3/3"] {
        let part = [
            "prove",
            "perform-vs-callout",
            "--shard",
            shard,
            "--out",
            &out,
        ];
        let ran = rumplab(&part);
        assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    }
    let files = Vec::from_iter(scratch.names().iter().map(|name| scratch.path(name)));
    let files = Vec::from_iter(files.iter().map(String::as_str));
    let merged = rumplab(&[&["prove", "--merge"], &files[..]].concat());
    assert_eq!(merged.status, Some(0), "{}", merged.err);
    let ran = rumplab(&["prove", "perform-vs-callout", "--certificates", &directory]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(merged.out, text(&only(&whole)));
    let ran = rumplab(&["prove", "--merge", files[0]]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("part 2 of 3 is missing"), "{}", ran.err);
}

#[test]
fn wrong_usage_is_told() {
    let scratch = Scratch::new("wrong-proof");
    let empty = scratch.file("empty.proof", "");
    let other = scratch.file("other.proof", "{\"format\": \"rumplab-results\"}");
    let refused = |arguments: &[&str], words: &str| {
        let ran = rumplab(arguments);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    };
    refused(&["prove"], "<SCENARIO>");
    refused(&["prove", "abbba"], "there is no scenario");
    refused(&["prove", "ops"], "ops has no program of its own");
    refused(
        &["prove", "op*"],
        "matches only scenarios that have no program",
    );
    refused(&["prove", "--check", "/dev/zero"], "it is no regular file");
    refused(
        &["prove", "--check", &empty, "--bound", "2"],
        "cannot be used with",
    );
    refused(&["prove", "abba", "--bound", "-1"], "--bound");
    refused(&["prove", "abba", "--shard", "4/3"], "it is no part");
    refused(&["prove", "--check", &empty], "it is no certificate");
    refused(&["prove", "--resume", &other], "it is no certificate");
    refused(&["prove", "--merge", "/nowhere.proof"], "/nowhere.proof");
    refused(
        &["prove", "abba", "--resume", &empty],
        "cannot be used with",
    );
}
