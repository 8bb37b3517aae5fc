//! arp(4) on the wire: requests, replies, and what other hosts' packets tell.
//!
//! # Overview
//!
//! A packet for a host whose Ethernet address is not known waits, and a request is sent; when the host answers, or says
//! anything else of itself, the packet goes. Requests for this host's addresses are answered. A host that claims one
//! of them for itself is counted.
//!
//! # Contexts
//!
//! [`resolve`], [`arprequest`], [`arpannounce`]: softint up to softnet, or thread that is bound; the interface is kept.
//! [`purgeif`]: thread.
//!
//! # Invariants
//!
//! 1. A host has one place in the table; it is waited for by one packet at most.
//! 2. No packet is sent with the table's lock held.
//!
//! # Lock order
//!
//! The table's lock (`arp_lock`) is taken last.
//!
//! # Differences from NetBSD
//!
//! A table for all interfaces, of a fixed size; what is oldest makes room. What was learnt stays until the interface goes:
//! there are no timers, and a host that does not answer is asked again when something else is sent to it.
//!
//! # Sources
//!
//! arp(4), RFC 826, RFC 5227; `sys/netinet/if_arp.c`.

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol, Ipv4Address,
};

use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::psref::Psref;
use crate::kern::spl::Ipl;
use crate::mem::Plain;
use crate::net::Net;
use crate::net::ether::ether_send;
use crate::net::ifnet::{Ifnet, if_get_byindex, if_put};
use crate::net::inet;
use crate::net::mbuf::{End, Mbuf, Packet};
use crate::net::pktqueue::Pktqueue;
use crate::net::stats::Count;
use crate::note;

/// Hosts that the table knows.
const ENTRIES: usize = 32;
/// Bytes of an ARP packet.
const ARP_LEN: usize = 28;

/// A host. Everything is protected by the table's lock.
struct Entry {
    /// Index of the interface; 0: the place is free.
    ifindex: Plain<u32>,
    ip: Plain<Ipv4Address>,
    ether: Plain<Option<EthernetAddress>>,
    /// What waits for the address.
    held: Plain<Option<&'static Packet>>,
}

crate::fields!(Entry {
    ifindex,
    ip,
    ether,
    held
});

/// The hosts whose Ethernet addresses are known, or asked for.
pub struct ArpTable {
    arp_lock: Kmutex,
    entries: [Entry; ENTRIES],
    /// The place that makes room next.
    next: Plain<usize>,
}

crate::fields!(ArpTable {
    arp_lock,
    entries,
    next
});

impl ArpTable {
    pub(crate) const fn new() -> Self {
        ArpTable {
            arp_lock: Kmutex::new("arp_lock", Ipl::SoftNet),
            entries: [const {
                Entry {
                    ifindex: Plain::new(0),
                    ip: Plain::new(Ipv4Address::UNSPECIFIED),
                    ether: Plain::new(None),
                    held: Plain::new(None),
                }
            }; ENTRIES],
            next: Plain::new(0),
        }
    }

    /// When nothing runs.
    pub(crate) fn destroy_at_rest(&self) {
        self.arp_lock.destroy();
    }

    /// Packets that wait. When nothing runs.
    pub(crate) fn held(&self) -> u64 {
        let held = self.entries.iter().filter(|entry| entry.held.peek().is_some());
        held.count() as u64
    }

    fn find(&self, ifindex: u32, ip: Ipv4Address) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| entry.ifindex.get() == ifindex && entry.ip.get() == ip)
    }

    /// A place for a host; what was held for another that makes room for it.
    fn claim(&self, ifindex: u32, ip: Ipv4Address) -> (&Entry, Option<&'static Packet>) {
        let free = self.entries.iter().find(|entry| entry.ifindex.get() == 0);
        let entry = free.unwrap_or_else(|| {
            let place = self.next.get();
            self.next.set((place + 1) % ENTRIES);
            &self.entries[place]
        });
        entry.ifindex.set(ifindex);
        entry.ip.set(ip);
        entry.ether.set(None);
        (entry, entry.held.replace(None))
    }
}

/// Ends a packet that waited in vain.
#[track_caller]
fn give_up(held: Option<&'static Packet>) {
    if let Some(packet) = held {
        // SAFETY: (1) `resolve` put what `into_queue` gave; (2) it was taken out under the lock.
        let m = unsafe { Mbuf::from_queue(packet) };
        m.free(End::Unresolved);
    }
}

/// The Ethernet address of a host of the interface's net, with the packet for it (`arpresolve`). `None`: the packet waits.
#[track_caller]
pub(crate) fn resolve(
    ifp: &'static Ifnet,
    m: Mbuf,
    ip: Ipv4Address,
) -> Option<(EthernetAddress, Mbuf)> {
    let table = &ifp.net().arp;
    table.arp_lock.enter();
    let (entry, displaced) = match table.find(ifp.index(), ip) {
        Some(entry) => (entry, None),
        None => table.claim(ifp.index(), ip),
    };
    if let Some(ether) = entry.ether.get() {
        table.arp_lock.exit();
        return Some((ether, m));
    }
    let older = entry.held.replace(Some(m.into_queue()));
    table.arp_lock.exit();
    give_up(displaced);
    give_up(older);
    arprequest(ifp, ip);
    None
}

/// A host has told its Ethernet address. One that is not in the table comes into it if `create` says so.
#[track_caller]
fn update(ifp: &'static Ifnet, ip: Ipv4Address, ether: EthernetAddress, create: bool) {
    let table = &ifp.net().arp;
    table.arp_lock.enter();
    let (entry, displaced) = match table.find(ifp.index(), ip) {
        Some(entry) => (Some(entry), None),
        None if create => {
            let (entry, displaced) = table.claim(ifp.index(), ip);
            (Some(entry), displaced)
        }
        None => (None, None),
    };
    let held = entry.and_then(|entry| {
        entry.ether.set(Some(ether));
        entry.held.replace(None)
    });
    table.arp_lock.exit();
    give_up(displaced);
    if let Some(packet) = held {
        note!("{ip} is at {ether}");
        // SAFETY: (1) `resolve` put what `into_queue` gave; (2) it was taken out under the lock.
        let m = unsafe { Mbuf::from_queue(packet) };
        ether_send(ifp, m, ether, EthernetProtocol::Ipv4);
    }
}

/// Forgets the hosts of an interface (`lltable_purge_entries`).
#[track_caller]
pub(crate) fn purgeif(net: &'static Net, ifindex: u32) {
    for entry in &net.arp.entries {
        net.arp.arp_lock.enter();
        let held = if entry.ifindex.get() == ifindex {
            entry.ifindex.set(0);
            entry.held.replace(None)
        } else {
            None
        };
        net.arp.arp_lock.exit();
        give_up(held);
    }
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

/// Asks for the Ethernet address of a host (`arprequest`), in the name of an address that the interface has.
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

/// Tells the others of an address (`arpannounce`): a request for it in its own name.
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
    let locked = net.softnet_lock_unless_mpsafe();
    while let Some(m) = pq.dequeue() {
        arp_input(net, m);
    }
    net.softnet_unlock(locked);
}

/// What an ARP packet says, if it can be: of Ethernet and IPv4, from a host that can send.
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

/// Handles an ARP packet (`arp_input`, `in_arpinput`). Ends it.
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

/// What `from` says of itself is learnt, and what it asks is answered.
#[track_caller]
fn answer(
    ifp: &'static Ifnet,
    operation: ArpOperation,
    from: EthernetAddress,
    [source, target]: [Ipv4Address; 2],
) {
    let net = ifp.net();
    if from == ifp.lladdr() {
        // Its own, come back.
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
