//! Whether a frame that the stack has sent is well formed.
//!
//! # Overview
//!
//! [`check`] looks at a whole Ethernet frame, without its frame check sequence, and names the first rule that it breaks;
//! [`assert_sent`] makes that a failure of the scenario.
//! It reads the bytes itself. The stack reads and writes packets with smoltcp, so a check by smoltcp would share its choices:
//! its ICMP parser refuses an echo reply with a code other than 0, and an error that quotes a datagram with fewer than
//! 8 bytes of data.
//!
//! # The rules
//!
//! | format | source |
//! |---|---|
//! | Ethernet | IEEE 802.3, clause 3; RFC 894 |
//! | ARP | RFC 826 |
//! | IPv4 header and options | RFC 791 |
//! | addresses that may be on a wire | RFC 1122, 3.2.1.3 |
//! | ICMP | RFC 792 |
//! | when an ICMP error may be sent, and what it quotes | RFC 1122, 3.2.2 |
//! | UDP | RFC 768; RFC 1122, 4.1.3 |
//!
//! Where a standard leaves a choice, [`check`] allows it:
//!
//! - An echo reply may have any code. A host copies the request and changes its type, so the code is the sender's.
//! - An ICMP error quotes the IP header and 8 bytes, or all bytes if the datagram has fewer.
//! - The source port of a datagram may be 0: the sender wants no answer. The destination port may not.
//! - A frame may be longer than its packet, because Ethernet pads.
//! - Of a fragment, only the IP header is checked.
//!
//! Some well-formed frames are refused all the same, because this stack has no reason to send them: other Ethernet types and
//! IP protocols, ICMP messages that are neither echo nor "unreachable", a datagram without a checksum.
//!
//! # Contexts
//!
//! Any.

use core::fmt;
use core::net::Ipv4Addr;

use crate::scenario::broken_promise;

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident, $text:literal;)*) => {
        /// A rule that a frame breaks.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Malformed {
            $($(#[$doc])* $rule,)*
        }

        impl Malformed {
            /// Every rule.
            pub const ALL: &[Malformed] = &[$(Malformed::$rule),*];
        }

        impl fmt::Display for Malformed {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Malformed::$rule => $text,)*
                })
            }
        }
    };
}

rules! {
    /// Fewer than 14 bytes.
    EtherShort, "Ethernet: the frame is shorter than its header";
    /// More than 1514 bytes.
    EtherLong, "Ethernet: the frame has more than 1514 bytes";
    /// A group address as the source.
    EtherSource, "Ethernet: the source is a group address";
    /// Neither IPv4 nor ARP.
    EtherType, "Ethernet: the type is neither IPv4 nor ARP";
    /// Fewer than 28 bytes.
    ArpShort, "ARP: the packet has fewer than 28 bytes";
    /// Not for Ethernet and IPv4.
    ArpKind, "ARP: the packet is not for Ethernet and IPv4";
    /// Neither a request nor a reply.
    ArpOperation, "ARP: the packet is neither a request nor a reply";
    /// The sender is a group.
    ArpSender, "ARP: the sender's Ethernet address is a group address";
    /// Fewer than 20 bytes, or fewer than the header says.
    IpShort, "IPv4: the packet is shorter than its header";
    /// A version other than 4.
    IpVersion, "IPv4: the version is not 4";
    /// A header length below 20.
    IpHeaderLength, "IPv4: the header length is below 20";
    /// The total length is less than the header, or more than the frame holds.
    IpTotalLength, "IPv4: the total length is less than the header or more than the frame";
    /// The header's checksum is wrong.
    IpChecksum, "IPv4: the header checksum is wrong";
    /// The reserved flag is set.
    IpReserved, "IPv4: the reserved flag is set";
    /// A fragment whose length is no multiple of 8, or that ends beyond the largest packet.
    IpFragment, "IPv4: the fragment has a wrong length or offset";
    /// A time to live of 0.
    IpTtl, "IPv4: the time to live is 0";
    /// An option that does not fit in the header.
    IpOptions, "IPv4: an option does not fit in the header";
    /// A source that is no single host on the wire.
    IpSource, "IPv4: the source is not the address of one host";
    /// 0.0.0.0 or a loopback address.
    IpDestination, "IPv4: the destination is 0.0.0.0 or a loopback address";
    /// Neither ICMP nor UDP.
    IpProtocol, "IPv4: the protocol is neither ICMP nor UDP";
    /// Fewer than 8 bytes.
    IcmpShort, "ICMP: the message has fewer than 8 bytes";
    /// The checksum is wrong.
    IcmpChecksum, "ICMP: the checksum is wrong";
    /// Neither echo nor "unreachable".
    IcmpType, "ICMP: the message is neither an echo nor \"unreachable\"";
    /// A code that no standard defines.
    IcmpCode, "ICMP: the code of \"unreachable\" is above 15";
    /// Bytes that must be 0.
    IcmpUnused, "ICMP: the unused bytes of an error are not 0";
    /// The quoted packet is not a whole header with 8 bytes, or all bytes, behind it.
    IcmpQuote, "ICMP: the error does not quote an unchanged header and the 8 bytes behind it";
    /// The quoted packet may not be answered with an error.
    IcmpUnasked, "ICMP: the error answers what must not be answered with an error";
    /// Fewer than 8 bytes.
    UdpShort, "UDP: the datagram has fewer than 8 bytes";
    /// The length is not that of the packet's data.
    UdpLength, "UDP: the length is not that of the IPv4 packet's data";
    /// The destination port is 0.
    UdpPort, "UDP: the destination port is 0";
    /// There is no checksum.
    UdpNoChecksum, "UDP: the datagram has no checksum";
    /// The checksum is wrong.
    UdpChecksum, "UDP: the checksum is wrong";
}

