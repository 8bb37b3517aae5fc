//! Runs that end in a fault.

use std::hint::black_box;

use super::*;
use crate::machine::{Failure, catch_faults};

/// The failure of a machine whose CPUs run `bodies`; the second run fails like the first.
fn fails(guest: &Little) -> Failure {
    catch_faults();
    let mut machine = booted(guest, false);
    let [first, again] = [(); 2].map(|()| machine.run(&mut Fair, &Limits::default()));
    assert_eq!(first, again, "a fault leaves something behind");
    failure(&first).expect("a failure")
}

fn read(address: usize) {
    let at = std::ptr::with_exposed_provenance::<u64>(black_box(address));
    // SAFETY: none is claimed: it is to fault.
    black_box(unsafe { at.read_volatile() });
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    match black_box(depth) {
        0 => frame[0],
        _ => recurse(depth + 1) + frame[63],
    }
}

fn passes(s: &'static Shared) {
    s.x.fetch_add(1, Relaxed);
}

#[test]
fn a_null_pointer_ends_the_run_where_it_is_followed() {
    let guest = Little::new(&[passes, |s| {
        s.x.fetch_add(1, Relaxed);
        read(0x18);
    }]);
    let failure = fails(&guest);
    assert_eq!(failure.kind, FailureKind::Fault);
    assert!(failure.message.contains("address 0x18"), "{failure}");
    assert!(
        failure
            .location
            .starts_with("hostshim/src/machine/tests/faults.rs:"),
        "{failure}"
    );
    assert_eq!(failure.cpu, 1);
}

#[test]
fn an_address_that_cannot_be_one_is_no_null_pointer() {
    for body in [(|_| read(0xdead_0000_0000_0000)) as Body, |_| {
        read(0x7fff_0000_0000)
    }] {
        let failure = fails(&Little::new(&[body]));
        assert_eq!(failure.kind, FailureKind::Fault);
        assert!(failure.message.contains("unmapped memory"), "{failure}");
    }
}

#[test]
fn a_stack_that_is_used_up_ends_the_run() {
    let failure = fails(&Little::new(&[|_| {
        recurse(1);
    }]));
    assert_eq!(failure.rule, "stack-overflow");
}

#[test]
fn what_is_no_instruction_ends_the_run() {
    // SAFETY: none is claimed: it is to fault.
    let failure = fails(&Little::new(&[|_| unsafe { std::arch::asm!("ud2") }]));
    assert!(failure.message.contains("no instruction"), "{failure}");
}

#[test]
fn a_fault_of_the_check_at_the_end_is_a_failure_too() {
    let mut guest = Little::new(&[passes]);
    guest.verify = |_| read(8);
    assert_eq!(fails(&guest).kind, FailureKind::Fault);
}

#[test]
fn a_check_at_the_end_that_does_not_end_is_a_failure() {
    catch_faults();
    let mut guest = Little::new(&[passes]);
    // There points are not limited.
    guest.verify = |s| while s.x.load(Relaxed) == 1 {};
    let outcome = booted(&guest, false).run(&mut Fair, &Limits::default());
    let failure = failure(&outcome).expect("a failure");
    assert_eq!(failure.rule, "no-step");
    assert!(
        failure.message.contains("the check at its end"),
        "{failure}"
    );
    assert!(failure.takes_long());
}

#[test]
fn a_loop_without_a_point_ends_the_run() {
    catch_faults();
    let guest = Little::new(&[passes, |_| while black_box(true) {}]);
    let outcome = booted(&guest, false).run(&mut Fair, &Limits::default());
    let failure = failure(&outcome).expect("a failure");
    assert_eq!(
        (failure.kind, failure.rule.as_str()),
        (FailureKind::Livelock, "no-step")
    );
    assert!(failure.takes_long());
}
