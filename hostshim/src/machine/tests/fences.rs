//! Fences: what they order, and what they do not.

use kmod::mem::{SeqCst, fence};

use super::memory::{RUNS, wait_for};
use super::*;

/// What is found if one CPU writes, and another one reads when it has seen the first.
fn message(send: Body, receive: Body) -> Option<FailureKind> {
    let guest = Little::new(&[send, receive]);
    hunt(&guest, RUNS).map(|failure| failure.kind)
}

fn send_fenced(s: &'static Shared) {
    s.data.set(1);
    fence(Release);
    s.x.store(1, Relaxed);
}

fn receive_fenced(s: &'static Shared) {
    wait_for(&s.x, 1, Relaxed);
    fence(Acquire);
    assert_eq!(s.data.get(), 1);
}

#[test]
fn fences_order_as_the_orderings_in_their_place_do() {
    let send_released: Body = |s| {
        s.data.set(1);
        s.x.store(1, Release);
    };
    let receive_acquired: Body = |s| {
        wait_for(&s.x, 1, Acquire);
        assert_eq!(s.data.get(), 1);
    };
    assert_eq!(message(send_fenced, receive_fenced), None);
    assert_eq!(message(send_fenced, receive_acquired), None);
    assert_eq!(message(send_released, receive_fenced), None);
}

#[test]
fn stronger_fences_do_what_the_weaker_ones_do() {
    let send: Body = |s| {
        s.data.set(1);
        fence(SeqCst);
        s.x.fetch_add(1, Relaxed);
    };
    let receive: Body = |s| {
        wait_for(&s.x, 1, Relaxed);
        fence(AcqRel);
        s.data.get();
    };
    assert_eq!(message(send, receive), None);
}

#[test]
fn one_fence_alone_orders_nothing() {
    let race = Some(FailureKind::DataRace);
    let send: Body = |s| {
        s.data.set(1);
        s.x.store(1, Relaxed);
    };
    let receive: Body = |s| {
        wait_for(&s.x, 1, Relaxed);
        s.data.get();
    };
    assert_eq!(message(send_fenced, receive), race);
    assert_eq!(message(send, receive_fenced), race);
}

#[test]
fn a_fence_of_the_wrong_kind_orders_nothing() {
    let race = Some(FailureKind::DataRace);
    let send: Body = |s| {
        s.data.set(1);
        fence(Acquire);
        s.x.store(1, Relaxed);
    };
    let receive: Body = |s| {
        wait_for(&s.x, 1, Relaxed);
        fence(Release);
        s.data.get();
    };
    assert_eq!(message(send, receive_fenced), race);
    assert_eq!(message(send_fenced, receive), race);
}

#[test]
fn a_fence_on_the_wrong_side_of_its_access_orders_nothing() {
    let race = Some(FailureKind::DataRace);
    let late: Body = |s| {
        s.data.set(1);
        s.x.store(1, Relaxed);
        fence(Release);
    };
    let written_after: Body = |s| {
        fence(Release);
        s.data.set(1);
        s.x.store(1, Relaxed);
    };
    let early: Body = |s| {
        fence(Acquire);
        wait_for(&s.x, 1, Relaxed);
        s.data.get();
    };
    assert_eq!(message(late, receive_fenced), race);
    assert_eq!(message(written_after, receive_fenced), race);
    assert_eq!(message(send_fenced, early), race);
}

#[test]
fn a_fence_learns_nothing_of_a_word_that_was_not_loaded() {
    let receive: Body = |s| {
        wait_for(&s.y, 1, Relaxed);
        fence(Acquire);
        s.data.get();
    };
    let send: Body = |s| {
        s.data.set(1);
        fence(Release);
        s.x.store(1, Relaxed);
        s.y.store(1, Relaxed);
    };
    // The fence covers every relaxed store after it.
    assert_eq!(message(send, receive), None);
    // Another CPU's store to `y` carries nothing.
    let guest = Little::new(&[
        send_fenced,
        |s| {
            wait_for(&s.x, 1, Relaxed);
            s.y.store(1, Relaxed);
        },
        receive,
    ]);
    assert_eq!(
        hunt(&guest, RUNS).map(|failure| failure.kind),
        Some(FailureKind::DataRace)
    );
}

#[test]
fn the_last_of_a_reference_count_with_fences_may_free() {
    fn drop_reference(s: &'static Shared, fenced: bool) {
        if fenced {
            fence(Release);
        }
        if s.y.fetch_add(1, Relaxed) == 1 {
            if fenced {
                fence(Acquire);
            }
            s.data.set(s.data.get() + 1);
        }
    }
    let fenced = Little::new(&[
        |s| {
            s.x.store(1, Relaxed);
            s.data.get();
            drop_reference(s, true);
        },
        |s| {
            s.data.get();
            drop_reference(s, true);
        },
    ]);
    assert_eq!(hunt(&fenced, RUNS), None);
    let bare = Little::new(&[
        |s| {
            s.data.get();
            drop_reference(s, false);
        },
        |s| {
            s.data.get();
            drop_reference(s, false);
        },
    ]);
    assert_eq!(
        hunt(&bare, RUNS).map(|failure| failure.kind),
        Some(FailureKind::DataRace)
    );
}

#[test]
fn the_first_run_of_a_machine_goes_on_behind_a_fence() {
    let send: Body = |s| {
        send_fenced(s);
        (0..10).for_each(|_| s.x.store(2, Relaxed));
    };
    let receive: Body = |s| {
        while s.x.load(Relaxed) == 0 {
            kmod::mem::relax();
        }
        fence(Acquire);
        s.data.get();
        (0..10).for_each(|_| _ = s.x.load(Relaxed));
    };
    let guest = Little::new(&[send, receive]);
    let mut one = booted(&guest, false);
    let mut walk = crate::strategy::Random::new(1);
    for _ in 0..50 {
        let outcome = one.run(&mut walk, &Limits::default());
        let deviations = one.deviations().to_vec();
        let mut left = deviations.iter();
        let mut next = left.next();
        let mut follow = By(|view: &super::super::View<'_>| {
            let here = next.filter(|deviation| deviation.point == view.point());
            if here.is_some() {
                next = left.next();
            }
            crate::strategy::Answer {
                choice: here.map_or(view.default_choice(), |deviation| deviation.choice),
                quiet: 0,
            }
        });
        let mut another = booted(&guest, false);
        assert_eq!(another.run(&mut follow, &Limits::default()), outcome);
        assert_eq!(another.deviations(), deviations);
    }
}
