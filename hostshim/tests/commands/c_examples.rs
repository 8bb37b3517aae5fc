//! The example in C: each of its mistakes is found, with lines of C and names of fields, and the mended table holds.

use std::path::{Path, PathBuf};
use std::process::Command;

// The kernel, whose symbols the program's library needs, links only with a machine beside it.
use hostshim as _;

use crate::program::{Scratch, compilers};

/// Schedules under which the mended table holds here. A hunt runs more.
const HOLDS: &str = "5000";
/// Schedules in which each mistake is found.
const FOUND: &str = "20000";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs C files of the root under some schedules: the exit status and the report.
fn run(compiler: &str, schedules: &str, files: &[&str], more: &[&str]) -> (Option<i32>, String) {
    let scratch = Scratch::new(&format!("c-{compiler}-{}", more.join("")));
    let output = Command::new(env!("CARGO_BIN_EXE_rumplab"))
        .current_dir(root())
        .args([
            "c",
            "--cc",
            compiler,
            "--schedules",
            schedules,
            "--out",
            &scratch.path("out"),
        ])
        .args(files)
        .args(more)
        .output()
        .expect("the program");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

const TABLE: [&str; 2] = ["examples/c/table.c", "examples/c/scenario.c"];

/// `examples/c/table.c:LINE`, of the only line with this text.
fn line_of(text: &str) -> String {
    let source = std::fs::read_to_string(root().join(TABLE[0])).expect("the table");
    let mut lines = (1..)
        .zip(source.lines())
        .filter(|(_, line)| line.trim() == text);
    let (number, _) = lines
        .next()
        .unwrap_or_else(|| panic!("no line is {text:?}"));
    assert!(lines.next().is_none(), "two lines are {text:?}");
    format!("{}:{number}", TABLE[0])
}

/// A mistake is found with every compiler, and its report has all of these.
fn is_found(define: &str, words: &[&str]) {
    for compiler in compilers() {
        let (status, report) = run(compiler, FOUND, &TABLE, &["-D", define]);
        assert_eq!(status, Some(1), "{define} with {compiler}:\n{report}");
        for word in words {
            assert!(
                report.contains(word),
                "{define} with {compiler}: no {word} in\n{report}"
            );
        }
        // What the kernel does for the table is at the line of the call.
        let binding = report.lines().find(|line| line.contains("src/c/bind"));
        assert_eq!(binding, None, "{define} with {compiler}");
    }
}

#[test]
fn the_mended_table_holds() {
    for compiler in compilers() {
        let (status, report) = run(compiler, HOLDS, &TABLE, &[]);
        assert_eq!(status, Some(0), "{compiler}:\n{report}");
        assert!(report.contains("nothing found"), "{compiler}:\n{report}");
        assert!(!report.contains("not watched"), "{compiler}:\n{report}");
    }
}

#[test]
fn a_race_is_found() {
    is_found(
        "BUG_RACE",
        &[
            "UNMARKED RACE",
            "entry#1.e_hits",
            &line_of("e->e_hits++;"),
            "mark: relaxed entry.e_hits",
        ],
    );
}

#[test]
fn a_use_after_free_is_found() {
    is_found(
        "BUG_USE_AFTER_FREE",
        &[
            // Of either entry; either access may be the later one.
            ".e_value",
            "examples/c/table.c:",
            &line_of("kmem_free(e, sizeof(struct entry));"),
        ],
    );
}

#[test]
fn a_lost_wakeup_is_found() {
    is_found(
        "BUG_LOST_WAKEUP",
        &[
            "LOST WAKE-UP",
            "table.t_dead",
            &line_of("while ((e = SLIST_FIRST(&t->t_dead)) == NULL && !t->t_closed)"),
            &line_of("cv_wait(&t->t_work, &t->t_lock);"),
        ],
    );
}

#[test]
fn sleeping_in_a_softint_is_found() {
    is_found(
        "BUG_SLEEP_IN_SOFTINT",
        &[
            "softclk/",
            "psz-context",
            "e_timer",
            &line_of("pserialize_perform(t->t_psz);"),
            &line_of("callout_reset(&e->e_timer, ticks, entry_expire, e);"),
        ],
    );
}

/// Where the C files of this test are, from the root.
const FOLDER: &str = "hostshim/tests/c";

#[test]
fn every_part_of_the_interface_answers() {
    let file = format!("{FOLDER}/section9.c");
    for compiler in compilers() {
        let (status, report) = run(compiler, "1000", &[&file], &[]);
        assert_eq!(status, Some(0), "{compiler}:\n{report}");
    }
}

#[test]
fn what_ends_a_run_is_told_at_its_line() {
    const ENDS: [(&str, &[&str]); 8] = [
        (
            "ASSERTS",
            &[
                "kassert",
                "KASSERT(three == 4) is false in actor: there are 3 in lock",
                "stops.c:22",
            ],
        ),
        (
            "PANICS",
            &["panic: no way to go on: -1 (in actor)", "stops.c:24"],
        ),
        (
            "BREAKS_A_PROMISE",
            &["four", "three == 4 is false", "stops.c:26"],
        ),
        (
            "LEVEL",
            &[
                "c-argument",
                "there is no interrupt priority level 12",
                "stops.c:28",
            ],
        ),
        (
            "NULL_LOCK",
            &[
                "c-argument",
                "a null pointer is passed for a Kmutex",
                "stops.c:30",
            ],
        ),
        (
            "NULL_FUNCTION",
            &[
                "c-argument",
                "a null pointer is passed for a function",
                "stops.c:32",
            ],
        ),
        ("TWICE", &["psref-twice", "stops.c:38"]),
        ("LEAKS", &["LEAK", "1 of timer"]),
    ];
    let file = format!("{FOLDER}/stops.c");
    for compiler in compilers() {
        for (define, words) in ENDS {
            let (status, report) = run(compiler, "10", &[&file], &["-D", define]);
            assert_eq!(status, Some(1), "{define} with {compiler}:\n{report}");
            for word in words {
                assert!(
                    report.contains(word),
                    "{define} with {compiler}: no {word} in\n{report}"
                );
            }
        }
    }
}

/// The first piece of C in the guide.
fn example_of_the_guide() -> String {
    let guide = std::fs::read_to_string(root().join("docs/c.md")).expect("the guide");
    let (_, rest) = guide.split_once("```c\n").expect("an example in C");
    let (example, _) = rest.split_once("```").expect("its end");
    example.to_owned()
}

#[test]
fn the_guide_says_what_happens() {
    const SIGNAL: &str = "\tcv_signal(&arrived);\n";
    const TOP: &str = "\tmutex_enter(&lock);\n\tmail = 1;\n";
    let scratch = Scratch::new("c-guide");
    let example = example_of_the_guide();
    let early = example
        .replace(SIGNAL, "")
        .replace(TOP, &format!("{SIGNAL}{TOP}"));
    assert_eq!(early.matches(SIGNAL).count(), 1);
    let sound = scratch.file("mail.c", &example);
    let early = scratch.file("early.c", &early);
    for compiler in compilers() {
        let (status, report) = run(compiler, HOLDS, &[&sound], &[]);
        assert_eq!(status, Some(0), "{compiler}:\n{report}");
        let (status, report) = run(compiler, FOUND, &[&early], &[]);
        assert_eq!(status, Some(1), "{compiler}:\n{report}");
        assert!(report.contains("LOST WAKE-UP"), "{compiler}:\n{report}");
        assert!(report.contains("consumer"), "{compiler}:\n{report}");
    }
}

#[test]
fn only_store_buffers_show_what_lacks_a_barrier() {
    let dekker = ["examples/c/dekker.c"];
    for compiler in compilers() {
        let without = ["-D", "BUG_BARRIER"];
        let (status, report) = run(compiler, HOLDS, &dekker, &without);
        assert_eq!(status, Some(0), "{compiler}:\n{report}");
        let buffers = [&without[..], &["--memory", "tso"]].concat();
        let (status, report) = run(compiler, FOUND, &dekker, &buffers);
        assert_eq!(status, Some(1), "{compiler}:\n{report}");
        for words in ["needs 1 delayed store", "membar_sync()"] {
            assert!(
                report.contains(words),
                "{compiler}: no {words} in\n{report}"
            );
        }
        let (status, report) = run(compiler, HOLDS, &dekker, &["--memory", "tso"]);
        assert_eq!(status, Some(0), "{compiler}:\n{report}");
    }
}
