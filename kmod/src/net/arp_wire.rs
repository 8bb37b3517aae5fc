//! arp(4) on the wire: requests, replies, and what is learned from the packets of other hosts.
//!
//! # Overview
//!
//! A packet for a host whose Ethernet address is not known waits in the table of its interface ([`arp`]), and a request is sent.
//! The packet is sent when the host answers, or asks something itself. Requests for addresses of this host are answered. Claims of
//! other hosts to such an address are counted.
//!
//! # Contexts
//!
//! Softint up to softnet, or thread that is bound, with a reference to the interface. Without NET_MPSAFE the caller holds
//! `softnet_lock`, except for `arpannounce`. `purge`: thread that may sleep.
//!
//! # Invariants
//!
//! No packet is sent with a lock of the table or of an entry held.
//!
//! # Differences from NetBSD
//!
//! The state of an entry, its timer and the packets that wait for it are in [`arp`]. An address is used at once: it is not probed
//! for first. Conflicts are counted and answered.
//!
//! # Sources
//!
//! arp(4), RFC 826, RFC 5227; `sys/netinet/if_arp.c`.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol, Ipv4Address,
};

use crate::kern::lwp::Arg;
use crate::kern::psref::Psref;
use crate::net::ether::ether_send;
use crate::net::ifnet::{Ifnet, if_get_byindex, if_put};
use crate::net::llatbl::LltOps;
use crate::net::mbuf::{End, Mbuf};
use crate::net::pktqueue::Pktqueue;
use crate::net::stats::Count;
use crate::net::{Net, arp, ether, inet, softnet_enter, softnet_exit};
use crate::note;

/// Bytes of an ARP packet.
const ARP_LEN: usize = 28;

/// The functions by which the table of an interface uses the interface.
pub(crate) static LLT_OPS: LltOps = LltOps {
    output: |ifp, m, dst| ether::ether_output(interface(ifp), m, dst.into()),
    request: |ifp, dst| arprequest(interface(ifp), dst.into()),
};

/// The interface that a table was given.
fn interface(ifp: Arg) -> &'static Ifnet {
    // SAFETY: `if_attach` gave the interface to its own table, and callers of the table hold a reference to it.
    unsafe { ifp.get() }
}

/// The Ethernet address of a host of the interface's net, with the packet for it (`arpresolve`). `None`: the packet waits,
/// or has ended.
#[track_caller]
pub(crate) fn resolve(
    ifp: &'static Ifnet,
    m: Mbuf,
    ip: Ipv4Address,
) -> Option<(EthernetAddress, Mbuf)> {
    match arp::arpresolve(&ifp.if_llt, m, ip.into()) {
        Ok((m, lladdr)) => Some((EthernetAddress(lladdr), m)),
        Err(reason) => {
            note!("{ip} is not resolved: {reason:?}");
            None
        }
    }
}

/// Learns the Ethernet address of a host. A host that is not in the table is added if `create` is set.
#[track_caller]
fn update(ifp: &'static Ifnet, ip: Ipv4Address, ether: EthernetAddress, create: bool) {
    arp::arp_update(&ifp.if_llt, ip.into(), ether.0, create);
}

/// Deletes the entries of an interface that is detached (`in_domifdetach`).
///
/// Context: thread that may sleep, without `softnet_lock`.
#[track_caller]
pub(crate) fn purge(ifp: &'static Ifnet) {
    let net = ifp.net();
    softnet_enter(&net.softnet_lock);
    arp::arp_purge(&ifp.if_llt);
    softnet_exit(&net.softnet_lock);
}

/// Sends an ARP packet.
#[track_caller]
fn send(ifp: &'static Ifnet, repr: &ArpRepr, to: EthernetAddress) {
    let Some(mut m) = Mbuf::get() else { return };
    if !m.resize(ARP_LEN) {
        return m.free(End::NoMemory);
    }
    repr.emit(&mut ArpPacket::new_unchecked(m.bytes_mut()));
    ether_send(ifp, m, to, EthernetProtocol::Arp);
}

/// Asks for the Ethernet address of a host (`arprequest`), with an address of the interface as the source.
#[track_caller]
pub(crate) fn arprequest(ifp: &'static Ifnet, ip: Ipv4Address) {
    let net = ifp.net();
    let psref = Psref::new();
    let index = ifp.index();
    let Some(ia) = inet::in_ifaddr_get(net, |ia| ia.ifindex() == index, &psref) else {
        return;
    };
    let source = ia.addr();
    inet::ia_put(net, ia, &psref);
    request(ifp, source, ip);
}

/// Announces an address (`arpannounce`): a request for the address from itself.
#[track_caller]
pub(crate) fn arpannounce(ifp: &'static Ifnet, ip: Ipv4Address) {
    request(ifp, ip, ip);
}

#[track_caller]
fn request(ifp: &'static Ifnet, source: Ipv4Address, target: Ipv4Address) {
    ifp.net().stats.count(Count::ArpRequests);
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: ifp.lladdr(),
        source_protocol_addr: source,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    send(ifp, &repr, EthernetAddress::BROADCAST);
}

