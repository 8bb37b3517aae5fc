//! Checks that the cycle counter counts instructions.
//!
//! Under `-icount shift=0` QEMU's clock advances by one nanosecond per instruction, and the cycle counter is that
//! clock. [`check`] refuses a machine whose counter does not count like that.
//!
//! # Contexts
//!
//! Any.

use core::arch::asm;

/// Stops the kernel unless the counter counts instructions exactly.
pub(crate) fn check() {
    const ROUNDS: u64 = 1000;
    let (first, second): (u64, u64);
    // SAFETY: (1) every x86-64 processor has the counter; (2) all registers that change are named.
    unsafe {
        asm!(
            "rdtsc",
            "mov {first:e}, eax",
            "2:",
            "dec {rounds:e}",
            "jnz 2b",
            "rdtsc",
            first = out(reg) first,
            rounds = inout(reg) ROUNDS => _,
            out("rdx") _,
            out("rax") second,
            options(nostack),
        );
    }
    let counted = u64::from((second as u32).wrapping_sub(first as u32));
    // The loop, the copy before it, and the second reading itself.
    let executed = 2 * ROUNDS + 2;
    assert!(
        counted == executed,
        "the cycle counter went on by {counted} in {executed} instructions: boot with -icount shift=0"
    );
}
