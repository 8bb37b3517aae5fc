//! Which accesses the compilers announce, construct by construct: `docs/c-constructs.md`.
//!
//! Each construct is a function of two pointers, compiled as every file is. A driver, compiled without hooks, calls it and
//! has hooks of its own that note which bytes are announced. These are compared with the bytes that the construct accesses.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::assembly::Unwatched;
use super::compile::{Compiler, Options};

/// What a construct is called, the types that its pointers `p` and `q` point to, its code, and the bytes that it must be
/// seen to read at `p`, to write there, to read at `q` and to write there.
type Construct = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    [usize; 4],
);

#[rustfmt::skip]
const CONSTRUCTS: &[Construct] = &[
    ("copy of a structure", "struct s", "struct s", "*p = *q", [0, 32, 32, 0]),
    ("copy of 16 bytes", "struct two", "struct two", "*p = *q", [0, 16, 16, 0]),
    ("structure that is returned", "struct s", "struct s", "*p = of(q)", [0, 32, 32, 0]),
    ("16 bytes that are returned", "struct two", "struct two", "*p = of_two(q)", [0, 16, 16, 0]),
    ("structure passed by value", "struct s", "struct s", "take(*q)", [0, 0, 32, 0]),
    ("16 bytes passed by value", "struct two", "struct two", "take_two(*q)", [0, 0, 16, 0]),
    ("literal", "struct s", "struct s", "*p = (struct s){ .a = 1 }", [0, 32, 0, 0]),
    ("member of an element", "struct s", "struct s", "p[1].c = q->d", [0, 8, 8, 0]),
    ("member of a union", "union u", "union u", "p->part[2] = q->part[3]", [0, 1, 1, 0]),
    ("bit-field, written", "struct bits", "struct bits", "p->a = 1", [0, 1, 0, 0]),
    ("bit-field, read", "struct bits", "struct bits", "keep(q->b)", [0, 0, 1, 0]),
    ("packed", "struct packed", "struct packed", "p->i = q->i", [0, 4, 4, 0]),
    ("increment", "int", "int", "(*p)++", [4, 4, 0, 0]),
    ("compound assignment", "long", "long", "*p += *q", [8, 8, 8, 0]),
    ("exchange", "int", "int", "int old = *p; *p = *q; *q = old", [4, 4, 4, 4]),
    ("checked addition", "int", "int", "(void)__builtin_add_overflow(*p, 1, p)", [4, 4, 0, 0]),
    ("_Bool", "_Bool", "_Bool", "*p = *q", [0, 1, 1, 0]),
    ("volatile", "volatile int", "volatile int", "*p = *q", [0, 4, 4, 0]),
    ("volatile structure", "volatile struct s", "volatile struct s", "*p = *q", [0, 32, 32, 0]),
    ("double", "double", "float", "*p = *q", [0, 8, 4, 0]),
    ("long double", "long double", "long double", "*p = *q", [0, 10, 10, 0]),
    ("_Complex double", "_Complex double", "_Complex double", "*p = *q", [0, 16, 16, 0]),
    ("__int128", "__int128", "__int128", "*p = *q", [0, 16, 16, 0]),
    ("vector of 16 bytes", "four", "four", "*p = *q", [0, 16, 16, 0]),
    ("vector of 32 bytes", "eight", "eight", "*p = *q", [0, 32, 32, 0]),
    ("call through a pointer", "struct ops", "struct ops", "q->go()", [0, 0, 8, 0]),
    ("switch", "int", "int", "switch (*q) { case 0: keep(7); break; case 1: keep(3); break; case 2: keep(9); break; case 3: keep(1); break; default: keep(5); }", [0, 0, 4, 0]),
    ("memset, 8 bytes", "char", "char", "memset(p, 0, 8)", [0, 8, 0, 0]),
    ("memset, 32 bytes", "char", "char", "memset(p, 0, 32)", [0, 32, 0, 0]),
    ("__builtin_memset", "char", "char", "__builtin_memset(p, 0, 32)", [0, 32, 0, 0]),
    ("memcpy, 8 bytes", "char", "char", "memcpy(p, q, 8)", [0, 8, 8, 0]),
    ("memcpy, 32 bytes", "char", "char", "memcpy(p, q, 32)", [0, 32, 32, 0]),
    ("__builtin_memcpy", "char", "char", "__builtin_memcpy(p, q, 32)", [0, 32, 32, 0]),
    ("memmove", "char", "char", "memmove(p, q, 32)", [0, 32, 32, 0]),
    ("memcmp", "char", "char", "keep(memcmp(p, q, 32))", [32, 0, 32, 0]),
    ("__builtin_memcmp", "char", "char", "keep(__builtin_memcmp(p, q, 8) == 0)", [8, 0, 8, 0]),
    ("strlen", "char", "char", "keep(strlen(q))", [0, 0, 1, 0]),
    ("loop that clears", "char", "char", "for (int i = 0; i < 64; i++) p[i] = 0", [0, 64, 0, 0]),
    ("loop that copies", "char", "char", "char *restrict to = p, *restrict from = q; for (int i = 0; i < 64; i++) to[i] = from[i]", [0, 64, 64, 0]),
    ("loop that adds", "int", "int", "int sum = 0; for (int i = 0; i < 16; i++) sum += q[i]; keep(sum)", [0, 0, 64, 0]),
    ("structure on the stack that was passed on", "int", "int", "struct s own = { 0 }; lend(&own, 32); own.c = 3; lend(&own, 32)", [0, 8, 0, 0]),
    ("variable-length array", "int", "int", "int own[count()]; lend(own, 16); own[2] = 3; lend(own, 16)", [0, 4, 0, 0]),
    ("static variable of a function", "int", "int", "static int own; lend(&own, 4); own++; lend(&own, 4)", [4, 4, 0, 0]),
    ("_Atomic, 1 byte", "_Atomic char", "int", "(*p)++", [1, 1, 0, 0]),
    ("_Atomic, 2 bytes", "_Atomic short", "int", "(*p)++", [2, 2, 0, 0]),
    ("_Atomic, 4 bytes", "_Atomic int", "int", "(*p)++", [4, 4, 0, 0]),
    ("_Atomic, 8 bytes", "_Atomic long", "int", "(*p)++", [8, 8, 0, 0]),
    ("_Atomic, 16 bytes, written", "_Atomic __int128", "int", "*p = 1", [0, 16, 0, 0]),
    ("_Atomic, 16 bytes, read", "_Atomic __int128", "int", "keep(*p)", [16, 0, 0, 0]),
    ("_Atomic structure of 12 bytes", "_Atomic struct three", "struct three", "*p = *q", [0, 12, 12, 0]),
    ("_Atomic, multiplied", "_Atomic int", "int", "*p *= 3", [4, 4, 0, 0]),
    ("__atomic_load_n", "int", "int", "keep(__atomic_load_n(p, __ATOMIC_ACQUIRE))", [4, 0, 0, 0]),
    ("__atomic_exchange_n", "int", "int", "keep(__atomic_exchange_n(p, 1, __ATOMIC_SEQ_CST))", [4, 4, 0, 0]),
    ("__atomic_compare_exchange_n", "int", "int", "keep(__atomic_compare_exchange_n(p, q, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))", [4, 4, 4, 0]),
    ("__atomic_fetch_nand", "int", "int", "keep(__atomic_fetch_nand(p, 1, __ATOMIC_RELAXED))", [4, 4, 0, 0]),
    ("__atomic_test_and_set", "char", "int", "keep(__atomic_test_and_set(p, __ATOMIC_ACQUIRE))", [1, 1, 0, 0]),
    ("__atomic_clear", "char", "int", "__atomic_clear(p, __ATOMIC_RELEASE)", [0, 1, 0, 0]),
    ("__sync_fetch_and_add", "int", "int", "keep(__sync_fetch_and_add(p, 1))", [4, 4, 0, 0]),
    ("__sync_bool_compare_and_swap", "int", "int", "keep(__sync_bool_compare_and_swap(p, 0, 1))", [4, 4, 0, 0]),
    ("__sync_lock_test_and_set", "int", "int", "keep(__sync_lock_test_and_set(p, 1))", [4, 4, 0, 0]),
    ("__sync_lock_release", "int", "int", "__sync_lock_release(p)", [0, 4, 0, 0]),
    ("__sync_synchronize", "int", "int", "__sync_synchronize()", [0, 0, 0, 0]),
    ("__atomic_thread_fence", "int", "int", "__atomic_thread_fence(__ATOMIC_ACQ_REL)", [0, 0, 0, 0]),
    ("assembly with an operand in memory", "int", "int", "__asm__ volatile(\"incl %0\" : \"+m\"(*p))", [4, 4, 0, 0]),
    ("assembly with an operand in a register", "int", "int", "__asm__ volatile(\"\" : : \"r\"(*q))", [0, 0, 4, 0]),
];

