//! Data races that runs of C code go on past: what is behind them, how they are listed, and how they are replayed.

use serde_json::Value;

use crate::program::{Ran, Scratch, compilers, rumplab};

/// Two actors, `one` and `two`, on a CPU each.
fn two_actors(text: &str) -> String {
    format!(
        "#include <rumplab.h>\n#include <sys/atomic.h>\n#include <sys/kmem.h>\n#include <sys/mutex.h>\n{text}\n\
         void rumplab_setup(void) {{ setup(); rumplab_actor(\"one\", 0, one, 0); rumplab_actor(\"two\", 1, two, 0); }}\n"
    )
}

fn run(scratch: &Scratch, text: &str, compiler: &str, more: &[&str]) -> Ran {
    let file = scratch.file("unit.c", text);
    let out = scratch.path("out");
    let arguments = ["c", &file, "--cc", compiler, "--out", &out];
    rumplab(&[&arguments, more].concat())
}

fn has(ran: &Ran, status: i32, words: &[&str]) {
    let Ran { out, err, .. } = ran;
    assert_eq!(ran.status, Some(status), "{out}{err}");
    for words in words {
        assert!(out.contains(words), "no `{words}` in {out}{err}");
    }
}

/// Memory that the two reach through a pointer under a lock, and use without it. `hits` races on purpose.
const FREED: &str = "struct entry { int value; }; struct table { unsigned hits; };
static struct entry *entry; struct table table; static kmutex_t lock;
static void setup(void) {
        mutex_init(&lock, MUTEX_DEFAULT, IPL_NONE);
        entry = kmem_zalloc(sizeof(struct entry), KM_SLEEP);
}
static void one(void *arg) {
        table.hits++;
        mutex_enter(&lock);
        struct entry *e = entry;
        entry = NULL;
        mutex_exit(&lock);
        kmem_free(e, sizeof(struct entry));
}
static void two(void *arg) {
        table.hits++;
        mutex_enter(&lock);
        struct entry *e = entry;
        mutex_exit(&lock);
        if (e != NULL)
                (void)atomic_load_relaxed(&e->value);
}
void rumplab_teardown(void) { mutex_destroy(&lock); }";

#[test]
fn a_use_after_free_behind_a_race_is_the_finding() {
    let scratch = Scratch::new("unmarked-freed");
    let text = two_actors(FREED);
    for compiler in compilers() {
        let ran = run(&scratch, &text, compiler, &["--races", "stop"]);
        has(&ran, 1, &["DATA RACE", "table.hits"]);
        assert!(!ran.out.contains("UNMARKED"), "{}", ran.out);
        let ran = run(&scratch, &text, compiler, &[]);
        has(
            &ran,
            1,
            &[
                "USE AFTER FREE",
                "entry#0.value, which was freed",
                "goes on past data races",
                "UNMARKED RACE: 1",
                "1. table.hits",
                "mark: relaxed table.hits",
            ],
        );
        // The same file shows the same failure, in short, in full and made shorter.
        let next = ran
            .out
            .lines()
            .find_map(|line| line.strip_prefix("every access: rumplab replay "));
        let file = Vec::from_iter(next.unwrap_or_default().split(' '));
        for command in ["replay", "explain"] {
            let again = rumplab(&[&[command], &file[..]].concat());
            assert_eq!(again.err, "", "{command}");
            assert!(again.out.contains("USE AFTER FREE"), "{}", again.out);
        }
        let shorter = scratch.path("shorter.replay");
        let minimized = rumplab(&[&["minimize"], &file[..], &["--out", &shorter]].concat());
        has(&minimized, 1, &["USE AFTER FREE"]);
    }
}

