//! ip(4): IPv4 packets to this host, and from it.
//!
//! # Overview
//!
//! `ip_input` takes a packet from IP's queue, checks its header, and gives it to its protocol if it is for an address of
//! this host. [`ip_output`] finds a route, puts the header in front and gives the packet to the interface.
//!
//! # Contexts
//!
//! `ip_input`: IP's softint. [`ip_output`]: softint up to softnet, or thread that is bound; not in a read section.
//!
//! # Fragments
//!
//! Fragments are not reassembled, and nothing is fragmented. *Every* fragment that arrives, the first one included, ends as
//! [`End::Fragment`]. A packet that is larger than the MTU of its interface ends as [`End::TooBig`]. Each packet that is sent has
//! the flag "don't fragment", so that a router on the way reports it too.
//!
//! # Lock order
//!
//! With NET_MPSAFE no lock is held when a protocol is called. Without it, the softint holds `softnet_lock` from its beginning to
//! its end.
//!
//! # Differences from NetBSD
//!
//! There is no forwarding, no multicast, no filter, no IPsec and no fragmentation. Options are skipped. A packet is sent only while
//! its source is an address of this host. Addresses are on a list, not in a hash table.
//!
//! # Sources
//!
//! ip(4), RFC 791, RFC 1122; `sys/netinet/ip_input.c`, `sys/netinet/ip_output.c`.

use smoltcp::wire::{IPV4_HEADER_LEN, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr};

use crate::kern::lwp::Arg;
use crate::kern::psref::Psref;
use crate::net::ifnet::{if_get_byindex, if_output, if_put};
use crate::net::inet::{ia_put, in_ifaddr_get, in_is_local};
use crate::net::mbuf::{End, M_BCAST, M_MCAST, Mbuf};
use crate::net::pktqueue::{Pktqueue, pktq_rps_hash};
use crate::net::route::{Rtentry, rt_unref, rtalloc_in};
use crate::net::stages::{self, Stage};
use crate::net::stats::Count;
use crate::net::{Net, icmp, in_cksum, softnet_enter, softnet_exit, udp};

/// Hops that a packet may make (`IPDEFTTL`).
const TTL: u8 = 64;

/// What the header of a packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its source.
    pub src: Ipv4Address,
    /// Its destination.
    pub dst: Ipv4Address,
    /// The protocol of its data.
    pub protocol: IpProtocol,
    /// Bytes of the header.
    pub header_len: usize,
    /// Bytes of the packet, header included.
    pub total_len: usize,
}

/// Puts a packet on IP's queue, on the CPU of its flow.
#[track_caller]
pub(crate) fn enqueue(net: &'static Net, m: Mbuf) {
    stages::reached(Stage::Demultiplexed);
    let hash = pktq_rps_hash(m.bytes());
    net.ip_pktq().enqueue(m, hash);
    stages::reached(Stage::Enqueued);
}

/// The softint of IP (`ipintr`).
pub(crate) fn ipintr(pq: &'static Pktqueue) {
    // SAFETY: `Net::create` gave the stack, which lives until its queues are destroyed.
    let net: &'static Net = unsafe { pq.arg().get() };
    softnet_enter(&net.softnet_lock);
    while let Some(m) = pq.dequeue() {
        stages::reached(Stage::Ip);
        ip_input(net, m);
        stages::reached(Stage::Done);
    }
    softnet_exit(&net.softnet_lock);
}

/// A queue for IP.
#[track_caller]
pub(crate) fn create_queue(net: &'static Net) -> Option<&'static Pktqueue> {
    let slots = net.kernel.config().pcq_slots;
    Pktqueue::create(net.kernel, "ip", slots, ipintr, Arg::of(net))
}

/// What the header of a packet says, or how the packet ends.
pub fn parse(bytes: &[u8]) -> Result<Header, End> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| End::BadIp)?;
    let header_len = usize::from(packet.header_len());
    if packet.version() != 4 || header_len < IPV4_HEADER_LEN {
        return Err(End::BadIp);
    }
    if !in_cksum::ip(&packet) {
        return Err(End::BadIpSum);
    }
    let (src, dst) = (packet.src_addr(), packet.dst_addr());
    if src.is_multicast() || src.is_broadcast() || dst.is_unspecified() {
        return Err(End::BadIp);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(End::Fragment);
    }
    Ok(Header {
        src,
        dst,
        protocol: packet.next_header(),
        header_len,
        total_len: usize::from(packet.total_len()),
    })
}

