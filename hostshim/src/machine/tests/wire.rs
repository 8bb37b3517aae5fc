//! Frames between cards: whether and when they arrive, and mishaps.

use std::collections::BTreeSet;

use kmod::machine;

use super::*;
use crate::strategy::{Bytes, Pct};
use crate::wire::{Frame, Mishap, Wire};

/// The interrupt handler of card 1.
pub(super) fn receive(shared: &Shared) {
    let mut frame = [0; machine::NIC_FRAME];
    while let Some(length) = machine::nic_receive(1, 0, &mut frame) {
        assert_eq!(length, 60);
        if shared.frames.load(BareRelaxed) == 0 {
            shared.seen.store(shared.x.peek(), BareRelaxed);
        }
        let before = shared.frames.load(BareRelaxed);
        shared
            .frames
            .store(10 * before + u32::from(frame[0]), BareRelaxed);
    }
}

/// Two CPUs and two cards: CPU 0 sends frames 1, 2 and 3 by card 0, and then does something.
fn sender() -> Little {
    Little {
        nics: 2,
        ..Little::new(&[
            |shared| {
                for first in 1..=3 {
                    let mut frame = [0; 60];
                    frame[0] = first;
                    assert!(machine::nic_transmit(0, &frame));
                }
                shared.x.store(1, Release);
                shared.y.store(1, Release);
            },
            |_| {},
        ])
    }
}

/// What arrived at the end of a run, and what had been seen by then.
fn arrivals(machine: &mut Machine, strategy: &mut dyn Strategy) -> (u32, u32) {
    let outcome = machine.run(strategy, &Limits::default());
    assert_eq!(outcome.verdict, Verdict::Passed);
    FRAMES.with(std::cell::Cell::get)
}

thread_local! {
    /// The end of the last run, whose memory is gone in the next.
    static FRAMES: std::cell::Cell<(u32, u32)> = const { std::cell::Cell::new((0, 0)) };
}

fn counted() -> Little {
    Little {
        verify: |shared| {
            FRAMES.set((
                shared.frames.load(BareRelaxed),
                shared.seen.load(BareRelaxed),
            ));
        },
        ..sender()
    }
}

#[test]
fn frames_arrive_in_their_order_on_a_plain_wire() {
    let guest = counted();
    let mut machine = booted(&guest, false);
    assert_eq!(arrivals(&mut machine, &mut Fair).0, 123);
    for strategy in [&mut Random::new(3) as &mut dyn Strategy, &mut Pct::new(3)] {
        for _ in 0..200 {
            assert_eq!(arrivals(&mut machine, strategy).0, 123);
        }
    }
}

#[test]
fn when_a_frame_arrives_is_a_choice() {
    let guest = counted();
    let mut machine = booted(&guest, false);
    for strategy in [&mut Random::new(3) as &mut dyn Strategy, &mut Pct::new(3)] {
        let seen = BTreeSet::from_iter((0..200).map(|_| arrivals(&mut machine, strategy).1));
        assert_eq!(seen, BTreeSet::from([0, 1]), "early and late");
    }
    let mut inputs = (0..64).flat_map(|gap| (0..8).map(move |byte| [gap, byte]));
    let late = inputs.any(|input| arrivals(&mut machine, &mut Bytes::new(&input)).1 == 1);
    assert!(late, "a fuzzer can put a frame off");
}

#[test]
fn what_happens_on_the_wire_happens_in_every_run_until_it_is_connected_anew() {
    let guest = counted();
    let mut machine = booted(&guest, false);
    let wire = Wire {
        frames: vec![Frame {
            card: 1,
            bytes: [7; 60].to_vec(),
        }],
        mishaps: vec![(1, Mishap::Late), (3, Mishap::Twice)],
    };
    machine.connect(&wire);
    for _ in 0..2 {
        assert_eq!(arrivals(&mut machine, &mut Fair).0, 72_133);
    }
    machine.connect(&Wire::default());
    assert_eq!(arrivals(&mut machine, &mut Fair).0, 123);
}

#[test]
fn a_run_with_frames_is_repeated_by_its_deviations() {
    let guest = counted();
    let mut machine = booted(&guest, true);
    let mut random = Random::new(9);
    for _ in 0..50 {
        let first = arrivals(&mut machine, &mut random);
        let (deviations, trace) = (machine.deviations().to_vec(), machine.trace().to_vec());
        let mut replay = crate::strategy::Replay::new(deviations);
        assert_eq!(arrivals(&mut machine, &mut replay), first);
        assert!(machine.trace() == trace, "another trace");
    }
}
