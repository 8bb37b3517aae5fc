//! Packets of hosts at the other end of a card's wire. Tests create them one by one, and read the kernel's packets, all of which
//! must be well-formed. [`peer`](crate::peer) is one host; this module serves any number of hosts.

use kmod::scenario::net::wellformed::check;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4Message, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};

const ETHERNET: usize = 14;
const SHORTEST: usize = 60;
/// The Ethernet address of all hosts outside.
const OURS: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 7]);

/// What a frame of the kernel's says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// Who has the address? The kernel asks in the name of one of its own.
    ArpRequest {
        from: Ipv4Address,
        target: Ipv4Address,
    },
    ArpReply,
    Pong {
        sequence: u16,
    },
    Datagram,
    /// A port or a protocol that is not served.
    Unreachable,
}

fn sums() -> ChecksumCapabilities {
    ChecksumCapabilities::default()
}

/// Who makes and reads packets: with the Ethernet address of the card.
pub(crate) struct Packets {
    card: EthernetAddress,
}

impl Packets {
    pub(crate) fn new(card: [u8; 6]) -> Packets {
        Packets {
            card: EthernetAddress(card),
        }
    }

    /// A frame with `len` bytes in it, which `fill` writes.
    fn frame(
        &self,
        to: EthernetAddress,
        ethertype: EthernetProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Vec<u8> {
        let mut bytes = vec![0; (ETHERNET + len).max(SHORTEST)];
        let header = EthernetRepr {
            src_addr: OURS,
            dst_addr: to,
            ethertype,
        };
        header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        fill(&mut bytes[ETHERNET..ETHERNET + len]);
        bytes
    }

    fn arp(
        &self,
        operation: ArpOperation,
        to: EthernetAddress,
        source: Ipv4Address,
        target: Ipv4Address,
    ) -> Vec<u8> {
        let packet = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: OURS,
            source_protocol_addr: source,
            target_hardware_addr: self.card,
            target_protocol_addr: target,
        };
        self.frame(to, EthernetProtocol::Arp, packet.buffer_len(), |bytes| {
            packet.emit(&mut ArpPacket::new_unchecked(bytes));
        })
    }

    /// Who has `target`?
    pub(crate) fn arp_request(&self, source: Ipv4Address, target: Ipv4Address) -> Vec<u8> {
        self.arp(
            ArpOperation::Request,
            EthernetAddress::BROADCAST,
            source,
            target,
        )
    }

    /// `source` is here.
    pub(crate) fn arp_reply(&self, source: Ipv4Address, target: Ipv4Address) -> Vec<u8> {
        self.arp(ArpOperation::Reply, self.card, source, target)
    }

    /// A packet with `payload_len` bytes in it, which `fill` writes.
    pub(crate) fn ip(
        &self,
        (src_addr, dst_addr): (Ipv4Address, Ipv4Address),
        next_header: IpProtocol,
        payload_len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Vec<u8> {
        let header = Ipv4Repr {
            src_addr,
            dst_addr,
            next_header,
            payload_len,
            hop_limit: 64,
        };
        let len = header.buffer_len() + payload_len;
        self.frame(self.card, EthernetProtocol::Ipv4, len, |bytes| {
            let mut packet = Ipv4Packet::new_unchecked(bytes);
            header.emit(&mut packet, &sums());
            fill(packet.payload_mut());
        })
    }

    /// An echo request.
    pub(crate) fn ping(
        &self,
        src: Ipv4Address,
        dst: Ipv4Address,
        sequence: u16,
        data: &[u8],
    ) -> Vec<u8> {
        let packet = Icmpv4Repr::EchoRequest {
            ident: 7,
            seq_no: sequence,
            data,
        };
        let len = packet.buffer_len();
        self.ip((src, dst), IpProtocol::Icmp, len, |bytes| {
            packet.emit(&mut Icmpv4Packet::new_unchecked(bytes), &sums());
        })
    }

    /// A datagram, from and to an address with its port.
    pub(crate) fn datagram(
        &self,
        (src, src_port): (Ipv4Address, u16),
        (dst, dst_port): (Ipv4Address, u16),
        data: &[u8],
    ) -> Vec<u8> {
        let header = UdpRepr { src_port, dst_port };
        let len = header.header_len() + data.len();
        self.ip((src, dst), IpProtocol::Udp, len, |bytes| {
            header.emit(
                &mut UdpPacket::new_unchecked(bytes),
                &src.into(),
                &dst.into(),
                data.len(),
                |payload| payload.copy_from_slice(data),
                &sums(),
            );
        })
    }

    /// The first part of a datagram, or the last.
    pub(crate) fn fragment(&self, src: Ipv4Address, dst: Ipv4Address, first: bool) -> Vec<u8> {
        let mut bytes = self.datagram((src, 4000), (dst, 7), b"sixteen bytes...");
        let mut packet = Ipv4Packet::new_unchecked(&mut bytes[ETHERNET..]);
        packet.set_dont_frag(false);
        packet.set_more_frags(first);
        packet.set_frag_offset(if first { 0 } else { 24 });
        packet.fill_checksum();
        bytes
    }

    /// Reads a frame of the kernel's.
    ///
    /// Panics if it is malformed, or not one that the kernel should send.
    pub(crate) fn hear(&self, bytes: &[u8]) -> Heard {
        if let Err(rule) = check(bytes) {
            panic!("the kernel sent a malformed frame: {rule}: {bytes:02x?}");
        }
        let frame = EthernetFrame::new_unchecked(bytes);
        assert_eq!(frame.src_addr(), self.card, "the card sends as itself");
        if frame.ethertype() == EthernetProtocol::Arp {
            return hear_arp(frame.payload());
        }
        assert_eq!(frame.dst_addr(), OURS, "a packet for us goes to us");
        hear_ip(frame.payload())
    }
}

fn hear_arp(bytes: &[u8]) -> Heard {
    let packet = ArpPacket::new_unchecked(bytes);
    match ArpRepr::parse(&packet) {
        Ok(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_protocol_addr: from,
            target_protocol_addr: target,
            ..
        }) => Heard::ArpRequest { from, target },
        _ => Heard::ArpReply,
    }
}

fn hear_ip(bytes: &[u8]) -> Heard {
    let packet = Ipv4Packet::new_unchecked(bytes);
    if packet.next_header() == IpProtocol::Udp {
        return Heard::Datagram;
    }
    let icmp = Icmpv4Packet::new_unchecked(packet.payload());
    match icmp.msg_type() {
        Icmpv4Message::EchoReply => Heard::Pong {
            sequence: icmp.echo_seq_no(),
        },
        Icmpv4Message::DstUnreachable => Heard::Unreachable,
        other => panic!("the kernel sent ICMP of type {other}"),
    }
}
