//! Ethernet: from a frame to a protocol's queue, and back.
//!
//! # Overview
//!
//! [`ether_input`] checks the header of a frame that an interface has received, removes it, and puts the packet on the queue of IP
//! or of ARP. [`ether_output`] finds the Ethernet address of the next hop, with ARP if it is not known yet, and sends.
//!
//! # Contexts
//!
//! Softint up to softnet, or thread that is bound, with a reference to the interface.
//!
//! # Differences from NetBSD
//!
//! There are no VLANs, no bridges and no link aggregation. There is no promiscuous mode: frames for other hosts are dropped here.
//!
//! # Sources
//!
//! `sys/net/if_ethersubr.c`.

use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Address};

use crate::net::ifnet::{Ifnet, if_transmit};
use crate::net::mbuf::{End, M_BCAST, M_MCAST, Mbuf};
use crate::net::stages::{self, Stage};
use crate::net::stats::Count;
use crate::net::{arp_wire, ip};

/// Bytes of an Ethernet header.
pub const ETHER_HDR_LEN: usize = EthernetFrame::<&[u8]>::header_len();
/// Fewest bytes of a frame, without its checksum.
const ETHER_MIN_LEN: usize = 60;

/// Takes a frame that was received (`ether_input`).
#[track_caller]
pub fn ether_input(ifp: &'static Ifnet, mut m: Mbuf) {
    let net = ifp.net();
    net.stats.count(Count::EtherIn);
    let verdict = classify(m.bytes(), ifp.lladdr());
    let (protocol, flags) = match verdict {
        Ok(found) => found,
        Err(end) => {
            net.stats.count(Count::EtherDropped);
            return m.free(end);
        }
    };
    m.set_flags(flags);
    m.adj(ETHER_HDR_LEN);
    match protocol {
        EthernetProtocol::Ipv4 => {
            net.stats.count(Count::EtherIp);
            ip::enqueue(net, m);
        }
        _ => {
            net.stats.count(Count::EtherArp);
            arp_wire::enqueue(net, m);
        }
    }
}

/// What a frame is for an interface with this address: its protocol, IPv4 or ARP, and the flags of its packet; or how it
/// ends.
fn classify(frame: &[u8], own: EthernetAddress) -> Result<(EthernetProtocol, u32), End> {
    let frame = EthernetFrame::new_checked(frame).map_err(|_| End::BadFrame)?;
    if !frame.src_addr().is_unicast() {
        return Err(End::BadFrame);
    }
    let dst = frame.dst_addr();
    let flags = if dst.is_broadcast() {
        M_BCAST
    } else if dst.is_multicast() {
        M_MCAST
    } else if dst == own {
        0
    } else {
        return Err(End::OtherHost);
    };
    match frame.ethertype() {
        protocol @ (EthernetProtocol::Ipv4 | EthernetProtocol::Arp) => Ok((protocol, flags)),
        EthernetProtocol::Ipv6 | EthernetProtocol::Unknown(_) => Err(End::NoEthertype),
    }
}

/// Sends an IP packet to the host `dst` of the interface's own net (`ether_output`).
///
/// If its Ethernet address is not known the packet waits for it.
#[track_caller]
pub fn ether_output(ifp: &'static Ifnet, m: Mbuf, dst: Ipv4Address) {
    stages::reached(Stage::Resolve);
    if m.flags() & M_BCAST != 0 {
        return ether_send(ifp, m, EthernetAddress::BROADCAST, EthernetProtocol::Ipv4);
    }
    if let Some((to, m)) = arp_wire::resolve(ifp, m, dst) {
        ether_send(ifp, m, to, EthernetProtocol::Ipv4);
    }
}

/// Puts the header in front and sends.
#[track_caller]
pub fn ether_send(
    ifp: &'static Ifnet,
    mut m: Mbuf,
    to: EthernetAddress,
    protocol: EthernetProtocol,
) {
    stages::reached(Stage::Resolved);
    if !m.prepend(ETHER_HDR_LEN) {
        return m.free(End::TooBig);
    }
    let mut frame = EthernetFrame::new_unchecked(m.bytes_mut());
    frame.set_dst_addr(to);
    frame.set_src_addr(ifp.lladdr());
    frame.set_ethertype(protocol);
    // A packet has room for that: its headers begin at `MAX_HEADERS` at most.
    let long_enough = m.len() >= ETHER_MIN_LEN || m.resize(ETHER_MIN_LEN);
    if !long_enough {
        return m.free(End::TooBig);
    }
    if_transmit(ifp, m);
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
    const PEER: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);

    fn frame(dst: EthernetAddress, src: EthernetAddress, ethertype: u16) -> [u8; 60] {
        let mut bytes = [0; 60];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_dst_addr(dst);
        frame.set_src_addr(src);
        frame.set_ethertype(EthernetProtocol::from(ethertype));
        bytes
    }

    #[test]
    fn a_frame_is_told_by_its_header() {
        let ip = |dst| classify(&frame(dst, PEER, 0x0800), OWN);
        assert_eq!(ip(OWN), Ok((EthernetProtocol::Ipv4, 0)));
        assert_eq!(
            ip(EthernetAddress::BROADCAST),
            Ok((EthernetProtocol::Ipv4, M_BCAST))
        );
        assert_eq!(
            ip(EthernetAddress([1, 0, 0x5e, 0, 0, 1])),
            Ok((EthernetProtocol::Ipv4, M_MCAST))
        );
        assert_eq!(ip(PEER), Err(End::OtherHost));
        assert_eq!(
            classify(&frame(OWN, PEER, 0x0806), OWN),
            Ok((EthernetProtocol::Arp, 0))
        );
        assert_eq!(
            classify(&frame(OWN, PEER, 0x86dd), OWN),
            Err(End::NoEthertype)
        );
        assert_eq!(
            classify(&frame(OWN, EthernetAddress::BROADCAST, 0x0800), OWN),
            Err(End::BadFrame)
        );
    }

    #[test]
    fn what_is_too_short_is_no_frame() {
        let whole = frame(OWN, PEER, 0x0800);
        for len in 0..ETHER_HDR_LEN {
            assert_eq!(classify(&whole[..len], OWN), Err(End::BadFrame));
        }
        assert!(classify(&whole[..ETHER_HDR_LEN], OWN).is_ok());
    }

    #[test]
    fn garbage_has_a_verdict() {
        let mut accepted = 0;
        crate::net::garbage::feed(&frame(OWN, PEER, 0x0800), |bytes| {
            accepted += u32::from(classify(bytes, OWN).is_ok());
        });
        assert!(accepted > 0, "some of it is a frame");
    }
}