/// Handles a packet that was received (`ip_input`). Its header is still in front.
#[track_caller]
fn ip_input(net: &'static Net, mut m: Mbuf) {
    net.stats.count(Count::IpIn);
    let header = match accept(net, &m) {
        Ok(header) => header,
        Err(end) => {
            net.stats.count(Count::IpDropped);
            return m.free(end);
        }
    };
    // Ethernet may have padded it.
    m.truncate(header.total_len);
    match header.protocol {
        IpProtocol::Icmp => {
            net.stats.count(Count::IcmpIn);
            icmp::icmp_input(net, m, &header);
        }
        IpProtocol::Udp => {
            net.stats.count(Count::UdpIn);
            udp::udp_input(net, m, &header);
        }
        _ => {
            net.stats.count(Count::IpDropped);
            icmp::icmp_error(net, &m, &header, icmp::PROTOCOL_UNREACHABLE);
            m.free(End::NoProtocol);
        }
    }
}

/// The header of a packet that is for this host; or how the packet ends.
#[track_caller]
fn accept(net: &'static Net, m: &Mbuf) -> Result<Header, End> {
    let psref = Psref::new();
    let Some(ifp) = if_get_byindex(net, m.rcvif(), &psref) else {
        return Err(End::IfGone);
    };
    let came_back = ifp.is_loopback();
    if_put(ifp, &psref);
    let header = parse(m.bytes())?;
    let dst = header.dst;
    if !came_back && (header.src.is_loopback() || dst.is_loopback()) {
        return Err(End::BadIp);
    }
    let is_ours = if m.flags() & (M_BCAST | M_MCAST) == 0 {
        in_is_local(net, dst)
    } else {
        let rcvif = m.rcvif();
        let to_all = |ia: &crate::net::inet::InIfaddr| {
            ia.ifindex() == rcvif
                && (dst.is_broadcast() || ia.is_broadcast(dst) || ia.addr() == dst)
        };
        let ia = in_ifaddr_get(net, to_all, &psref);
        if let Some(ia) = ia {
            ia_put(net, ia, &psref);
        }
        ia.is_some()
    };
    is_ours.then_some(header).ok_or(End::NotOurs)
}

/// A packet to be sent (an outline of `struct ip`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The address that it is sent from; `None`: that of the route.
    pub src: Option<Ipv4Address>,
    /// Its destination.
    pub dst: Ipv4Address,
    /// The protocol of its data.
    pub protocol: IpProtocol,
}

/// The address that packets to `dst` are sent from (`in_selectsrc`). `None`: there is no route.
///
/// Context: as [`ip_output`].
#[track_caller]
pub fn in_selectsrc(net: &'static Net, dst: Ipv4Address) -> Option<Ipv4Address> {
    if in_is_local(net, dst) {
        return Some(dst);
    }
    let rt = rtalloc_in(net, dst, "in_selectsrc")?;
    let source = rt.source();
    rt_unref(net, rt);
    Some(source)
}

/// Sends a packet whose header is still to be put in front (`ip_output`).
///
/// Context: softint up to softnet, or thread that is bound; not in a read section.
#[track_caller]
pub fn ip_output(net: &'static Net, m: Mbuf, out: &Outgoing) {
    stages::reached(Stage::Output);
    net.stats.count(Count::IpOut);
    if in_is_local(net, out.dst) {
        let src = out.src.unwrap_or(out.dst);
        return send(net, m, out, src, (net.loopback(), out.dst));
    }
    let Some(rt) = rtalloc_in(net, out.dst, "ip_output") else {
        return m.free(End::NoRoute);
    };
    output_by(net, m, out, rt);
    rt_unref(net, rt);
}

