//! `rumplab c`: what is found in C code, and what is refused.

use crate::program::{Ran, Scratch, compilers, rumplab};

/// Two actors, `one` and `two`, on a CPU each. `text` defines them.
fn two_actors(text: &str) -> String {
    format!(
        "#include <rumplab.h>\n{text}\nvoid rumplab_setup(void) {{ rumplab_actor(\"one\", 0, one, 0); rumplab_actor(\"two\", 1, two, 0); }}\n"
    )
}

/// Runs a program with every compiler. Returns what was printed, after the compiler's name.
fn run(scratch: &Scratch, text: &str, more: &[&str]) -> Vec<(&'static str, Ran)> {
    let file = scratch.file("unit.c", text);
    let out = scratch.path("out");
    let run = |compiler| {
        let arguments = ["c", &file, "--cc", compiler, "--out", &out];
        (compiler, rumplab(&[&arguments, more].concat()))
    };
    compilers().into_iter().map(run).collect()
}

/// Runs two actors, and wants a failure whose report has all of `words`.
fn fails(name: &str, text: &str, words: &[&str]) {
    let scratch = Scratch::new(&format!("c-{name}"));
    let more = ["--schedules", "3000", "--races", "stop"];
    for (compiler, ran) in run(&scratch, &two_actors(text), &more) {
        assert_eq!(
            ran.status,
            Some(1),
            "{name}, {compiler}: {}{}",
            ran.out,
            ran.err
        );
        for words in words {
            assert!(
                ran.out.contains(words),
                "{name}, {compiler}: no `{words}` in {}",
                ran.out
            );
        }
    }
}

/// Runs two actors, and wants no failure.
fn holds(name: &str, text: &str) {
    let scratch = Scratch::new(&format!("c-{name}"));
    for (compiler, ran) in run(
        &scratch,
        &two_actors(text),
        &["--schedules", "3000", "--jobs", "2"],
    ) {
        assert_eq!(
            ran.status,
            Some(0),
            "{name}, {compiler}: {}{}",
            ran.out,
            ran.err
        );
    }
}

#[test]
fn a_race_has_its_line_and_its_field() {
    let text = "struct table { int size; struct { int hits, misses; } stats[2]; } table;
static void one(void *arg) { table.stats[1].misses++; }
static void two(void *arg) { if (table.stats[1].misses == 0) table.size = 1; }";
    let words = ["DATA RACE", "table.stats[1].misses", "unit.c:3", "unit.c:4"];
    fails("race", text, &words);
}

#[test]
fn accesses_of_several_sizes_meet_where_they_overlap_only() {
    let word = "union { int word; char byte[4]; long wide; short half[4]; char all[16]; } u;\n";
    let pair = |one: &str, two: &str| {
        format!(
            "{word}static void one(void *arg) {{ {one}; }}\nstatic void two(void *arg) {{ {two}; }}"
        )
    };
    let copy = "char local[16]; memcpy(local, u.all, sizeof(local)); rumplab_check(local[0] < 3, \"never\")";
    for (name, one, two) in [
        ("byte", "u.word = 1", "u.byte[1] = 2"),
        ("half", "u.half[1] = 1", "u.wide = 0"),
        ("range", "u.all[13] = 1", copy),
        (
            "byte-of-range",
            "memset(u.all, 1, arg == NULL ? 7 : 1)",
            "u.byte[3] = 2",
        ),
    ] {
        fails(&format!("sizes-{name}"), &pair(one, two), &["DATA RACE"]);
    }
    for (name, one, two) in [
        (
            "bytes",
            "u.byte[0] = 1; u.byte[1] = 1",
            "u.byte[2] = 2; u.half[3] = 1",
        ),
        ("beside", "u.word = 1", "u.half[2] = 2"),
        ("reads", "rumplab_check(u.word == 0, \"zero\")", copy),
        (
            "beside-range",
            "memset(u.all, 1, arg == NULL ? 7 : 1)",
            "u.all[7] = 2",
        ),
    ] {
        holds(&format!("sizes-{name}"), &pair(one, two));
    }
}

