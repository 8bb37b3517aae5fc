//! What is a cycle, and what is none.

extern crate std;

use std::string::{String, ToString};
use std::vec::Vec;

use super::cycle::cycles;
use super::dependency::{Actor, Dependency, HELD, Holding, Requester, Resource, Sort, Whose};
use super::life::{Life, Lives};
use super::{Line, LineBy, Witnesses};
use crate::kern::inside::Operations;
use crate::kern::lwp::Name;
use crate::machine::At;

const A: Resource = Resource::new(Sort::Mutex, 0x100, "a");
const B: Resource = Resource::new(Sort::Mutex, 0x200, "b");
const C: Resource = Resource::new(Sort::Mutex, 0x300, "c");
const GATE: Resource = Resource::new(Sort::Mutex, 0x400, "gate");
const RW: Resource = Resource::new(Sort::Rwlock, 0x500, "rw");
const XC: Resource = Resource::new(Sort::Xcall, 0x600, "xc");
const REFS: Resource = Resource::new(Sort::Psrefs, 0x700, "class");

fn softclock(cpu: usize) -> Resource {
    Resource::new(Sort::Softclock, cpu, "softclock")
}

fn softint(word: &'static str, cpu: usize) -> Resource {
    Resource::new(Sort::Softint, 0x100 | cpu, word)
}

fn actor(number: usize) -> Actor {
    Actor {
        lwp: 0x1000 * number,
        life: 0,
        name: Name::format(format_args!("t{number}")),
    }
}

#[track_caller]
fn holding(resource: Resource) -> Holding {
    Holding {
        resource,
        shared: false,
        whose: Whose::Own,
        at: At::caller(),
    }
}

/// Thread `number` waits for `wants` and holds the rest.
#[track_caller]
fn waits(number: usize, held: &[Resource], wants: Resource) -> Dependency {
    let mut places = [None; HELD];
    for (place, resource) in places.iter_mut().zip(held) {
        *place = Some(holding(*resource));
    }
    Dependency {
        by: actor(number),
        cpu: 0,
        movable: false,
        requester: None,
        wants,
        shared: false,
        at: At::caller(),
        via: None,
        sleep: None,
        operations: Operations::NONE,
        apart: Default::default(),
        held: places,
        first: 1,
        last: 1,
    }
}

fn share(mut dependency: Dependency, holds: bool, wants: bool) -> Dependency {
    dependency.shared = wants;
    let held = dependency.held.iter_mut().flatten();
    held.for_each(|held| held.shared = holds);
    dependency
}

fn lines(all: &[Dependency]) -> Vec<String> {
    let mut lines = Vec::new();
    cycles(all, &mut |cycle| lines.push(Line(cycle).to_string()));
    lines
}

#[test]
fn two_locks_in_opposite_orders_are_a_cycle() {
    let all = [waits(1, &[A], B), waits(2, &[B], A)];
    assert_eq!(lines(&all), ["b => a => b"]);
}

#[test]
fn a_cycle_of_three_is_found_once() {
    let all = [waits(1, &[A], B), waits(3, &[C], A), waits(2, &[B], C)];
    assert_eq!(lines(&all), ["b => c => a => b"]);
}

#[test]
fn the_same_order_is_none() {
    assert!(lines(&[waits(1, &[A], B), waits(2, &[A], B)]).is_empty());
}

#[test]
fn one_thread_does_not_wait_for_itself() {
    assert!(lines(&[waits(1, &[A], B), waits(1, &[B], A)]).is_empty());
}

#[test]
fn a_gate_lock_keeps_them_apart() {
    let gated = [waits(1, &[GATE, A], B), waits(2, &[GATE, B], A)];
    assert!(lines(&gated).is_empty());
    let half = [waits(1, &[GATE, A], B), waits(2, &[B], A)];
    assert_eq!(lines(&half).len(), 1);
}

#[test]
fn a_gate_that_both_read_is_none() {
    let reader = |d: Dependency| {
        let mut d = d;
        if let Some(held) = &mut d.held[0] {
            held.shared = true;
        }
        d
    };
    let both = [reader(waits(1, &[RW, A], B)), reader(waits(2, &[RW, B], A))];
    assert_eq!(lines(&both).len(), 1);
    let one = [reader(waits(1, &[RW, A], B)), waits(2, &[RW, B], A)];
    assert!(lines(&one).is_empty());
}

#[test]
fn an_instance_is_not_another_of_its_name() {
    let other = Resource::new(Sort::Mutex, 0x900, "a");
    assert!(lines(&[waits(1, &[A], B), waits(2, &[B], other)]).is_empty());
    // Nor what lay there before it was freed.
    let buried = Resource { life: 7, ..A };
    assert!(lines(&[waits(1, &[A], B), waits(2, &[B], buried)]).is_empty());
}

