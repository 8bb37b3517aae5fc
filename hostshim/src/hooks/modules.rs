//! The hooks that modules call: the linker of modules gives them the addresses.

use std::arch::naked_asm;

use super::names::{hooks, hooks_in_assembly};
use super::*;
use crate::machine::foreign::Module;

/// A name that C code may call, and the function.
pub(crate) type Entry = (&'static str, unsafe extern "C" fn());

/// For each name a naked function that puts its return address into a register and goes on in Rust.
macro_rules! entries {
    ($($name:literal ($register:literal) $hook:path;)*) => {
        &[$(($name, {
            #[unsafe(naked)]
            unsafe extern "C" fn entry() {
                naked_asm!(concat!("mov ", $register, ", [rsp]"), "jmp {}", sym $hook)
            }
            entry
        })),*]
    };
}

/// For each name a naked function of these instructions.
macro_rules! assembled {
    ($($name:literal { $($part:tt)* })*) => {
        &[$(($name, {
            #[unsafe(naked)]
            unsafe extern "C" fn entry() {
                naked_asm!($($part)*)
            }
            entry
        })),*]
    };
}

static ENTRIES: &[Entry] = hooks!(Module, entries);
static ASSEMBLED: &[Entry] = hooks_in_assembly!(Module, assembled);

/// What the compiler calls without being asked, and C code may call, too.
static LIBRARY: &[Entry] = entries! {
    "memcpy" ("rcx") memcpy::<Module>;
    "memmove" ("rcx") memcpy::<Module>;
    "memset" ("rcx") memset::<Module>;
    "memcmp" ("rcx") memcmp::<Module>;
    "bcmp" ("rcx") memcmp::<Module>;
    "strlen" ("rsi") strlen::<Module>;
    "__tsan_init" ("rsi") nothing;
};

/// Every name that is offered here.
pub(crate) fn entries() -> impl Iterator<Item = Entry> {
    let all = ENTRIES.iter().chain(ASSEMBLED).chain(LIBRARY);
    all.copied()
}