/// An update that is lost, of a counter that is not raced for.
#[test]
fn a_lost_update_behind_a_race_is_the_finding() {
    let text = |update: &str| {
        two_actors(&format!(
            "unsigned hits, count;
static void setup(void) {{ }}
static void add(void) {{ hits++; {update} }}
static void one(void *arg) {{ add(); }}
static void two(void *arg) {{ add(); }}
void rumplab_verify(void) {{ rumplab_check(count == 2, \"both counted\"); }}"
        ))
    };
    let scratch = Scratch::new("unmarked-lost");
    let lost = text("atomic_store_relaxed(&count, atomic_load_relaxed(&count) + 1);");
    let kept = text("atomic_inc_uint(&count);");
    for compiler in compilers() {
        let ran = run(&scratch, &lost, compiler, &[]);
        let words = ["ASSERTION both counted FAILED", "UNMARKED RACE: 1", "hits"];
        has(&ran, 1, &words);
        let ran = run(&scratch, &kept, compiler, &["--schedules", "3000"]);
        let words = ["nothing found but unmarked races in 3000 schedules", "hits"];
        has(&ran, 1, &words);
    }
}

const RACY: &str = "struct table { unsigned hits, other; int left; };
struct table table; int flag; static struct table *more;
static void setup(void) { more = kmem_zalloc(sizeof(struct table), KM_SLEEP); }
static int peek(void) { return flag; }
static void one(void *arg) {
        table.hits++;
        more->left = 1;
        flag = 1;
}
static void two(void *arg) {
        table.hits++;
        more->left = 2;
        table.other = peek();
}
void rumplab_teardown(void) { kmem_free(more, sizeof(struct table)); }";

/// The paths of the replay files of a list, and their marks.
fn listed(out: &str) -> (Vec<&str>, Vec<&str>) {
    let lines = || out.lines().map(str::trim);
    let files = lines().filter_map(|line| line.split_once("rumplab explain "));
    let files = files.filter(|(before, _)| before.starts_with("first in schedule"));
    let marks = lines().filter_map(|line| line.strip_prefix("mark: "));
    (files.map(|(_, rest)| rest).collect(), marks.collect())
}

#[test]
fn each_pair_of_lines_is_listed_once_with_its_mark_and_its_file() {
    let scratch = Scratch::new("unmarked-list");
    let text = two_actors(RACY);
    for compiler in compilers() {
        let ran = run(&scratch, &text, compiler, &["--schedules", "3000"]);
        let words = [
            "UNMARKED RACES: 3",
            ". table.hits",
            ". table#0.left",
            ". flag",
            "in peek at ",
            "unit.c:8",
            "also ",
        ];
        has(&ran, 1, &words);
        let (files, marks) = listed(&ran.out);
        let mut known = marks.clone();
        known.sort_unstable();
        let wanted = ["relaxed flag", "relaxed table.hits", "relaxed table.left"];
        assert_eq!(known, wanted, "{}", ran.out);
        // Each file ends at its race, the n-th at that of the n-th mark.
        for (file, mark) in files.iter().zip(&marks) {
            let words = Vec::from_iter(file.split(' '));
            let again = rumplab(&[&["explain", "--exit-code"], &words[..]].concat());
            let member = mark.rsplit(['.', ' ']).next().unwrap_or_default();
            has(
                &again,
                1,
                &["DATA RACE", member, "goes on past data races up to"],
            );
        }
        // With any number of workers, it is the same list.
        let more = ["--schedules", "3000", "--jobs", "2"];
        let again = run(&scratch, &text, compiler, &more);
        assert_eq!(again.out, ran.out);
        // With these marks, there is none.
        let marks = scratch.file("marks", &marks.join("\n"));
        let ran = run(
            &scratch,
            &text,
            compiler,
            &["--schedules", "3000", "--marks", &marks],
        );
        has(&ran, 0, &["nothing found in 3000 schedules"]);
    }
}

#[test]
fn atomic_accesses_race_with_plain_ones_and_runs_go_on() {
    let text = two_actors(
        "unsigned word;
static void setup(void) { }
static void one(void *arg) { atomic_store_relaxed(&word, 1); word = 2; }
static void two(void *arg) { word = 3; (void)atomic_load_relaxed(&word); atomic_inc_uint(&word); }",
    );
    let scratch = Scratch::new("unmarked-mixed");
    for compiler in compilers() {
        let ran = run(&scratch, &text, compiler, &["--schedules", "3000"]);
        // Both lines have accesses of both sorts.
        let words = ["UNMARKED RACE: 1", "rmw after write", "write after store"];
        has(&ran, 1, &words);
    }
}

/// A run that is held up at a plain flag goes on when the flag is written.
#[test]
fn a_loop_that_reads_a_plain_flag_is_no_livelock() {
    let text = two_actors(
        "int flag, data;
static void setup(void) { }
static void one(void *arg) { data = 1; membar_release(); flag = 1; }
static void two(void *arg) { while (!flag) __insn_barrier(); membar_acquire(); rumplab_check(data == 1, \"data\"); }",
    );
    let scratch = Scratch::new("unmarked-flag");
    for compiler in compilers() {
        let ran = run(&scratch, &text, compiler, &["--schedules", "20k"]);
        has(&ran, 1, &["nothing found but unmarked races", "flag"]);
    }
}

#[test]
fn a_race_that_is_not_met_any_more_is_told() {
    let scratch = Scratch::new("unmarked-moved");
    let text = two_actors(RACY);
    let compiler = compilers()[0];
    let ran = run(&scratch, &text, compiler, &["--schedules", "3000"]);
    let (files, _) = listed(&ran.out);
    let words = Vec::from_iter(files[0].split(' '));
    scratch.file("unit.c", &text.replacen('\n', "\n\n\n", 1));
    let again = rumplab(&[&["replay"], &words[..]].concat());
    assert_eq!(again.status, Some(0), "{}", again.out);
    assert!(again.err.contains("no race is met"), "{}", again.err);
    assert!(again.err.contains("help: if the line has moved"));
}

#[test]
fn programs_can_read_the_list() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results.schema.json");
    let schema = std::fs::read_to_string(path).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let scratch = Scratch::new("unmarked-json");
    let more = ["--schedules", "3000", "--json"];
    let ran = run(&scratch, &two_actors(RACY), compilers()[0], &more);
    assert_eq!(ran.status, Some(1), "{}{}", ran.out, ran.err);
    let document: Value = serde_json::from_str(&ran.out).expect("JSON");
    let wrong = Vec::from_iter(
        validator
            .iter_errors(&document)
            .map(|error| error.to_string()),
    );
    assert!(wrong.is_empty(), "{wrong:?}");
    let result = &document["results"][0];
    assert_eq!(result["outcome"], "unmarked-races");
    let races = result["unmarked_races"].as_array().expect("a list");
    assert_eq!(races.len(), 3, "{races:?}");
    for race in races {
        assert_ne!(race["later"]["at"], race["earlier"]["at"], "{race}");
        let file = race["replay"].as_str().expect("a file");
        let text = std::fs::read_to_string(file).expect("a file");
        assert!(text.contains("\nraces until "), "{text}");
    }
}
