//! Files of marks: what each kind of mark lets pass, and what it does not.

use crate::program::{Ran, Scratch, compilers, rumplab};

/// Runs two actors, `one` and `two`, on a CPU each, with these marks and every compiler.
fn run(name: &str, text: &str, marks: &str) -> Vec<Ran> {
    let scratch = Scratch::new(&format!("marks-{name}"));
    let text = format!(
        "#include <rumplab.h>\n{text}\nvoid rumplab_setup(void) {{ rumplab_actor(\"one\", 0, one, 0); rumplab_actor(\"two\", 1, two, 0); }}\n"
    );
    let file = scratch.file("unit.c", &text);
    let marks = scratch.file("marks", marks);
    let out = scratch.path("out");
    let run = |compiler| {
        rumplab(&[
            "c",
            &file,
            "--cc",
            compiler,
            "--out",
            &out,
            "--schedules",
            "3000",
            "--races",
            "stop",
            "--marks",
            &marks,
        ])
    };
    compilers().into_iter().map(run).collect()
}

fn holds(name: &str, text: &str, marks: &str) {
    for ran in run(name, text, marks) {
        assert_eq!(ran.status, Some(0), "{name}: {}{}", ran.out, ran.err);
    }
}

fn races(name: &str, text: &str, marks: &str, words: &str) {
    for ran in run(name, text, marks) {
        assert_eq!(ran.status, Some(1), "{name}: {}{}", ran.out, ran.err);
        let found = ran.out.contains("DATA RACE") && ran.out.contains(words);
        assert!(found, "{name}: no `{words}` in {}", ran.out);
    }
}

const COUNTER: &str = "
    struct table { unsigned other, hits; };
    struct table table;
    static void hit(void) { table.hits++; }
    static void one(void *arg) { hit(); }
    static void two(void *arg) { hit(); }";

#[test]
fn a_relaxed_access_does_not_race() {
    races("unmarked", COUNTER, "relaxed table.other", "table.hits");
    for (name, marks) in [
        ("member", "relaxed table.hits"),
        ("function", "relaxed hit"),
        ("variable", "relaxed table"),
        ("line", "relaxed unit.c:5"),
    ] {
        holds(name, COUNTER, marks);
    }
}

#[test]
fn a_member_is_found_in_allocated_memory() {
    let text = "
        #include <sys/kmem.h>
        struct entry { int key; int uses; };
        static struct entry *entry;
        static void one(void *arg) { entry->uses++; }
        static void two(void *arg) { entry->uses++; }
        void rumplab_teardown(void) { kmem_free(entry, sizeof(struct entry)); }
        #define rumplab_setup(x) rumplab_setup(x) { entry = kmem_zalloc(sizeof(struct entry), KM_SLEEP); more(); } static void more(void)
        static void more(void);";
    races("heap-other", text, "relaxed entry.key", "uses");
    holds("heap", text, "relaxed entry.uses");
}

