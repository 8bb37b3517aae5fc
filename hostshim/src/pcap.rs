//! Frames in capture files, as tcpdump and Wireshark write and read them.
//!
//! [`read`] takes pcap files in either byte order, with times in microseconds or nanoseconds, and pcapng files. [`write`] writes
//! a pcap file with times in microseconds.
//!
//! Frames arrive in the order of the file. The times in it are not used: when a frame arrives is a choice of the strategy.
//! The snap length is not used either. It is a limit that was set for the capture, 0 means none, and each frame says
//! how much of it is there.

use std::path::Path;

use kmod::machine::NIC_FRAME;
use pcap_parser::nom;
use pcap_parser::pcapng::{Block, parse_block_be, parse_block_le};
use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{
    Linktype, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use crate::files::write_whole;
use crate::machine::Sent;
use crate::wire::{Frame, MOST};

/// The first bytes of a pcapng file: the same in either byte order.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// The block of pcapng that held frames before 2009.
const OBSOLETE_PACKET: u32 = 2;
/// Bits of a pcap header's link type; those above say how long a frame check sequence is.
const LINK_TYPE: i32 = 0xffff;
/// Bytes of a frame that a file which is written may hold. tcpdump writes the same.
const SNAP_LENGTH: u32 = 262_144;

/// Reads the frames of a file, as frames from outside for card `card`.
///
/// # Errors
///
/// A sentence with the position in the file, if the file cannot be read, is not a capture of an Ethernet, has no frame, or has
/// frames that a card does not take.
pub fn read(path: &Path, card: usize) -> Result<Vec<Frame>, String> {
    let about = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = std::fs::read(path).map_err(|error| about(&error))?;
    parse(&bytes, card).map_err(|wrong| about(&wrong))
}

/// Reads the frames out of the bytes of a file.
fn parse(bytes: &[u8], card: usize) -> Result<Vec<Frame>, String> {
    let mut frames = Frames {
        card,
        frames: Vec::new(),
    };
    match bytes.starts_with(&PCAPNG) {
        true => pcapng(bytes, &mut frames)?,
        false => pcap(bytes, &mut frames)?,
    }
    match frames.frames {
        none if none.is_empty() => Err("it has no frames".to_owned()),
        frames => Ok(frames),
    }
}

/// The frames that have been read.
struct Frames {
    card: usize,
    frames: Vec<Frame>,
}

impl Frames {
    /// What is wrong with the next frame, which begins at byte `at` of the file.
    fn wrong(&self, at: usize, what: &str) -> String {
        format!("frame {}, at byte {at}: {what}", self.frames.len() + 1)
    }

    /// Takes a frame of which `bytes` were captured, and which had `original` bytes.
    fn push(&mut self, at: usize, bytes: &[u8], original: u32) -> Result<(), String> {
        let length = bytes.len();
        if length < original as usize {
            let what = format!(
                "only {length} of its {original} bytes were captured\n  help: capture whole frames, with tcpdump -s 0"
            );
            return Err(self.wrong(at, &what));
        }
        if !(1..=NIC_FRAME).contains(&length) {
            let what = format!("it has {length} bytes, and a card takes 1 to {NIC_FRAME}");
            return Err(self.wrong(at, &what));
        }
        if self.frames.len() >= MOST {
            let what =
                format!("there are more than {MOST} frames\n  help: give a part of the file");
            return Err(self.wrong(at, &what));
        }
        self.frames.push(Frame {
            card: self.card,
            bytes: bytes.to_owned(),
        });
        Ok(())
    }
}

fn not_ethernet() -> String {
    "it is not of an Ethernet\n  help: capture on a card, not on `any`".to_owned()
}

/// Reads a pcap file.
fn pcap(bytes: &[u8], frames: &mut Frames) -> Result<(), String> {
    let (mut rest, header) = parse_pcap_header(bytes).map_err(|error| match error {
        nom::Err::Incomplete(_) => "at byte 0: the file ends before its header does".to_owned(),
        _ => "this is neither a pcap nor a pcapng file\n  help: tcpdump -w writes one, and Wireshark does"
            .to_owned(),
    })?;
    if Linktype(header.network.0 & LINK_TYPE) != Linktype::ETHERNET {
        return Err(not_ethernet());
    }
    let frame = match header.is_bigendian() {
        true => parse_pcap_frame_be,
        false if header.is_modified_format() => parse_pcap_frame_modified,
        false => parse_pcap_frame,
    };
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let Ok((after, block)) = frame(rest) else {
            return Err(frames.wrong(at, "the file ends before the frame does"));
        };
        frames.push(at, block.data, block.origlen)?;
        rest = after;
    }
    Ok(())
}

