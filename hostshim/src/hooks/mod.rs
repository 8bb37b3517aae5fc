//! The hooks of `-fsanitize=thread`, which the compiler calls before each access.
//!
//! # Overview
//!
//! No sanitizer runtime is linked: these functions are in its place. Each is a few instructions that add the address
//! from which it was called, which is the place of the access, and go on in Rust. Because code under test runs on one
//! thread of the host and other CPUs run at steps only, an atomic operation is a plain one here.
//!
//! Two kinds of [code](Code) call them. A [module](crate::c) of C gets their addresses when it is linked (`modules`).
//! Crates of this program call them by their names, if it was built by `cargo rumplab test` (`program`, with
//! `cfg(rumplab_hooks)`).
//!
//! * A plain access is a step, and a checked access of its size.
//! * A `volatile` access is a relaxed atomic one.
//! * The orders of atomic operations are those of C11; `consume` is `acquire`.

pub(crate) mod modules;
mod names;
#[cfg(rumplab_hooks)]
mod program;
#[cfg(rumplab_hooks)]
mod system;

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};

use kmod::machine::{At, Kind, Op};
use kmod::mem::Ordering;

use crate::machine::foreign::{self, Code};

/// The place of the call that returns to `pc`.
#[inline(always)]
fn caller(pc: usize) -> At {
    At::code(pc.wrapping_sub(1))
}

#[inline(always)]
fn op(addr: usize, kind: Kind, order: Ordering) -> Op {
    Op::new(addr, kind, order)
}

extern "C" fn read<C: Code, const SIZE: usize>(addr: usize, pc: usize) {
    C::access(op(addr, Kind::Read, Ordering::Relaxed), SIZE, caller(pc));
}
extern "C" fn write<C: Code, const SIZE: usize>(addr: usize, pc: usize) {
    C::access(op(addr, Kind::Write, Ordering::Relaxed), SIZE, caller(pc));
}
/// A read whose value is written back at once.
extern "C" fn read_write<C: Code, const SIZE: usize>(addr: usize, pc: usize) {
    read::<C, SIZE>(addr, pc);
    write::<C, SIZE>(addr, pc);
}
extern "C" fn volatile_read<C: Code, const SIZE: usize>(addr: usize, pc: usize) {
    C::access(op(addr, Kind::Load, Ordering::Relaxed), SIZE, caller(pc));
}
extern "C" fn volatile_write<C: Code, const SIZE: usize>(addr: usize, pc: usize) {
    C::access(op(addr, Kind::Store, Ordering::Relaxed), SIZE, caller(pc));
}
extern "C" fn read_range<C: Code>(addr: usize, size: usize, pc: usize) {
    C::range(addr, size, Kind::Read, caller(pc));
}
extern "C" fn write_range<C: Code>(addr: usize, size: usize, pc: usize) {
    C::range(addr, size, Kind::Write, caller(pc));
}

