//! The names of the hooks, with what stands behind each.

/// Passes the hooks of a kind of code to the macro `$entries`: for each a name, the register for the return address, and the
/// function that goes on.
macro_rules! hooks {
    ($code:ty, $entries:ident) => {
        $entries! {
            "__tsan_read1" ("rsi") read::<$code, 1>;
            "__tsan_write1" ("rsi") write::<$code, 1>;
            "__tsan_read2" ("rsi") read::<$code, 2>;
            "__tsan_write2" ("rsi") write::<$code, 2>;
            "__tsan_read4" ("rsi") read::<$code, 4>;
            "__tsan_write4" ("rsi") write::<$code, 4>;
            "__tsan_read8" ("rsi") read::<$code, 8>;
            "__tsan_write8" ("rsi") write::<$code, 8>;
            "__tsan_read16" ("rsi") read::<$code, 16>;
            "__tsan_write16" ("rsi") write::<$code, 16>;
            "__tsan_unaligned_read2" ("rsi") read::<$code, 2>;
            "__tsan_unaligned_write2" ("rsi") write::<$code, 2>;
            "__tsan_unaligned_read4" ("rsi") read::<$code, 4>;
            "__tsan_unaligned_write4" ("rsi") write::<$code, 4>;
            "__tsan_unaligned_read8" ("rsi") read::<$code, 8>;
            "__tsan_unaligned_write8" ("rsi") write::<$code, 8>;
            "__tsan_unaligned_read16" ("rsi") read::<$code, 16>;
            "__tsan_unaligned_write16" ("rsi") write::<$code, 16>;
            "__tsan_volatile_read1" ("rsi") volatile_read::<$code, 1>;
            "__tsan_volatile_write1" ("rsi") volatile_write::<$code, 1>;
            "__tsan_volatile_read2" ("rsi") volatile_read::<$code, 2>;
            "__tsan_volatile_write2" ("rsi") volatile_write::<$code, 2>;
            "__tsan_volatile_read4" ("rsi") volatile_read::<$code, 4>;
            "__tsan_volatile_write4" ("rsi") volatile_write::<$code, 4>;
            "__tsan_volatile_read8" ("rsi") volatile_read::<$code, 8>;
            "__tsan_volatile_write8" ("rsi") volatile_write::<$code, 8>;
            "__tsan_volatile_read16" ("rsi") volatile_read::<$code, 16>;
            "__tsan_volatile_write16" ("rsi") volatile_write::<$code, 16>;
            "__tsan_unaligned_volatile_read2" ("rsi") volatile_read::<$code, 2>;
            "__tsan_unaligned_volatile_write2" ("rsi") volatile_write::<$code, 2>;
            "__tsan_unaligned_volatile_read4" ("rsi") volatile_read::<$code, 4>;
            "__tsan_unaligned_volatile_write4" ("rsi") volatile_write::<$code, 4>;
            "__tsan_unaligned_volatile_read8" ("rsi") volatile_read::<$code, 8>;
            "__tsan_unaligned_volatile_write8" ("rsi") volatile_write::<$code, 8>;
            "__tsan_unaligned_volatile_read16" ("rsi") volatile_read::<$code, 16>;
            "__tsan_unaligned_volatile_write16" ("rsi") volatile_write::<$code, 16>;
            "__tsan_read_write1" ("rsi") read_write::<$code, 1>;
            "__tsan_read_write2" ("rsi") read_write::<$code, 2>;
            "__tsan_read_write4" ("rsi") read_write::<$code, 4>;
            "__tsan_read_write8" ("rsi") read_write::<$code, 8>;
            "__tsan_read_write16" ("rsi") read_write::<$code, 16>;
            "__tsan_unaligned_read_write2" ("rsi") read_write::<$code, 2>;
            "__tsan_unaligned_read_write4" ("rsi") read_write::<$code, 4>;
            "__tsan_unaligned_read_write8" ("rsi") read_write::<$code, 8>;
            "__tsan_unaligned_read_write16" ("rsi") read_write::<$code, 16>;
            "__tsan_read_range" ("rdx") read_range::<$code>;
            "__tsan_write_range" ("rdx") write_range::<$code>;
            "__tsan_memcpy" ("rcx") memcpy::<$code>;
            "__tsan_memmove" ("rcx") memcpy::<$code>;
            "__tsan_memset" ("rcx") memset::<$code>;
            "__tsan_atomic8_load" ("r9") load::<$code, u8>;
            "__tsan_atomic8_store" ("r9") store::<$code, u8>;
            "__tsan_atomic8_exchange" ("r9") exchange::<$code, u8>;
            "__tsan_atomic8_fetch_add" ("r9") fetch_add::<$code, u8>;
            "__tsan_atomic8_fetch_sub" ("r9") fetch_sub::<$code, u8>;
            "__tsan_atomic8_fetch_and" ("r9") fetch_and::<$code, u8>;
            "__tsan_atomic8_fetch_or" ("r9") fetch_or::<$code, u8>;
            "__tsan_atomic8_fetch_xor" ("r9") fetch_xor::<$code, u8>;
            "__tsan_atomic8_fetch_nand" ("r9") fetch_nand::<$code, u8>;
            "__tsan_atomic8_compare_exchange_strong" ("r9") compare_exchange_at::<$code, u8>;
            "__tsan_atomic8_compare_exchange_weak" ("r9") compare_exchange_at::<$code, u8>;
            "__tsan_atomic8_compare_exchange_val" ("r9") compare_exchange_val::<$code, u8>;
            "__tsan_atomic16_load" ("r9") load::<$code, u16>;
            "__tsan_atomic16_store" ("r9") store::<$code, u16>;
            "__tsan_atomic16_exchange" ("r9") exchange::<$code, u16>;
            "__tsan_atomic16_fetch_add" ("r9") fetch_add::<$code, u16>;
            "__tsan_atomic16_fetch_sub" ("r9") fetch_sub::<$code, u16>;
            "__tsan_atomic16_fetch_and" ("r9") fetch_and::<$code, u16>;
            "__tsan_atomic16_fetch_or" ("r9") fetch_or::<$code, u16>;
            "__tsan_atomic16_fetch_xor" ("r9") fetch_xor::<$code, u16>;
            "__tsan_atomic16_fetch_nand" ("r9") fetch_nand::<$code, u16>;
            "__tsan_atomic16_compare_exchange_strong" ("r9") compare_exchange_at::<$code, u16>;
            "__tsan_atomic16_compare_exchange_weak" ("r9") compare_exchange_at::<$code, u16>;
            "__tsan_atomic16_compare_exchange_val" ("r9") compare_exchange_val::<$code, u16>;
            "__tsan_atomic32_load" ("r9") load::<$code, u32>;
            "__tsan_atomic32_store" ("r9") store::<$code, u32>;
            "__tsan_atomic32_exchange" ("r9") exchange::<$code, u32>;
            "__tsan_atomic32_fetch_add" ("r9") fetch_add::<$code, u32>;
            "__tsan_atomic32_fetch_sub" ("r9") fetch_sub::<$code, u32>;
            "__tsan_atomic32_fetch_and" ("r9") fetch_and::<$code, u32>;
            "__tsan_atomic32_fetch_or" ("r9") fetch_or::<$code, u32>;
            "__tsan_atomic32_fetch_xor" ("r9") fetch_xor::<$code, u32>;
            "__tsan_atomic32_fetch_nand" ("r9") fetch_nand::<$code, u32>;
            "__tsan_atomic32_compare_exchange_strong" ("r9") compare_exchange_at::<$code, u32>;
            "__tsan_atomic32_compare_exchange_weak" ("r9") compare_exchange_at::<$code, u32>;
            "__tsan_atomic32_compare_exchange_val" ("r9") compare_exchange_val::<$code, u32>;
            "__tsan_atomic64_load" ("r9") load::<$code, u64>;
            "__tsan_atomic64_store" ("r9") store::<$code, u64>;
            "__tsan_atomic64_exchange" ("r9") exchange::<$code, u64>;
            "__tsan_atomic64_fetch_add" ("r9") fetch_add::<$code, u64>;
            "__tsan_atomic64_fetch_sub" ("r9") fetch_sub::<$code, u64>;
            "__tsan_atomic64_fetch_and" ("r9") fetch_and::<$code, u64>;
            "__tsan_atomic64_fetch_or" ("r9") fetch_or::<$code, u64>;
            "__tsan_atomic64_fetch_xor" ("r9") fetch_xor::<$code, u64>;
            "__tsan_atomic64_fetch_nand" ("r9") fetch_nand::<$code, u64>;
            "__tsan_atomic64_compare_exchange_strong" ("r9") compare_exchange_at::<$code, u64>;
            "__tsan_atomic64_compare_exchange_weak" ("r9") compare_exchange_at::<$code, u64>;
            "__tsan_atomic64_compare_exchange_val" ("r9") compare_exchange_val::<$code, u64>;
            "__tsan_atomic_thread_fence" ("rsi") thread_fence::<$code>;
            "__tsan_atomic_signal_fence" ("rsi") nothing;
            "__tsan_func_entry" ("rsi") func_entry::<$code>;
        }
    };
}
pub(super) use hooks;

/// Likewise the hooks that are called in a way of their own: a name, and the instructions of the naked function.
macro_rules! hooks_in_assembly {
    ($code:ty, $entries:ident) => {
        $entries! {
            // A function is about to return.
            "__tsan_func_exit" {
                "lea rdi, [rsp + 8]", "mov rsi, rbp", "mov rdx, [rsp]", "jmp {}", sym func_exit::<$code>
            }
            // An exchange of 16 bytes leaves no register for the return address.
            "__tsan_atomic128_compare_exchange_val" {
                "mov rax, [rsp]", "mov r10, [rsp + 8]", "sub rsp, 8", "push rax", "push r10", "call {}", "add rsp, 24", "ret",
                sym compare_exchange_val_16::<$code>
            }
            "__tsan_atomic128_compare_exchange_strong" {
                "push [rsp]", "call {}", "add rsp, 8", "ret", sym compare_exchange_at_16::<$code>
            }
            "__tsan_atomic128_compare_exchange_weak" {
                "push [rsp]", "call {}", "add rsp, 8", "ret", sym compare_exchange_at_16::<$code>
            }
        }
    };
}
pub(super) use hooks_in_assembly;
