//! What a run remembers, and that quick checks do what full ones do.

use super::*;
use crate::strategy::Rng;

fn quickly(shadow: &mut Shadow, cpu: usize, offset: usize, kind: Kind, order: Ordering) -> bool {
    match kind {
        Kind::Read => shadow.quick(cpu, offset, || true, quick_read),
        Kind::Write => shadow.quick(cpu, offset, || true, quick_write),
        Kind::Load => shadow.quick(
            cpu,
            offset,
            || true,
            quick_atomic(|clocks, cpu, slot| load(clocks, cpu, slot, order)),
        ),
        Kind::Store => shadow.quick(
            cpu,
            offset,
            || true,
            quick_atomic(|clocks, cpu, slot| store(clocks, cpu, slot, order)),
        ),
        Kind::Rmw => shadow.quick(
            cpu,
            offset,
            || true,
            quick_atomic(|clocks, cpu, slot| modify(clocks, cpu, slot, order)),
        ),
        _ => false,
    }
}

#[test]
fn a_run_forgets_the_one_before_and_its_frees_unless_they_are_buried() {
    let mut shadow = Shadow::new();
    let write = |shadow: &mut Shadow, cpu, offset| {
        shadow.access(cpu, offset, Kind::Write, Ordering::Relaxed)
    };
    assert_eq!(write(&mut shadow, 0, 64), Ok(()));
    let race = Err(Conflict::Race {
        cpu: 0,
        wrote: true,
    });
    assert_eq!(write(&mut shadow, 1, 64), race);
    assert_eq!(shadow.free(0, 128, 8), Ok(()));
    shadow.bury(256, 8);
    assert_eq!(write(&mut shadow, 0, 132), Err(Conflict::Freed));
    shadow.next_run();
    assert_eq!(write(&mut shadow, 1, 64), Ok(()));
    assert_eq!(write(&mut shadow, 0, 132), Ok(()));
    assert_eq!(write(&mut shadow, 0, 260), Err(Conflict::Freed));
    shadow.revive(256, 8);
    assert_eq!(write(&mut shadow, 0, 260), Ok(()));
}

#[test]
fn an_access_that_overtakes_one_it_races_with_is_the_last_one() {
    let mut shadow = Shadow::new();
    let race = |cpu, wrote| Err(Conflict::Race { cpu, wrote });
    let access = |shadow: &mut Shadow, cpu, kind| shadow.access(cpu, 64, kind, Ordering::Relaxed);
    assert_eq!(access(&mut shadow, 0, Kind::Write), Ok(()));
    assert_eq!(access(&mut shadow, 1, Kind::Read), race(0, true));
    shadow.overtake(1, 64, Kind::Read);
    // The write is forgotten, the read is not.
    assert_eq!(access(&mut shadow, 1, Kind::Read), Ok(()));
    assert_eq!(access(&mut shadow, 2, Kind::Read), Ok(()));
    assert_eq!(access(&mut shadow, 0, Kind::Write), race(1, false));
    shadow.overtake(0, 64, Kind::Write);
    assert_eq!(access(&mut shadow, 0, Kind::Write), Ok(()));
    assert_eq!(access(&mut shadow, 2, Kind::Read), race(0, true));
}

#[test]
fn nothing_is_forgotten_when_the_numbers_of_runs_begin_anew() {
    let mut shadow = Shadow::new();
    shadow.run = NO_RUN - 2;
    assert_eq!(shadow.access(0, 8, Kind::Write, Ordering::Relaxed), Ok(()));
    assert!(!shadow.next_run());
    assert!(shadow.next_run(), "the caller is to bury again");
    assert_eq!(shadow.access(1, 8, Kind::Write, Ordering::Relaxed), Ok(()));
    assert!(quickly(&mut shadow, 1, 8, Kind::Write, Ordering::Relaxed));
}

#[test]
fn a_quick_check_does_nothing_or_what_the_full_one_does() {
    let (mut quick, mut full) = (Shadow::new(), Shadow::new());
    let mut rng = Rng::new(1, 1);
    let mut counts = [[0; 2]; 5];
    for _ in 0..200_000 {
        if rng.once_in(64) {
            quick.next_run();
            full.next_run();
        }
        let (cpu, offset) = (rng.below(3) as usize, 8 * rng.below(4) as usize);
        let order = [Ordering::Relaxed, Ordering::AcqRel][rng.below(2) as usize];
        let kinds = [Kind::Read, Kind::Write, Kind::Load, Kind::Store, Kind::Rmw];
        let kind = kinds[rng.below(5) as usize];
        let expected = full.access(cpu, offset, kind, order);
        let done = quickly(&mut quick, cpu, offset, kind, order);
        counts[kind as usize][usize::from(done)] += 1;
        if done {
            assert_eq!(expected, Ok(()), "{kind:?} of cpu{cpu} at {offset}");
        } else {
            assert_eq!(quick.access(cpu, offset, kind, order), expected);
        }
    }
    for kind in [Kind::Read, Kind::Write, Kind::Load, Kind::Store, Kind::Rmw] {
        let [in_full, quickly] = counts[kind as usize];
        let is_plain = matches!(kind, Kind::Read | Kind::Write);
        assert_eq!(in_full > 1_000, is_plain, "{kind:?} in full: {in_full}");
        assert!(quickly > 1_000, "{kind:?} quickly: {quickly}");
    }
}

#[test]
fn nothing_is_quick_in_a_run_that_is_checked_in_full_or_in_freed_memory() {
    let quick = |shadow: &mut Shadow, offset| {
        [Kind::Read, Kind::Write, Kind::Load, Kind::Store, Kind::Rmw]
            .map(|kind| quickly(shadow, 0, offset, kind, Ordering::AcqRel))
    };
    let mut shadow = Shadow::new();
    shadow.bury(16, 8);
    assert_eq!(shadow.free(0, 32, 8), Ok(()));
    assert_eq!(quick(&mut shadow, 8), [true; 5]);
    assert_eq!(quick(&mut shadow, 16), [false; 5]);
    assert_eq!(quick(&mut shadow, 32), [false; 5]);
    assert!(
        !shadow.quick(0, 40, || false, |_, _, _| true),
        "not given out"
    );
    shadow.check_all(true);
    for offset in [8, 16, 24, 32] {
        assert_eq!(quick(&mut shadow, offset), [false; 5]);
    }
}
