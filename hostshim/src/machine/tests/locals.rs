//! Local variables that others have the address of.

use kmod::mem::AtomicU64;

use super::memory::{RUNS, wait_for};
use super::*;

/// The cell whose address is in `at`, if any is.
fn lent(s: &'static Shared) -> &'static Plain<u64> {
    let address = s.address.load(Acquire);
    // SAFETY: some other thread's local variable; that it is there is what the tests are about.
    unsafe { &*std::ptr::with_exposed_provenance(address) }
}

fn lend(s: &'static Shared, word: &Plain<u64>) {
    s.address
        .store(std::ptr::from_ref(word).expose_provenance(), Release);
}

/// Lends a word of its own, and returns when the borrower says so.
#[inline(never)]
fn lends(s: &'static Shared, value: u64) {
    let word = Plain::new(value);
    lend(s, &word);
    s.x.store(1, Release);
    wait_for(&s.y, 1, Acquire);
}

/// Much of the stack is used for something else.
#[inline(never)]
fn uses_its_stack(s: &'static Shared, depth: u64) -> u64 {
    let words = std::hint::black_box([depth; 32]);
    s.x.fetch_add(0, Relaxed);
    match depth {
        0 => words[0],
        _ => uses_its_stack(s, depth - 1) + words[31],
    }
}

#[test]
fn a_local_variable_that_is_there_may_be_touched_by_others() {
    let guest = Little::new(&[
        |s| lends(s, 1),
        |s| {
            wait_for(&s.x, 1, Acquire);
            assert_eq!(lent(s).get(), 1);
            lent(s).set(2);
            s.y.store(1, Release);
        },
    ]);
    assert_eq!(hunt(&guest, RUNS), None);
}

#[test]
fn a_local_variable_of_a_function_that_has_returned_is_gone() {
    let guest = Little::new(&[
        |s| {
            lends(s, 1);
            s.done.fetch_add(0, Relaxed);
        },
        |s| {
            wait_for(&s.x, 1, Acquire);
            s.y.store(1, Release);
            lent(s).set(3);
        },
    ]);
    let failure = hunt(&guest, RUNS).expect("a use after the return");
    assert_eq!(
        (failure.kind, failure.rule.as_str()),
        (FailureKind::UseAfterFree, "use-after-return")
    );
    assert!(
        failure.message.starts_with(
            "write of stack(t0), a local variable of t0, which has left its scope at "
        ),
        "{failure}"
    );
    assert!(failure.message.contains("tests/locals.rs:"), "{failure}");
    assert_eq!(failure.context, "t1");
}

#[test]
fn the_place_of_a_variable_that_is_gone_can_be_used_again() {
    let guest = Little::new(&[
        |s| {
            for value in 0..20 {
                lends(s, value);
                s.y.store(0, Release);
                s.x.store(2, Release);
                wait_for(&s.x, 3, Acquire);
                uses_its_stack(s, value % 3);
            }
        },
        |s| {
            for value in 0..20 {
                wait_for(&s.x, 1, Acquire);
                // The owner has not touched this one by itself: nothing but its bytes tells that it is new.
                assert_eq!(lent(s).get(), value);
                s.y.store(1, Release);
                wait_for(&s.x, 2, Acquire);
                s.x.store(3, Release);
            }
        },
    ]);
    assert_eq!(hunt(&guest, RUNS), None);
}

#[test]
fn nobody_is_blamed_for_a_byte_that_looks_dropped() {
    #[inline(never)]
    fn lends_bytes(s: &'static Shared, value: u8) {
        let bytes = [const { kmod::mem::AtomicU8::new(0) }; 8];
        bytes[3].store(value, Relaxed);
        s.address
            .store(std::ptr::from_ref(&bytes[5]).expose_provenance(), Release);
        s.x.fetch_add(0, Relaxed);
        // SAFETY: the address of the byte above.
        let byte: &kmod::mem::AtomicU8 =
            unsafe { &*std::ptr::with_exposed_provenance(s.address.load(Acquire)) };
        byte.store(value, Relaxed);
        assert_eq!(byte.load(Relaxed), value);
    }
    let guest = Little::new(&[|s| (0..=255).for_each(|value| lends_bytes(s, value))]);
    assert_eq!(hunt(&guest, 2), None);
}

#[test]
fn what_races_with_a_variable_that_is_gone_does_not_race_with_the_next() {
    let guest = Little::new(&[
        |s| {
            for _ in 0..3 {
                // Never lent: the same place, one thread, atomics of another size.
                let word = AtomicU64::new(1);
                word.fetch_add(1, Relaxed);
                uses_its_stack(s, 1);
            }
        },
        |s| {
            s.x.fetch_add(0, Relaxed);
        },
    ]);
    assert_eq!(hunt(&guest, RUNS), None);
}
