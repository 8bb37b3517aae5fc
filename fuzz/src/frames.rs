//! The inputs of the target `frames`: any bytes as frames.
//!
//! An input is a machine, frames that it receives from outside, and the bytes of a schedule. A frame may be any bytes. Most of
//! these would be dropped early, so a byte in front of each frame selects repairs: the address of the host, the type IP or ARP,
//! right lengths and right checksums.

use arbitrary::{Arbitrary, Result, Unstructured};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Packet, IpProtocol, Ipv4Packet,
    UdpPacket,
};

use crate::copy::hostshim::wire::Frame;
use crate::copy::kmod::config::Wiring;
use crate::copy::kmod::machine::NIC_FRAME;
use crate::copy::kmod::scenario::net::frames::Host;
use crate::copy::kmod::scenario::net::wire::STACK;

/// Most frames in an input.
const FRAMES: usize = 8;
/// Maximum number of CPUs.
const CPUS: usize = 4;

/// Repairs of a frame, by bits.
const TO_HOST: u8 = 1 << 0;
const IP: u8 = 1 << 1;
const ARP: u8 = 1 << 2;
const TO_ADDRESS: u8 = 1 << 3;
const LENGTHS: u8 = 1 << 4;
const CHECKSUMS: u8 = 1 << 5;

/// A machine, the frames that it receives, and a schedule.
#[derive(Debug)]
pub struct Input {
    /// CPUs of the machine.
    pub cpus: usize,
    /// Wiring of its cross calls.
    pub xcall: Wiring,
    /// Whether the stack runs without `softnet_lock`.
    pub mpsafe: bool,
    /// The frames.
    pub frames: Vec<Frame>,
    /// The schedule.
    pub schedule: Vec<u8>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Input> {
        let head: u8 = bytes.arbitrary()?;
        let xcall = match head & 0x80 {
            0 => Wiring::Native,
            _ => Wiring::Rump,
        };
        let count = 1 + usize::from(bytes.arbitrary::<u8>()?) % FRAMES;
        let mut frames = Vec::new();
        for _ in 0..count {
            let likeness: u8 = bytes.arbitrary()?;
            let length = usize::from(bytes.arbitrary::<u16>()?) % NIC_FRAME + 1;
            let length = length.min(bytes.len());
            if length == 0 {
                break;
            }
            let mut frame = bytes.bytes(length)?.to_vec();
            liken(&mut frame, likeness, STACK);
            frames.push(Frame {
                card: 0,
                bytes: frame,
            });
        }
        Ok(Input {
            cpus: 1 + usize::from(head) % CPUS,
            xcall,
            mpsafe: head & 0x40 == 0,
            frames,
            schedule: bytes.bytes(bytes.len())?.to_vec(),
        })
    }
}

/// Makes a frame more like a valid one for a host.
pub(crate) fn liken(bytes: &mut [u8], likeness: u8, host: Host) {
    let has = |bit| likeness & bit != 0;
    let Ok(mut frame) = EthernetFrame::new_checked(bytes) else {
        return;
    };
    if has(TO_HOST) {
        frame.set_dst_addr(EthernetAddress(host.ether));
    }
    if has(ARP) {
        frame.set_ethertype(EthernetProtocol::Arp);
    } else if has(IP) {
        frame.set_ethertype(EthernetProtocol::Ipv4);
        liken_ip(frame.payload_mut(), likeness, host);
    }
}

fn liken_ip(bytes: &mut [u8], likeness: u8, host: Host) {
    const HEADER: usize = 20;
    let has = |bit| likeness & bit != 0;
    if bytes.len() < HEADER {
        return;
    }
    let length = bytes.len();
    let mut ip = Ipv4Packet::new_unchecked(bytes);
    if has(LENGTHS) {
        ip.set_version(4);
        ip.set_header_len(HEADER as u8);
        ip.set_total_len(length as u16);
    }
    if has(TO_ADDRESS) {
        ip.set_dst_addr(host.ip);
    }
    if ip.check_len().is_err() {
        return;
    }
    let (src, dst) = (ip.src_addr().into(), ip.dst_addr().into());
    match ip.next_header() {
        IpProtocol::Icmp if has(CHECKSUMS) => {
            let mut icmp = Icmpv4Packet::new_unchecked(ip.payload_mut());
            if icmp.check_len().is_ok() {
                icmp.fill_checksum();
            }
        }
        IpProtocol::Udp => {
            let length = ip.payload_mut().len();
            let mut udp = UdpPacket::new_unchecked(ip.payload_mut());
            if has(LENGTHS) && length >= 8 {
                udp.set_len(length as u16);
            }
            if has(CHECKSUMS) && udp.check_len().is_ok() {
                udp.fill_checksum(&src, &dst);
            }
        }
        _ => {}
    }
    if has(CHECKSUMS) {
        ip.fill_checksum();
    }
}
