//! What is sent in the storm, and what the other host receives.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed}; // not watched: counts for the report, and nothing is decided by them

use smoltcp::wire::Ipv4Address;

use super::{PAIR, World, churn::stay};
use crate::kern::lwp::curlwp;
use crate::kern::psref::Psref;
use crate::net::ifnet::{Ifnet, if_get, if_put, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::stats::Count;
use crate::net::{Net, pair, udp};
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::net::frames::{self, Host, Seen};
use crate::scenario::net::serve::Server;
use crate::scenario::net::wellformed;

/// How many hosts there are at the other end of the wire: they share one interface, and have an address each.
const HOSTS: u32 = 3;
/// The last byte of the first one's address.
const FIRST_HOST: u32 = 16;
/// How many frames are sent in a repetition.
const BURST: u32 = 6;
const CLOSED_PORT: u16 = 99;
const REMOTE_PORT: u16 = 1000;
/// After so many repetitions this host pauses.
const BREATH: u32 = 16;
/// One of so many requests is not answered by the other host.
const DEAF: u64 = 4;

/// The stack's end of the wire, by an address of it.
const fn stack(ip: Ipv4Address) -> Host {
    Host {
        ether: pair::lladdr(0),
        ip,
    }
}

/// A host at the other end.
pub(super) fn host(number: u32) -> Host {
    Host {
        ether: pair::lladdr(1),
        ip: Ipv4Address::new(10, 0, 0, (FIRST_HOST + number % HOSTS) as u8),
    }
}

fn is_host(ip: Ipv4Address) -> bool {
    (0..HOSTS).any(|number| host(number).ip == ip)
}

/// Frame `number`. Consecutive numbers give frames of every kind.
fn frame(number: u32) -> Option<Mbuf> {
    let from = host(number / BURST);
    let far = Host {
        ip: Ipv4Address::new(192, 0, 2, 1),
        ..from
    };
    let (stays, goes) = (stack(PAIR.stays), stack(PAIR.goes));
    let sequence = number as u16;
    let port = REMOTE_PORT + sequence % 8;
    let datagram = |to, to_port| frames::datagram((from, port), (to, to_port), sequence);
    match number % 15 {
        0 | 3 => frames::arp_request(from, stays.ip),
        1 => frames::echo_request(from, stays, sequence),
        2 => datagram(stays, Server::ECHO_PORT),
        4 => frames::echo_request(from, goes, sequence),
        5 => frames::arp_reply(from, stays),
        6 => datagram(stays, CLOSED_PORT),
        7 => datagram(goes, Server::ECHO_PORT),
        8 => frames::fragment(from, stays, sequence.is_multiple_of(2)),
        9 => frames::echo_request(from, stays, sequence).map(damage),
        10 => frames::echo_request(far, stays, sequence),
        11 => datagram(stays, Server::DISCARD_PORT),
        // A host that claims an address of this one.
        12 => frames::arp_request(
            Host {
                ip: goes.ip,
                ..from
            },
            stays.ip,
        ),
        13 => frames::arp_request(from, goes.ip),
        _ => datagram(stays, Server::ECHO_PORT).map(damage),
    }
}

/// A frame whose last byte was changed on the way.
fn damage(mut m: Mbuf) -> Mbuf {
    if let Some(last) = m.bytes_mut().last_mut() {
        *last ^= 0x40;
    }
    m
}

/// The other host sends.
pub(super) fn from_outside(world: &'static World, time: u32) {
    let psref = Psref::new();
    // Without a carrier nothing is sent.
    let Some(stack) = if_get(world.net, PAIR.name, &psref) else {
        return stay(1);
    };
    if_put(stack, &psref);
    let Some(remote) = if_get(world.net, "pair1", &psref) else {
        return stay(1);
    };
    let first = time.wrapping_mul(BURST);
    for number in 0..BURST {
        if let Some(m) = frame(first.wrapping_add(number)) {
            if_transmit(remote, m);
        }
    }
    if_put(remote, &psref);
}

/// This host sends to a host that answers, to one that does not exist, and to one behind the router.
pub(super) fn from_inside(world: &'static World, time: u32) {
    if time % BREATH == BREATH - 1 {
        stay(1);
    }
    let nobody = Ipv4Address::new(10, 0, 0, 200 + (time % 8) as u8);
    let far = Ipv4Address::new(198, 51, 100, 1);
    for to in [host(time).ip, nobody, far] {
        let Some(m) = Mbuf::with(&time.to_be_bytes()) else {
            continue;
        };
        udp::sendto(
            world.net,
            m,
            (None, REMOTE_PORT),
            (to, Server::DISCARD_PORT),
        );
    }
}

/// What the other host has received.
pub(super) struct Heard {
    requests: AtomicU64,
    echoes: AtomicU64,
    datagrams: AtomicU64,
    errors: AtomicU64,
}

impl Heard {
    pub(super) const fn new() -> Self {
        Heard {
            requests: AtomicU64::new(0),
            echoes: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// Checks that nothing was received that was not sent.
    pub(super) fn verify(&self, net: &'static Net) {
        for (heard, sent) in [
            (&self.requests, Count::ArpRequests),
            (&self.echoes, Count::EchoReplies),
            (&self.datagrams, Count::UdpOut),
            (&self.errors, Count::IcmpErrors),
        ] {
            let (heard, count) = (heard.load(Relaxed), net.stats.get(sent));
            if heard > count {
                broken_promise(
                    "net-made-up",
                    format_args!(
                        "{count} {} were counted, and {heard} have come",
                        sent.text()
                    ),
                );
            }
        }
    }
}

/// What the other host receives. In the softint of its end of the wire.
pub(super) fn sink(remote: &'static Ifnet, m: Mbuf) {
    let world: &World = shared(curlwp().kernel().data());
    let heard = &world.heard;
    wellformed::assert_sent(m.bytes());
    let seen = frames::look(m.bytes());
    m.free(End::Delivered);
    match seen {
        Seen::ArpRequest(asks, target) => {
            let number = heard.requests.fetch_add(1, Relaxed);
            if is_host(target) && number % DEAF != DEAF - 1 {
                let reply = frames::arp_reply(at(target), stack(asks));
                if let Some(m) = reply {
                    if_transmit(remote, m);
                }
            }
        }
        Seen::EchoReply(..) => count(&heard.echoes),
        Seen::Datagram(..) => count(&heard.datagrams),
        Seen::PortUnreachable(_) => count(&heard.errors),
        Seen::ArpReply(_) | Seen::EchoRequest(..) | Seen::Other | Seen::Malformed => {}
    }
}

/// The host at the other end with this address.
fn at(ip: Ipv4Address) -> Host {
    Host { ip, ..host(0) }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
