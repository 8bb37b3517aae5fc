//! What is removed and added again in the storm.
//!
//! Only one actor attaches and detaches each interface. The other actors may find that it is missing, or being detached.

use smoltcp::wire::Ipv4Address;

use super::{CARD, Change, Link, PAIR, PREFIX, World, flood};
use crate::kern::psref::Psref;
use crate::kern::synch::kpause;
use crate::machine;
use crate::net::arp::{arp_delete, arp_set_static};
use crate::net::ifnet::{Ifnet, if_down, if_get, if_put};
use crate::net::inet::{Refused, ifa_insert, in_control_add, in_control_remove};
use crate::net::mbuf::End;
use crate::net::{self, Net, bpf, nic, pair, route, softnet_enter, softnet_exit};
use crate::scenario::broken_promise;
use crate::scenario::memory::obtain;

/// The other end of the wire.
const REMOTE: &str = "pair1";
/// How many frames are read from a tap before it is closed.
const READ: u32 = 4;

/// The interfaces of the stack.
fn links() -> &'static [Link] {
    match machine::nics() {
        0 => &[PAIR],
        _ => &[PAIR, CARD],
    }
}

/// One of them, a different one each time.
fn link(time: u32) -> Link {
    let links = links();
    links[time as usize % links.len()]
}

/// Does something with an interface, if it is there.
fn with(net: &'static Net, name: &str, part: impl FnOnce(&'static Ifnet)) {
    let psref = Psref::new();
    if let Some(ifp) = if_get(net, name, &psref) {
        part(ifp);
        if_put(ifp, &psref);
    }
}