/// Sends a packet by a route.
#[track_caller]
fn output_by(net: &'static Net, mut m: Mbuf, out: &Outgoing, rt: &Rtentry) {
    let flags = match rt.is_broadcast(out.dst) {
        true => M_BCAST,
        false => 0,
    };
    m.set_flags(flags);
    let src = out.src.unwrap_or(rt.source());
    send(net, m, out, src, (rt.ifindex(), rt.next_hop(out.dst)));
}

/// Puts the header in front and gives the packet to the interface.
#[track_caller]
fn send(
    net: &'static Net,
    mut m: Mbuf,
    out: &Outgoing,
    src: Ipv4Address,
    (ifindex, next_hop): (u32, Ipv4Address),
) {
    stages::reached(Stage::Routed);
    if !in_is_local(net, src) {
        // The address was removed after the request came that this answers, or after the route was found.
        return m.free(End::NoAddress);
    }
    let psref = Psref::new();
    let Some(ifp) = if_get_byindex(net, ifindex, &psref) else {
        return m.free(End::IfGone);
    };
    let payload_len = m.len();
    if payload_len + IPV4_HEADER_LEN > ifp.mtu() || !m.prepend(IPV4_HEADER_LEN) {
        m.free(End::TooBig);
    } else {
        let repr = Ipv4Repr {
            src_addr: src,
            dst_addr: out.dst,
            next_header: out.protocol,
            payload_len,
            hop_limit: TTL,
        };
        repr.emit(
            &mut Ipv4Packet::new_unchecked(m.bytes_mut()),
            &smoltcp::phy::ChecksumCapabilities::default(),
        );
        if_output(ifp, m, next_hop);
    }
    if_put(ifp, &psref);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SRC: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
    const DST: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);

    fn packet() -> [u8; 28] {
        let mut bytes = [0; 28];
        let repr = Ipv4Repr {
            src_addr: SRC,
            dst_addr: DST,
            next_header: IpProtocol::Udp,
            payload_len: 8,
            hop_limit: TTL,
        };
        repr.emit(
            &mut Ipv4Packet::new_unchecked(&mut bytes[..]),
            &smoltcp::phy::ChecksumCapabilities::default(),
        );
        bytes
    }

    /// The packet with its header changed, and its checksum right again.
    fn changed(change: impl FnOnce(&mut Ipv4Packet<&mut [u8]>)) -> [u8; 28] {
        let mut bytes = packet();
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
        change(&mut packet);
        packet.fill_checksum();
        bytes
    }

    #[test]
    fn a_header_is_read() {
        let header = Header {
            src: SRC,
            dst: DST,
            protocol: IpProtocol::Udp,
            header_len: 20,
            total_len: 28,
        };
        assert_eq!(parse(&packet()), Ok(header));
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        let mut sum = packet();
        sum[10] ^= 1;
        assert_eq!(parse(&sum), Err(End::BadIpSum));
        assert_eq!(parse(&packet()[..19]), Err(End::BadIp));
        assert_eq!(parse(&packet()[..27]), Err(End::BadIp));
        assert_eq!(parse(&changed(|p| p.set_version(6))), Err(End::BadIp));
        assert_eq!(parse(&changed(|p| p.set_header_len(16))), Err(End::BadIp));
        let to_nobody = changed(|p| p.set_dst_addr(Ipv4Address::UNSPECIFIED));
        assert_eq!(parse(&to_nobody), Err(End::BadIp));
        let from_all = changed(|p| p.set_src_addr(Ipv4Address::BROADCAST));
        assert_eq!(parse(&from_all), Err(End::BadIp));
    }

    #[test]
    fn every_fragment_is_one() {
        assert_eq!(
            parse(&changed(|p| p.set_more_frags(true))),
            Err(End::Fragment)
        );
        assert_eq!(
            parse(&changed(|p| p.set_frag_offset(8))),
            Err(End::Fragment)
        );
    }

    #[test]
    fn garbage_has_a_verdict() {
        let mut accepted = 0;
        crate::net::garbage::feed(&packet(), |bytes| {
            accepted += u32::from(parse(bytes).is_ok());
            pktq_rps_hash(bytes);
        });
        assert!(accepted > 0, "some of it is a packet");
    }
}
