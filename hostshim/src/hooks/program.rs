//! The hooks that crates of this program call, by their names.

use std::arch::naked_asm;

use super::names::{hooks, hooks_in_assembly};
use super::*;
use crate::machine::program::{self, Program};

macro_rules! exported {
    ($($name:literal ($register:literal) $hook:path;)*) => {$(
        const _: () = {
            #[unsafe(naked)]
            #[unsafe(export_name = $name)]
            unsafe extern "C" fn entry() {
                naked_asm!(concat!("mov ", $register, ", [rsp]"), "jmp {}", sym $hook)
            }
        };
    )*};
}

macro_rules! assembled {
    ($($name:literal { $($part:tt)* })*) => {$(
        const _: () = {
            #[unsafe(naked)]
            #[unsafe(export_name = $name)]
            unsafe extern "C" fn entry() {
                naked_asm!($($part)*)
            }
        };
    )*};
}

hooks!(Program, exported);
hooks_in_assembly!(Program, assembled);

/// Each crate with hooks calls this when the program is loaded, before anything else of it runs.
#[unsafe(export_name = "__tsan_init")]
extern "C" fn init() {
    program::loaded();
}

/// With atomic accesses alone no crate calls it. So the loader does, too.
#[used]
#[unsafe(link_section = ".init_array")]
static LOADED: extern "C" fn() = init;