extern "C" fn memcpy<C: Code>(to: usize, from: usize, size: usize, pc: usize) -> usize {
    C::range(from, size, Kind::Read, caller(pc));
    C::range(to, size, Kind::Write, caller(pc));
    let (source, target) = (pointer::<u8>(from), pointer::<u8>(to));
    // SAFETY: as in the program under test: what is not mapped there is a fault of the program, which ends the run.
    unsafe { std::ptr::copy(source, target, size) };
    to
}
extern "C" fn memset<C: Code>(to: usize, value: usize, size: usize, pc: usize) -> usize {
    C::range(to, size, Kind::Write, caller(pc));
    // SAFETY: as above.
    unsafe { std::ptr::write_bytes(pointer::<u8>(to), value as u8, size) };
    to
}
extern "C" fn memcmp<C: Code>(one: usize, other: usize, size: usize, pc: usize) -> i32 {
    C::range(one, size, Kind::Read, caller(pc));
    C::range(other, size, Kind::Read, caller(pc));
    for index in 0..size {
        let (a, b) = (byte(one + index), byte(other + index));
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}
extern "C" fn strlen<C: Code>(text: usize, pc: usize) -> usize {
    let mut length = 0;
    while byte(text + length) != 0 {
        length += 1;
    }
    C::range(text, length + 1, Kind::Read, caller(pc));
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
extern "C" fn func_entry<C: Code>(_: usize, pc: usize) {
    C::frame_begins(caller(pc));
}

/// The local variables of a function are above what it has pushed last, and below its frame pointer.
extern "C" fn func_exit<C: Code>(below: usize, frame: usize, pc: usize) {
    C::frame_ends(below, frame, caller(pc));
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

extern "C" fn thread_fence<C: Code>(number: i32, pc: usize) {
    let order = order(number);
    if order != Ordering::Relaxed {
        C::fence(order, caller(pc));
    }
}

/// An integer that atomic operations are made on.
///
/// The operations are atomic, for code of this program that runs outside of a machine, on several threads of the host. Those of
/// 16 bytes are not: Rust has none.
trait Word: Copy + PartialEq {
    const SIZE: usize = size_of::<Self>();
    /// # Safety
    ///
    /// The word can be read.
    unsafe fn load(at: *mut Self) -> Self;
    /// # Safety
    ///
    /// The word can be written.
    unsafe fn store(at: *mut Self, value: Self);
    /// Stores `new` if the word is `old`. Returns the word that it was.
    ///
    /// # Safety
    ///
    /// The word can be read and written.
    unsafe fn exchange(at: *mut Self, old: Self, new: Self) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn nand(self, other: Self) -> Self;
}

macro_rules! words {
    ($($word:ty { $($atomic:tt)* })*) => {$(
        impl Word for $word {
            words!(@ $($atomic)*);
            fn add(self, other: Self) -> Self { self.wrapping_add(other) }
            fn sub(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn and(self, other: Self) -> Self { self & other }
            fn or(self, other: Self) -> Self { self | other }
            fn xor(self, other: Self) -> Self { self ^ other }
            fn nand(self, other: Self) -> Self { !(self & other) }
        }
    )*};
    (@ $atomic:ident) => {
        unsafe fn load(at: *mut Self) -> Self {
            // SAFETY: the caller's promise.
            unsafe { $atomic::from_ptr(at) }.load(SeqCst)
        }
        unsafe fn store(at: *mut Self, value: Self) {
            // SAFETY: the caller's promise.
            unsafe { $atomic::from_ptr(at) }.store(value, SeqCst);
        }
        unsafe fn exchange(at: *mut Self, old: Self, new: Self) -> Self {
            // SAFETY: the caller's promise.
            let word = unsafe { $atomic::from_ptr(at) };
            word.compare_exchange(old, new, SeqCst, SeqCst).unwrap_or_else(|found| found)
        }
    };
    (@) => {
        unsafe fn load(at: *mut Self) -> Self {
            // SAFETY: the caller's promise.
            unsafe { at.read_unaligned() }
        }
        unsafe fn store(at: *mut Self, value: Self) {
            // SAFETY: the caller's promise.
            unsafe { at.write_unaligned(value) };
        }
        unsafe fn exchange(at: *mut Self, old: Self, new: Self) -> Self {
            // SAFETY: the caller's promise.
            let found = unsafe { at.read_unaligned() };
            if found == old {
                // SAFETY: the caller's promise.
                unsafe { at.write_unaligned(new) };
            }
            found
        }
    };
}
words! {
    u8 { AtomicU8 }
    u16 { AtomicU16 }
    u32 { AtomicU32 }
    u64 { AtomicU64 }
    u128 {}
}

// The return address is the sixth argument of each: no operation has more than five of its own.

extern "C" fn load<C: Code, T: Word>(
    addr: usize,
    number: i32,
    _: usize,
    _: usize,
    _: usize,
    pc: usize,
) -> T {
    C::access(op(addr, Kind::Load, order(number)), T::SIZE, caller(pc));
    // SAFETY: as in the program under test.
    unsafe { T::load(pointer(addr)) }
}

extern "C" fn store<C: Code, T: Word>(
    addr: usize,
    value: T,
    number: i32,
    _: usize,
    _: usize,
    pc: usize,
) {
    C::access(op(addr, Kind::Store, order(number)), T::SIZE, caller(pc));
    // SAFETY: as in the program under test.
    unsafe { T::store(pointer(addr), value) };
}

/// Replaces the word by what `update` makes of it. Returns the old one.
#[inline(always)]
fn update<C: Code, T: Word>(addr: usize, number: i32, pc: usize, update: impl Fn(T) -> T) -> T {
    let order = order(number);
    C::modify(op(addr, Kind::Rmw, order), T::SIZE, caller(pc), || {
        let word = pointer::<T>(addr);
        // SAFETY: as in the program under test.
        let mut old = unsafe { T::load(word) };
        let new = loop {
            let new = update(old);
            // SAFETY: as in the program under test.
            let found = unsafe { T::exchange(word, old, new) };
            if found == old {
                break new;
            }
            old = found;
        };
        let kind = match new == old {
            true => Kind::RmwSame,
            false => Kind::Rmw,
        };
        (old, op(addr, kind, order))
    })
}

macro_rules! updates {
    ($($name:ident: $update:expr;)*) => {$(
        extern "C" fn $name<C: Code, T: Word>(addr: usize, value: T, number: i32, _: usize, _: usize, pc: usize) -> T {
            let made: fn(T, T) -> T = $update;
            update::<C, T>(addr, number, pc, |old| made(old, value))
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
fn compare_exchange<C: Code, T: Word>(
    addr: usize,
    expected: T,
    new: T,
    (number, failed): (i32, i32),
    pc: usize,
) -> T {
    let order = order(number);
    C::modify(op(addr, Kind::Rmw, order), T::SIZE, caller(pc), || {
        // SAFETY: as in the program under test.
        let old = unsafe { T::exchange(pointer(addr), expected, new) };
        if old != expected {
            return (old, op(addr, Kind::Load, failing(failed)));
        }
        let kind = match new == old {
            true => Kind::RmwSame,
            false => Kind::Rmw,
        };
        (old, op(addr, kind, order))
    })
}

extern "C" fn compare_exchange_val<C: Code, T: Word>(
    addr: usize,
    expected: T,
    new: T,
    number: i32,
    failed: i32,
    pc: usize,
) -> T {
    compare_exchange::<C, T>(addr, expected, new, (number, failed), pc)
}

/// `expected` is a variable of the caller, which the compiler has announced itself, or any other memory, which it has not.
extern "C" fn compare_exchange_at<C: Code, T: Word>(
    addr: usize,
    expected: usize,
    new: T,
    number: i32,
    failed: i32,
    pc: usize,
) -> bool {
    let variable = pointer::<T>(expected);
    let is_shared = !foreign::is_on_stack(expected);
    let touch = |kind| C::access(op(expected, kind, Ordering::Relaxed), T::SIZE, caller(pc));
    if is_shared {
        touch(Kind::Read);
    }
    // SAFETY: as in the program under test.
    let wanted = unsafe { variable.read_unaligned() };
    let old = compare_exchange::<C, T>(addr, wanted, new, (number, failed), pc);
    if old != wanted {
        if is_shared {
            touch(Kind::Write);
        }
        // SAFETY: as in the program under test.
        unsafe { variable.write_unaligned(old) };
    }
    old == wanted
}

// An exchange of 16 bytes leaves no register for the return address.

extern "C" fn compare_exchange_val_16<C: Code>(
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
    compare_exchange::<C, u128>(addr, expected, whole(low, high), (number, failed), pc)
}

extern "C" fn compare_exchange_at_16<C: Code>(
    addr: usize,
    expected: usize,
    low: u64,
    high: u64,
    number: i32,
    failed: i32,
    pc: usize,
) -> bool {
    compare_exchange_at::<C, u128>(addr, expected, whole(low, high), number, failed, pc)
}

fn whole(low: u64, high: u64) -> u128 {
    u128::from(low) | u128::from(high) << 64
}
