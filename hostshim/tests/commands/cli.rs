//! The program from outside: statuses, messages, files.

use std::fs;
use std::path::Path;
use std::process::Command;

// The kernel, whose list of scenarios is looked at, links only with a machine beside it.
use hostshim as _;

use crate::program::{Ran, Scratch, rumplab};
use kmod::scenario::{self, Kind};

/// Runs what must be refused: status 2, nothing on the standard output, and a complaint with all of `words`.
fn refused(arguments: &[&str], words: &[&str]) {
    let Ran { status, out, err } = rumplab(arguments);
    assert_eq!(status, Some(2), "{arguments:?}: {out}{err}");
    assert_eq!(out, "", "{arguments:?}");
    for word in words {
        assert!(
            err.contains(word),
            "{arguments:?} is refused without `{word}`: {err}"
        );
    }
}

/// Finds a failure, and gives the path of its file.
fn a_failure(scratch: &Scratch, arguments: &[&str]) -> String {
    let directory = scratch.0.display().to_string();
    let ran = rumplab(&[&["run", "--out", &directory], arguments].concat());
    assert_eq!(ran.status, Some(1), "{}{}", ran.out, ran.err);
    let command = ran.out.lines().last().unwrap_or("");
    let path = command.strip_prefix("every access: rumplab replay ");
    path.unwrap_or_else(|| panic!("no command at the end: {}", ran.out))
        .to_owned()
}