#[test]
fn readers_do_not_wait_for_readers() {
    let read = |n, held, wants| share(waits(n, &[held], wants), true, true);
    let rw2 = Resource { key: 0x800, ..RW };
    assert!(lines(&[read(1, RW, rw2), read(2, rw2, RW)]).is_empty());
    // A writer waits for them, and they for it.
    let writes = share(waits(2, &[rw2], RW), true, false);
    assert!(lines(&[read(1, RW, rw2), writes]).is_empty());
    let all = [share(waits(1, &[RW], rw2), true, false), writes];
    assert_eq!(lines(&all).len(), 1);
}

#[test]
fn references_are_waited_for_and_are_no_gate() {
    let drains = waits(1, &[A], REFS);
    let uses = share(waits(2, &[REFS], A), true, false);
    assert_eq!(lines(&[drains, uses]), ["a => psref of class class => a"]);
    let both = [waits(1, &[REFS, A], B), waits(2, &[REFS, B], A)];
    assert_eq!(lines(&both).len(), 1);
}

#[test]
fn threads_that_are_never_there_together_make_none() {
    let mut first = waits(1, &[A], B);
    first.apart[0] = Some(actor(2));
    assert!(lines(&[first, waits(2, &[B], A)]).is_empty());
    assert_eq!(lines(&[first, waits(3, &[B], A)]).len(), 1);
}

#[test]
fn a_thread_begins_after_what_its_creator_did_before_and_ends_before_what_its_joiner_does_after() {
    let life = |who, other, when, began| Life {
        who: actor(who),
        other: actor(other),
        when,
        began,
    };
    let mut lives = Lives::new();
    // t1 creates t2 at 10, which creates t3 at 20; t1 joins t2 at 30.
    for life in [
        life(2, 1, 10, true),
        life(3, 2, 20, true),
        life(2, 1, 30, false),
    ] {
        assert!(lives.push(life));
    }
    let apart = |by, first, last| {
        let apart = lives.apart(&actor(by), first, last);
        Vec::from_iter(apart.iter().flatten().map(|actor| actor.name.to_string()))
    };
    assert_eq!(apart(1, 5, 5), ["t2", "t3"]);
    // It happened again when the thread had begun.
    assert!(apart(1, 5, 15).is_empty());
    assert_eq!(apart(1, 35, 40), ["t2"]);
    assert_eq!(apart(2, 15, 15), ["t3"]);
    assert!(apart(3, 1, 1).is_empty());
}

#[test]
fn a_timed_sleep_waits_for_the_softclock_of_any_cpu_unless_it_is_bound() {
    let handler = waits(2, &[softint(super::SOFTCLOCK, 1), softclock(1)], A);
    let mut sleeper = waits(1, &[A], softclock(0));
    sleeper.sleep = Some("kpause");
    assert!(lines(&[sleeper, handler]).is_empty());
    sleeper.movable = true;
    assert_eq!(lines(&[sleeper, handler]), ["a => kpause => callout => a"]);
}

#[test]
fn a_softclock_waits_for_its_level_if_something_else_runs_there() {
    let other = waits(2, &[softint(super::SOFTCLOCK, 0)], A);
    let sleeper = waits(1, &[A], softclock(0));
    assert_eq!(lines(&[sleeper, other]).len(), 1);
    let serial = waits(2, &[softint("softserial", 0)], A);
    assert!(lines(&[sleeper, serial]).is_empty());
}

#[test]
fn a_cross_call_is_told_with_who_made_it_and_its_function_holds_what_that_holds() {
    let mut function = waits(2, &[B, XC], A);
    function.requester = Some(Requester {
        actor: actor(3),
        operations: Operations::NONE,
        at: At::caller(),
    });
    let held = function.held.iter_mut().flatten();
    held.for_each(|held| held.whose = Whose::Requesters);
    // Who has a, and wants the box.
    let calls = waits(1, &[A], XC);
    let told = |all: &[Dependency]| {
        let mut told = Vec::new();
        cycles(all, &mut |cycle| told.push(LineBy(cycle).to_string()));
        told
    };
    let expected = "xc_wait (t3) => xc (t2) => a (t1) => xc";
    assert_eq!(told(&[calls, function]), [expected]);
    // Who has a, and wants what the requester holds.
    let enters = waits(1, &[A], B);
    assert_eq!(
        told(&[enters, function]),
        ["xc (t2) => a (t1) => b (t3) => xc"]
    );
    // The requester waits for its function, and does nothing else meanwhile.
    assert!(told(&[waits(3, &[A], B), function]).is_empty());
}

#[test]
fn witnesses_say_who_where_and_holding_what() {
    let all = [waits(1, &[GATE, A], B), waits(2, &[B], A)];
    let mut text = String::new();
    cycles(&all[..], &mut |cycle| text += &Witnesses(cycle).to_string());
    for words in [
        "t1 on cpu0 waits for b at kmod/src/kern/order/tests.rs:",
        "and holds gate since",
        "* and holds a since",
        "t2 on cpu0 waits for a at",
    ] {
        assert!(text.contains(words), "without `{words}`: {text}");
    }
}
