//! Frames that come from other hosts to an interface: valid ones, and invalid ones.
//!
//! A frame for the wire inside the kernel is put on the input queue of the interface, as the other end does it. A frame for a card
//! is sent by the card at the other end of its wire, which is another interface of this host and must be up.

use smoltcp::wire::{ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Packet};

use crate::net::ether::ETHER_HDR_LEN;
use crate::net::ifnet::if_transmit;
use crate::net::mbuf::Mbuf;
use crate::scenario::net::frames;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::world::{FIRST_CARD, PORTS, other, own};

/// A port without a socket.
const CLOSED_PORT: u16 = 99;
/// How many ports datagrams are sent to: those that may have a socket, and one that never has.
pub(super) const TO_PORTS: usize = PORTS.len() + 1;
/// The port of another host.
const THEIR_PORT: u16 = 1_000;

/// A frame arrives at an interface of the stack, if there is memory for it and the interface exists.
fn arrive(actor: &Actor, index: u8, frame: Option<Mbuf>) {
    let Some(m) = frame else { return };
    let (world, index) = (actor.world, usize::from(index));
    let mut m = Some(m);
    if index < FIRST_CARD {
        world.with(index, |ifp| {
            if let Some(m) = m.take() {
                ifp.if_percpuq.enqueue(m);
            }
        });
    } else {
        let peer = FIRST_CARD + ((index - FIRST_CARD) ^ 1);
        world.with(peer, |ifp| {
            if let Some(m) = m.take() {
                if_transmit(ifp, m);
            }
        });
    }
    if let Some(m) = m {
        m.free(crate::net::mbuf::End::IfGone);
    }
}

pub(super) fn frame_arp_ask(actor: &mut Actor, [index, who]: [u8; 2]) {
    let place = usize::from(index);
    let from = other(place, usize::from(who));
    arrive(actor, index, frames::arp_request(from, own(place).ip));
}

pub(super) fn frame_arp_answer(actor: &mut Actor, [index, who]: [u8; 2]) {
    let place = usize::from(index);
    let from = other(place, usize::from(who));
    arrive(actor, index, frames::arp_reply(from, own(place)));
}

/// How many kinds of invalid ARP packets there are.
pub(super) const ARP_WRONGS: usize = 6;

pub(super) fn frame_arp_wrong(actor: &mut Actor, [index, kind]: [u8; 2]) {
    let place = usize::from(index);
    let Some(mut m) = frames::arp_reply(other(place, 0), own(place)) else {
        return;
    };
    let cut = kind == 5;
    let mut arp = ArpPacket::new_unchecked(&mut m.bytes_mut()[ETHER_HDR_LEN..]);
    match kind {
        // From a group, from 0.0.0.0, from this host.
        0 => arp.set_source_hardware_addr(&[0xff; 6]),
        1 => arp.set_source_protocol_addr(&[0; 4]),
        2 => arp.set_source_hardware_addr(&own(place).ether),
        // For another network protocol.
        3 => arp.set_protocol_len(16),
        4 => arp.set_operation(smoltcp::wire::ArpOperation::Unknown(9)),
        _ => {}
    }
    if cut {
        m.truncate(ETHER_HDR_LEN + 20);
    }
    arrive(actor, index, Some(m));
}

pub(super) fn frame_echo(actor: &mut Actor, [index, who]: [u8; 2]) {
    let place = usize::from(index);
    let from = other(place, usize::from(who));
    let frame = frames::echo_request(from, own(place), u16::from(who));
    arrive(actor, index, frame);
}

pub(super) fn frame_udp(actor: &mut Actor, [index, port]: [u8; 2]) {
    let place = usize::from(index);
    let to_port = PORTS.get(usize::from(port)).copied();
    let to = (own(place), to_port.unwrap_or(CLOSED_PORT));
    let frame = frames::datagram((other(place, 0), THEIR_PORT), to, u16::from(port));
    arrive(actor, index, frame);
}

pub(super) fn frame_fragment(actor: &mut Actor, [index, first]: [u8; 2]) {
    let place = usize::from(index);
    let frame = frames::fragment(other(place, 0), own(place), first != 0);
    arrive(actor, index, frame);
}

/// How many kinds of invalid IP packets there are.
pub(super) const WRONGS: usize = 9;

pub(super) fn frame_wrong(actor: &mut Actor, [index, kind]: [u8; 2]) {
    let place = usize::from(index);
    let (from, to) = (other(place, 0), own(place));
    let frame = match kind {
        0..=3 => frames::echo_request(from, to, 0),
        _ => frames::datagram((from, THEIR_PORT), (to, PORTS[0]), 0),
    };
    if let Some(mut m) = frame {
        spoil(&mut m, kind);
        arrive(actor, index, Some(m));
    }
}

/// Makes one part of a packet wrong.
fn spoil(m: &mut Mbuf, kind: u8) {
    let last = m.len() - 1;
    match kind {
        // The checksum of the ICMP message or the datagram.
        0 | 4 => m.bytes_mut()[last] ^= 0xff,
        // Shorter than the header says, and shorter than a header.
        1 => m.truncate(last),
        5 => m.truncate(ETHER_HDR_LEN + 9),
        // For another Ethernet host, and of another protocol.
        2 => frame(m).set_dst_addr(EthernetAddress([2, 0, 0, 0, 9, 9])),
        6 => frame(m).set_ethertype(EthernetProtocol::Ipv6),
        // To all hosts on the Ethernet.
        3 | 7 => frame(m).set_dst_addr(EthernetAddress::BROADCAST),
        // Another protocol than ICMP and UDP, with a right checksum.
        _ => {
            let mut ip = Ipv4Packet::new_unchecked(&mut m.bytes_mut()[ETHER_HDR_LEN..]);
            ip.set_next_header(smoltcp::wire::IpProtocol::Tcp);
            ip.fill_checksum();
        }
    }
}

fn frame(m: &mut Mbuf) -> EthernetFrame<&mut [u8]> {
    EthernetFrame::new_unchecked(m.bytes_mut())
}

/// An echo request with one byte changed, anywhere.
pub(super) fn frame_raw(actor: &mut Actor, [index, seed]: [u8; 2]) {
    let place = usize::from(index);
    if let Some(mut m) = frames::echo_request(other(place, 0), own(place), 1) {
        let at = usize::from(seed) % m.len();
        m.bytes_mut()[at] ^= seed | 1;
        arrive(actor, index, Some(m));
    }
}
