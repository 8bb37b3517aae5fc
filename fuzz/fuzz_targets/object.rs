//! The bytes are damage to an object file: where, and what stands there instead. Whatever the damage is, the file is linked or
//! refused in words.
//!
//! The file is what `clang-19` (`scripts/setup c`), or else `cc`, makes of a small program: with relocations of each kind, constants,
//! variables, and debugging information.
#![no_main]
#![feature(cfg_sanitize)]

use std::process::Command;
use std::sync::OnceLock;

use arbitrary::Arbitrary;
use hostshim_counted::c::check_object;
use libfuzzer_sys::fuzz_target;

// For the machine, which is not booted here, but is linked.
#[path = "../src/asan.rs"]
mod asan;

const PROGRAM: &str = "
    struct pair { int first; struct pair *next; } static head;
    static const char *names[] = { \"one\", \"two\" };
    int count, table[64] = { 1 };
    int add(struct pair *p, int by) {
        static int calls;
        p->next = p->first > by ? &head : 0;
        table[by & 63] += p->first, calls++;
        return __atomic_add_fetch(&count, by, __ATOMIC_SEQ_CST);
    }
    int (*adder)(struct pair *, int) = add;
    const char *name_of(int i) { return names[i & 1]; }
";

/// As `rumplab c` compiles.
const FLAGS: [&str; 9] = [
    "-c",
    "-g",
    "-O1",
    "-fsanitize=thread",
    "-ffreestanding",
    "-mcmodel=large",
    "-fno-pic",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
];

/// One thing that is wrong with the file.
#[derive(Arbitrary, Debug)]
enum Damage {
    /// This byte is another one.
    Byte { at: u16, value: u8 },
    /// A number of four bytes is another one.
    Number { at: u16, value: u32 },
    /// The file ends here.
    End { at: u16 },
}

fn object() -> &'static [u8] {
    static OBJECT: OnceLock<Vec<u8>> = OnceLock::new();
    OBJECT.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("rumplab-fuzz-{}", std::process::id()));
        let (source, object) = (folder.join("program.c"), folder.join("program.o"));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        std::fs::write(&source, PROGRAM).expect("a temporary file");
        let compiles = |compiler: &&str| {
            let mut command = Command::new(compiler);
            command.args(FLAGS);
            let status = command.arg(&source).arg("-o").arg(&object).status();
            status.is_ok_and(|status| status.success())
        };
        let made = ["clang-19", "cc"].iter().any(compiles);
        let bytes = std::fs::read(&object);
        let _ = std::fs::remove_dir_all(&folder);
        assert!(made, "there is no C compiler: run `scripts/setup c`");
        let bytes = bytes.expect("what the compiler has made");
        assert_eq!(check_object(&bytes), Ok(()), "without damage");
        bytes
    })
}

fuzz_target!(|damage: Vec<Damage>| {
    let mut bytes = object().to_vec();
    for damage in damage {
        match damage {
            Damage::Byte { at, value } => {
                if let Some(byte) = bytes.get_mut(usize::from(at)) {
                    *byte = value;
                }
            }
            Damage::Number { at, value } => {
                let at = usize::from(at);
                if let Some(number) = bytes.get_mut(at..at + 4) {
                    number.copy_from_slice(&value.to_le_bytes());
                }
            }
            Damage::End { at } => bytes.truncate(usize::from(at)),
        }
    }
    if let Err(why) = check_object(&bytes) {
        assert!(!why.trim().is_empty(), "refused without a word");
    }
});