const COMPILERS: [&str; 2] = ["clang-19", "gcc-12"];
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/c-constructs.md");
const PREAMBLE: &str = include_str!("constructs/preamble.h");
const DRIVER: &str = include_str!("constructs/driver.c");

/// The functions of which calls go to the driver, as they go to the machine's.
const LIBRARY: [&str; 6] = ["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen"];

const HEAD: &str = "\
# What compilers announce

Which hooks clang 19 and gcc 12 call for a construct of C, with the flags of `rumplab c` ([c.md](c.md)). `p` and `q` are pointers to the
memory that is accessed. What is not seen is told at the end of a run, with its lines (`not watched: …`); what is refused is told when the
files are loaded.

A test compiles and runs each construct, and compares the bytes that are announced with those that are accessed:
`UPDATE_EXPECT=1 cargo test -p hostshim --lib constructs` writes this file.

Constants, tables of jumps and the arguments of a function are not announced and need not be: nobody writes to them. Thread-local variables are
not supported.
";

/// What became of a construct with a compiler.
struct Seen {
    hooks: Vec<String>,
    /// As in [`Construct`].
    bytes: [usize; 4],
}

impl Seen {
    fn is_refused(&self) -> bool {
        self.hooks.iter().any(|hook| hook.starts_with("refused:"))
    }

