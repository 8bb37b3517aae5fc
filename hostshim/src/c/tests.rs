//! The linker and the loader: what is refused, damaged files, names.

use std::path::{Path, PathBuf};

use super::check_object;
use super::compile::{Compiler, Options};
use super::object::{Input, Linked, link};
use crate::machine::module::{Area, Target};
use crate::strategy::Rng;

/// The compilers that are here. One is: `scripts/setup c` installs both.
fn compilers() -> Vec<&'static str> {
    let is_here = |name: &&str| {
        let options = Options {
            compiler: Some((*name).to_owned()),
            ..Options::default()
        };
        Compiler::find(&options).is_ok()
    };
    let here = Vec::from_iter(["clang-19", "gcc-12"].into_iter().filter(is_here));
    assert!(!here.is_empty(), "no C compiler: run `scripts/setup c`");
    here
}

/// Compiles `text` with that compiler and these further arguments.
fn compile(compiler: &str, text: &str, more: &[&str]) -> Result<Input, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("module.c");
    std::fs::write(&file, text).expect("a file");
    let options = Options {
        compiler: Some(compiler.to_owned()),
        more: more.iter().map(|flag| (*flag).to_owned()).collect(),
        ..Options::default()
    };
    let headers = PathBuf::from(super::HEADERS);
    let mut input = Compiler::find(&options)?.compile(
        &file,
        &options,
        &headers,
        Path::new(directory.path()),
    )?;
    input.name = "module.c".to_owned();
    Ok(input)
}

fn linked(compiler: &str, text: &str) -> Result<Linked, String> {
    link(&[compile(compiler, text, &[])?], &[])
}

fn said_of(inputs: &[Input]) -> String {
    link(inputs, &[]).err().expect("it is refused")
}

/// What is said of `text`.
fn refused(compiler: &str, text: &str, more: &[&str]) -> String {
    let input = compile(compiler, text, more).expect("it compiles");
    said_of(&[input])
}

