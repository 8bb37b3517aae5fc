//! icmp(4): echo, and errors.
//!
//! # Overview
//!
//! An echo request becomes its own reply: the same packet goes back, with the addresses exchanged. Datagrams for a port
//! that nobody has, and packets of an unknown protocol, are answered by an error with the beginning of what they were.
//!
//! # Contexts
//!
//! As [`ip_output`]: softint up to softnet.
//!
//! # What is not answered
//!
//! What was sent to many, by IP or by Ethernet; and with an error, what is itself ICMP, or comes from nowhere (RFC 1122,
//! 3.2.2).
//!
//! # Differences from NetBSD
//!
//! Errors are not limited in number. No redirects, masks or time stamps; what others report is counted and not acted on.
//!
//! # Sources
//!
//! icmp(4), RFC 792; `sys/netinet/ip_icmp.c`.

use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, IpProtocol};

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
        Some(Icmpv4Message::EchoRequest) if !to_many => {
            net.stats.count(Count::EchoRequests);
            icmp_reflect(net, m, header);
        }
        Some(_) => {
            net.stats.count(Count::IcmpOther);
            m.free(End::Icmp);
        }
    }
}

/// A message to whoever sent the packet with this header, from the address that it was sent to.
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
    if to_many || header.protocol == IpProtocol::Icmp || header.src.is_unspecified() {
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