/// What an interface of a pcapng file captures.
struct Interface {
    link: Linktype,
    snap_length: u32,
}

/// Reads a pcapng file: blocks, in sections.
fn pcapng(bytes: &[u8], frames: &mut Frames) -> Result<(), String> {
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut big_endian = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let parse = match big_endian {
            true => parse_block_be,
            false => parse_block_le,
        };
        let (after, block) = parse(rest).map_err(|error| match error {
            nom::Err::Incomplete(_) => format!("at byte {at}: the file ends before the block does"),
            _ => format!("at byte {at}: this is not a block of pcapng"),
        })?;
        match block {
            // Its interfaces are its own.
            Block::SectionHeader(section) => {
                big_endian = section.big_endian();
                interfaces.clear();
            }
            Block::InterfaceDescription(interface) => interfaces.push(Interface {
                link: interface.linktype,
                snap_length: interface.snaplen,
            }),
            Block::EnhancedPacket(packet) => {
                interface(&interfaces, packet.if_id).map_err(|what| frames.wrong(at, &what))?;
                frames.push(at, packet.packet_data(), packet.origlen)?;
            }
            Block::SimplePacket(packet) => {
                let by = interface(&interfaces, 0).map_err(|what| frames.wrong(at, &what))?;
                // Its length is not in the block. What is behind it pads to a multiple of 4 bytes.
                let captured = match by.snap_length {
                    0 => packet.origlen,
                    most => packet.origlen.min(most),
                };
                let data = packet.data.get(..captured as usize);
                let data = data.ok_or_else(|| frames.wrong(at, "it is longer than its block"))?;
                frames.push(at, data, packet.origlen)?;
            }
            Block::Unknown(_) if kind(rest, big_endian) == OBSOLETE_PACKET => {
                let what =
                    "it is in an obsolete block\n  help: convert the file, with editcap -F pcap";
                return Err(frames.wrong(at, what));
            }
            // Names, statistics, comments.
            _ => {}
        }
        rest = after;
    }
    Ok(())
}

/// The interface that a frame came by.
fn interface(interfaces: &[Interface], number: u32) -> Result<&Interface, String> {
    match interfaces.get(number as usize) {
        Some(interface) if interface.link == Linktype::ETHERNET => Ok(interface),
        Some(_) => Err(not_ethernet()),
        None => Err(format!("the file does not describe its interface {number}")),
    }
}

/// The type of the block that `bytes` begin with.
fn kind(bytes: &[u8], big_endian: bool) -> u32 {
    let kind = bytes.first_chunk().copied().unwrap_or_default();
    match big_endian {
        true => u32::from_be_bytes(kind),
        false => u32::from_le_bytes(kind),
    }
}

/// Writes what was sent. The time of a frame is the number of its point in the run, in microseconds.
///
/// # Errors
///
/// A sentence, if the file cannot be written. Then there is none.
pub fn write(path: &Path, sent: &[Sent]) -> Result<(), String> {
    let about = |what: &dyn std::fmt::Display| format!("cannot write {}: {what}", path.display());
    write_whole(path, &print(sent)).map_err(|error| about(&error))
}