#[test]
fn atomics_order_what_they_order_in_c11() {
    let publish = |store: &str, load: &str| {
        format!(
            "#include <sys/atomic.h>\nstatic int data; static unsigned ready;
static void one(void *arg) {{ data = 1; {store}; }}
static void two(void *arg) {{ if ({load}) rumplab_check(data == 1, \"published\"); }}"
        )
    };
    let (release, acquire) = (
        "atomic_store_release(&ready, 1)",
        "atomic_load_acquire(&ready)",
    );
    let (relaxed_store, relaxed_load) = (
        "atomic_store_relaxed(&ready, 1)",
        "atomic_load_relaxed(&ready)",
    );
    holds("publish", &publish(release, acquire));
    fails(
        "publish-store",
        &publish(relaxed_store, acquire),
        &["DATA RACE", "data"],
    );
    fails(
        "publish-load",
        &publish(release, relaxed_load),
        &["DATA RACE", "data"],
    );
    holds(
        "publish-fences",
        &publish(
            "membar_release(); atomic_store_relaxed(&ready, 1)",
            "atomic_load_relaxed(&ready) && (membar_acquire(), 1)",
        ),
    );
    let count = "static unsigned count;
static void one(void *arg) { atomic_inc_uint(&count); }
static void two(void *arg) { atomic_inc_uint(&count); }
void rumplab_verify(void) { rumplab_check(count == 2, \"count\"); }";
    holds("count", &format!("#include <sys/atomic.h>\n{count}"));
    let exchange = count.replace(
        "atomic_inc_uint(&count)",
        "unsigned old = atomic_load_relaxed(&count); atomic_cas_uint(&count, old, old + 1)",
    );
    fails(
        "exchange",
        &format!("#include <sys/atomic.h>\n{exchange}"),
        &["count"],
    );
}

#[test]
fn an_atomic_access_races_with_a_plain_one() {
    let pair = |one: &str, two: &str| {
        format!(
            "#include <sys/atomic.h>\nunion {{ unsigned word; volatile unsigned flag; unsigned char byte[4]; }} u; unsigned x, ready;
static void one(void *arg) {{ {one}; }}\nstatic void two(void *arg) {{ {two}; }}"
        )
    };
    let (load, store, add) = (
        "x = atomic_load_acquire(&u.word)",
        "atomic_store_release(&u.word, 1)",
        "atomic_inc_uint(&u.word)",
    );
    for (name, one, two) in [
        ("load-write", load, "u.word = 1"),
        ("store-write", store, "u.word = 2"),
        ("store-read", store, "x = u.word"),
        ("add-read", add, "x = u.word"),
        ("volatile", "u.flag = 1", "x = u.word"),
        ("part", store, "x = u.byte[2]"),
        ("copy", add, "unsigned y; memcpy(&y, &u.word, 4); x = y"),
    ] {
        // Whichever comes first.
        let words = ["DATA RACE", "is atomic", "is plain", "unit.c:4", "unit.c:5"];
        fails(&format!("mixed-{name}"), &pair(one, two), &words);
        fails(&format!("mixed-{name}-again"), &pair(two, one), &words);
    }
    for (name, one, two) in [
        ("loads", load, "rumplab_check(u.word == 0, \"zero\")"),
        (
            "beside",
            "__atomic_store_n(&u.byte[0], 1, __ATOMIC_RELAXED)",
            "u.byte[1] = 1",
        ),
        (
            "published",
            "u.word = 3; atomic_store_release(&ready, 1)",
            "if (atomic_load_acquire(&ready)) { atomic_inc_uint(&u.word); u.word++; }",
        ),
        (
            "counted",
            "u.word = 3; membar_release(); atomic_inc_uint(&ready); atomic_inc_uint(&ready)",
            "if (atomic_load_relaxed(&ready)) { membar_acquire(); atomic_inc_uint(&u.word); u.word++; }",
        ),
        (
            "handed-on",
            "membar_release(); atomic_store_relaxed(&ready, 1)",
            "if (atomic_load_relaxed(&ready)) { membar_acquire(); ready = 2; }",
        ),
        (
            "last",
            "atomic_store_relaxed(&u.word, 1); if (__atomic_sub_fetch(&ready, 1, __ATOMIC_ACQ_REL) == -2u) u.word = 9",
            "atomic_load_relaxed(&u.word); if (__atomic_sub_fetch(&ready, 1, __ATOMIC_ACQ_REL) == -2u) u.word = 9",
        ),
    ] {
        holds(&format!("mixed-{name}"), &pair(one, two));
    }
}

#[test]
fn variables_begin_anew_in_every_run_of_every_machine() {
    let text = "static int begun = 7; static int cleared; static int *where = &begun;
static void one(void *arg) { *where = *where + 1; }
static void two(void *arg) { cleared = cleared + 1; }
void rumplab_verify(void) { rumplab_check(begun == 8 && cleared == 1, \"anew\"); }";
    holds("anew", text);
}

#[test]
fn a_volatile_access_is_a_relaxed_atomic_one() {
    let text = "volatile int flag; int data;
static void one(void *arg) { data = 1; flag = 1; }
static void two(void *arg) { if (flag) data = 2; }";
    fails("volatile", text, &["DATA RACE", "data"]);
    let text = "static volatile int flag;
static void one(void *arg) { flag = 1; }
static void two(void *arg) { while (!flag) continue; }";
    holds("volatile-spin", text);
}

#[test]
fn a_local_variable_is_gone_when_its_function_returns() {
    let text = |end: &str| {
        format!(
            "#include <sys/atomic.h>\nstatic int *where; static unsigned ready, done;
static void __noinline lend(void) {{
        int local = 1;
        where = &local;
        atomic_store_release(&ready, 1);
        {end}
        local++;
}}
static void one(void *arg) {{ lend(); }}
static void two(void *arg) {{
        if (atomic_load_acquire(&ready)) *where = 3;
        atomic_store_release(&done, 1);
}}"
        )
    };
    fails(
        "stale",
        &text(""),
        &["USE AFTER FREE", "a local variable of one", "unit.c"],
    );
    holds(
        "lent",
        &text("while (!atomic_load_acquire(&done)) rumplab_relax();"),
    );
}

#[test]
fn wild_jumps_and_accesses_end_the_run_at_their_line() {
    for (name, text, words) in [
        (
            "jump",
            "void (*hook)(void); static void one(void *arg) { hook(); }",
            "null pointer",
        ),
        (
            "wild-jump",
            "void (*hook)(void) = (void (*)(void))0x123456789; static void one(void *arg) { hook(); }",
            "unmapped memory",
        ),
        (
            "null",
            "static struct { int a, b; } *p; static void one(void *arg) { p->b = 1; }",
            "null pointer",
        ),
        (
            "wild-read",
            "int *p = (int *)0x123456789a, x; static void one(void *arg) { x = *p; }",
            "unmapped memory",
        ),
        (
            "wild-write",
            "int *p = (int *)0x123456789a; static void one(void *arg) { *p = 1; }",
            "memory that is not the kernel's",
        ),
        (
            "constant",
            "const int c[4] = { 1, 2 }; int *volatile p; static void one(void *arg) { p = (int *)c; p[1] = 1; }",
            "write of a constant",
        ),
        (
            "stack",
            "static int deep(int n) { volatile int a[20]; a[n % 20] = n; return deep(n + 1) + a[3]; }\
             static void one(void *arg) { deep(0); }",
            "has used up its stack",
        ),
    ] {
        let text = format!("{text} static void two(void *arg) {{ }}");
        fails(name, &text, &[words, "by one on cpu0, at ", "unit.c:2"]);
    }
}

#[test]
fn a_replay_file_gives_the_same_run_to_every_command_that_has_the_sources() {
    let scratch = Scratch::new("c-replay");
    let text = two_actors(
        "int shared;\nstatic void one(void *arg) { shared++; }\nstatic void two(void *arg) { shared++; }",
    );
    let file = scratch.file("unit.c", &text);
    let out = scratch.path("out");
    let ran = rumplab(&[
        "c",
        &file,
        "--out",
        &out,
        "--cc",
        compilers()[0],
        "--jobs",
        "2",
        "--races",
        "stop",
    ]);
    assert_eq!(ran.status, Some(1), "{}{}", ran.out, ran.err);
    let last = ran
        .out
        .lines()
        .rfind(|line| line.starts_with("every access:"));
    let command = last.and_then(|line| line.strip_prefix("every access: rumplab "));
    let words = Vec::from_iter(command.unwrap_or_default().split(' '));
    assert_eq!(words[0], "replay", "{}", ran.out);
    let replayed = rumplab(&words);
    assert_eq!(replayed.status, Some(1), "{}{}", replayed.out, replayed.err);
    assert!(replayed.out.contains("shared #1"), "{}", replayed.out);
    for command in ["explain", "minimize"] {
        let ran = rumplab(&[&[command], &words[1..]].concat());
        assert_eq!(ran.err, "", "{command}");
        assert!(!ran.out.is_empty(), "{command}");
    }
    // The other compiler's code makes the same accesses.
    for compiler in compilers() {
        let ran = rumplab(&["c", &file, "--cc", compiler, "--replay", words[1]]);
        assert_eq!(ran.out, replayed.out, "{compiler}: {}", ran.err);
    }
    let without = rumplab(&["replay", words[1]]);
    assert_eq!(without.status, Some(2));
    assert!(without.err.contains("--c unit.c"), "{}", without.err);
}

#[test]
fn a_scenario_in_c_holds_as_the_one_in_rust_does() {
    let scratch = Scratch::new("c-signal");
    let text = include_str!("../c/condvar-signal.c");
    for (compiler, ran) in run(&scratch, text, &["--schedules", "20k"]) {
        assert_eq!(ran.status, Some(0), "{compiler}: {}{}", ran.out, ran.err);
    }
    let broken = text.replace("\tcv_signal(&ch->filled);\n", "");
    for (compiler, ran) in run(&scratch, &broken, &["--schedules", "20k"]) {
        assert_eq!(ran.status, Some(1), "{compiler}: {}{}", ran.out, ran.err);
    }
}

/// Each construct as the write or the read of one actor, and an access of the other that races with it.
#[test]
fn compilers_announce_these_constructs() {
    const WORDS: &str = "struct s { long a, b, c, d; } g, h; char buf[64]; int x, y;\n\
        struct { unsigned a : 3, b : 5; } bits; struct { char c; int i; } __packed packed; double number; __int128 wide;\n\
        struct s __noinline get(void) { return g; }";
    for (name, one, two) in [
        ("copy-write", "g = h", "g.d = 1"),
        ("copy-read", "g = h", "h.d = 1"),
        ("result", "h = get()", "g.c = 1"),
        ("literal", "g = (struct s){ .a = 1 }", "g.d = 1"),
        ("memset-8", "memset(&g.b, 0, 8)", "g.b = 1"),
        ("memset-32", "memset(&g, 0, sizeof(g))", "g.d = 1"),
        ("memcpy-write", "memcpy(&g.b, buf, 8)", "g.b = 1"),
        ("memcpy-read", "memcpy(buf, &g.b, 8)", "g.b = 1"),
        (
            "loop",
            "for (int i = 0; i < 64; i++) buf[i] = 0",
            "buf[40] = 1",
        ),
        ("increment-read", "x++", "x = 5"),
        ("increment-write", "x++", "y = x"),
        ("bits", "bits.a = 1", "bits.b = 2"),
        ("packed", "packed.i = 1", "packed.i = 2"),
        ("double", "number = 1.5", "number = 2.5"),
        ("16-bytes", "wide = 1", "wide = 2"),
    ] {
        let text = format!(
            "{WORDS}\nstatic void one(void *arg) {{ {one}; }}\nstatic void two(void *arg) {{ {two}; }}"
        );
        fails(
            &format!("construct-{name}"),
            &text,
            &["DATA RACE", "unit.c:6"],
        );
    }
}

/// A structure on the stack that is lent to another CPU. Left to itself, clang announces its first field only.
#[test]
fn each_field_of_a_lent_structure_is_announced() {
    for field in ["first", "second", "last[1]"] {
        let text = format!(
            "#include <sys/atomic.h>
struct lent {{ long first, second; char last[2]; }};
static struct lent *where; static unsigned done;
static void __noinline publish(struct lent *l) {{ atomic_store_release(&where, l); }}
static void one(void *arg) {{
        struct lent local = {{ 0 }};
        publish(&local);
        local.{field} = 3;
        while (!atomic_load_acquire(&done)) rumplab_relax();
}}
static void two(void *arg) {{
        struct lent *l = atomic_load_acquire(&where);
        if (l != NULL) l->{field} = 1;
        atomic_store_release(&done, 1);
}}"
        );
        fails(
            &format!("lent-{field}"),
            &text,
            &["DATA RACE", "stack(one)", "unit.c:14"],
        );
    }
}

/// What waits for a structure on its own stack makes steps, so that others go on.
#[test]
fn structures_on_the_stack_can_be_waited_for() {
    let text = "#include <sys/intr.h>
static struct request { long number; int done; } *posted; static struct rumplab_intr *handler;
static void __noinline post(struct request *r) { posted = r; rumplab_intr_raise(handler); }
static void serve(void *arg) { if (posted != NULL) posted->done = 1; posted = NULL; }
static void one(void *arg) {
        struct request own = { 0 };
        post(&own);
        while (!own.done) __asm__ volatile(\"\" ::: \"memory\");
}
void rumplab_setup(void) {
        handler = rumplab_intr_establish(\"device\", 0, IPL_VM, serve, NULL);
        rumplab_actor(\"one\", 0, one, NULL);
}
void rumplab_teardown(void) { rumplab_intr_disestablish(handler); }";
    let scratch = Scratch::new("c-request");
    let text = format!("#include <rumplab.h>\n{text}");
    for (compiler, ran) in run(&scratch, &text, &["--cpus", "1", "--schedules", "3000"]) {
        assert_eq!(ran.status, Some(0), "{compiler}: {}{}", ran.out, ran.err);
    }
}

/// Each waiter spins on its own stack. Both compilers would move the accesses of `inside` out of the lock if they were let.
#[test]
fn a_queue_lock_with_its_nodes_on_the_stack_holds() {
    let text = include_str!("../c/mcs.c");
    holds("mcs", text);
    let unlocked = text.replace("\t\tenter(&node);\n", "\t\tnode.turns++;\n");
    fails(
        "mcs-unlocked",
        &unlocked.replace("\t\tleave(&node);\n", ""),
        &["DATA RACE", "inside"],
    );
}

#[test]
fn what_was_not_watched_is_told() {
    let text = "int shared;
static void one(void *arg) { shared = 1; __asm__ volatile(\"\" ::: \"memory\"); }
static inline int twice(int n) { return 2 * n; }
static void two(void *arg) { }
int pure(int n) { return twice(n) + 1; }";
    let scratch = Scratch::new("c-unwatched");
    for (compiler, ran) in run(&scratch, &two_actors(text), &["--schedules", "100"]) {
        assert!(!ran.out.contains("not watched"), "{compiler}: {}", ran.out);
    }
    let text = text.replace("\"\" :::", "\"mfence\" :::").replace(
        "int pure(",
        "__attribute__((no_sanitize(\"thread\"), noinline)) void raw(int *p) { *p = 1; }\nint pure(",
    );
    for (compiler, ran) in run(&scratch, &two_actors(&text), &["--schedules", "100"]) {
        for words in ["unit.c:3", "without hooks: raw\n"] {
            assert!(
                ran.out.contains(words),
                "{compiler}: no `{words}` in {}",
                ran.out
            );
        }
        assert_eq!(
            ran.out.matches("not watched").count(),
            2,
            "{compiler}: {}",
            ran.out
        );
    }
}

/// A structure that is passed by value is copied without a hook, and the line is told.
#[test]
fn copies_that_no_hook_announces_are_told() {
    let text = "struct s { long a, b, c, d; } shared; long sum;
long __noinline of(struct s s) { return s.a + s.d; }
static void one(void *arg) { sum = of(shared); }
static void two(void *arg) { }";
    let scratch = Scratch::new("c-copies");
    for (compiler, ran) in run(&scratch, &two_actors(text), &["--schedules", "100"]) {
        let words = "not watched: structures and wide values that the compiler copies itself at ";
        let line = ran.out.lines().find(|line| line.starts_with(words));
        let is_told = line.is_some_and(|line| line.contains("unit.c:4 "));
        assert!(is_told, "{compiler}: {}", ran.out);
    }
}

/// gcc passes a pointer to the expected value on, and announces nothing of it.
#[test]
fn the_expected_value_of_an_exchange_is_accessed() {
    let text = "int word, expected;
static void one(void *arg) { __atomic_compare_exchange_n(&word, &expected, 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED); }
static void two(void *arg) { expected = 1; }";
    fails("expected", text, &["DATA RACE", "expected", "unit.c:3"]);
}

#[test]
fn bad_input_is_refused_in_words() {
    let scratch = Scratch::new("c-bad");
    let refused = |arguments: &[&str], words: &[&str]| {
        let Ran { status, out, err } = rumplab(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {out}{err}");
        assert_eq!(out, "", "{arguments:?}");
        for words in words {
            assert!(err.contains(words), "{arguments:?}: no `{words}` in {err}");
        }
    };
    let compiler = compilers()[0];
    let good = scratch.file(
        "good.c",
        &two_actors("static void one(void *arg) { }\n#define two one"),
    );
    refused(
        &["c", "nowhere.c", "--cc", compiler],
        &["there is no file nowhere.c", "help:"],
    );
    let directory = scratch.0.display().to_string();
    refused(
        &["c", &directory, "--cc", compiler],
        &["is a directory", "*.c"],
    );
    refused(
        &["c", &good, "--cc", "no-such-cc"],
        &["`no-such-cc` cannot be run", "apt-get install"],
    );
    refused(&["c", &good, "--cc", "true"], &["neither clang nor gcc"]);
    let bad = scratch.file("bad.c", "int x");
    refused(
        &["c", &bad, "--cc", compiler],
        &["bad.c:1", "does not compile", "help:"],
    );
    let module = scratch.file("module.c", "int x; void f(void) { x++; }");
    refused(
        &["c", &module, "--cc", compiler],
        &["no file defines rumplab_setup", "--scenario"],
    );
    let taken = scratch.file(
        "abba.c",
        &two_actors("static void one(void *arg) { }\n#define two one"),
    );
    refused(
        &["c", &taken, "--cc", compiler],
        &["there is a scenario `abba` already"],
    );
    refused(&["c", &good, "--cc", compiler, "--cpus", "99"], &["--cpus"]);
}

/// Two objects, of which the first is forgotten if there is no second one.
const TWO_OBJECTS: &str = "
#include <sys/kmem.h>
static void two(void *arg) { (void)arg; }
static void one(void *arg)
{
	int *first = kmem_alloc(sizeof(int), KM_SLEEP);
	long *second = kmem_alloc(sizeof(long), FLAG);

	(void)arg;
	*first = 1;
	if (second == NULL)
		return;
	*second = 2;
	kmem_free(second, sizeof(long));
	kmem_free(first, sizeof(int));
}";

#[test]
fn memory_that_is_not_slept_for_may_fail() {
    fails(
        "nosleep",
        &TWO_OBJECTS.replace("FLAG", "KM_NOSLEEP"),
        &[
            "LEAK",
            "needs 1 failed allocation",
            "the allocation of long (",
            "unit.c:",
        ],
    );
    holds("sleep", &TWO_OBJECTS.replace("FLAG", "KM_SLEEP"));
}