/// Puts an ARP packet, without its Ethernet header, on the queue of ARP.
#[track_caller]
pub(crate) fn enqueue(net: &'static Net, m: Mbuf) {
    net.arp_pktq().enqueue(m, 0);
}

/// The softint of ARP (`arpintr`).
pub(crate) fn arpintr(pq: &'static Pktqueue) {
    // SAFETY: `Net::create` gave the stack, which lives until its queues are destroyed.
    let net: &'static Net = unsafe { pq.arg().get() };
    softnet_enter(&net.softnet_lock);
    while let Some(m) = pq.dequeue() {
        arp_input(net, m);
    }
    softnet_exit(&net.softnet_lock);
}

/// What an ARP packet says, if it is for Ethernet and IPv4, and its sender can be a host.
fn parse(bytes: &[u8]) -> Option<(ArpOperation, EthernetAddress, [Ipv4Address; 2])> {
    let packet = ArpPacket::new_checked(bytes).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let ips = [source_protocol_addr, target_protocol_addr];
    let sane = source_hardware_addr.is_unicast()
        && !source_protocol_addr.is_multicast()
        && !source_protocol_addr.is_broadcast();
    sane.then_some((operation, source_hardware_addr, ips))
}

/// Handles an ARP packet (`arp_input`, `in_arpinput`), and frees it.
///
/// Context: softint of ARP.
#[track_caller]
fn arp_input(net: &'static Net, m: Mbuf) {
    let psref = Psref::new();
    let Some(ifp) = if_get_byindex(net, m.rcvif(), &psref) else {
        return m.free(End::IfGone);
    };
    let end = match parse(m.bytes()) {
        Some((operation, from, ips)) => {
            answer(ifp, operation, from, ips);
            End::Arp
        }
        None => End::BadArp,
    };
    m.free(end);
    if_put(ifp, &psref);
}

/// Learns from a packet of `from`, and answers it if it is a request for an address of this host.
#[track_caller]
fn answer(
    ifp: &'static Ifnet,
    operation: ArpOperation,
    from: EthernetAddress,
    [source, target]: [Ipv4Address; 2],
) {
    let net = ifp.net();
    if from == ifp.lladdr() {
        // This host's own packet has come back.
        return;
    }
    let index = ifp.index();
    let psref = Psref::new();
    let own = |ip| move |ia: &inet::InIfaddr| ia.addr() == ip && ia.ifindex() == index;
    if let Some(ia) = inet::in_ifaddr_get(net, own(source), &psref) {
        inet::ia_put(net, ia, &psref);
        // RFC 5227, 2.4: defend it, once for each claim.
        net.stats.count(Count::ArpConflicts);
        note!("{from} claims {source}");
        if target != source {
            arpannounce(ifp, source);
        }
        return;
    }
    let Some(ia) = inet::in_ifaddr_get(net, own(target), &psref) else {
        if !source.is_unspecified() {
            update(ifp, source, from, false);
        }
        return;
    };
    if !source.is_unspecified() {
        update(ifp, source, from, true);
    }
    if operation == ArpOperation::Request {
        net.stats.count(Count::ArpReplies);
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: ifp.lladdr(),
            source_protocol_addr: target,
            target_hardware_addr: from,
            target_protocol_addr: source,
        };
        send(ifp, &repr, from);
    }
    inet::ia_put(net, ia, &psref);
}

/// A queue for ARP.
#[track_caller]
pub(crate) fn create_queue(net: &'static Net) -> Option<&'static Pktqueue> {
    let slots = net.kernel.config().pcq_slots;
    Pktqueue::create(net.kernel, "arp", slots, arpintr, Arg::of(net))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
    const SOURCE: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
    const TARGET: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);

    fn packet(source: Ipv4Address, from: EthernetAddress) -> [u8; ARP_LEN] {
        let mut bytes = [0; ARP_LEN];
        let repr = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: from,
            source_protocol_addr: source,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: TARGET,
        };
        repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
        bytes
    }

    #[test]
    fn a_request_is_read() {
        assert_eq!(
            parse(&packet(SOURCE, FROM)),
            Some((ArpOperation::Request, FROM, [SOURCE, TARGET]))
        );
    }

    #[test]
    fn a_group_is_no_sender() {
        assert_eq!(parse(&packet(Ipv4Address::BROADCAST, FROM)), None);
        assert_eq!(parse(&packet(SOURCE, EthernetAddress::BROADCAST)), None);
        assert_eq!(parse(&packet(SOURCE, FROM)[..ARP_LEN - 1]), None);
    }

    #[test]
    fn garbage_is_looked_at() {
        let mut accepted = 0;
        crate::net::garbage::feed(&packet(SOURCE, FROM), |bytes| {
            accepted += u32::from(parse(bytes).is_some());
        });
        assert!(accepted > 0, "some of it is an ARP packet");
    }
}