/// A pcap file: its header, and a header for each frame.
fn print(sent: &[Sent]) -> Vec<u8> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const VERSION: [u16; 2] = [2, 4];
    const MICROSECONDS: u64 = 1_000_000;
    let mut bytes = Vec::new();
    bytes.extend(MAGIC.to_le_bytes());
    bytes.extend(VERSION.map(u16::to_le_bytes).concat());
    // Its time zone and its accuracy, which every file leaves 0.
    bytes.extend([0; 8]);
    bytes.extend(SNAP_LENGTH.to_le_bytes());
    bytes.extend(Linktype::ETHERNET.0.to_le_bytes());
    for Sent { point, frame } in sent {
        let length = frame.bytes.len() as u32;
        // A run has fewer than 2^32 seconds of points: its limit of points is far below.
        let time = [point / MICROSECONDS, point % MICROSECONDS].map(|part| part as u32);
        bytes.extend(
            [time[0], time[1], length, length]
                .map(u32::to_le_bytes)
                .concat(),
        );
        bytes.extend(&frame.bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::Rng;

    fn sent(lengths: &[usize]) -> Vec<Sent> {
        let each = |(index, length): (usize, &usize)| Sent {
            point: 3_000_001 * index as u64,
            frame: Frame {
                card: 1,
                bytes: vec![index as u8; *length],
            },
        };
        lengths.iter().enumerate().map(each).collect()
    }

    fn frames(sent: Vec<Sent>) -> Vec<Frame> {
        sent.into_iter().map(|sent| sent.frame).collect()
    }

    /// A number of a file, in its byte order.
    fn word(big_endian: bool, value: u32) -> [u8; 4] {
        match big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        }
    }

    fn half(big_endian: bool, value: u16) -> [u8; 2] {
        match big_endian {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        }
    }

    const MICROSECONDS: u32 = 0xa1b2_c3d4;
    const NANOSECONDS: u32 = 0xa1b2_3c4d;
    /// Of a libpcap that was patched: each frame has 8 bytes more in front, and the byte order is little-endian.
    const MODIFIED: u32 = 0xa1b2_cd34;

    /// A pcap file by hand.
    fn pcap_file(magic: u32, big_endian: bool, snap_length: u32, sent: &[Sent]) -> Vec<u8> {
        let word = |value| word(big_endian, value);
        let mut file = Vec::new();
        file.extend(word(magic));
        file.extend(half(big_endian, 2));
        file.extend(half(big_endian, 4));
        file.extend([word(0), word(0), word(snap_length), word(1)].concat());
        for Sent { frame, .. } in sent {
            let length = frame.bytes.len() as u32;
            file.extend([word(5), word(999_999_999), word(length), word(length)].concat());
            if magic == MODIFIED {
                file.extend([0; 8]);
            }
            file.extend(&frame.bytes);
        }
        file
    }

    fn block(big_endian: bool, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = body.len().next_multiple_of(4) - body.len();
        let length = word(big_endian, (12 + body.len() + padding) as u32);
        let padding = vec![0; padding];
        [
            &word(big_endian, kind)[..],
            &length,
            body,
            &padding,
            &length,
        ]
        .concat()
    }

    fn section(big_endian: bool) -> Vec<u8> {
        let mut body = word(big_endian, 0x1a2b_3c4d).to_vec();
        body.extend([half(big_endian, 1), half(big_endian, 0)].concat());
        body.extend([0xff; 8]);
        block(big_endian, 0x0a0d_0d0a, &body)
    }

    fn description(big_endian: bool, link: u16, snap_length: u32) -> Vec<u8> {
        let mut body = half(big_endian, link).to_vec();
        body.extend(half(big_endian, 0));
        body.extend(word(big_endian, snap_length));
        block(big_endian, 1, &body)
    }

    fn enhanced(big_endian: bool, interface: u32, frame: &[u8]) -> Vec<u8> {
        let length = frame.len() as u32;
        let head = [interface, 5, 6, length, length].map(|value| word(big_endian, value));
        block(big_endian, 6, &[&head.concat(), frame].concat())
    }

    fn simple(big_endian: bool, original: u32, frame: &[u8]) -> Vec<u8> {
        block(
            big_endian,
            3,
            &[&word(big_endian, original)[..], frame].concat(),
        )
    }

    /// A pcapng file by hand: two sections, of either byte order.
    fn pcapng_file(sent: &[Sent]) -> Vec<u8> {
        let mut file = Vec::new();
        for (index, Sent { frame, .. }) in sent.iter().enumerate() {
            let big_endian = index % 2 == 1;
            let other = 113;
            file.extend(section(big_endian));
            file.extend(description(big_endian, 1, 0));
            file.extend(description(big_endian, other, 0));
            file.extend(description(big_endian, 1, 65_535));
            // A comment, in a custom block.
            file.extend(block(big_endian, 0x0bad, &[0; 12]));
            file.extend(match index % 3 {
                0 => enhanced(big_endian, 2, &frame.bytes),
                1 => enhanced(big_endian, 0, &frame.bytes),
                _ => simple(big_endian, frame.bytes.len() as u32, &frame.bytes),
            });
        }
        file
    }

    /// Files of every kind, with the same frames.
    fn files(sent: &[Sent]) -> Vec<Vec<u8>> {
        let mut files = vec![
            print(sent),
            pcapng_file(sent),
            pcap_file(MODIFIED, false, 65_535, sent),
        ];
        for magic in [MICROSECONDS, NANOSECONDS] {
            for big_endian in [false, true] {
                for snap_length in [0, 60, 65_535] {
                    files.push(pcap_file(magic, big_endian, snap_length, sent));
                }
            }
        }
        files
    }

    #[test]
    fn files_of_every_kind_are_read() {
        let sent = sent(&[14, 61, 62, 63, 64, NIC_FRAME]);
        for (number, file) in files(&sent).iter().enumerate() {
            assert_eq!(parse(file, 1), Ok(frames(sent.clone())), "file {number}");
        }
    }

    #[test]
    fn a_point_is_a_microsecond() {
        let bytes = print(&sent(&[60, 60]));
        let (_, second) = parse_pcap_frame(&bytes[24 + 16 + 60..]).expect("a frame");
        assert_eq!((second.ts_sec, second.ts_usec), (3, 1));
    }

    fn refused(file: &[u8]) -> String {
        parse(file, 0).expect_err("it is refused")
    }

    #[test]
    fn what_no_card_takes_is_refused_with_its_place() {
        let long = refused(&print(&sent(&[60, NIC_FRAME + 1])));
        assert_eq!(
            long,
            "frame 2, at byte 100: it has 1515 bytes, and a card takes 1 to 1514"
        );
        let empty = refused(&pcap_file(MICROSECONDS, true, 0, &sent(&[0])));
        assert!(
            empty.starts_with("frame 1, at byte 24: it has 0 bytes"),
            "{empty}"
        );
        let many = refused(&print(&sent(&[60; MOST + 1])));
        assert!(many.contains("more than 256 frames"), "{many}");
        assert_eq!(refused(&print(&[])), "it has no frames");
        assert_eq!(refused(&section(true)), "it has no frames");
    }

    #[test]
    fn a_frame_that_was_cut_is_refused() {
        let mut cut = pcap_file(NANOSECONDS, false, 60, &sent(&[60]));
        cut[36..40].copy_from_slice(&word(false, 1500));
        let said = refused(&cut);
        assert!(
            said.contains("only 60 of its 1500 bytes were captured"),
            "{said}"
        );
        let by = [section(false), description(false, 1, 61)].concat();
        let said = refused(&[by, simple(false, 100, &[7; 61])].concat());
        assert!(
            said.contains("only 61 of its 100 bytes were captured"),
            "{said}"
        );
    }

    #[test]
    fn other_files_and_other_networks_are_refused() {
        assert_eq!(
            refused(b""),
            "at byte 0: the file ends before its header does"
        );
        assert!(refused(b"not a capture").starts_with("this is neither a pcap nor a pcapng file"));
        let mut other = pcap_file(MICROSECONDS, false, 0, &sent(&[60]));
        other[20] = 113;
        assert!(refused(&other).starts_with("it is not of an Ethernet"));
        let by = |link| [section(true), description(true, link, 0)].concat();
        let said = refused(&[by(113), enhanced(true, 0, &[0; 60])].concat());
        assert!(
            said.starts_with("frame 1, at byte 48: it is not of an Ethernet"),
            "{said}"
        );
        let said = refused(&[by(1), enhanced(true, 1, &[0; 60])].concat());
        assert!(said.contains("does not describe its interface 1"), "{said}");
        let said = refused(&[by(1), block(true, 2, &[0; 80])].concat());
        assert!(said.contains("obsolete block"), "{said}");
    }

    #[test]
    fn the_length_of_a_frame_check_sequence_is_not_a_link_type() {
        let sent = sent(&[60]);
        let mut file = pcap_file(MICROSECONDS, false, 0, &sent);
        file[23] = 0x24;
        assert_eq!(parse(&file, 1), Ok(frames(sent)));
    }

    /// Whether every frame that is read is one that a card takes.
    fn takes(read: &Result<Vec<Frame>, String>) -> bool {
        read.iter()
            .flatten()
            .all(|frame| (1..=NIC_FRAME).contains(&frame.bytes.len()))
    }

    #[test]
    fn a_file_that_ends_early_is_shorter_or_refused() {
        let sent = sent(&[14, 61, 100]);
        for file in files(&sent) {
            for length in 0..file.len() {
                match parse(&file[..length], 1) {
                    // It ends behind a frame.
                    Ok(read) => assert!(frames(sent.clone()).starts_with(&read)),
                    Err(said) => assert!(
                        said.contains("at byte") || said == "it has no frames",
                        "{length}: {said}"
                    ),
                }
            }
        }
    }

    #[test]
    fn no_file_makes_the_reader_panic() {
        const MUTANTS: u64 = 4_000;
        for (number, file) in files(&sent(&[14, 61, 100])).iter().enumerate() {
            for at in 0..file.len() {
                for changed in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
                    let mut mutant = file.clone();
                    mutant[at] = changed;
                    assert!(takes(&parse(&mutant, 0)));
                }
            }
            for run in 0..MUTANTS {
                let mut rng = Rng::new(number as u64, run);
                let mut mutant = file.clone();
                mutant.truncate(rng.below(2 * file.len() as u64) as usize);
                for _ in 0..=rng.below(6) {
                    if !mutant.is_empty() {
                        let at = rng.below(mutant.len() as u64) as usize;
                        mutant[at] = rng.below(256) as u8;
                    }
                }
                assert!(takes(&parse(&mutant, 0)));
            }
        }
    }
}
