//! The hooks of `-fsanitize=thread`, which the compiler calls before each access.
//!
//! # Overview
//!
//! No sanitizer runtime is linked: these functions are in its place. Each is a few instructions that add the address
//! from which it was called, which is the place of the access, and go on in Rust. Because C code runs on one thread of
//! the host and other CPUs run at steps only, an atomic operation is a plain one here.
//!
//! * A plain access is a step, and a checked access of its size.
//! * A `volatile` access is a relaxed atomic one.
//! * The orders of atomic operations are those of C11; `consume` is `acquire`.

use std::arch::naked_asm;

use kmod::machine::{At, Kind, Op};
use kmod::mem::Ordering;

use crate::machine::foreign;

/// The place of the call that returns to `pc`.
#[inline(always)]
fn caller(pc: usize) -> At {
    At::code(pc.wrapping_sub(1))
}

#[inline(always)]
fn op(addr: usize, kind: Kind, order: Ordering) -> Op {
    Op { addr, kind, order }
}

extern "C" fn read<const SIZE: usize>(addr: usize, pc: usize) {
    foreign::access(op(addr, Kind::Read, Ordering::Relaxed), SIZE, caller(pc));
}
extern "C" fn write<const SIZE: usize>(addr: usize, pc: usize) {
    foreign::access(op(addr, Kind::Write, Ordering::Relaxed), SIZE, caller(pc));
}
/// A read whose value is written back at once.
extern "C" fn read_write<const SIZE: usize>(addr: usize, pc: usize) {
    read::<SIZE>(addr, pc);
    write::<SIZE>(addr, pc);
}
extern "C" fn volatile_read<const SIZE: usize>(addr: usize, pc: usize) {
    foreign::access(op(addr, Kind::Load, Ordering::Relaxed), SIZE, caller(pc));
}
extern "C" fn volatile_write<const SIZE: usize>(addr: usize, pc: usize) {
    foreign::access(op(addr, Kind::Store, Ordering::Relaxed), SIZE, caller(pc));
}
extern "C" fn read_range(addr: usize, size: usize, pc: usize) {
    foreign::range(addr, size, Kind::Read, caller(pc));
}
extern "C" fn write_range(addr: usize, size: usize, pc: usize) {
    foreign::range(addr, size, Kind::Write, caller(pc));
}

