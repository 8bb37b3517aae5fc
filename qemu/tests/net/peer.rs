//! A host at the other end of a card's wire, that speaks ARP, ICMP echo and UDP: packets are made and read by `smoltcp`,
//! which checks every checksum.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr,
    UdpPacket, UdpRepr,
};

use crate::wire::Wire;

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Bytes of the shortest frame, without its checksum: senders fill up to it.
const SHORTEST: usize = 60;

/// What a packet says to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// The kernel has this Ethernet address.
    IsAt(EthernetAddress),
    /// An answer to a ping: identifier, number, data.
    Pong(u16, u16, Vec<u8>),
    /// A datagram: from and to which port, data.
    Datagram(u16, u16, Vec<u8>),
}

/// The host, and the kernel as it knows it.
pub(crate) struct Peer {
    pub(crate) wire: Wire,
    address: EthernetAddress,
    ip: Ipv4Address,
    kernel: EthernetAddress,
    kernel_ip: Ipv4Address,
}

impl Peer {
    /// A host at this wire; the kernel is at `kernel_ip`, and its Ethernet address is not known yet.
    pub(crate) fn new(wire: Wire, ip: Ipv4Address, kernel_ip: Ipv4Address) -> Peer {
        Peer {
            wire,
            address: EthernetAddress([0x02, 0, 0, 0, 0, 2]),
            ip,
            kernel: EthernetAddress::BROADCAST,
            kernel_ip,
        }
    }

    /// Sends a frame of the kind with the packet that `fill` writes into `len` bytes.
    fn send(
        &self,
        to: EthernetAddress,
        kind: EthernetProtocol,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let mut bytes = vec![0; (ETHERNET + len).max(SHORTEST)];
        let header = EthernetRepr {
            src_addr: self.address,
            dst_addr: to,
            ethertype: kind,
        };
        header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
        fill(&mut bytes[ETHERNET..ETHERNET + len]);
        self.wire.send(&bytes);
    }

    fn send_arp(&self, operation: ArpOperation, to: EthernetAddress) {
        let packet = ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: self.address,
            source_protocol_addr: self.ip,
            target_hardware_addr: match operation {
                ArpOperation::Request => EthernetAddress([0; 6]),
                _ => to,
            },
            target_protocol_addr: self.kernel_ip,
        };
        self.send(to, EthernetProtocol::Arp, packet.buffer_len(), |bytes| {
            packet.emit(&mut ArpPacket::new_unchecked(bytes));
        });
    }

    fn send_ip(&self, protocol: IpProtocol, len: usize, fill: impl FnOnce(&mut [u8])) {
        let header = Ipv4Repr {
            src_addr: self.ip,
            dst_addr: self.kernel_ip,
            next_header: protocol,
            payload_len: len,
            hop_limit: 64,
        };
        let total = header.buffer_len() + len;
        self.send(self.kernel, EthernetProtocol::Ipv4, total, |bytes| {
            let mut packet = Ipv4Packet::new_unchecked(bytes);
            header.emit(&mut packet, &ChecksumCapabilities::default());
            fill(packet.payload_mut());
        });
    }

    /// Asks who has the kernel's address.
    pub(crate) fn ask(&self) {
        self.send_arp(ArpOperation::Request, EthernetAddress::BROADCAST);
    }

    /// Pings the kernel.
    pub(crate) fn ping(&self, ident: u16, number: u16, data: &[u8]) {
        let packet = Icmpv4Repr::EchoRequest {
            ident,
            seq_no: number,
            data,
        };
        self.send_ip(IpProtocol::Icmp, packet.buffer_len(), |bytes| {
            packet.emit(
                &mut Icmpv4Packet::new_unchecked(bytes),
                &ChecksumCapabilities::default(),
            );
        });
    }

    /// Sends a datagram to the kernel.
    pub(crate) fn datagram(&self, from: u16, to: u16, data: &[u8]) {
        let header = UdpRepr {
            src_port: from,
            dst_port: to,
        };
        let (source, target) = (self.ip.into(), self.kernel_ip.into());
        self.send_ip(IpProtocol::Udp, header.header_len() + data.len(), |bytes| {
            header.emit(
                &mut UdpPacket::new_unchecked(bytes),
                &source,
                &target,
                data.len(),
                |payload| payload.copy_from_slice(data),
                &ChecksumCapabilities::default(),
            );
        });
    }

    /// The next packet that says something to us; nothing if none comes for a while. Asked who has our address, it answers.
    ///
    /// Panics if a packet is damaged, or not one that the kernel should send.
    pub(crate) fn listen(&mut self) -> Option<Said> {
        loop {
            let bytes = self.wire.receive()?;
            let frame = EthernetFrame::new_checked(&bytes[..]).expect("a whole frame");
            let header = EthernetRepr::parse(&frame).expect("an Ethernet header");
            let said = match header.ethertype {
                EthernetProtocol::Arp => self.hear_arp(frame.payload()),
                EthernetProtocol::Ipv4 => Some(self.hear_ip(frame.payload())),
                other => panic!("the kernel sent a frame of type {other}"),
            };
            if said.is_some() {
                assert_eq!(header.dst_addr, self.address, "a packet for us goes to us");
                return said;
            }
        }
    }

    fn hear_arp(&mut self, bytes: &[u8]) -> Option<Said> {
        let packet = ArpPacket::new_checked(bytes).expect("a whole ARP packet");
        let ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: kernel,
            source_protocol_addr: source,
            target_protocol_addr: target,
            ..
        } = ArpRepr::parse(&packet).expect("ARP for Ethernet and IPv4")
        else {
            panic!("ARP of a kind that smoltcp knows since then");
        };
        assert_eq!(source, self.kernel_ip);
        match operation {
            // A kernel that gets its address says so to everybody: it asks for itself.
            ArpOperation::Request if target == source => None,
            ArpOperation::Request => {
                assert_eq!(target, self.ip, "there is nobody else on this wire");
                self.send_arp(ArpOperation::Reply, kernel);
                None
            }
            ArpOperation::Reply => {
                self.kernel = kernel;
                Some(Said::IsAt(kernel))
            }
            other => panic!("the kernel sent ARP of operation {other:?}"),
        }
    }

    fn hear_ip(&self, bytes: &[u8]) -> Said {
        let checks = ChecksumCapabilities::default();
        let packet = Ipv4Packet::new_checked(bytes).expect("a whole IP packet");
        let header = Ipv4Repr::parse(&packet, &checks).expect("a good IP header");
        assert_eq!(
            (header.src_addr, header.dst_addr),
            (self.kernel_ip, self.ip)
        );
        match header.next_header {
            IpProtocol::Icmp => {
                let packet =
                    Icmpv4Packet::new_checked(packet.payload()).expect("a whole ICMP packet");
                match Icmpv4Repr::parse(&packet, &checks).expect("a good ICMP packet") {
                    Icmpv4Repr::EchoReply {
                        ident,
                        seq_no,
                        data,
                    } => Said::Pong(ident, seq_no, data.to_vec()),
                    other => panic!("the kernel sent {other:?}"),
                }
            }
            IpProtocol::Udp => {
                let packet = UdpPacket::new_checked(packet.payload()).expect("a whole datagram");
                let (source, target) = (self.kernel_ip.into(), self.ip.into());
                let header =
                    UdpRepr::parse(&packet, &source, &target, &checks).expect("a good datagram");
                Said::Datagram(header.src_port, header.dst_port, packet.payload().to_vec())
            }
            other => panic!("the kernel sent IP of protocol {other}"),
        }
    }
}
