//! Frames as another host sends them, and what the stack's answers say.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Message, Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet,
    Ipv4Repr, UdpPacket,
};

use crate::kern::lwp::{curlwp_bind, curlwp_bindx};
use crate::net::ether::ETHER_HDR_LEN;
use crate::net::ip::{Outgoing, ip_output};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{Net, in_cksum, softnet_enter, softnet_exit};

/// Bytes of an IPv4 header.
const IP_LEN: usize = 20;
/// Bytes of an ARP packet.
const ARP_LEN: usize = 28;
/// Bytes of a UDP header.
const UDP_LEN: usize = 8;

/// The data of echo requests, or a longer text that begins with it. All of it makes a packet of 64 bytes.
pub const ECHO_DATA: &[u8; 36] = b"echoechoechoechoechoechoechoechoecho";

/// The usual length of the data.
const ECHO_LEN: usize = 4;

/// A host on the wire: its Ethernet and its IP address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its Ethernet address.
    pub ether: [u8; 6],
    /// Its IP address.
    pub ip: Ipv4Address,
}

/// A frame with room for so many bytes behind its header.
fn frame(from: Host, to: [u8; 6], protocol: EthernetProtocol, len: usize) -> Option<Mbuf> {
    let mut m = Mbuf::get()?;
    if !m.resize(ETHER_HDR_LEN + len) {
        m.free(End::NoMemory);
        return None;
    }
    let mut frame = EthernetFrame::new_unchecked(m.bytes_mut());
    frame.set_src_addr(EthernetAddress(from.ether));
    frame.set_dst_addr(EthernetAddress(to));
    frame.set_ethertype(protocol);
    Some(m)
}

/// An ARP packet in a frame to the Ethernet address `to`.
fn arp(from: Host, to: [u8; 6], operation: ArpOperation, target: Host) -> Option<Mbuf> {
    let mut m = frame(from, to, EthernetProtocol::Arp, ARP_LEN)?;
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from.ether),
        source_protocol_addr: from.ip,
        target_hardware_addr: EthernetAddress(target.ether),
        target_protocol_addr: target.ip,
    };
    let packet = &mut m.bytes_mut()[ETHER_HDR_LEN..];
    repr.emit(&mut ArpPacket::new_unchecked(packet));
    Some(m)
}

/// An ARP request for the Ethernet address of `target`, to all hosts.
pub fn arp_request(from: Host, target: Ipv4Address) -> Option<Mbuf> {
    let target = Host {
        ether: [0; 6],
        ip: target,
    };
    arp(from, [0xff; 6], ArpOperation::Request, target)
}

/// An ARP reply of `from` to `to`, whether or not there was a request.
pub fn arp_reply(from: Host, to: Host) -> Option<Mbuf> {
    arp(from, to.ether, ArpOperation::Reply, to)
}

/// A frame with an IP header, and so many bytes behind it.
fn ip(from: Host, to: Host, protocol: IpProtocol, len: usize) -> Option<Mbuf> {
    let mut m = frame(from, to.ether, EthernetProtocol::Ipv4, IP_LEN + len)?;
    let repr = Ipv4Repr {
        src_addr: from.ip,
        dst_addr: to.ip,
        next_header: protocol,
        payload_len: len,
        hop_limit: 64,
    };
    let packet = &mut m.bytes_mut()[ETHER_HDR_LEN..];
    repr.emit(
        &mut Ipv4Packet::new_unchecked(packet),
        &ChecksumCapabilities::default(),
    );
    Some(m)
}

/// An echo request with so many bytes of [`ECHO_DATA`].
fn echo(number: u16, len: usize) -> Option<Icmpv4Repr<'static>> {
    Some(Icmpv4Repr::EchoRequest {
        ident: 1,
        seq_no: number,
        data: ECHO_DATA.get(..len)?,
    })
}

/// Sends an echo request from this host (`ping`).
///
/// Context: thread that may sleep, without `softnet_lock`.
pub fn ping(net: &'static Net, dst: Ipv4Address, number: u16) {
    let (Some(mut m), Some(repr)) = (Mbuf::get(), echo(number, ECHO_LEN)) else {
        return;
    };
    if !m.resize(repr.buffer_len()) {
        return m.free(End::NoMemory);
    }
    repr.emit(
        &mut Icmpv4Packet::new_unchecked(m.bytes_mut()),
        &ChecksumCapabilities::default(),
    );
    let out = Outgoing {
        src: None,
        dst,
        protocol: IpProtocol::Icmp,
    };
    // As a thread that sends from a socket.
    let bound = curlwp_bind();
    softnet_enter(&net.softnet_lock);
    ip_output(net, m, &out);
    softnet_exit(&net.softnet_lock);
    curlwp_bindx(bound);
}

/// An echo request.
pub fn echo_request(from: Host, to: Host, number: u16) -> Option<Mbuf> {
    echo_request_of(from, to, number, ECHO_LEN)
}