extern "C" fn memcpy(to: usize, from: usize, size: usize, pc: usize) -> usize {
    foreign::range(from, size, Kind::Read, caller(pc));
    foreign::range(to, size, Kind::Write, caller(pc));
    let (source, target) = (pointer::<u8>(from), pointer::<u8>(to));
    // SAFETY: as in the program under test: what is not mapped there is a fault of the program, which ends the run.
    unsafe { std::ptr::copy(source, target, size) };
    to
}
extern "C" fn memset(to: usize, value: usize, size: usize, pc: usize) -> usize {
    foreign::range(to, size, Kind::Write, caller(pc));
    // SAFETY: as above.
    unsafe { std::ptr::write_bytes(pointer::<u8>(to), value as u8, size) };
    to
}
extern "C" fn memcmp(one: usize, other: usize, size: usize, pc: usize) -> i32 {
    foreign::range(one, size, Kind::Read, caller(pc));
    foreign::range(other, size, Kind::Read, caller(pc));
    for index in 0..size {
        let (a, b) = (byte(one + index), byte(other + index));
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}
extern "C" fn strlen(text: usize, pc: usize) -> usize {
    let mut length = 0;
    while byte(text + length) != 0 {
        length += 1;
    }
    foreign::range(text, length + 1, Kind::Read, caller(pc));
    length
}

fn pointer<T>(address: usize) -> *mut T {
    std::ptr::with_exposed_provenance_mut(address)
}

fn byte(address: usize) -> u8 {
    // SAFETY: as in the program under test.
    unsafe { pointer::<u8>(address).read() }
}

extern "C" fn nothing() {}

/// A function begins: if its stack is nearly used up, this ends the run.
extern "C" fn func_entry(_: usize, pc: usize) {
    foreign::frame_begins(caller(pc));
}

/// The local variables of a function are above what it has pushed last, and below its frame pointer.
extern "C" fn func_exit(below: usize, frame: usize, pc: usize) {
    foreign::frame_ends(below, frame, caller(pc));
}

/// The order of a number of C11's.
fn order(number: i32) -> Ordering {
    match number & 0xffff {
        0 => Ordering::Relaxed,
        1 | 2 => Ordering::Acquire,
        3 => Ordering::Release,
        4 => Ordering::AcqRel,
        _ => Ordering::SeqCst,
    }
}

/// The order of an exchange that fails: a load has nothing to release.
fn failing(number: i32) -> Ordering {
    match order(number) {
        Ordering::Release => Ordering::Relaxed,
        Ordering::AcqRel => Ordering::Acquire,
        order => order,
    }
}

extern "C" fn thread_fence(number: i32, pc: usize) {
    let order = order(number);
    if order != Ordering::Relaxed {
        foreign::fence(order, caller(pc));
    }
}

/// An integer that atomic operations are made on.
trait Word: Copy + PartialEq {
    const SIZE: usize = size_of::<Self>();
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn nand(self, other: Self) -> Self;
}

macro_rules! words {
    ($($word:ty),*) => {$(
        impl Word for $word {
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn and(self, other: Self) -> Self { self & other }
            fn or(self, other: Self) -> Self { self | other }
            fn xor(self, other: Self) -> Self { self ^ other }
            fn nand(self, other: Self) -> Self { !(self & other) }
        }
    )*};
}
words!(u8, u16, u32, u64, u128);

// The return address is the sixth argument of each: no operation has more than five of its own.

extern "C" fn load<T: Word>(
    addr: usize,
    number: i32,
    _: usize,
    _: usize,
    _: usize,
    pc: usize,
) -> T {
    foreign::access(op(addr, Kind::Load, order(number)), T::SIZE, caller(pc));
    // SAFETY: as in the program under test.
    unsafe { pointer::<T>(addr).read_unaligned() }
}

extern "C" fn store<T: Word>(addr: usize, value: T, number: i32, _: usize, _: usize, pc: usize) {
    foreign::access(op(addr, Kind::Store, order(number)), T::SIZE, caller(pc));
    // SAFETY: as in the program under test.
    unsafe { pointer::<T>(addr).write_unaligned(value) };
}

/// Replaces the word by what `update` makes of it. Returns the old one.
#[inline(always)]
fn update<T: Word>(addr: usize, number: i32, pc: usize, update: impl FnOnce(T) -> T) -> T {
    let order = order(number);
    foreign::modify(op(addr, Kind::Rmw, order), T::SIZE, caller(pc), || {
        let word = pointer::<T>(addr);
        // SAFETY: as in the program under test.
        let old = unsafe { word.read_unaligned() };
        let new = update(old);
        // SAFETY: as in the program under test.
        unsafe { word.write_unaligned(new) };
        let kind = match new == old {
            true => Kind::RmwSame,
            false => Kind::Rmw,
        };
        (old, op(addr, kind, order))
    })
}

macro_rules! updates {
    ($($name:ident: $update:expr;)*) => {$(
        extern "C" fn $name<T: Word>(addr: usize, value: T, number: i32, _: usize, _: usize, pc: usize) -> T {
            let made: fn(T, T) -> T = $update;
            update(addr, number, pc, |old| made(old, value))
        }
    )*};
}
updates! {
    exchange: |_, value| value;
    fetch_add: T::add;
    fetch_sub: T::sub;
    fetch_and: T::and;
    fetch_or: T::or;
    fetch_xor: T::xor;
    fetch_nand: T::nand;
}

/// Stores `new` if the word is `expected`. Returns the old word.
#[inline(always)]
fn compare_exchange<T: Word>(
    addr: usize,
    expected: T,
    new: T,
    (number, failed): (i32, i32),
    pc: usize,
) -> T {
    let order = order(number);
    foreign::modify(op(addr, Kind::Rmw, order), T::SIZE, caller(pc), || {
        let word = pointer::<T>(addr);
        // SAFETY: as in the program under test.
        let old = unsafe { word.read_unaligned() };
        if old != expected {
            return (old, op(addr, Kind::Load, failing(failed)));
        }
        // SAFETY: as in the program under test.
        unsafe { word.write_unaligned(new) };
        let kind = match new == old {
            true => Kind::RmwSame,
            false => Kind::Rmw,
        };
        (old, op(addr, kind, order))
    })
}

extern "C" fn compare_exchange_val<T: Word>(
    addr: usize,
    expected: T,
    new: T,
    number: i32,
    failed: i32,
    pc: usize,
) -> T {
    compare_exchange(addr, expected, new, (number, failed), pc)
}

/// `expected` is a variable of the caller, which the compiler has announced itself, or any other memory, which it has not.
extern "C" fn compare_exchange_at<T: Word>(
    addr: usize,
    expected: usize,
    new: T,
    number: i32,
    failed: i32,
    pc: usize,
) -> bool {
    let variable = pointer::<T>(expected);
    let is_shared = !foreign::is_on_stack(expected);
    if is_shared {
        foreign::access(
            op(expected, Kind::Read, Ordering::Relaxed),
            T::SIZE,
            caller(pc),
        );
    }
    // SAFETY: as in the program under test.
    let wanted = unsafe { variable.read_unaligned() };
    let old = compare_exchange(addr, wanted, new, (number, failed), pc);
    if old != wanted {
        if is_shared {
            foreign::access(
                op(expected, Kind::Write, Ordering::Relaxed),
                T::SIZE,
                caller(pc),
            );
        }
        // SAFETY: as in the program under test.
        unsafe { variable.write_unaligned(old) };
    }
    old == wanted
}

// An exchange of 16 bytes leaves no register for the return address.

extern "C" fn compare_exchange_val_16(
    addr: usize,
    expected_low: u64,
    expected_high: u64,
    low: u64,
    high: u64,
    number: i32,
    failed: i32,
    pc: usize,
) -> u128 {
    let expected = whole(expected_low, expected_high);
    compare_exchange(addr, expected, whole(low, high), (number, failed), pc)
}

#[unsafe(naked)]
unsafe extern "C" fn tsan_compare_exchange_val_16() {
    naked_asm!(
        "mov rax, [rsp]",
        "mov r10, [rsp + 8]",
        "sub rsp, 8",
        "push rax",
        "push r10",
        "call {}",
        "add rsp, 24",
        "ret",
        sym compare_exchange_val_16
    )
}

extern "C" fn compare_exchange_at_16(
    addr: usize,
    expected: usize,
    low: u64,
    high: u64,
    number: i32,
    failed: i32,
    pc: usize,
) -> bool {
    compare_exchange_at(addr, expected, whole(low, high), number, failed, pc)
}

#[unsafe(naked)]
unsafe extern "C" fn tsan_compare_exchange_at_16() {
    naked_asm!("push [rsp]", "call {}", "add rsp, 8", "ret", sym compare_exchange_at_16)
}

fn whole(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

/// A name that C code may call, and the function.
pub(super) type Entry = (&'static str, unsafe extern "C" fn());

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

#[rustfmt::skip]
static ENTRIES: &[Entry] = entries! {
    "__tsan_read1" ("rsi") read::<1>;
    "__tsan_write1" ("rsi") write::<1>;
    "__tsan_read2" ("rsi") read::<2>;
    "__tsan_write2" ("rsi") write::<2>;
    "__tsan_read4" ("rsi") read::<4>;
    "__tsan_write4" ("rsi") write::<4>;
    "__tsan_read8" ("rsi") read::<8>;
    "__tsan_write8" ("rsi") write::<8>;
    "__tsan_read16" ("rsi") read::<16>;
    "__tsan_write16" ("rsi") write::<16>;
    "__tsan_unaligned_read2" ("rsi") read::<2>;
    "__tsan_unaligned_write2" ("rsi") write::<2>;
    "__tsan_unaligned_read4" ("rsi") read::<4>;
    "__tsan_unaligned_write4" ("rsi") write::<4>;
    "__tsan_unaligned_read8" ("rsi") read::<8>;
    "__tsan_unaligned_write8" ("rsi") write::<8>;
    "__tsan_unaligned_read16" ("rsi") read::<16>;
    "__tsan_unaligned_write16" ("rsi") write::<16>;
    "__tsan_volatile_read1" ("rsi") volatile_read::<1>;
    "__tsan_volatile_write1" ("rsi") volatile_write::<1>;
    "__tsan_volatile_read2" ("rsi") volatile_read::<2>;
    "__tsan_volatile_write2" ("rsi") volatile_write::<2>;
    "__tsan_volatile_read4" ("rsi") volatile_read::<4>;
    "__tsan_volatile_write4" ("rsi") volatile_write::<4>;
    "__tsan_volatile_read8" ("rsi") volatile_read::<8>;
    "__tsan_volatile_write8" ("rsi") volatile_write::<8>;
    "__tsan_volatile_read16" ("rsi") volatile_read::<16>;
    "__tsan_volatile_write16" ("rsi") volatile_write::<16>;
    "__tsan_unaligned_volatile_read2" ("rsi") volatile_read::<2>;
    "__tsan_unaligned_volatile_write2" ("rsi") volatile_write::<2>;
    "__tsan_unaligned_volatile_read4" ("rsi") volatile_read::<4>;
    "__tsan_unaligned_volatile_write4" ("rsi") volatile_write::<4>;
    "__tsan_unaligned_volatile_read8" ("rsi") volatile_read::<8>;
    "__tsan_unaligned_volatile_write8" ("rsi") volatile_write::<8>;
    "__tsan_unaligned_volatile_read16" ("rsi") volatile_read::<16>;
    "__tsan_unaligned_volatile_write16" ("rsi") volatile_write::<16>;
    "__tsan_read_write1" ("rsi") read_write::<1>;
    "__tsan_read_write2" ("rsi") read_write::<2>;
    "__tsan_read_write4" ("rsi") read_write::<4>;
    "__tsan_read_write8" ("rsi") read_write::<8>;
    "__tsan_read_write16" ("rsi") read_write::<16>;
    "__tsan_unaligned_read_write2" ("rsi") read_write::<2>;
    "__tsan_unaligned_read_write4" ("rsi") read_write::<4>;
    "__tsan_unaligned_read_write8" ("rsi") read_write::<8>;
    "__tsan_unaligned_read_write16" ("rsi") read_write::<16>;
    "__tsan_read_range" ("rdx") read_range;
    "__tsan_write_range" ("rdx") write_range;
    "__tsan_memcpy" ("rcx") memcpy;
    "__tsan_memmove" ("rcx") memcpy;
    "__tsan_memset" ("rcx") memset;
    "memcpy" ("rcx") memcpy;
    "memmove" ("rcx") memcpy;
    "memset" ("rcx") memset;
    "memcmp" ("rcx") memcmp;
    "bcmp" ("rcx") memcmp;
    "strlen" ("rsi") strlen;
    "__tsan_atomic8_load" ("r9") load::<u8>;
    "__tsan_atomic8_store" ("r9") store::<u8>;
    "__tsan_atomic8_exchange" ("r9") exchange::<u8>;
    "__tsan_atomic8_fetch_add" ("r9") fetch_add::<u8>;
    "__tsan_atomic8_fetch_sub" ("r9") fetch_sub::<u8>;
    "__tsan_atomic8_fetch_and" ("r9") fetch_and::<u8>;
    "__tsan_atomic8_fetch_or" ("r9") fetch_or::<u8>;
    "__tsan_atomic8_fetch_xor" ("r9") fetch_xor::<u8>;
    "__tsan_atomic8_fetch_nand" ("r9") fetch_nand::<u8>;
    "__tsan_atomic8_compare_exchange_strong" ("r9") compare_exchange_at::<u8>;
    "__tsan_atomic8_compare_exchange_weak" ("r9") compare_exchange_at::<u8>;
    "__tsan_atomic8_compare_exchange_val" ("r9") compare_exchange_val::<u8>;
    "__tsan_atomic16_load" ("r9") load::<u16>;
    "__tsan_atomic16_store" ("r9") store::<u16>;
    "__tsan_atomic16_exchange" ("r9") exchange::<u16>;
    "__tsan_atomic16_fetch_add" ("r9") fetch_add::<u16>;
    "__tsan_atomic16_fetch_sub" ("r9") fetch_sub::<u16>;
    "__tsan_atomic16_fetch_and" ("r9") fetch_and::<u16>;
    "__tsan_atomic16_fetch_or" ("r9") fetch_or::<u16>;
    "__tsan_atomic16_fetch_xor" ("r9") fetch_xor::<u16>;
    "__tsan_atomic16_fetch_nand" ("r9") fetch_nand::<u16>;
    "__tsan_atomic16_compare_exchange_strong" ("r9") compare_exchange_at::<u16>;
    "__tsan_atomic16_compare_exchange_weak" ("r9") compare_exchange_at::<u16>;
    "__tsan_atomic16_compare_exchange_val" ("r9") compare_exchange_val::<u16>;
    "__tsan_atomic32_load" ("r9") load::<u32>;
    "__tsan_atomic32_store" ("r9") store::<u32>;
    "__tsan_atomic32_exchange" ("r9") exchange::<u32>;
    "__tsan_atomic32_fetch_add" ("r9") fetch_add::<u32>;
    "__tsan_atomic32_fetch_sub" ("r9") fetch_sub::<u32>;
    "__tsan_atomic32_fetch_and" ("r9") fetch_and::<u32>;
    "__tsan_atomic32_fetch_or" ("r9") fetch_or::<u32>;
    "__tsan_atomic32_fetch_xor" ("r9") fetch_xor::<u32>;
    "__tsan_atomic32_fetch_nand" ("r9") fetch_nand::<u32>;
    "__tsan_atomic32_compare_exchange_strong" ("r9") compare_exchange_at::<u32>;
    "__tsan_atomic32_compare_exchange_weak" ("r9") compare_exchange_at::<u32>;
    "__tsan_atomic32_compare_exchange_val" ("r9") compare_exchange_val::<u32>;
    "__tsan_atomic64_load" ("r9") load::<u64>;
    "__tsan_atomic64_store" ("r9") store::<u64>;
    "__tsan_atomic64_exchange" ("r9") exchange::<u64>;
    "__tsan_atomic64_fetch_add" ("r9") fetch_add::<u64>;
    "__tsan_atomic64_fetch_sub" ("r9") fetch_sub::<u64>;
    "__tsan_atomic64_fetch_and" ("r9") fetch_and::<u64>;
    "__tsan_atomic64_fetch_or" ("r9") fetch_or::<u64>;
    "__tsan_atomic64_fetch_xor" ("r9") fetch_xor::<u64>;
    "__tsan_atomic64_fetch_nand" ("r9") fetch_nand::<u64>;
    "__tsan_atomic64_compare_exchange_strong" ("r9") compare_exchange_at::<u64>;
    "__tsan_atomic64_compare_exchange_weak" ("r9") compare_exchange_at::<u64>;
    "__tsan_atomic64_compare_exchange_val" ("r9") compare_exchange_val::<u64>;
    "__tsan_atomic_thread_fence" ("rsi") thread_fence;
    "__tsan_atomic_signal_fence" ("rsi") nothing;
    "__tsan_init" ("rsi") nothing;
    "__tsan_func_entry" ("rsi") func_entry;
};

/// A function is about to return.
#[unsafe(naked)]
unsafe extern "C" fn tsan_func_exit() {
    naked_asm!("lea rdi, [rsp + 8]", "mov rsi, rbp", "mov rdx, [rsp]", "jmp {}", sym func_exit)
}

/// Those that leave no register for the return address.
static WIDE: [Entry; 3] = [
    (
        "__tsan_atomic128_compare_exchange_val",
        tsan_compare_exchange_val_16,
    ),
    (
        "__tsan_atomic128_compare_exchange_strong",
        tsan_compare_exchange_at_16,
    ),
    (
        "__tsan_atomic128_compare_exchange_weak",
        tsan_compare_exchange_at_16,
    ),
];

/// Every name that is offered here.
pub(super) fn entries() -> impl Iterator<Item = Entry> {
    let exit: Entry = ("__tsan_func_exit", tsan_func_exit);
    ENTRIES.iter().copied().chain([exit]).chain(WIDE)
}
