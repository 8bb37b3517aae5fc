//! The operations of bpf(4), on taps that belong to an LWP.

use crate::net::bpf::{BpfD, bpf_close, bpf_open};
use crate::net::mbuf::End;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::interpreter::HELD;

/// The taps that an LWP has.
pub(super) type Opened = [Option<&'static BpfD>; HELD];

pub(super) fn tap_open(actor: &mut Actor, [index, _]: [u8; 2]) {
    if let Some(place) = actor.taps.iter_mut().find(|place| place.is_none()) {
        actor
            .world
            .with(usize::from(index), |ifp| *place = bpf_open(ifp));
    }
}

/// Opens a tap on the interface that was found last and is held, which may be being detached.
pub(super) fn tap_open_kept(actor: &mut Actor, _: [u8; 2]) {
    let kept = actor.interfaces.iter().last();
    if let Some(ifp) = kept
        && let Some(place) = actor.taps.iter_mut().find(|place| place.is_none())
    {
        *place = bpf_open(ifp);
    }
}

pub(super) fn tap_read(actor: &mut Actor, [ticks, _]: [u8; 2]) {
    let tap = actor.taps.iter().rev().find_map(|tap| *tap);
    if let Some(m) = tap.and_then(|tap| tap.read(u32::from(ticks))) {
        m.free(End::Delivered);
    }
}

pub(super) fn tap_close(actor: &mut Actor, _: [u8; 2]) {
    if let Some(tap) = actor.taps.iter_mut().rev().find_map(Option::take) {
        bpf_close(actor.world.net, tap);
    }
}

/// Closes all.
pub(super) fn end(actor: &mut Actor) {
    while actor.taps.iter().any(Option::is_some) {
        tap_close(actor, [0; 2]);
    }
}