/// An echo request with so many bytes of data, at most those of [`ECHO_DATA`].
pub fn echo_request_of(from: Host, to: Host, number: u16, len: usize) -> Option<Mbuf> {
    let repr = echo(number, len)?;
    let mut m = ip(from, to, IpProtocol::Icmp, repr.buffer_len())?;
    let packet = &mut m.bytes_mut()[ETHER_HDR_LEN + IP_LEN..];
    repr.emit(
        &mut Icmpv4Packet::new_unchecked(packet),
        &ChecksumCapabilities::default(),
    );
    Some(m)
}

/// A fragment of a larger packet: the first, or a later one.
pub fn fragment(from: Host, to: Host, first: bool) -> Option<Mbuf> {
    let mut m = ip(from, to, IpProtocol::Udp, 16)?;
    let mut packet = Ipv4Packet::new_unchecked(&mut m.bytes_mut()[ETHER_HDR_LEN..]);
    packet.set_dont_frag(false);
    packet.set_more_frags(first);
    packet.set_frag_offset(if first { 0 } else { 16 });
    packet.fill_checksum();
    Some(m)
}

/// A datagram with two bytes of data: its number.
pub fn datagram(from: (Host, u16), to: (Host, u16), number: u16) -> Option<Mbuf> {
    let ((from, from_port), (to, to_port)) = (from, to);
    let data = number.to_be_bytes();
    let mut m = ip(from, to, IpProtocol::Udp, UDP_LEN + data.len())?;
    let mut packet = UdpPacket::new_unchecked(&mut m.bytes_mut()[ETHER_HDR_LEN + IP_LEN..]);
    packet.set_src_port(from_port);
    packet.set_dst_port(to_port);
    packet.set_len((UDP_LEN + data.len()) as u16);
    packet.payload_mut().copy_from_slice(&data);
    packet.fill_checksum(&IpAddress::Ipv4(from.ip), &IpAddress::Ipv4(to.ip));
    Some(m)
}

/// What a frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// A host says that it has the address.
    ArpReply(Ipv4Address),
    /// The first host asks who has the second address; both are the same if it announces its own.
    ArpRequest(Ipv4Address, Ipv4Address),
    /// An echo request: its source and its number.
    EchoRequest(Ipv4Address, u16),
    /// An echo reply: its source and the number of the request.
    EchoReply(Ipv4Address, u16),
    /// A datagram: its source, its source port, and the number in it.
    Datagram(Ipv4Address, u16, u16),
    /// An error: the port, or the protocol, is not used on this host.
    PortUnreachable(Ipv4Address),
    /// Another valid frame.
    Other,
    /// None of these. [`wellformed`](super::wellformed) tells what is wrong with it, if anything is.
    Malformed,
}

/// Reads a frame.
pub fn look(frame: &[u8]) -> Seen {
    parse(frame).unwrap_or(Seen::Malformed)
}

fn parse(frame: &[u8]) -> Option<Seen> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => {
            let packet = ArpPacket::new_checked(frame.payload()).ok()?;
            let ArpRepr::EthernetIpv4 {
                operation,
                source_protocol_addr: source,
                target_protocol_addr: target,
                ..
            } = ArpRepr::parse(&packet).ok()?
            else {
                return None;
            };
            Some(match operation {
                ArpOperation::Reply => Seen::ArpReply(source),
                ArpOperation::Request => Seen::ArpRequest(source, target),
                ArpOperation::Unknown(_) => Seen::Other,
            })
        }
        EthernetProtocol::Ipv4 => parse_ip(frame.payload()),
        _ => None,
    }
}

fn parse_ip(packet: &[u8]) -> Option<Seen> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    let src = ip.src_addr();
    if !in_cksum::ip(&ip) {
        return None;
    }
    match ip.next_header() {
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(ip.payload()).ok()?;
            if !in_cksum::icmp(&icmp) {
                return None;
            }
            match icmp.msg_type() {
                Icmpv4Message::EchoRequest if ECHO_DATA.starts_with(icmp.data()) => {
                    Some(Seen::EchoRequest(src, icmp.echo_seq_no()))
                }
                Icmpv4Message::EchoReply if ECHO_DATA.starts_with(icmp.data()) => {
                    Some(Seen::EchoReply(src, icmp.echo_seq_no()))
                }
                // It quotes a part of a packet, so it cannot be parsed further.
                Icmpv4Message::DstUnreachable => Some(Seen::PortUnreachable(src)),
                _ => None,
            }
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(ip.payload()).ok()?;
            if !in_cksum::udp(&udp, src, ip.dst_addr()) {
                return None;
            }
            let number = udp.payload().first_chunk().copied()?;
            Some(Seen::Datagram(
                src,
                udp.src_port(),
                u16::from_be_bytes(number),
            ))
        }
        _ => None,
    }
}