/// Most bytes of a frame, without its frame check sequence.
const ETHER_MAX: usize = 1514;
const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
/// Bytes of an ARP packet for Ethernet and IPv4.
const ARP_LEN: usize = 28;
/// Bytes of an IPv4 header without options.
const IP_LEN: usize = 20;
const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_UDP: u8 = 17;
const ICMP_ECHO_REPLY: u8 = 0;
const ICMP_UNREACHABLE: u8 = 3;
const ICMP_ECHO: u8 = 8;
/// The code of "unreachable" that has the MTU of the next hop in its last two header bytes (RFC 1191).
const ICMP_TOO_BIG: u8 = 4;
/// The last code of "unreachable" (RFC 1812, 5.2.7.1).
const ICMP_LAST_CODE: u8 = 15;
/// Types of messages that are errors.
const ICMP_ERRORS: [u8; 5] = [3, 4, 5, 11, 12];
/// Bytes of a UDP header, and of an ICMP header.
const HEADER_LEN: usize = 8;
/// Bytes that an error quotes of the data, if there are so many.
const QUOTED: usize = 8;

/// Whether a frame is well formed.
///
/// # Errors
///
/// The first rule that it breaks, from the outermost header to the innermost.
///
/// ```
/// use kmod::scenario::net::wellformed::{Malformed, check};
///
/// assert_eq!(check(&[0; 13]), Err(Malformed::EtherShort));
/// ```
pub fn check(frame: &[u8]) -> Result<(), Malformed> {
    let Some((header, payload)) = frame.split_first_chunk::<14>() else {
        return Err(Malformed::EtherShort);
    };
    require(frame.len() <= ETHER_MAX, Malformed::EtherLong)?;
    require(!is_group(header[6]), Malformed::EtherSource)?;
    match word(header, 12) {
        ETHERTYPE_ARP => arp(payload),
        ETHERTYPE_IPV4 => ip(payload),
        _ => Err(Malformed::EtherType),
    }
}

/// Checks a frame that the stack has sent.
///
/// Stops the kernel (promise `net-sound`) if it is malformed.
#[track_caller]
pub fn assert_sent(frame: &[u8]) {
    if let Err(rule) = check(frame) {
        broken_promise(
            "net-sound",
            format_args!(
                "the stack has sent a malformed frame of {} bytes: {rule}",
                frame.len()
            ),
        );
    }
}

fn arp(packet: &[u8]) -> Result<(), Malformed> {
    require(packet.len() >= ARP_LEN, Malformed::ArpShort)?;
    // Hardware and protocol, and the lengths of their addresses.
    require(packet[..6] == [0, 1, 8, 0, 6, 4], Malformed::ArpKind)?;
    require(matches!(word(packet, 6), 1 | 2), Malformed::ArpOperation)?;
    require(!is_group(packet[8]), Malformed::ArpSender)
}

/// What the rules for the data of a packet need of its header.
struct Header {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: u8,
    length: usize,
    total_length: usize,
    /// More fragments follow, and the place of this one in bytes.
    more: bool,
    offset: usize,
}

/// Reads a header, of a packet that may be cut off behind it.
fn header(packet: &[u8]) -> Result<Header, Malformed> {
    require(packet.len() >= IP_LEN, Malformed::IpShort)?;
    require(packet[0] >> 4 == 4, Malformed::IpVersion)?;
    let length = usize::from(packet[0] & 0xf) * 4;
    require(length >= IP_LEN, Malformed::IpHeaderLength)?;
    require(packet.len() >= length, Malformed::IpShort)?;
    let total_length = usize::from(word(packet, 2));
    require(total_length >= length, Malformed::IpTotalLength)?;
    require(sum(&[&packet[..length]]) == 0xffff, Malformed::IpChecksum)?;
    let fragment = word(packet, 6);
    Ok(Header {
        src: address(packet, 12),
        dst: address(packet, 16),
        protocol: packet[9],
        length,
        total_length,
        more: fragment & 0x2000 != 0,
        offset: usize::from(fragment & 0x1fff) * 8,
    })
}

