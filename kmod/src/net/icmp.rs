//! icmp(4): echo, and errors.
//!
//! # Overview
//!
//! An echo request becomes its own reply: the same packet goes back with another type and with the addresses exchanged. Its code
//! stays, whatever it is. A datagram for a port without a socket, and a packet of an unknown protocol, is answered with an error
//! that quotes its IP header and the 8 bytes behind it, or fewer if it has fewer.
//!
//! # Contexts
//!
//! As [`ip_output`]: softint up to softnet.
//!
//! # What is not answered
//!
//! - A packet that was sent to more than one host, by IP or by Ethernet.
//! - A packet from an address that no answer can be sent to (`in_canforward`): of net 0, of a group, or reserved.
//! - With an error: any ICMP message (RFC 1122, 3.2.2, which forbids it for errors).
//!
//! # Differences from NetBSD
//!
//! The rate of errors is not limited. There are no redirects, masks or time stamps. Errors that other hosts report are counted
//! and have no effect.
//!
//! # Sources
//!
//! icmp(4), RFC 792; `sys/netinet/ip_icmp.c`.

use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpProtocol, Ipv4Address};

use crate::net::ip::{Header, Outgoing, ip_output};
use crate::net::mbuf::{End, M_BCAST, M_MCAST, Mbuf};
use crate::net::stages::{self, Stage};
use crate::net::stats::Count;
use crate::net::{Net, in_cksum};

/// The protocol is not spoken here.
pub const PROTOCOL_UNREACHABLE: u8 = 2;
/// Nobody has the port.
pub const PORT_UNREACHABLE: u8 = 3;

/// Bytes in front of what an error quotes.
const ERROR_HEADER_LEN: usize = 8;
/// Bytes that are quoted after the header of the packet (RFC 792).
const QUOTED_LEN: usize = 8;

/// The type of a message that is whole.
fn parse(bytes: &[u8]) -> Option<Icmpv4Message> {
    let packet = Icmpv4Packet::new_checked(bytes).ok()?;
    in_cksum::icmp(&packet).then(|| packet.msg_type())
}

/// Handles a message (`icmp_input`). The IP header is still in front.
#[track_caller]
pub(crate) fn icmp_input(net: &'static Net, mut m: Mbuf, header: &Header) {
    stages::reached(Stage::Icmp);
    m.adj(header.header_len);
    let to_many = m.flags() & (M_BCAST | M_MCAST) != 0;
    match parse(m.bytes()) {
        None => {
            net.stats.count(Count::IcmpDropped);
            m.free(End::BadIcmp);
        }
        Some(Icmpv4Message::EchoRequest) if !to_many && is_answerable(header.src) => {
            net.stats.count(Count::EchoRequests);
            icmp_reflect(net, m, header);
        }
        Some(_) => {
            net.stats.count(Count::IcmpOther);
            m.free(End::Icmp);
        }
    }
}

/// Whether an answer can be sent to an address (`in_canforward`). A loopback address has come from this host.
fn is_answerable(src: Ipv4Address) -> bool {
    // The addresses from 224.0.0.0 on are groups, and from 240.0.0.0 on reserved.
    !matches!(src.octets()[0], 0 | 224..)
}

/// A message to the sender of the packet with this header, from the address that it was sent to.
fn back(header: &Header) -> Outgoing {
    Outgoing {
        src: Some(header.dst),
        dst: header.src,
        protocol: IpProtocol::Icmp,
    }
}

/// Sends an echo request back as its reply (`icmp_reflect`).
#[track_caller]
fn icmp_reflect(net: &'static Net, mut m: Mbuf, header: &Header) {
    let mut packet = Icmpv4Packet::new_unchecked(m.bytes_mut());
    packet.set_msg_type(Icmpv4Message::EchoReply);
    packet.fill_checksum();
    net.stats.count(Count::EchoReplies);
    ip_output(net, m, &back(header));
}

/// Tells the sender of a packet, whose IP header is still in front, that its destination cannot be reached
/// (`icmp_error`). The packet stays the caller's.
#[track_caller]
pub(crate) fn icmp_error(net: &'static Net, m: &Mbuf, header: &Header, code: u8) {
    let to_many = m.flags() & (M_BCAST | M_MCAST) != 0;
    if to_many || header.protocol == IpProtocol::Icmp || !is_answerable(header.src) {
        return;
    }
    let quoted_len = m.len().min(header.header_len + QUOTED_LEN);
    let Some(mut error) = Mbuf::get() else { return };
    if !error.resize(ERROR_HEADER_LEN + quoted_len) {
        return error.free(End::NoMemory);
    }
    let bytes = error.bytes_mut();
    bytes[ERROR_HEADER_LEN..].copy_from_slice(&m.bytes()[..quoted_len]);
    let mut packet = Icmpv4Packet::new_unchecked(bytes);
    packet.set_msg_type(Icmpv4Message::DstUnreachable);
    packet.set_msg_code(code);
    packet.fill_checksum();
    net.stats.count(Count::IcmpErrors);
    ip_output(net, error, &back(header));
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::Icmpv4DstUnreachable;

    use super::*;

    #[test]
    fn the_codes_are_those_of_the_wire() {
        assert_eq!(
            PROTOCOL_UNREACHABLE,
            u8::from(Icmpv4DstUnreachable::ProtoUnreachable)
        );
        assert_eq!(
            PORT_UNREACHABLE,
            u8::from(Icmpv4DstUnreachable::PortUnreachable)
        );
    }

    #[test]
    fn groups_and_nets_that_no_host_is_on_are_not_answered() {
        for no in [[0, 0, 0, 0], [0, 1, 2, 3], [224, 0, 0, 1], [240, 0, 0, 1]] {
            assert!(!is_answerable(Ipv4Address::from(no)), "{no:?}");
        }
        for yes in [[10, 0, 2, 2], [127, 0, 0, 1], [223, 255, 255, 254]] {
            assert!(is_answerable(Ipv4Address::from(yes)), "{yes:?}");
        }
    }

    #[test]
    fn a_message_is_told_by_its_type_if_its_checksum_is_right() {
        let mut bytes = [0; 12];
        let mut packet = Icmpv4Packet::new_unchecked(&mut bytes[..]);
        packet.set_msg_type(Icmpv4Message::EchoRequest);
        packet.fill_checksum();
        assert_eq!(parse(&bytes), Some(Icmpv4Message::EchoRequest));
        bytes[11] ^= 1;
        assert_eq!(parse(&bytes), None);
        for len in 0..4 {
            assert_eq!(parse(&bytes[..len]), None);
        }
    }

    #[test]
    fn garbage_is_looked_at() {
        let mut bytes = [0; 12];
        let mut packet = Icmpv4Packet::new_unchecked(&mut bytes[..]);
        packet.set_msg_type(Icmpv4Message::EchoRequest);
        packet.fill_checksum();
        let mut accepted = 0;
        crate::net::garbage::feed(&bytes, |bytes| {
            accepted += u32::from(parse(bytes).is_some());
        });
        assert!(accepted > 0, "some of it is a message");
    }
}