#[test]
fn list_names_every_scenario_and_variant() {
    let ran = rumplab(&["list"]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    for scenario in kmod::scenario::ALL {
        assert!(ran.out.contains(scenario.name), "{}", ran.out);
        for variant in scenario.variants {
            assert!(
                scenario.variants.len() == 1 || ran.out.contains(variant.name),
                "{}",
                ran.out
            );
        }
    }
}

#[test]
fn a_fault_is_a_failure_and_not_the_end_of_the_program() {
    let scratch = Scratch::new("fault");
    for (scenario, words) in [
        ("provoke-fault", "address 0x10, where nothing is"),
        ("provoke-overflow", "used up its stack"),
        ("provoke-underflow", "attempt to subtract with overflow"),
    ] {
        let file = a_failure(&scratch, &[scenario]);
        let ran = rumplab(&["replay", &file]);
        assert_eq!(ran.status, Some(1), "{}", ran.err);
        let place = "at kmod/src/scenario/provoke.rs:";
        for expected in [words, place] {
            assert!(ran.out.contains(expected), "{}", ran.out);
        }
    }
}

#[test]
fn what_never_happened_is_told_after_nothing_was_found() {
    let ran = rumplab(&["run", "note-scan", "--schedules", "1000"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let expected = "  in all of these 1000 schedules:\n    nobody had to wait for: world.klist\n";
    assert!(ran.out.ends_with(expected), "{}", ran.out);
}

#[test]
fn a_failure_is_found_kept_and_replayed() {
    let scratch = Scratch::new("found");
    let file = a_failure(
        &scratch,
        &[
            "xcall-early-count",
            "--variant",
            "historical",
            "--schedules",
            "5000",
        ],
    );
    assert_eq!(
        scratch.names().len(),
        1,
        "one file and no remains: {:?}",
        scratch.names()
    );
    let first = rumplab(&["replay", &file]);
    assert_eq!(first.status, Some(1), "{}", first.err);
    assert!(
        first
            .out
            .contains("API CONTRACT xcall-early BROKEN in xcall-early-count (variant historical)"),
        "{}",
        first.out
    );
    assert_eq!(
        first.out,
        rumplab(&["replay", &file]).out,
        "the same bytes twice"
    );
    let told = rumplab(&["explain", &file]);
    assert_eq!(told.status, Some(0), "{}", told.err);
    let coded = rumplab(&["explain", &file, "--exit-code"]);
    assert_eq!((coded.status, coded.out), (Some(1), told.out.clone()));
    for part in [
        "API CONTRACT xcall-early BROKEN in xcall-early-count (variant historical)",
        ">>> switch to cpu",
        "About:",
        "Every step:",
        "Other threads blocked at the end:",
    ] {
        assert!(told.out.contains(part), "`{part}` is not in:\n{}", told.out);
    }
}

#[test]
fn the_same_arguments_print_the_same() {
    let (one, two) = (Scratch::new("same-1"), Scratch::new("same-2"));
    let run = |scratch: &Scratch, jobs| {
        let directory = scratch.0.display().to_string();
        let arguments = [
            "run", "abba", "--seed", "3", "--jobs", jobs, "--out", &directory,
        ];
        rumplab(&arguments).out.replace(&directory, "DIR")
    };
    assert_eq!(run(&one, "1"), run(&two, "2"));
    assert_eq!(one.names(), two.names());
}

#[test]
fn a_variant_that_nobody_has_is_refused_with_each_name_once() {
    let told = rumplab(&["run", "all", "--variant", "nope"]);
    assert_eq!(told.status, Some(2));
    assert_eq!(told.err.matches("historical,").count(), 1, "{}", told.err);
}

#[test]
fn a_deadlock_is_told_with_its_cycle() {
    let scratch = Scratch::new("deadlock");
    let file = a_failure(&scratch, &["abba"]);
    let told = rumplab(&["explain", &file]);
    assert!(told.out.contains("cycle: b => a => b"), "{}", told.out);
    assert_eq!(
        told.out.matches("cycle: ").count(),
        1,
        "told twice:\n{}",
        told.out
    );
}

#[test]
fn nothing_found_is_status_0_and_leaves_no_file() {
    let scratch = Scratch::new("nothing");
    let directory = scratch.0.display().to_string();
    let ran = rumplab(&["run", "all", "--schedules", "200", "--out", &directory]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    let sound = |s: &&&kmod::scenario::Scenario| s.kind.must_hold();
    let count = kmod::scenario::ALL.iter().filter(sound).count();
    assert_eq!(
        ran.out.matches("nothing found in 200 schedules").count(),
        count,
        "{}",
        ran.out
    );
    assert_eq!(scratch.names(), Vec::<String>::new());
}

#[test]
fn wrong_usage_is_refused_with_advice() {
    refused(
        &["run", "xcall-erly-count"],
        &[
            "no scenario `xcall-erly-count`",
            "did you mean `xcall-early-count`?",
        ],
    );
    refused(
        &["run", "abba", "--variant", "historical"],
        &["no variant `historical`", "fixed"],
    );
    refused(
        &["run", "all", "--variant", "historic"],
        &["did you mean `historical`?"],
    );
    refused(&["run", "nic-loop"], &["booted machine", "scripts/boot"]);
    refused(&["run", "abba", "--cpus", "0"], &["1 to 16 CPUs"]);
    refused(&["run", "abba", "--cpus", "17"], &["1 to 16 CPUs"]);
    refused(
        &["run", "abba", "--strategy", "luck"],
        &["portfolio, random, pct"],
    );
    refused(
        &["run", "abba", "--schedules", "1", "--seconds", "1"],
        &["cannot be used with"],
    );
    refused(&["run"], &["<SCENARIO>"]);
    refused(
        &["replay", "/nonexistent/x.replay"],
        &["cannot read /nonexistent/x.replay"],
    );
    refused(
        &["explain", "/nonexistent/x.replay"],
        &["cannot read /nonexistent/x.replay"],
    );
}

#[test]
fn an_output_directory_that_cannot_be_is_refused_before_the_hunt() {
    let scratch = Scratch::new("blocked");
    let file = scratch.file("file", "");
    refused(
        &["run", "abba", "--out", &format!("{file}/below")],
        &["--out", "can be written"],
    );
}

#[test]
fn damaged_files_are_refused_with_the_place() {
    let scratch = Scratch::new("damaged");
    let whole = a_failure(&scratch, &["lost-update"]);
    let text = fs::read_to_string(Path::new(&whole)).unwrap_or_default();
    assert!(
        text.contains("before t2 on cpu1 store counter #1: cpu0 steps"),
        "the cases below suppose another failure:\n{text}"
    );
    for (from, to, at, words) in [
        (
            " store ",
            " stare ",
            "stare",
            ["there is no operation `stare`", "did you mean `store`?"],
        ),
        (
            "#1: ",
            "#9: ",
            "t2",
            ["this point is never reached", "only once"],
        ),
        (
            ": cpu0",
            ": cpu7",
            "cpu7",
            ["there is no `cpu7` here", "cpu0 to cpu1"],
        ),
        (
            "cpu0 steps",
            "cpu0 takes ipi",
            "cpu0 takes",
            ["not possible here", "no ipi to take"],
        ),
        (
            "before t2",
            "before t9",
            "t9",
            ["this point is never reached", "no context t9 ran"],
        ),
    ] {
        let damaged = text.replacen(from, to, 1);
        let line = damaged.lines().nth(6).unwrap_or("");
        let column = line.find(at).map_or(0, |offset| offset + 1);
        let file = scratch.file("damaged", &damaged);
        let place = format!("{file}:7:{column}: ");
        refused(&["replay", &file], &[&place, words[0], words[1]]);
        refused(&["explain", &file], &[&place, words[0], words[1]]);
    }
    let half = scratch.file("half", &text[..text.len() / 2]);
    refused(
        &["replay", &half],
        &[&format!("{half}:"), "it may have been cut"],
    );
    refused(
        &["replay", &whole, "--cpus", "4"],
        &[":4:6: ", "for 2 CPUs, and 4 were asked for"],
    );
    assert_eq!(rumplab(&["replay", &whole, "--cpus", "2"]).status, Some(1));
}

#[test]
fn a_run_that_passes_replays_with_status_0() {
    let scratch = Scratch::new("passes");
    let file = scratch.file(
        "fair",
        "rumplab-replay 1\nscenario lost-update\nvariant fixed\ncpus 2\nxcall native\nschedule\nend\n",
    );
    let ran = rumplab(&["replay", &file]);
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("passed: "), "{}", ran.out);
}

#[test]
fn output_that_nobody_looks_at_has_no_colours() {
    let scratch = Scratch::new("plain");
    let file = a_failure(&scratch, &["lost-update"]);
    for arguments in [&["list"][..], &["explain", &file]] {
        assert!(!rumplab(arguments).out.contains('\x1b'), "{arguments:?}");
    }
}

/// Waits until the process has handlers of its own for SIGINT and SIGTERM, as the host's own account of it says.
#[cfg(target_os = "linux")]
fn wait_for_handler(process: u32) {
    const SIGINT: u64 = 1 << 1;
    const SIGTERM: u64 = 1 << 14;
    for _ in 0..3000 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        if caught.is_some_and(|mask| mask & (SIGINT | SIGTERM) == SIGINT | SIGTERM) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("the program never listened for Ctrl-C");
}

#[test]
fn every_program_with_a_bug_fails_and_its_failure_is_kept() {
    let scratch = Scratch::new("ported");
    let directory = scratch.0.display().to_string();
    let ported = scenario::ALL.iter().filter(|s| s.kind == Kind::Ported);
    let variants = ported.flat_map(|s| s.variants.iter().map(move |v| (s.name, v)));
    for (scenario, variant) in variants.filter(|(_, variant)| variant.fails) {
        let run = ["run", scenario, "--variant", variant.name];
        let ran = rumplab(&[&run[..], &["--schedules", "20k", "--out", &directory]].concat());
        assert_eq!(ran.status, Some(1), "{scenario}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("rumplab explain"), "{}", ran.out);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_and_sigterm_end_a_hunt_with_what_was_done_so_far() {
    use std::process::Stdio;

    let scratch = Scratch::new("interrupt");
    let directory = scratch.0.display().to_string();
    let run = ["run", "xcall-early-count", "mutex-exclusion"];
    let long = ["--seconds", "600", "--out", &directory];
    let hunt = ["hunt", "--schedules", "1g", "--out", &directory];
    for (arguments, words) in [
        (
            [&run[..], &long].concat(),
            ["nothing found so far", "summary: 1 of 2 run, 1 stopped"],
        ),
        (
            hunt.to_vec(),
            ["stopped: ", "variants were tried on the simulated machine"],
        ),
    ] {
        for (signal, status) in [("-INT", 130), ("-TERM", 143)] {
            let started = Command::new(env!("CARGO_BIN_EXE_rumplab"))
                .args(&arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn();
            let child = started.unwrap_or_else(|error| panic!("{error}"));
            wait_for_handler(child.id());
            // Twice, as timeout(1) does it: to the process, and to its group.
            let killed = Command::new("kill")
                .args([signal, &child.id().to_string(), &child.id().to_string()])
                .status();
            assert!(killed.is_ok_and(|status| status.success()));
            let output = child
                .wait_with_output()
                .unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(output.status.code(), Some(status), "{arguments:?}");
            let out = String::from_utf8_lossy(&output.stdout);
            for words in words {
                assert!(out.contains(words), "{arguments:?}: {out}");
            }
            assert_eq!(scratch.names(), Vec::<String>::new());
        }
    }
}

#[test]
fn a_deadlock_is_predicted_from_a_run_that_had_none_and_its_file_replays() {
    let scratch = Scratch::new("predicted");
    let directory = scratch.0.display().to_string();
    let historical = ["perform-vs-callout", "--variant", "historical"];
    let one = ["--schedules", "1", "--races", "0", "--out", &directory];
    let ran = rumplab(&[&["predict"], &historical[..], &one].concat());
    assert_eq!(ran.status, Some(1), "{}{}", ran.out, ran.err);
    let cycle = "softnet_lock => pserialize_perform => kpause => callout => softnet_lock";
    for words in [
        "historical: 1 deadlock predicted from 1 schedules (portfolio, seed 1)\n",
        &format!("predicted: {cycle}\n"),
        "* and holds softnet_lock since kmod/src/scenario/inet.rs:",
    ] {
        assert!(ran.out.contains(words), "without `{words}`: {}", ran.out);
    }
    let last = ran.out.lines().last().unwrap_or("");
    let (_, file) = last
        .split_once("confirmed in schedule 1: rumplab explain ")
        .unwrap_or_else(|| panic!("not confirmed: {}", ran.out));
    let replayed = rumplab(&["replay", file]);
    assert_eq!(replayed.status, Some(1), "{}", replayed.err);
    let told = format!("cycle: {cycle}");
    assert!(replayed.out.contains(&told), "{}", replayed.out);
}

#[test]
fn nothing_is_predicted_of_todays_code_and_wrong_words_are_refused() {
    let scratch = Scratch::new("unpredicted");
    let directory = scratch.0.display().to_string();
    let few = ["--schedules", "20", "--races", "1", "--out", &directory];
    let ran = rumplab(&[&["predict", "drain-vs-perform"], &few[..]].concat());
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    assert!(
        ran.out.contains("nothing predicted from 20 schedules"),
        "{}",
        ran.out
    );
    refused(&["predict", "abbba"], &["there is no scenario", "abba"]);
    refused(&["predict", "abba", "--variant", "old"], &["no variant"]);
    refused(&["predict", "abba", "--schedules", "0"], &["--schedules"]);
}