fn ip(packet: &[u8]) -> Result<(), Malformed> {
    let header = header(packet)?;
    let Some(data) = packet.get(header.length..header.total_length) else {
        return Err(Malformed::IpTotalLength);
    };
    require(packet[6] & 0x80 == 0, Malformed::IpReserved)?;
    let fits = header.offset + header.total_length <= usize::from(u16::MAX);
    let whole = !header.more || data.len().is_multiple_of(8) && !data.is_empty();
    require(fits && whole, Malformed::IpFragment)?;
    require(packet[8] != 0, Malformed::IpTtl)?;
    options(&packet[IP_LEN..header.length])?;
    let (src, dst) = (header.src, header.dst);
    require(is_host(src) && !src.is_loopback(), Malformed::IpSource)?;
    require(
        !dst.is_unspecified() && !dst.is_loopback(),
        Malformed::IpDestination,
    )?;
    match header.protocol {
        PROTOCOL_ICMP | PROTOCOL_UDP if header.more || header.offset != 0 => Ok(()),
        PROTOCOL_ICMP => icmp(data, &header),
        PROTOCOL_UDP => udp(data, &header),
        _ => Err(Malformed::IpProtocol),
    }
}

/// Options follow each other until the header, or their list, ends.
fn options(mut options: &[u8]) -> Result<(), Malformed> {
    while let [kind, rest @ ..] = options {
        let length = match kind {
            // The end of the list, and no operation: one byte.
            0 => return Ok(()),
            1 => 1,
            _ => usize::from(rest.first().copied().unwrap_or(0)),
        };
        let fits = length <= options.len() && (length >= 2 || *kind == 1);
        require(fits, Malformed::IpOptions)?;
        options = &options[length..];
    }
    Ok(())
}

fn icmp(message: &[u8], header: &Header) -> Result<(), Malformed> {
    require(message.len() >= HEADER_LEN, Malformed::IcmpShort)?;
    require(sum(&[message]) == 0xffff, Malformed::IcmpChecksum)?;
    let [kind, code] = [message[0], message[1]];
    match kind {
        ICMP_ECHO | ICMP_ECHO_REPLY => Ok(()),
        ICMP_UNREACHABLE => {
            require(code <= ICMP_LAST_CODE, Malformed::IcmpCode)?;
            let unused = match code {
                ICMP_TOO_BIG => &message[4..6],
                _ => &message[4..HEADER_LEN],
            };
            require(unused.iter().all(|&byte| byte == 0), Malformed::IcmpUnused)?;
            quote(&message[HEADER_LEN..], header)
        }
        _ => Err(Malformed::IcmpType),
    }
}

/// What an error quotes: a packet that was sent by the host that the error is for.
fn quote(packet: &[u8], error: &Header) -> Result<(), Malformed> {
    let quoted = header(packet).map_err(|_| Malformed::IcmpQuote)?;
    let least = quoted.total_length.min(quoted.length + QUOTED);
    let whole = (least..=quoted.total_length).contains(&packet.len());
    require(whole, Malformed::IcmpQuote)?;
    let kind = packet.get(quoted.length);
    let is_error =
        quoted.protocol == PROTOCOL_ICMP && kind.is_some_and(|kind| ICMP_ERRORS.contains(kind));
    let to_many = quoted.dst.is_multicast() || quoted.dst.is_broadcast();
    let asked = quoted.src == error.dst && is_host(quoted.src) && quoted.offset == 0;
    require(asked && !is_error && !to_many, Malformed::IcmpUnasked)
}

fn udp(datagram: &[u8], header: &Header) -> Result<(), Malformed> {
    require(datagram.len() >= HEADER_LEN, Malformed::UdpShort)?;
    let length = word(datagram, 4);
    require(usize::from(length) == datagram.len(), Malformed::UdpLength)?;
    require(word(datagram, 2) != 0, Malformed::UdpPort)?;
    require(word(datagram, 6) != 0, Malformed::UdpNoChecksum)?;
    let (src, dst) = (header.src.octets(), header.dst.octets());
    let pseudo = [&src[..], &dst, &[0, PROTOCOL_UDP], &length.to_be_bytes()];
    let [a, b, c, d] = pseudo;
    require(
        sum(&[a, b, c, d, datagram]) == 0xffff,
        Malformed::UdpChecksum,
    )
}

fn require(holds: bool, rule: Malformed) -> Result<(), Malformed> {
    if holds { Ok(()) } else { Err(rule) }
}

/// Whether an Ethernet address with this first byte is that of a group.
fn is_group(first: u8) -> bool {
    first & 1 != 0
}

/// Whether an address can be that of one host.
fn is_host(addr: Ipv4Addr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast() && !addr.is_broadcast()
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

/// The ones' complement sum of all 16-bit words (RFC 1071). It is 0xffff if a right checksum is among them. Every part but the
/// last has an even length.
fn sum(parts: &[&[u8]]) -> u32 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |&low| u32::from(low)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}