    /// What of these bytes was not announced: `read`, `write`.
    fn missing(&self, wanted: &[usize; 4]) -> BTreeSet<&'static str> {
        let all = self
            .bytes
            .iter()
            .zip(wanted)
            .zip(["read", "write"].iter().cycle());
        all.filter(|((seen, wanted), _)| seen < wanted)
            .map(|(_, what)| *what)
            .collect()
    }

    /// Whether neither a byte nor anything else is missing: a fence accesses nothing, and must have a hook.
    fn is_all(&self, wanted: &[usize; 4]) -> bool {
        self.missing(wanted).is_empty() && !self.hooks.is_empty()
    }

    fn cell(&self, wanted: &[usize; 4]) -> String {
        if self.is_refused() {
            return "**refused**".to_owned();
        }
        let hooks = Vec::from_iter(self.hooks.iter().map(|hook| format!("`{hook}`")));
        let mut cell = hooks.join(", ");
        if !self.is_all(wanted) {
            let missing = Vec::from_iter(self.missing(wanted)).join(" and ");
            if !cell.is_empty() {
                cell += "; ";
            }
            cell += &format!("**{missing} not seen**");
        }
        cell
    }
}

/// Compiles all constructs, a line for each, and runs them.
fn run(compiler: &str, directory: &Path) -> (Vec<Seen>, Unwatched) {
    let mut source = PREAMBLE.to_owned();
    let mut names = format!("#define COUNT {}\n", CONSTRUCTS.len());
    let mut list = String::new();
    for (index, (_, p, q, code, _)) in CONSTRUCTS.iter().enumerate() {
        let _ = writeln!(source, "void f{index}({p} *p, {q} *q) {{ {code}; }}");
        let _ = writeln!(names, "void f{index}(void *, void *);");
        let _ = write!(list, "f{index}, ");
    }
    let _ = writeln!(
        names,
        "static void (*const all[])(void *, void *) = {{ {list} }};"
    );
    let path = |name: &str| directory.join(name);
    let write = |name: &str, text: &[u8]| std::fs::write(path(name), text).expect("a file");
    write("constructs.c", source.as_bytes());
    write("names.h", names.as_bytes());
    write("driver.c", DRIVER.as_bytes());
    let options = Options {
        compiler: Some(compiler.to_owned()),
        ..Options::default()
    };
    let headers = PathBuf::from(super::HEADERS);
    let input = Compiler::find(&options)
        .and_then(|compiler| compiler.compile(&path("constructs.c"), &options, &headers, directory))
        .unwrap_or_else(|why| panic!("{compiler}: {why}"));
    write("constructs.o", &input.bytes);
    let wrap = LIBRARY.map(|name| format!("-Wl,--wrap={name}"));
    let built = Command::new(compiler)
        .args(["-w", "-O1", "-fno-builtin", "-no-pie", "-fno-pie", "-mcx16"])
        .args(wrap)
        .args([path("driver.c"), path("constructs.o")])
        .arg("-o")
        .arg(path("driver"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "{compiler}");
    let output = Command::new(path("driver")).output().expect("the driver");
    assert!(output.status.success(), "{compiler}: {output:?}");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let seen = lines.lines().map(|line| {
        let mut words = line.split(' ');
        let bytes = [(); 4].map(|()| words.next().and_then(|word| word.parse().ok()));
        Seen {
            bytes: bytes.map(|count| count.expect("a number")),
            hooks: words.map(str::to_owned).collect(),
        }
    });
    (seen.collect(), input.unwatched)
}

#[test]
fn the_table_of_constructs_is_true() {
    let mut all = Vec::new();
    for compiler in COMPILERS {
        let directory = tempfile::tempdir().expect("a directory");
        let (seen, unwatched) = run(compiler, directory.path());
        assert_eq!(seen.len(), CONSTRUCTS.len());
        // What is not seen is told, and nothing else.
        let first = PREAMBLE.lines().count() + 1;
        let told = unwatched.assembly.iter().chain(&unwatched.copies);
        let told = BTreeSet::from_iter(told.map(|(_, line)| *line as usize));
        for (index, (name, .., wanted)) in CONSTRUCTS.iter().enumerate() {
            let seen = &seen[index];
            let must = !seen.is_all(wanted) && !seen.is_refused();
            assert_eq!(told.contains(&(first + index)), must, "{compiler}: {name}");
        }
        all.push(seen);
    }
    let mut table =
        format!("{HEAD}\n| construct | in C | clang 19 | gcc 12 |\n|---|---|---|---|\n");
    for (index, (name, _, _, code, wanted)) in CONSTRUCTS.iter().enumerate() {
        let code = code.replace('|', "\\|");
        let cells = Vec::from_iter(all.iter().map(|seen| seen[index].cell(wanted)));
        let _ = writeln!(table, "| {name} | `{code}` | {} |", cells.join(" | "));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(TABLE, &table).expect("the table is written");
    }
    let kept = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert_eq!(kept, table, "UPDATE_EXPECT=1 writes {TABLE}");
}
