//! The command line as a user meets it: help, numbers, suggestions, what is printed besides results.

use std::fs;
use std::process::{Command, Stdio};

// The kernel, whose symbols the program's library needs, links only with a machine beside it.
use hostshim as _;

use crate::program::{Scratch, rumplab};

const COMMANDS: [&str; 12] = [
    "list",
    "describe",
    "run",
    "prove",
    "hunt",
    "predict",
    "replay",
    "explain",
    "minimize",
    "triage",
    "completions",
    "man",
];

#[test]
fn every_help_has_the_exit_statuses() {
    for command in COMMANDS {
        let ran = rumplab(&[command, "--help"]);
        assert_eq!(ran.status, Some(0), "{command}");
        for words in ["Exit status:\n", "--quiet", "--color"] {
            assert!(ran.out.contains(words), "{command}: no {words}");
        }
    }
    let ran = rumplab(&["--help"]);
    for command in COMMANDS {
        assert!(ran.out.contains(&format!("\n  {command} ")), "{command}");
    }
}

#[test]
fn help_is_as_wide_as_it_is_asked_to_be() {
    for width in [60, 80] {
        for command in COMMANDS {
            let output = Command::new(env!("CARGO_BIN_EXE_rumplab"))
                .args([command, "--help"])
                .env("COLUMNS", width.to_string())
                .output()
                .unwrap_or_else(|error| panic!("{error}"));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            // A word that is longer, as a path can be, stays whole.
            let wide = text.lines().find(|line| {
                line.chars().count() > width && line.trim().contains(char::is_whitespace)
            });
            assert_eq!(wide, None, "{command} at {width}");
        }
    }
}

