//! Functions that the compiler expects: memory functions, the panic handler, the unwinder's symbols.

use core::arch::asm;
use core::panic::PanicInfo;

use crate::report::{self, Cause};

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report::begin(&Cause::Panic(info))
}

/// The precompiled `core` refers to it; with `panic = "abort"` it is never called.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The precompiled `alloc` refers to it; with `panic = "abort"` it is never called.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("nothing unwinds in this kernel")
}

/// Bytes copied or filled at a time. QEMU translates `rep movsb` into a loop of single bytes.
const BLOCK: usize = 16;

/// Copies upward: no byte is written before it was read, if `to` is below `from` or they do not overlap.
///
/// The last block, or word, overlaps the one before it, so that nothing is left; it is read first.
///
/// # Safety
///
/// `len` bytes can be read at `from` and written at `to`.
#[inline(always)]
unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
    macro_rules! two {
        ($word:ty) => {{
            let behind = len - size_of::<$word>();
            // SAFETY: the caller's promise: there are as many bytes, and twice as many at most.
            let first = unsafe { from.cast::<$word>().read_unaligned() };
            // SAFETY: as above.
            let last = unsafe { from.wrapping_add(behind).cast::<$word>().read_unaligned() };
            // SAFETY: as above, of `to`.
            unsafe { to.cast::<$word>().write_unaligned(first) };
            // SAFETY: as above, of `to`.
            unsafe {
                to.wrapping_add(behind)
                    .cast::<$word>()
                    .write_unaligned(last)
            };
        }};
    }
    match len {
        0 => {}
        1 => two!(u8),
        2..4 => two!(u16),
        4..8 => two!(u32),
        8..BLOCK => two!(u64),
        // SAFETY: (1) the caller's promise: there is at least a block; (2) all registers that change are named.
        _ => unsafe {
            asm!(
                "movups {last}, [{from} + {behind}]",
                "2:",
                "movups {block}, [{from} + {at}]",
                "movups [{to} + {at}], {block}",
                "add {at}, 16",
                "cmp {at}, {behind}",
                "jb 2b",
                "movups [{to} + {behind}], {last}",
                from = in(reg) from,
                to = in(reg) to,
                at = inout(reg) 0_usize => _,
                behind = in(reg) len - BLOCK,
                block = out(xmm_reg) _,
                last = out(xmm_reg) _,
                options(nostack),
            );
        },
    }
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { copy_up(to, from, len) };
    to
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: the caller's promise.
        unsafe { copy_up(to, from, len) };
        return to;
    }
    let last = len.wrapping_sub(1);
    // SAFETY: going down, no byte is written before it was read; the direction flag is cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") len => _,
            inout("rdi") to.wrapping_add(last) => _, inout("rsi") from.wrapping_add(last) => _,
            options(nostack));
    }
    to
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    if len < BLOCK {
        // SAFETY: the caller's promise; the direction flag is clear everywhere.
        unsafe {
            asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte as u8,
                options(nostack, preserves_flags));
        }
        return to;
    }
    // The last block overlaps the one before it. SAFETY: (1) the caller's promise: there is at least a block;
    // (2) all registers that change are named.
    unsafe {
        asm!(
            "2:",
            "mov [{to} + {at}], {word}",
            "mov [{to} + {at} + 8], {word}",
            "add {at}, 16",
            "cmp {at}, {behind}",
            "jb 2b",
            "mov [{to} + {behind}], {word}",
            "mov [{to} + {behind} + 8], {word}",
            to = in(reg) to,
            at = inout(reg) 0_usize => _,
            behind = in(reg) len - BLOCK,
            word = in(reg) u64::from(byte as u8) * 0x0101_0101_0101_0101,
            options(nostack),
        );
    }
    to
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    for index in 0..len {
        // SAFETY: the caller's promise: `len` bytes are at `left`. Volatile, or the compiler would make
        // this loop a call of the function that it is.
        let a = unsafe { left.wrapping_add(index).read_volatile() };
        // SAFETY: as above, at `right`.
        let b = unsafe { right.wrapping_add(index).read_volatile() };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(left, right, len) }
}

/// # Safety
///
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: the caller's promise: nothing before the terminating zero is passed over.
    while unsafe { text.wrapping_add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
