//! The frames of the sender, made and parsed by `smoltcp`, which checks every checksum.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr,
};

/// The sender's address.
const OURS: EthernetAddress = EthernetAddress([0x02, 0, 0, 0, 0, 2]);
const OUR_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// The address of the measured kernel.
const KERNEL_IP: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);

/// Bytes of an Ethernet header.
const ETHERNET: usize = 14;
/// Length of the shortest frame in bytes, without its checksum; senders pad to it.
const SHORTEST: usize = 60;
/// Bytes of an echo request, with its IP header.
pub(crate) const PACKET: usize = 64;
/// Bytes of it after the headers of IP and ICMP.
const DATA: usize = PACKET - 20 - 8;
/// The identifier of this program's requests.
const IDENT: u16 = 0x1cab;

/// The meaning of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// The kernel has this Ethernet address.
    IsAt(EthernetAddress),
    /// The kernel asks for ours.
    WhoHas(EthernetAddress),
    /// The correct answer to the request of this number.
    Reply(u64),
}

/// The data of request `number`: the number, and bytes that depend on it.
fn data(number: u64) -> [u8; DATA] {
    let mut data = [0; DATA];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in &mut data[8..] {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    data[..8].copy_from_slice(&number.to_be_bytes());
    data
}

fn frame(
    to: EthernetAddress,
    kind: EthernetProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = vec![0; (ETHERNET + len).max(SHORTEST)];
    let header = EthernetRepr {
        src_addr: OURS,
        dst_addr: to,
        ethertype: kind,
    };
    header.emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    fill(&mut bytes[ETHERNET..ETHERNET + len]);
    bytes
}

fn arp(operation: ArpOperation, to: EthernetAddress, target: EthernetAddress) -> Vec<u8> {
    let packet = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: OURS,
        source_protocol_addr: OUR_IP,
        target_hardware_addr: target,
        target_protocol_addr: KERNEL_IP,
    };
    frame(to, EthernetProtocol::Arp, packet.buffer_len(), |bytes| {
        packet.emit(&mut ArpPacket::new_unchecked(bytes));
    })
}

/// Asks for the kernel's address.
pub(crate) fn arp_request() -> Vec<u8> {
    let nobody = EthernetAddress([0; 6]);
    arp(ArpOperation::Request, EthernetAddress::BROADCAST, nobody)
}

/// Tells the kernel our address.
pub(crate) fn arp_reply(kernel: EthernetAddress) -> Vec<u8> {
    arp(ArpOperation::Reply, kernel, kernel)
}

/// Echo request `number`, of [`PACKET`] bytes.
pub(crate) fn echo_request(kernel: EthernetAddress, number: u64) -> Vec<u8> {
    let checks = ChecksumCapabilities::default();
    let data = data(number);
    let message = Icmpv4Repr::EchoRequest {
        ident: IDENT,
        seq_no: number as u16,
        data: &data,
    };
    let header = Ipv4Repr {
        src_addr: OUR_IP,
        dst_addr: KERNEL_IP,
        next_header: IpProtocol::Icmp,
        payload_len: message.buffer_len(),
        hop_limit: 64,
    };
    frame(kernel, EthernetProtocol::Ipv4, PACKET, |bytes| {
        let mut packet = Ipv4Packet::new_unchecked(bytes);
        header.emit(&mut packet, &checks);
        message.emit(
            &mut Icmpv4Packet::new_unchecked(packet.payload_mut()),
            &checks,
        );
    })
}

/// The meaning of a frame that is for us.
///
/// `None`: it is not for us, as frames that a host broadcasts. An error: it is for us, and damaged.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Said>, String> {
    let frame = EthernetFrame::new_checked(bytes).map_err(|_| "a frame is too short")?;
    let header = EthernetRepr::parse(&frame).map_err(|_| "a frame has no header")?;
    match header.ethertype {
        EthernetProtocol::Arp => read_arp(frame.payload()),
        EthernetProtocol::Ipv4 if header.dst_addr == OURS => read_ip(frame.payload()),
        _ => Ok(None),
    }
}

