//! Whether the checksums of a packet are right (`in_cksum`, `in4_cksum`).
//!
//! smoltcp computes checksums. In a build for fuzzing, however, it accepts every checksum, so that its own fuzzers get further.
//! This kernel must do the same in every build, or a failure that a fuzzer finds could not be replayed. So in a build for fuzzing
//! the checksums are computed here.
//!
//! # Contexts
//!
//! Any.
//!
//! # Sources
//!
//! RFC 1071; `sys/netinet/in_cksum.c`.

use smoltcp::wire::{Icmpv4Packet, Ipv4Address, Ipv4Packet, UdpPacket};

/// Of an IPv4 header whose lengths are right.
#[inline]
pub fn ip(packet: &Ipv4Packet<&[u8]>) -> bool {
    #[cfg(fuzzing)]
    return sum::ip(packet);
    #[cfg(not(fuzzing))]
    packet.verify_checksum()
}

/// Of an ICMP message.
#[inline]
pub fn icmp(packet: &Icmpv4Packet<&[u8]>) -> bool {
    #[cfg(fuzzing)]
    return sum::icmp(packet);
    #[cfg(not(fuzzing))]
    packet.verify_checksum()
}

/// Of a UDP datagram whose length is right, between these hosts. A datagram without a checksum is right.
#[inline]
pub fn udp(packet: &UdpPacket<&[u8]>, src: Ipv4Address, dst: Ipv4Address) -> bool {
    #[cfg(fuzzing)]
    return sum::udp(packet, src, dst);
    #[cfg(not(fuzzing))]
    packet.verify_checksum(&src.into(), &dst.into())
}

#[cfg(any(fuzzing, test))]
mod sum {
    use smoltcp::wire::{Icmpv4Packet, IpProtocol, Ipv4Address, Ipv4Packet, UdpPacket};

    /// Whether the words of all parts, with a checksum among them, have the sum of a right checksum. Each part but the last has an
    /// even length.
    fn is_right(parts: &[&[u8]]) -> bool {
        let words = parts.iter().flat_map(|part| part.chunks(2));
        let word = |bytes: &[u8]| u32::from(bytes[0]) << 8 | bytes.get(1).map_or(0, |&b| b.into());
        let mut sum: u32 = words.map(word).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum == 0xffff
    }

    pub(super) fn ip(packet: &Ipv4Packet<&[u8]>) -> bool {
        let length = usize::from(packet.header_len());
        is_right(&[&packet.as_ref()[..length]])
    }

    pub(super) fn icmp(packet: &Icmpv4Packet<&[u8]>) -> bool {
        is_right(&[packet.as_ref()])
    }

    pub(super) fn udp(packet: &UdpPacket<&[u8]>, src: Ipv4Address, dst: Ipv4Address) -> bool {
        let length = packet.len();
        let protocol = [0, u8::from(IpProtocol::Udp)];
        let data = &packet.as_ref()[..usize::from(length)];
        let (src, dst) = (src.octets(), dst.octets());
        packet.checksum() == 0 || is_right(&[&src, &dst, &protocol, &length.to_be_bytes(), data])
    }
}

#[cfg(test)]
mod tests {
    use smoltcp::wire::{Icmpv4Message, IpAddress};

    use super::*;
    use crate::net::garbage::feed;

    const SRC: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
    const DST: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);

    /// How many of the inputs are right. Both functions must say the same of each.
    fn agree(bytes: &[u8], mut both: impl FnMut(&[u8]) -> Option<(bool, bool)>) -> u32 {
        let mut right = 0;
        let mut look = |bytes: &[u8]| {
            if let Some((ours, theirs)) = both(bytes) {
                assert_eq!(ours, theirs, "{bytes:02x?}");
                right += u32::from(ours);
            }
        };
        look(bytes);
        feed(bytes, look);
        right
    }

    #[test]
    fn a_header_adds_up_as_smoltcp_says() {
        let mut bytes = [0; 24];
        let mut ip = Ipv4Packet::new_unchecked(&mut bytes[..]);
        ip.set_version(4);
        ip.set_header_len(20);
        ip.set_total_len(24);
        ip.set_src_addr(SRC);
        ip.fill_checksum();
        let right = agree(&bytes, |bytes| {
            let packet = Ipv4Packet::new_checked(bytes).ok()?;
            Some((sum::ip(&packet), packet.verify_checksum()))
        });
        assert!(right > 0);
    }

    #[test]
    fn a_message_adds_up_as_smoltcp_says() {
        let mut bytes = [1; 13];
        let mut icmp = Icmpv4Packet::new_unchecked(&mut bytes[..]);
        icmp.set_msg_type(Icmpv4Message::EchoRequest);
        icmp.fill_checksum();
        let right = agree(&bytes, |bytes| {
            let packet = Icmpv4Packet::new_checked(bytes).ok()?;
            Some((sum::icmp(&packet), packet.verify_checksum()))
        });
        assert!(right > 0);
    }

    #[test]
    fn a_datagram_adds_up_as_smoltcp_says() {
        let (src, dst) = (IpAddress::Ipv4(SRC), IpAddress::Ipv4(DST));
        let mut bytes = [3; 11];
        let mut udp = UdpPacket::new_unchecked(&mut bytes[..]);
        udp.set_len(11);
        udp.fill_checksum(&src, &dst);
        let right = agree(&bytes, |bytes| {
            let packet = UdpPacket::new_checked(bytes).ok()?;
            let ours = sum::udp(&packet, SRC, DST);
            Some((ours, packet.verify_checksum(&src, &dst)))
        });
        assert!(right > 0);
    }
}