const PUBLISHED: &str = "
    static int value, *published;
    static void one(void *arg) { value = 1; __atomic_store_n(&published, &value, __ATOMIC_RELEASE); }
    static int *find(void) { return *(int *volatile *)&published; }
    static void two(void *arg) { int *at = find(); if (at) rumplab_check(*at == 1, \"value\"); }";

#[test]
fn what_depends_on_a_load_is_ordered_after_it() {
    races("independent", PUBLISHED, "relaxed find", "value");
    holds("dependent", PUBLISHED, "dependent find");
    let relaxed = PUBLISHED.replace("RELEASE", "RELAXED");
    races("unreleased", &relaxed, "dependent find", "value");
}

fn handed_back(after: &str) -> String {
    format!(
        "int slot, free_again, copy;
        static void one(void *arg) {{ copy = slot; __atomic_store_n(&free_again, 1, __ATOMIC_RELEASE); }}
        static int is_free(void) {{ return __atomic_load_n(&free_again, __ATOMIC_RELAXED); }}
        static void two(void *arg) {{ if (is_free()) {{ {after} }} }}"
    )
}

#[test]
fn a_control_dependency_orders_writes_and_no_reads() {
    let writes = handed_back("slot = 2;");
    races("no-control", &writes, "relaxed is_free", "slot");
    holds("control", &writes, "control is_free");
    let reads = handed_back("rumplab_check(copy == 0, \"copy\");");
    races("control-read", &reads, "control is_free", "copy");
}

/// A slot that is taken by an exchange of its number.
fn slot(publish: &str) -> String {
    format!(
        "struct ring {{ unsigned head, tail; int slot; }};
        struct ring ring;
        static int take(int *item) {{
            unsigned head = __atomic_load_n(&ring.head, __ATOMIC_ACQUIRE);
            if (__atomic_load_n(&ring.tail, __ATOMIC_ACQUIRE) == head) return 0;
            *item = ring.slot;
            return __atomic_compare_exchange_n(&ring.head, &head, head + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        }}
        static void put(int item) {{ {publish} }}
        static void one(void *arg) {{ int item; put(1); take(&item); put(2); }}
        static void two(void *arg) {{ int item; if (take(&item)) rumplab_check(item == 1 || item == 2, \"item\"); }}"
    )
}

#[test]
fn a_value_that_is_validated_may_race_until_it_is_used() {
    let marks = "validated take by ring.head";
    let right = "ring.slot = item; __atomic_fetch_add(&ring.tail, 1, __ATOMIC_RELEASE);";
    races("slot-unmarked", &slot(right), "relaxed two", "ring.slot");
    holds("slot", &slot(right), marks);
    let early = "__atomic_fetch_add(&ring.tail, 1, __ATOMIC_RELEASE); ring.slot = item;";
    races("slot-early", &slot(early), marks, "ring.slot");
    let unordered = right.replace("RELEASE", "RELAXED");
    races(
        "slot-unordered",
        &slot(&unordered),
        marks,
        "its value is used",
    );
    // Nothing decides: the end of the function keeps the value.
    races(
        "slot-kept",
        &slot(right),
        "validated take by ring.slot",
        "its value is used",
    );
}

/// The slot is written only after it was read, before or after the reader decides.
fn overtaken(decide: &str) -> String {
    format!(
        "int slot, head, was_read;
        static void two(void *arg) {{
            while (!__atomic_load_n(&was_read, __ATOMIC_RELAXED)) rumplab_relax();
            {decide}
            slot = 1;
        }}
        static void take(void) {{
            int expected = 0, value = slot;
            __atomic_store_n(&was_read, 1, __ATOMIC_RELAXED);
            if (__atomic_compare_exchange_n(&head, &expected, 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
                rumplab_check(value == 0, \"what was there\");
        }}
        static void one(void *arg) {{ take(); }}"
    )
}

#[test]
fn a_write_after_the_read_spoils_it_until_its_code_decides() {
    let marks = "validated take by head";
    races(
        "overtaken",
        &overtaken(""),
        marks,
        "its value is used after that",
    );
    // The exchange of the reader fails if the writer comes first, and later writes do not matter.
    let claims = "__atomic_fetch_add(&head, 2, __ATOMIC_RELAXED);";
    holds("overtaken-claimed", &overtaken(claims), marks);
}

/// A sequence lock.
fn sequence(begin: &str, retry: &str) -> String {
    format!(
        "unsigned version; int left, right;
        static void one(void *arg) {{
            for (int i = 1; i < 3; i++) {{
                {begin}
                __atomic_thread_fence(__ATOMIC_SEQ_CST);
                left = i; right = i;
                __atomic_fetch_add(&version, 1, __ATOMIC_RELEASE);
            }}
        }}
        static void peek(int *l, int *r) {{
            unsigned v;
            do {{
                while ((v = __atomic_load_n(&version, __ATOMIC_ACQUIRE)) & 1) rumplab_relax();
                *l = left; *r = right;
                __atomic_thread_fence(__ATOMIC_ACQUIRE);
            }} while ({retry});
        }}
        static void two(void *arg) {{ int l, r; peek(&l, &r); rumplab_check(l <= 2 && r <= 2, \"range\"); }}"
    )
}

#[test]
fn a_value_that_is_read_again_was_not_used() {
    let (begin, retry) = (
        "__atomic_fetch_add(&version, 1, __ATOMIC_RELAXED);",
        "__atomic_load_n(&version, __ATOMIC_RELAXED) != v",
    );
    let marks = "validated peek by version";
    races(
        "sequence-unmarked",
        &sequence(begin, retry),
        "relaxed two",
        "DATA RACE",
    );
    holds("sequence", &sequence(begin, retry), marks);
    let careless = "__atomic_load_n(&version, __ATOMIC_RELAXED) == 77";
    races(
        "sequence-careless",
        &sequence(begin, careless),
        marks,
        "its value is used",
    );
    let late = "if (i == 1) __atomic_fetch_add(&version, 1, __ATOMIC_RELAXED);";
    let late = sequence(late, retry).replace(
        "&version, 1, __ATOMIC_RELEASE",
        "&version, i == 1, __ATOMIC_RELEASE",
    );
    races("sequence-late", &late, marks, "its value is used");
}

#[test]
fn a_mark_that_says_nothing_is_told() {
    for (marks, words) in [
        (
            "relaxed hits",
            "marks:1: this mark says nothing of this program: no function or variable is called hits",
        ),
        (
            "relaxed table.hit",
            "no structure table has a member hit\n  help: did you mean `hits`?",
        ),
        ("relaxed unit.c:999", "no code is at unit.c:999"),
        (
            "relaxed a\nrelaxed hit\nrelaxed b",
            "2 of 3 marks say nothing of this program, which does not have a (line 1), b (line 3)",
        ),
    ] {
        for ran in run("stale", COUNTER, marks) {
            assert!(ran.err.contains(words), "no `{words}` in {}", ran.err);
        }
    }
}

#[test]
fn a_file_of_marks_that_is_wrong_is_refused() {
    for ran in run("wrong", COUNTER, "relaxed hit\nrelax hit\n") {
        assert_eq!(ran.status, Some(2));
        assert!(
            ran.err.contains("marks:2: `relax` is no mark\n  help: "),
            "{}",
            ran.err
        );
    }
    let scratch = Scratch::new("marks-missing");
    let file = scratch.file("unit.c", COUNTER);
    let ran = rumplab(&["c", &file, "--marks", "nowhere"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("cannot read nowhere"), "{}", ran.err);
}
