//! Frames by hand: the stack has no part in them.

use hostshim::strategy::Rng;

/// The host whose frames are looked at, and the host that it sends them to.
pub(crate) const FROM: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 0, 0], [10, 0, 2, 15]);
pub(crate) const TO: ([u8; 6], [u8; 4]) = ([2, 0, 0, 0, 0, 1], [10, 0, 2, 2]);

/// Where the IP header begins, and the data of a packet without options.
pub(crate) const IP: usize = 14;
pub(crate) const DATA: usize = IP + 20;

const ICMP: u8 = 1;
const UDP: u8 = 17;

pub(crate) fn ether(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&TO.0[..], &FROM.0, &kind.to_be_bytes(), payload].concat()
}

pub(crate) fn arp(operation: u8) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, operation];
    let hosts = [&FROM.0[..], &FROM.1, &TO.0, &TO.1].concat();
    ether(0x0806, &[&head[..], &hosts].concat())
}

/// A packet. Its checksums are wrong.
fn packet(src: [u8; 4], dst: [u8; 4], protocol: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let length = ((header + data.len()) as u16).to_be_bytes();
    let version = 0x40 | (header / 4) as u8;
    let head = [version, 0, length[0], length[1], 0, 0, 0x40, 0];
    [&head[..], &[64, protocol, 0, 0], &src, &dst, options, data].concat()
}

/// A frame with a packet whose checksums are right.
pub(crate) fn ip(protocol: u8, options: &[u8], data: &[u8]) -> Vec<u8> {
    let mut frame = ether(0x0800, &packet(FROM.1, TO.1, protocol, options, data));
    mend(&mut frame);
    frame
}

/// An ICMP message with so many bytes of data, or of what it quotes.
pub(crate) fn icmp(kind: u8, code: u8, data: &[u8]) -> Vec<u8> {
    ip(
        ICMP,
        &[],
        &[&[kind, code, 0, 0, 0, 0, 0, 0][..], data].concat(),
    )
}

/// The beginning of a datagram that the other host sent, of which an error quotes so many bytes.
pub(crate) fn quote(length: usize, quoted: usize) -> Vec<u8> {
    let mut packet = packet(TO.1, FROM.1, UDP, &[], &vec![0x11; length]);
    set_sum(&mut packet[..20], 10);
    packet.truncate(20 + quoted);
    packet
}

pub(crate) fn udp(ports: [u16; 2], data: &[u8]) -> Vec<u8> {
    let length = (8 + data.len()) as u16;
    let head = [ports[0], ports[1], length, 0].map(u16::to_be_bytes);
    ip(UDP, &[], &[&head.concat(), data].concat())
}

/// The frame with some bytes changed.
pub(crate) fn with(frame: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    for &(at, byte) in changes {
        frame[at] = byte;
    }
    frame
}

/// The same, and the checksums are made right again.
pub(crate) fn mended(frame: &[u8], changes: &[(usize, u8)]) -> Vec<u8> {
    let mut frame = with(frame, changes);
    mend(&mut frame);
    frame
}

fn sum(words: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = words.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Writes the checksum of `bytes` into them.
fn set_sum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 2].fill(0);
    let sum = !sum(bytes);
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Makes the checksums of a frame right, as far as its lengths let them be found.
pub(crate) fn mend(frame: &mut [u8]) {
    if frame.len() < DATA || frame[12..14] != [8, 0] {
        return;
    }
    let packet = &mut frame[IP..];
    let header = usize::from(packet[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    if header < 20 || packet.len() < header {
        return;
    }
    let (src_and_dst, protocol) = (packet[12..20].to_vec(), packet[9]);
    if let Some(data) = packet.get_mut(header..total).filter(|data| data.len() >= 8) {
        match protocol {
            ICMP => set_sum(data, 2),
            UDP => {
                let length = (data.len() as u16).to_be_bytes();
                let mut all = [&src_and_dst[..], &[0, UDP], &length, data].concat();
                set_sum(&mut all, 12 + 6);
                let sum = match [all[18], all[19]] {
                    [0, 0] => [0xff, 0xff],
                    sum => sum,
                };
                data[6..8].copy_from_slice(&sum);
            }
            _ => {}
        }
    }
    set_sum(&mut packet[..header], 10);
}

/// A frame that is like a well-formed one, and mostly is none.
pub(crate) fn mutant(rng: &mut Rng, sound: &[u8]) -> Vec<u8> {
    let mut frame = sound.to_vec();
    match rng.below(8) {
        0 => frame.truncate(1 + rng.below(frame.len() as u64) as usize),
        1 => frame.extend(vec![0; 1 + rng.below(20) as usize]),
        _ => {}
    }
    let header = frame.len().min(70) as u64;
    for _ in 0..rng.below(3) {
        let at = match rng.below(4) {
            0 => rng.below(frame.len() as u64),
            _ => rng.below(header),
        } as usize;
        frame[at] = match rng.below(3) {
            0 => rng.below(256) as u8,
            1 => frame[at] ^ 1 << rng.below(8),
            _ => [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
        };
    }
    if rng.below(4) != 0 {
        mend(&mut frame);
    }
    frame
}
