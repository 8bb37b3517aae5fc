//! The operations of arp(4): neighbours are set, deleted and requested by hand, and their entries are held.

use crate::net::llatbl::Llentry;
use crate::net::{InAddr, arp, arp_wire, softnet_enter, softnet_exit};
use crate::scenario::broken_promise;
use crate::scenario::ops::runner::LWP_NAMES;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::interpreter::HELD;
use crate::scenario::softnet::world::{World, other};

/// Entries that are held, each with its neighbour.
pub(super) type Held = [Option<(&'static Llentry, InAddr)>; HELD];

use crate::net::ifnet::Ifnet;

/// Does something as the stack does it: with `softnet_lock`, unless it is NET_MPSAFE.
fn in_stack(world: &World, index: u8, part: impl FnOnce(&'static Ifnet)) {
    world.with(usize::from(index), |ifp| {
        softnet_enter(&world.net.softnet_lock);
        part(ifp);
        softnet_exit(&world.net.softnet_lock);
    });
}

pub(super) fn arp_set(actor: &mut Actor, [index, who]: [u8; 2]) {
    let host = other(usize::from(index), usize::from(who));
    in_stack(actor.world, index, |ifp| {
        // Without memory there is no entry, which is no error.
        let _set = arp::arp_set_static(&ifp.if_llt, host.ip.into(), host.ether);
    });
}

pub(super) fn arp_delete(actor: &mut Actor, [index, who]: [u8; 2]) {
    let host = other(usize::from(index), usize::from(who));
    in_stack(actor.world, index, |ifp| {
        arp::arp_delete(&ifp.if_llt, host.ip.into());
    });
}

pub(super) fn arp_flush(actor: &mut Actor, [index, _]: [u8; 2]) {
    in_stack(actor.world, index, |ifp| arp::arp_purge(&ifp.if_llt));
}

pub(super) fn arp_ask(actor: &mut Actor, [index, who]: [u8; 2]) {
    let host = other(usize::from(index), usize::from(who));
    in_stack(actor.world, index, |ifp| arp_wire::arprequest(ifp, host.ip));
}

pub(super) fn arp_announce(actor: &mut Actor, [index, who]: [u8; 2]) {
    let host = other(usize::from(index), usize::from(who));
    actor.world.with(usize::from(index), |ifp| {
        arp_wire::arpannounce(ifp, host.ip);
    });
}

pub(super) fn arp_keep(actor: &mut Actor, [index, who]: [u8; 2]) {
    let holder = LWP_NAMES[actor.lwp.index];
    let addr = other(usize::from(index), usize::from(who)).ip.into();
    if let Some(place) = actor.neighbours.iter_mut().find(|place| place.is_none()) {
        actor.world.with(usize::from(index), |ifp| {
            let entry = ifp.if_llt.lookup_hold(addr, holder);
            *place = entry.map(|entry| (entry, addr));
        });
    }
}

pub(super) fn arp_unref(actor: &mut Actor, _: [u8; 2]) {
    let holder = LWP_NAMES[actor.lwp.index];
    if let Some((entry, _)) = actor.neighbours.iter_mut().rev().find_map(Option::take) {
        entry.unref(holder);
    }
}

/// Checks that the entries that are held are alive.
pub(super) fn check(actor: &Actor) {
    for (entry, addr) in actor.neighbours.iter().flatten() {
        entry.look();
        if entry.addr() != *addr {
            broken_promise(
                "llentry-alive",
                format_args!(
                    "the entry of {addr} is kept, and is that of {}",
                    entry.addr()
                ),
            );
        }
    }
}

/// Releases everything.
pub(super) fn end(actor: &mut Actor) {
    while actor.neighbours.iter().any(Option::is_some) {
        arp_unref(actor, [0; 2]);
    }
}
