//! The operations of route(4): routes are added, deleted, changed and held.

use smoltcp::wire::Ipv4Address;

use crate::net::route::{Key, Rtentry, rt_add, rt_delete, rt_unref, rt_update, rtalloc1};
use crate::scenario::broken_promise;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::interpreter::HELD;
use crate::scenario::softnet::world::{ADDRESSES, DESTINATIONS, other};

/// Routes that are held, each with its content when it was found.
pub(super) type Held = [Option<(&'static Rtentry, Ipv4Address)>; HELD];

/// Destinations of routes: all hosts, a net behind a router, one host.
pub(super) const NETS: [(Ipv4Address, u8); 3] = [
    (Ipv4Address::UNSPECIFIED, 0),
    (Ipv4Address::new(192, 0, 2, 0), 24),
    (Ipv4Address::new(10, 0, 0, 2), 32),
];

/// A host on none of this host's nets, to look a route up for.
const FAR: Ipv4Address = Ipv4Address::new(192, 0, 2, 77);

fn key(net: u8, ifindex: u32) -> Key {
    let (dst, prefix) = NETS[usize::from(net)];
    Key {
        dst,
        prefix,
        ifindex,
    }
}

pub(super) fn route_add(actor: &mut Actor, [index, net]: [u8; 2]) {
    if !actor.holds_nothing() {
        return;
    }
    let (world, index) = (actor.world, usize::from(index));
    world.with(index, |ifp| {
        // As when an address is added: under IFNET_LOCK, if the interface is not being detached.
        ifp.lock();
        if !ifp.is_deactivated() {
            let router = other(index, 0).ip;
            // The route may exist already.
            let _added = rt_add(
                world.net,
                &key(net, ifp.index()),
                Some(router),
                ADDRESSES[index],
            );
        }
        ifp.unlock();
    });
}

pub(super) fn route_delete(actor: &mut Actor, [index, net]: [u8; 2]) {
    let world = actor.world;
    world.with(usize::from(index), |ifp| {
        rt_delete(world.net, &key(net, ifp.index()), None);
    });
}

pub(super) fn route_change(actor: &mut Actor, [index, who]: [u8; 2]) {
    if !actor.holds_nothing() {
        return;
    }
    let (world, index) = (actor.world, usize::from(index));
    let router = other(index, usize::from(who)).ip;
    // The interface may be gone: a route is found by the interface's index.
    let mut found = None;
    world.with(index, |ifp| found = Some(ifp.index()));
    if let Some(ifindex) = found {
        rt_update(world.net, &key(0, ifindex), Some(router));
    }
}

pub(super) fn route_hold(actor: &mut Actor, [dst, _]: [u8; 2]) {
    let Some(place) = actor.routes.iter_mut().find(|place| place.is_none()) else {
        return;
    };
    let found = rtalloc1(actor.world.net, DESTINATIONS[usize::from(dst)]);
    *place = found.map(|rt| (rt, rt.next_hop(FAR)));
}

pub(super) fn route_release(actor: &mut Actor, _: [u8; 2]) {
    if let Some((rt, _)) = actor.routes.iter_mut().rev().find_map(Option::take) {
        rt_unref(actor.world.net, rt);
    }
}

/// Checks that the routes that are held have not changed.
pub(super) fn check(actor: &Actor) {
    for (rt, hop) in actor.routes.iter().flatten() {
        let now = rt.next_hop(FAR);
        if now != *hop {
            broken_promise(
                "route-held",
                format_args!("a route that is held led to {hop}, and leads to {now}"),
            );
        }
    }
}

/// Releases everything.
pub(super) fn end(actor: &mut Actor) {
    while actor.routes.iter().any(Option::is_some) {
        route_release(actor, [0; 2]);
    }
}
