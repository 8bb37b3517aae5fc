//! The operations of udp(4) and icmp(4): sockets are opened and closed, and packets are sent and received.

use crate::net::mbuf::{End, Mbuf};
use crate::net::udp::{self, Datagram, Socket};
use crate::scenario::net::frames;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::world::{DESTINATIONS, PORTS, Place};

/// More bytes than an interface sends.
const TOO_MANY: usize = 1_600;

pub(super) fn so_open(actor: &mut Actor, [number, _]: [u8; 2]) {
    let (world, number) = (actor.world, usize::from(number));
    let place = &world.sockets[number].place;
    world.desk.enter();
    let absent = matches!(place.get(), Place::Absent);
    if absent {
        place.set(Place::Busy);
    }
    world.desk.exit();
    if absent {
        let socket = udp::bind(world.net, PORTS[number]);
        world.desk.enter();
        place.set(socket.map_or(Place::Absent, Place::Present));
        world.desk.exit();
    }
}

/// Closes a socket that no LWP uses.
pub(super) fn so_close(actor: &mut Actor, [number, _]: [u8; 2]) {
    let world = actor.world;
    let socket = &world.sockets[usize::from(number)];
    world.desk.enter();
    let found = match socket.place.get() {
        Place::Present(so) if socket.users.get() == 0 => Some(so),
        _ => None,
    };
    if found.is_some() {
        socket.place.set(Place::Busy);
    }
    world.desk.exit();
    if let Some(so) = found {
        udp::close(world.net, so);
        world.desk.enter();
        socket.place.set(Place::Absent);
        world.desk.exit();
    }
}

/// Does something with a socket, if it exists. No other LWP closes it meanwhile.
fn using<R>(actor: &Actor, number: u8, part: impl FnOnce(&'static Socket) -> R) -> Option<R> {
    let world = actor.world;
    let socket = &world.sockets[usize::from(number)];
    world.desk.enter();
    let found = match socket.place.get() {
        Place::Present(so) => Some(so),
        _ => None,
    };
    if found.is_some() {
        socket.users.set(socket.users.get() + 1);
    }
    world.desk.exit();
    let result = part(found?);
    world.desk.enter();
    socket.users.set(socket.users.get() - 1);
    world.desk.exit();
    Some(result)
}

pub(super) fn so_shutdown(actor: &mut Actor, [number, _]: [u8; 2]) {
    let net = actor.world.net;
    using(actor, number, |so| udp::shutdown(net, so));
}

fn receive(actor: &Actor, number: u8, ticks: u8) -> Option<Datagram> {
    let net = actor.world.net;
    using(actor, number, |so| udp::recvfrom(net, so, u32::from(ticks))).flatten()
}

pub(super) fn so_receive(actor: &mut Actor, [number, ticks]: [u8; 2]) {
    if let Some(datagram) = receive(actor, number, ticks) {
        datagram.m.free(End::Delivered);
    }
}

/// Sends a received datagram back, as a server does.
pub(super) fn so_echo(actor: &mut Actor, [number, ticks]: [u8; 2]) {
    if let Some(datagram) = receive(actor, number, ticks) {
        let from = (Some(datagram.dst), PORTS[usize::from(number)]);
        udp::sendto(actor.world.net, datagram.m, from, datagram.src);
    }
}

fn send(actor: &Actor, m: Option<Mbuf>, [number, dst]: [u8; 2]) {
    if let Some(m) = m {
        let port = PORTS[usize::from(number)];
        let to = (DESTINATIONS[usize::from(dst)], port);
        udp::sendto(actor.world.net, m, (None, port), to);
    }
}

pub(super) fn so_send(actor: &mut Actor, operands: [u8; 2]) {
    send(actor, Mbuf::with(b"to"), operands);
}

pub(super) fn so_send_large(actor: &mut Actor, operands: [u8; 2]) {
    send(actor, Mbuf::with(&[0; TOO_MANY]), operands);
}

pub(super) fn ping(actor: &mut Actor, [dst, _]: [u8; 2]) {
    let dst = DESTINATIONS[usize::from(dst)];
    frames::ping(actor.world.net, dst, u16::from(actor.lwp.index as u8));
}