fn read_arp(bytes: &[u8]) -> Result<Option<Said>, String> {
    let packet = ArpPacket::new_checked(bytes).map_err(|_| "an ARP packet is too short")?;
    match ArpRepr::parse(&packet) {
        Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: kernel,
            source_protocol_addr: KERNEL_IP,
            target_protocol_addr: OUR_IP,
            ..
        }) => Ok(match operation {
            ArpOperation::Request => Some(Said::WhoHas(kernel)),
            ArpOperation::Reply => Some(Said::IsAt(kernel)),
            ArpOperation::Unknown(_) => None,
        }),
        // A host that has got an address asks whether another has it.
        Ok(_) => Ok(None),
        Err(_) => Err("an ARP packet is none".to_owned()),
    }
}

fn read_ip(bytes: &[u8]) -> Result<Option<Said>, String> {
    let checks = ChecksumCapabilities::default();
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| "an IP packet is damaged")?;
    let header = Ipv4Repr::parse(&packet, &checks).map_err(|_| "an IP header is damaged")?;
    if header.next_header != IpProtocol::Icmp {
        return Ok(None);
    }
    let packet = Icmpv4Packet::new_checked(packet.payload()).map_err(|_| "a message is damaged")?;
    match Icmpv4Repr::parse(&packet, &checks) {
        Ok(Icmpv4Repr::EchoReply {
            ident: IDENT,
            seq_no,
            data: said,
        }) => {
            let number = said.first_chunk().map(|&bytes| u64::from_be_bytes(bytes));
            match number {
                Some(number)
                    if (header.src_addr, header.dst_addr) == (KERNEL_IP, OUR_IP)
                        && seq_no == number as u16
                        && said == data(number) =>
                {
                    Ok(Some(Said::Reply(number)))
                }
                _ => Err("an echo reply is not what was asked for".to_owned()),
            }
        }
        Ok(other) => Err(format!(
            "there is an ICMP message that nobody wants: {other:?}"
        )),
        Err(_) => Err("an ICMP message is damaged".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 9]);

    /// The reply of a kernel: the request with its addresses swapped and another type.
    fn reply(number: u64) -> Vec<u8> {
        let mut bytes = echo_request(KERNEL, number);
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        frame.set_dst_addr(OURS);
        frame.set_src_addr(KERNEL);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        packet.set_src_addr(KERNEL_IP);
        packet.set_dst_addr(OUR_IP);
        packet.fill_checksum();
        let mut message = Icmpv4Packet::new_unchecked(packet.payload_mut());
        message.set_msg_type(smoltcp::wire::Icmpv4Message::EchoReply);
        message.fill_checksum();
        bytes
    }

    #[test]
    fn a_request_has_its_size() {
        let bytes = echo_request(KERNEL, 7);
        assert_eq!(bytes.len(), ETHERNET + PACKET);
        let packet = Ipv4Packet::new_checked(&bytes[ETHERNET..]).expect("an IP packet");
        assert_eq!(usize::from(packet.total_len()), PACKET);
    }

    #[test]
    fn a_reply_is_known_by_its_number() {
        for number in [0, 1, 65_536, u64::MAX] {
            assert_eq!(read(&reply(number)), Ok(Some(Said::Reply(number))));
        }
        assert_ne!(data(1)[8..], data(2)[8..]);
    }

    #[test]
    fn every_changed_bit_is_seen() {
        let whole = reply(41);
        // Some bits of the Ethernet header say whom it is for. The bytes of IP's differentiated services and
        // identification are the sender's choice, but its checksum is right or wrong.
        for bit in 8 * ETHERNET..8 * whole.len() {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bytes).is_err(), "bit {bit} was changed");
        }
    }

    #[test]
    fn arp_is_understood() {
        let mut bytes = arp_reply(OURS);
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        let mut packet = ArpPacket::new_unchecked(frame.payload_mut());
        packet.set_source_hardware_addr(KERNEL.as_bytes());
        packet.set_source_protocol_addr(&KERNEL_IP.octets());
        packet.set_target_protocol_addr(&OUR_IP.octets());
        assert_eq!(read(&bytes), Ok(Some(Said::IsAt(KERNEL))));
        assert_eq!(read(&arp_request()), Ok(None), "our own is not for us");
    }
}