/// An interface that only the caller attaches and detaches, so it stays without a reference.
fn own(net: &'static Net, name: &str) -> &'static Ifnet {
    let mut own = None;
    with(net, name, |ifp| own = Some(ifp));
    match own {
        Some(ifp) => ifp,
        None => broken_promise(
            "if-listed",
            format_args!("{name} is not there, and nobody else detaches it"),
        ),
    }
}

/// Sleeps for `ticks`.
pub(super) fn stay(ticks: u32) {
    if ticks != 0 {
        kpause("storm", ticks, None);
    }
}

/// The wire, with both of its ends. At boot.
pub(super) fn attach_wire(net: &'static Net) {
    attach_stack(net);
    attach_remote(net);
}

fn attach_stack(net: &'static Net) {
    configure(obtain("an interface", || pair::attach(net, 0)), PAIR);
}

fn attach_remote(net: &'static Net) {
    net::up(obtain("an interface", || {
        pair::attach_with(net, 1, flood::sink)
    }));
}

/// Gives an interface of the stack its first address and its default route.
fn configure(ifp: &'static Ifnet, link: Link) {
    net::up(ifp);
    obtain("an address", || {
        ifp.lock();
        let added = ifa_insert(ifp, link.stays, PREFIX);
        ifp.unlock();
        added.ok()
    });
    let default = default_route(ifp);
    obtain("a route", || {
        route::rt_add(ifp.net(), &default, Some(link.router), link.stays).then_some(())
    });
}

fn default_route(ifp: &Ifnet) -> route::Key {
    route::Key {
        dst: Ipv4Address::UNSPECIFIED,
        prefix: 0,
        ifindex: ifp.index(),
    }
}

/// Detaches and attaches the stack's end of the wire.
pub(super) fn ifconfig(world: &'static World, time: u32) {
    stay(time % 4);
    pair::detach(own(world.net, PAIR.name));
    world.changed(Change::Interface);
    attach_stack(world.net);
    world.changed(Change::Interface);
}

/// Detaches and attaches the other end of the wire, or the card's interface, or takes the other end down and up.
pub(super) fn wire(world: &'static World, time: u32) {
    let net = world.net;
    match time % 4 {
        0 => {
            pair::detach(own(net, REMOTE));
            world.changed(Change::Interface);
            attach_remote(net);
        }
        1 if machine::nics() != 0 => card(world, time),
        _ => {
            stay(time % 2);
            let remote = own(net, REMOTE);
            down(remote);
            world.changed(Change::Flag);
            net::up(remote);
            return world.changed(Change::Flag);
        }
    }
    world.changed(Change::Interface);
}

/// Detaches and attaches the interface of the card. After that it is down at first, and has no address.
fn card(world: &'static World, time: u32) {
    stay(time % 4);
    nic::detach(own(world.net, CARD.name));
    world.changed(Change::Interface);
    configure(
        obtain("an interface", || nic::attach_unit(world.net, 0)),
        CARD,
    );
}

fn down(ifp: &Ifnet) {
    ifp.lock();
    if_down(ifp);
    ifp.unlock();
}

/// Adds and removes an address.
pub(super) fn addresses(world: &'static World, time: u32) {
    let Link { name, goes, .. } = link(time);
    with(world.net, name, |ifp| {
        match in_control_add(ifp, goes, PREFIX) {
            Ok(()) => {
                world.changed(Change::Address);
                stay(u32::from(time % 4 == 3));
                if in_control_remove(ifp, goes) {
                    world.changed(Change::Address);
                }
            }
            // It is being detached, or there is no memory.
            Err(Refused::Gone | Refused::NoMemory) => {}
            Err(reason) => broken_promise(
                "in-control",
                format_args!("{goes} is refused, which nobody else adds: {reason:?}"),
            ),
        }
    });
}

/// Changes routes, ARP entries and the length of queues.
pub(super) fn tables(world: &'static World, time: u32) {
    let net = world.net;
    with(net, link(time).name, |ifp| {
        routes(world, ifp, link(time));
        neighbours(world, ifp, time);
    });
    let queue = [net.ip_pktq(), net.arp_pktq()][time as usize % 2];
    match time % 8 {
        3 => queue.flush(),
        7 => {
            // Without memory nothing changes.
            let _changed = queue.set_maxlen(lengths(net)[time as usize / 8 % 2]);
        }
        _ => return,
    }
    world.changed(Change::Queue);
}

/// The usual length of queues, and a shorter one.
fn lengths(net: &'static Net) -> [usize; 2] {
    let slots = net.kernel.config().pcq_slots;
    [slots, slots.div_ceil(2).max(2)]
}

/// Adds and deletes a route to another net, and changes the router of the default route.
fn routes(world: &'static World, ifp: &'static Ifnet, link: Link) {
    let net = world.net;
    let key = route::Key {
        dst: Ipv4Address::new(192, 0, 2, 0),
        prefix: 24,
        ifindex: ifp.index(),
    };
    let mut changed = 0;
    changed += u32::from(route::rt_add(net, &key, Some(link.router), link.stays));
    changed += u32::from(route::rt_update(
        net,
        &default_route(ifp),
        Some(link.router),
    ));
    changed += u32::from(route::rt_delete(net, &key, None));
    for _ in 0..changed {
        world.changed(Change::Route);
    }
}

/// Sets a neighbour by hand and deletes it, and deletes another one that was learned.
fn neighbours(world: &'static World, ifp: &'static Ifnet, time: u32) {
    let softnet_lock = &world.net.softnet_lock;
    let (set, learned) = (flood::host(time), flood::host(time + 1));
    softnet_enter(softnet_lock);
    let mut changed = 0;
    changed += u32::from(arp_set_static(&ifp.if_llt, set.ip.into(), set.ether));
    changed += u32::from(arp_delete(&ifp.if_llt, learned.ip.into()));
    softnet_exit(softnet_lock);
    stay(time % 2);
    softnet_enter(softnet_lock);
    changed += u32::from(arp_delete(&ifp.if_llt, set.ip.into()));
    softnet_exit(softnet_lock);
    for _ in 0..changed {
        world.changed(Change::Neighbour);
    }
}

/// Opens a tap on an end of the wire, or on the card, reads from it, and closes it.
pub(super) fn taps(world: &'static World, time: u32) {
    let name = match time % 3 {
        0 => link(time / 3).name,
        1 => REMOTE,
        _ => "lo0",
    };
    let mut tap = None;
    with(world.net, name, |ifp| tap = bpf::bpf_open(ifp));
    let Some(tap) = tap else { return };
    world.changed(Change::Tap);
    for _ in 0..READ {
        let Some(m) = tap.read(time % 2) else { break };
        m.free(End::Delivered);
    }
    bpf::bpf_close(world.net, tap);
    world.changed(Change::Tap);
}