#[test]
fn near_names_are_suggested() {
    for (arguments, words) in [
        (&["rnu", "abba"][..], "'run'"),
        (&["expalin"], "'explain'"),
        (&["man", "tirage"], "`triage`"),
        (
            &["run", "xcall-erly-count"],
            "did you mean `xcall-early-count`?",
        ),
        (&["run", "mutex"], "`rumplab list` has all of them"),
        (&["describe", "aba"], "`abba`"),
        (&["run", "breach-nosuch"], "the nearest are `breach-"),
        (&["run", "zzz*"], "no scenario matches `zzz*`"),
        (&["hunt", "abba"], "rumplab run abba"),
    ] {
        let ran = rumplab(arguments);
        assert_eq!(ran.status, Some(2), "{arguments:?}");
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        assert!(ran.err.len() < 500, "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn numbers_can_be_short_and_wrong_ones_are_told_what_is_right() {
    let held = |arguments: &[&str]| {
        let ran = rumplab(&[&["run", "mutex-exclusion"], arguments].concat());
        assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.err);
        ran.out
    };
    for number in ["1k", "1e3", "1_000"] {
        let out = held(&["--schedules", number]);
        assert!(out.contains("nothing found in 1000 schedules"), "{out}");
    }
    held(&["--seconds", "0.2s"]);
    for (arguments, words) in [
        (["--seed", "-1"], "not a whole number from 0 on"),
        (["--schedules", "-5"], "not a whole number from 0 on"),
        (["--schedules", "1.5"], "100k, 2m, 1e6"),
        (["--schedules", "0"], "it must be 1 at least"),
        (["--seconds", "-1"], "it is not a duration"),
        (["--seconds", "0"], "more than 0"),
        (["--jobs", "257"], "it can be 1 to 256"),
        (["--cpus", "-1"], "1 to 16 CPUs"),
    ] {
        let ran = rumplab(&[&["run", "abba"], &arguments[..]].concat());
        assert_eq!(ran.status, Some(2), "{arguments:?}");
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        assert!(!ran.err.contains("'-- -"), "{arguments:?}: {}", ran.err);
    }
}

#[test]
fn a_scenario_is_described() {
    let ran = rumplab(&["describe", "xcall-early-count"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    for words in [
        "two cross calls at once",
        "Two threads broadcast a function",
        "(has a bug)",
        "rumplab run xcall-early-count --variant historical",
    ] {
        assert!(ran.out.contains(words), "no `{words}` in {}", ran.out);
    }
    let booted = rumplab(&["describe", "nic-loop"]);
    assert!(booted.out.contains("scripts/boot --net"), "{}", booted.out);
}

#[test]
fn several_scenarios_end_with_a_summary() {
    let scratch = Scratch::new("several");
    let directory = scratch.0.display().to_string();
    let ran = rumplab(&[
        "run",
        "abba",
        "mutex-e*",
        "--schedules",
        "100",
        "--out",
        &directory,
    ]);
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let last = Vec::from_iter(ran.out.lines().rev().take(2));
    assert_eq!(last[1], "summary: 2 of 2 run, 1 held, 1 failed");
    // In which schedule is the strategies' affair.
    let told = last[0].strip_prefix("  abba: deadlock in schedule ");
    let told = told.map(|rest| rest.trim_start_matches(|letter: char| letter.is_ascii_digit()));
    let next = format!(": rumplab explain {directory}/");
    assert!(
        told.is_some_and(|rest| rest.starts_with(&next)),
        "{}",
        last[0]
    );
}

#[test]
fn a_failure_is_followed_by_what_to_do_and_explain_comes_first() {
    let scratch = Scratch::new("next");
    let directory = scratch.0.display().to_string();
    let ran = rumplab(&["run", "abba", "--out", &directory]);
    let last = Vec::from_iter(ran.out.lines().rev().take(3));
    for (line, start) in last.iter().rev().zip([
        "see why:      rumplab explain ",
        "as a page:    rumplab explain ",
        "every access: rumplab replay ",
    ]) {
        assert!(line.starts_with(start), "{line}");
        let (_, command) = line.split_once("rumplab ").unwrap_or_default();
        let words = Vec::from_iter(command.split(' '));
        let status = rumplab(&words).status;
        let expected = i32::from(start.starts_with("every"));
        assert_eq!(status, Some(expected), "{line}");
    }
}

#[test]
fn replay_files_go_to_the_build_folder() {
    let scratch = Scratch::new("default");
    for (variable, place) in [("", "target/rumplab"), ("built", "built/rumplab")] {
        let output = Command::new(env!("CARGO_BIN_EXE_rumplab"))
            .args(["run", "abba"])
            .current_dir(&scratch.0)
            .env("CARGO_TARGET_DIR", variable)
            .output()
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(output.status.code(), Some(1));
        let files = fs::read_dir(scratch.0.join(place)).map(|entries| entries.count());
        assert_eq!(files.ok(), Some(1), "{place}");
    }
    // What held leaves nothing.
    let nothing = Scratch::new("default-nothing");
    let status = Command::new(env!("CARGO_BIN_EXE_rumplab"))
        .args(["run", "mutex-exclusion", "--schedules", "5"])
        .current_dir(&nothing.0)
        .env_remove("CARGO_TARGET_DIR")
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    assert_eq!(nothing.names(), Vec::<String>::new());
}

#[test]
fn quiet_is_quiet_and_colours_are_as_asked() {
    let loud = rumplab(&["run", "mutex-exclusion", "--schedules", "5"]);
    assert!(
        loud.err.starts_with("mutex-exclusion fixed: 5 schedules"),
        "{}",
        loud.err
    );
    let quiet = rumplab(&["run", "mutex-exclusion", "--schedules", "5", "--quiet"]);
    assert_eq!((quiet.out, &*quiet.err), (loud.out, ""));
    let coloured = rumplab(&["list", "--color", "always"]);
    assert!(coloured.out.contains('\x1b'));
    let plain = rumplab(&["list", "--color=never"]);
    assert!(!plain.out.contains('\x1b'));
    let wrong = rumplab(&["list", "--color", "blue"]);
    assert_eq!(wrong.status, Some(2));
}

#[test]
fn a_contract_is_explained_by_its_name() {
    let told = rumplab(&["explain", "mutex-owned"]);
    assert_eq!((told.status, &*told.err), (Some(0), ""));
    assert!(told.out.starts_with("mutex-owned: "), "{}", told.out);
    assert!(told.out.contains("rumplab run breach-mutex-owned"));
    let wrong = rumplab(&["explain", "mutex-ownd"]);
    assert_eq!(wrong.status, Some(2));
    assert!(
        wrong.err.contains("did you mean `mutex-owned`"),
        "{}",
        wrong.err
    );
}

#[test]
fn completions_manual_pages_and_the_version_are_there() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = rumplab(&["completions", shell]);
        assert_eq!(ran.status, Some(0), "{shell}");
        assert!(ran.out.contains("minimize"), "{shell}");
    }
    for (arguments, title) in [
        (&["man"][..], ".TH rumplab 1"),
        (&["man", "run"], ".TH rumplab-run 1"),
    ] {
        let ran = rumplab(arguments);
        assert_eq!(ran.status, Some(0), "{arguments:?}");
        assert!(ran.out.contains(title), "{}", ran.out);
    }
    let version = rumplab(&["--version"]).out;
    assert!(version.starts_with("rumplab 0."), "{version}");
    assert!(version.contains("commit "), "{version}");
    assert!(version.ends_with("replay format 1)\n"), "{version}");
}
