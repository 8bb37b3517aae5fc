//! The hooks of a program that has no machine: the accesses are made, and nothing is announced.
//!
//! Every program that is linked while `cargo rumplab test` builds needs the hooks that its crates call. One that uses rumplab has
//! them from there; any other, such as the unit tests of a library, gets these. It is compiled by itself, without `std`, and linked
//! last.
#![no_std]

use core::ffi::{c_int, c_void};
use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, fence};

macro_rules! nothing {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() {}
    )*};
}
nothing! {
    __tsan_read1 __tsan_write1 __tsan_volatile_read1 __tsan_volatile_write1 __tsan_read_write1 __tsan_read2
    __tsan_write2 __tsan_volatile_read2 __tsan_volatile_write2 __tsan_read_write2 __tsan_unaligned_read2
    __tsan_unaligned_write2 __tsan_unaligned_volatile_read2 __tsan_unaligned_volatile_write2
    __tsan_unaligned_read_write2 __tsan_read4 __tsan_write4 __tsan_volatile_read4 __tsan_volatile_write4
    __tsan_read_write4 __tsan_unaligned_read4 __tsan_unaligned_write4 __tsan_unaligned_volatile_read4
    __tsan_unaligned_volatile_write4 __tsan_unaligned_read_write4 __tsan_read8 __tsan_write8 __tsan_volatile_read8
    __tsan_volatile_write8 __tsan_read_write8 __tsan_unaligned_read8 __tsan_unaligned_write8
    __tsan_unaligned_volatile_read8 __tsan_unaligned_volatile_write8 __tsan_unaligned_read_write8 __tsan_read16
    __tsan_write16 __tsan_volatile_read16 __tsan_volatile_write16 __tsan_read_write16 __tsan_unaligned_read16
    __tsan_unaligned_write16 __tsan_unaligned_volatile_read16 __tsan_unaligned_volatile_write16
    __tsan_unaligned_read_write16 __tsan_read_range __tsan_write_range __tsan_func_entry __tsan_func_exit __tsan_init
    __tsan_atomic_signal_fence
}

#[unsafe(no_mangle)]
extern "C" fn __tsan_atomic_thread_fence(_: c_int) {
    fence(SeqCst);
}

unsafe extern "C" {
    fn memmove(to: *mut c_void, from: *const c_void, size: usize) -> *mut c_void;
    fn memset(to: *mut c_void, value: c_int, size: usize) -> *mut c_void;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __tsan_memcpy(to: *mut c_void, from: *const c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { memmove(to, from, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __tsan_memmove(to: *mut c_void, from: *const c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { memmove(to, from, size) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __tsan_memset(to: *mut c_void, value: c_int, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { memset(to, value, size) }
}

macro_rules! atomics {
    ($word:ident $atomic:ident: $load:ident $store:ident $exchange:ident $add:ident $sub:ident $and:ident $or:ident $xor:ident
        $nand:ident $strong:ident $weak:ident $val:ident) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $load(at: *mut $word, _: c_int) -> $word {
            // SAFETY: the caller's promise.
            unsafe { $atomic::from_ptr(at) }.load(SeqCst)
        }
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $store(at: *mut $word, value: $word, _: c_int) {
            // SAFETY: the caller's promise.
            unsafe { $atomic::from_ptr(at) }.store(value, SeqCst);
        }
        atomics! { @ $word $atomic $exchange swap, $add fetch_add, $sub fetch_sub, $and fetch_and, $or fetch_or, $xor fetch_xor,
            $nand fetch_nand }
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $val(at: *mut $word, old: $word, new: $word, _: c_int, _: c_int) -> $word {
            // SAFETY: the caller's promise.
            let word = unsafe { $atomic::from_ptr(at) };
            match word.compare_exchange(old, new, SeqCst, SeqCst) {
                Ok(found) | Err(found) => found,
            }
        }
        atomics! { = $word $val $strong $weak }
    };
    (@ $word:ident $atomic:ident $($name:ident $method:ident),*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(at: *mut $word, value: $word, _: c_int) -> $word {
            // SAFETY: the caller's promise.
            unsafe { $atomic::from_ptr(at) }.$method(value, SeqCst)
        }
    )*};
    (= $word:ident $val:ident $($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(at: *mut $word, old: *mut $word, new: $word, order: c_int, failed: c_int) -> bool {
            // SAFETY: the caller's promise.
            let expected = unsafe { *old };
            // SAFETY: the caller's promise.
            let found = unsafe { $val(at, expected, new, order, failed) };
            if found != expected {
                // SAFETY: the caller's promise.
                unsafe { *old = found };
            }
            found == expected
        }
    )*};
}
atomics! { u8 AtomicU8: __tsan_atomic8_load __tsan_atomic8_store __tsan_atomic8_exchange __tsan_atomic8_fetch_add
    __tsan_atomic8_fetch_sub __tsan_atomic8_fetch_and __tsan_atomic8_fetch_or __tsan_atomic8_fetch_xor
    __tsan_atomic8_fetch_nand __tsan_atomic8_compare_exchange_strong __tsan_atomic8_compare_exchange_weak
    __tsan_atomic8_compare_exchange_val }
atomics! { u16 AtomicU16: __tsan_atomic16_load __tsan_atomic16_store __tsan_atomic16_exchange __tsan_atomic16_fetch_add
    __tsan_atomic16_fetch_sub __tsan_atomic16_fetch_and __tsan_atomic16_fetch_or __tsan_atomic16_fetch_xor
    __tsan_atomic16_fetch_nand __tsan_atomic16_compare_exchange_strong __tsan_atomic16_compare_exchange_weak
    __tsan_atomic16_compare_exchange_val }
atomics! { u32 AtomicU32: __tsan_atomic32_load __tsan_atomic32_store __tsan_atomic32_exchange __tsan_atomic32_fetch_add
    __tsan_atomic32_fetch_sub __tsan_atomic32_fetch_and __tsan_atomic32_fetch_or __tsan_atomic32_fetch_xor
    __tsan_atomic32_fetch_nand __tsan_atomic32_compare_exchange_strong __tsan_atomic32_compare_exchange_weak
    __tsan_atomic32_compare_exchange_val }
atomics! { u64 AtomicU64: __tsan_atomic64_load __tsan_atomic64_store __tsan_atomic64_exchange __tsan_atomic64_fetch_add
    __tsan_atomic64_fetch_sub __tsan_atomic64_fetch_and __tsan_atomic64_fetch_or __tsan_atomic64_fetch_xor
    __tsan_atomic64_fetch_nand __tsan_atomic64_compare_exchange_strong __tsan_atomic64_compare_exchange_weak
    __tsan_atomic64_compare_exchange_val }

/// For each call of the system that rumplab looks at, one that does not: `__wrap_f` goes on in `f`.
macro_rules! calls {
    ($($wrapped:literal $real:literal)*) => {$(
        core::arch::global_asm!(concat!(".globl ", $wrapped), concat!($wrapped, ":"), concat!("jmp ", $real));
    )*};
}
calls! {
    "__wrap_syscall" "__real_syscall"
    "__wrap_sched_yield" "__real_sched_yield"
    "__wrap_nanosleep" "__real_nanosleep"
    "__wrap_clock_nanosleep" "__real_clock_nanosleep"
    "__wrap_pthread_create" "__real_pthread_create"
    "__wrap___cxa_thread_atexit_impl" "__real___cxa_thread_atexit_impl"
}