const MODULE: &str = "
struct entry { int refs; char flag; union { long word; short part[4]; }; struct { int deep; } inner[2]; };
struct entry table[3];
struct entry *first;
const char *const names[] = { \"one\", \"two\" };
static long cleared;
long sum(int which)
{
        static int calls;
        calls++;
        first = &table[which];
        switch (which) {
        case 0: return first->refs;
        case 1: return table[2].inner[1].deep;
        case 2: return names[calls & 1][0];
        case 3: return cleared++;
        case 4: return first->word;
        case 5: return sum(4);
        }
        return 0;
}
";

#[test]
fn a_module_has_its_parts_and_their_names() {
    for compiler in compilers() {
        let linked = linked(compiler, MODULE).expect("it links");
        let module = &linked.module;
        let place = linked.symbols["sum"];
        assert_eq!(place.area, Area::Code, "{compiler}");
        let (file, line) = module.lines.find(place.offset).expect("a line");
        assert!(file.ends_with("module.c"), "{compiler}: {file}");
        assert!((7..=10).contains(&line), "{compiler}: {line}");
        let names = Vec::from_iter(module.globals.iter().map(|global| global.name.as_str()));
        for name in ["table[0]", "table[2]", "first", "cleared", "calls"] {
            assert!(
                names.contains(&name),
                "{compiler}: {name} is not in {names:?}"
            );
        }
        let entry = module.structures.find("entry", 24).expect("a structure");
        let fields = Vec::from_iter(entry.iter().map(|field| (field.name, field.offset)));
        assert_eq!(
            fields[..4],
            [("refs", 0), ("flag", 4), ("word", 8), ("part", 8)],
            "{compiler}"
        );
        assert!(module.structures.find("first", 24).is_some(), "{compiler}");
        assert!(module.structures.find("first", 8).is_none(), "{compiler}");
        let inside = |target: Target| match target {
            Target::Inside(place) => match place.area {
                Area::Code => place.offset <= module.code.len(),
                Area::Data => place.offset <= module.data.len(),
            },
            Target::Host(address) => address != 0,
        };
        assert!(
            module.fixups.iter().all(|fixup| inside(fixup.target)),
            "{compiler}"
        );
        assert!(module.executable.is_multiple_of(4096) && module.executable < module.code.len());
    }
}

#[test]
fn files_use_each_others_names_but_do_not_define_them_twice() {
    for compiler in compilers() {
        let one = || {
            compile(
                compiler,
                "int shared; int get(void); int use(void) { return get() + shared; }",
                &[],
            )
        };
        let two = compile(
            compiler,
            "extern int shared; int get(void) { return shared++; }",
            &[],
        );
        let (one_input, two) = (one().expect("it compiles"), two.expect("it compiles"));
        assert!(link(&[one_input, two], &[]).is_ok(), "{compiler}");
        let twice = [one().expect("it compiles"), one().expect("it compiles")];
        let said = said_of(&twice);
        assert!(said.contains("is defined here and in module.c"), "{said}");
    }
}

#[test]
fn what_cannot_be_loaded_is_refused_in_words() {
    for compiler in compilers() {
        let text = "int nobody(int); void *memcopy(void *, void *, int); int a; void f(void) { a = nobody(1); memcopy(&a, &a, 4); }";
        let said = refused(compiler, text, &[]);
        for words in [
            "2 names are used",
            "nobody (in module.c)",
            "did you mean `memcpy`?",
            "help:",
        ] {
            assert!(said.contains(words), "{compiler}: no `{words}` in {said}");
        }
        let said = refused(compiler, "_Thread_local int a; void f(void) { a++; }", &[]);
        assert!(said.contains("variables of a thread"), "{compiler}: {said}");
        let said = refused(
            compiler,
            "int a; void f(void) { a++; }",
            &["-fno-sanitize=thread"],
        );
        assert!(
            said.contains("compiled without hooks"),
            "{compiler}: {said}"
        );
        let said = refused(
            compiler,
            "int a; int f(void) { return a++; }",
            &["-mcmodel=small"],
        );
        assert!(said.contains("-mcmodel=large"), "{compiler}: {said}");
        let text =
            "int a; int nobody(void); __attribute__((constructor)) void f(void) { a = nobody(); }";
        let said = refused(compiler, text, &[]);
        assert!(said.contains("run before main"), "{compiler}: {said}");
        let text = "int a[3000000]; int f(void) { return a[0]++; }";
        assert!(
            refused(compiler, text, &[]).contains("has 12000000 bytes"),
            "{compiler}"
        );
    }
    let nothing = Input {
        name: "a.o".to_owned(),
        bytes: b"no object file".to_vec(),
        unwatched: Default::default(),
    };
    let said = said_of(&[nothing]);
    assert!(said.starts_with("a.o: it is no object file"), "{said}");
}

/// Whatever a file contains, it is linked or refused. What was linked can be loaded: each relocation is in the module.
#[test]
fn damaged_files_are_linked_or_refused() {
    for compiler in compilers() {
        let input = compile(compiler, MODULE, &[]).expect("it compiles");
        let mut rng = Rng::new(15, 15);
        let length = input.bytes.len();
        for end in (0..length).step_by(61) {
            let _ = check_object(&input.bytes[..end]);
        }
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..3_000 {
            let mut bytes = input.bytes.clone();
            for _ in 0..1 + rng.below(8) {
                let at = rng.below(length as u64) as usize;
                bytes[at] = match rng.once_in(2) {
                    true => bytes[at] ^ 1 << rng.below(8),
                    false => rng.below(256) as u8,
                };
            }
            match check_object(&bytes) {
                Ok(()) => accepted += 1,
                Err(_) => refused += 1,
            }
        }
        // Headers, symbols and relocations are a small part of a file.
        assert!(
            accepted > 100 && refused > 100,
            "{compiler}: {accepted} and {refused}"
        );
    }
}
