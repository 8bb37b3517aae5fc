//! Frames in pcap files, as tcpdump and wireshark write and read them.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use kmod::machine::NIC_FRAME;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, PcapError};

use crate::files::write_whole;
use crate::machine::Sent;
use crate::wire::{Frame, MOST};

/// Reads the frames of a file, as frames from outside for card `card`.
///
/// # Errors
///
/// A sentence, if the file cannot be read, is no pcap file of Ethernet, or has frames that no card takes.
pub fn read(path: &Path, card: usize) -> Result<Vec<Frame>, String> {
    let about = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = std::fs::read(path).map_err(|error| about(&error))?;
    parse(&bytes, card).map_err(|wrong| about(&wrong))
}

/// Reads the frames out of the bytes of a file.
fn parse(bytes: &[u8], card: usize) -> Result<Vec<Frame>, String> {
    let wrong = |error: PcapError| {
        format!(
            "this is no pcap file, or a damaged one: {error}\n  help: tcpdump -w writes one, wireshark as \"pcap\""
        )
    };
    let mut reader = PcapReader::new(Cursor::new(bytes)).map_err(wrong)?;
    if reader.header().datalink != DataLink::ETHERNET {
        return Err(
            "its frames are not of an Ethernet\n  help: capture on a card, not on `any`".to_owned(),
        );
    }
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.map_err(wrong)?;
        let number = frames.len() + 1;
        let length = packet.data.len();
        if length == 0 || length > NIC_FRAME || length < packet.orig_len as usize {
            return Err(format!(
                "frame {number} has {length} of {} bytes: a card takes whole frames of up to {NIC_FRAME}",
                packet.orig_len
            ));
        }
        if number > MOST {
            return Err(format!(
                "it has more than {MOST} frames\n  help: give a part of it"
            ));
        }
        frames.push(Frame {
            card,
            bytes: packet.data.into_owned(),
        });
    }
    Ok(frames)
}

/// Writes what was sent. A microsecond is a point of the run.
///
/// # Errors
///
/// A sentence, if the file cannot be written. Then there is none.
pub fn write(path: &Path, sent: &[Sent]) -> Result<(), String> {
    let about = |what: &dyn std::fmt::Display| format!("cannot write {}: {what}", path.display());
    let bytes = print(sent).map_err(|error| about(&error))?;
    write_whole(path, &bytes).map_err(|error| about(&error))
}

fn print(sent: &[Sent]) -> Result<Vec<u8>, PcapError> {
    let header = PcapHeader {
        datalink: DataLink::ETHERNET,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header)?;
    for Sent { point, frame } in sent {
        let length = frame.bytes.len() as u32;
        writer.write_packet(&PcapPacket::new(
            Duration::from_micros(*point),
            length,
            &frame.bytes,
        ))?;
    }
    Ok(writer.into_writer())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(lengths: &[usize]) -> Vec<Sent> {
        let each = |(index, length): (usize, &usize)| Sent {
            point: 3_000_000 * index as u64,
            frame: Frame {
                card: 1,
                bytes: vec![index as u8; *length],
            },
        };
        lengths.iter().enumerate().map(each).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let sent = sent(&[14, 60, NIC_FRAME]);
        let bytes = print(&sent).expect("it is written");
        let frames = parse(&bytes, 1).expect("it is read");
        assert_eq!(
            frames,
            Vec::from_iter(sent.into_iter().map(|sent| sent.frame))
        );
    }

    #[test]
    fn what_no_card_takes_is_refused() {
        let long = print(&sent(&[60, NIC_FRAME + 1])).expect("it is written");
        let said = parse(&long, 0).expect_err("a long frame");
        assert!(said.starts_with("frame 2 has"), "{said}");
        let many = print(&sent(&[60; MOST + 1])).expect("it is written");
        assert!(
            parse(&many, 0)
                .expect_err("many frames")
                .contains("more than")
        );
    }

    #[test]
    fn a_damaged_file_is_refused_and_never_a_panic() {
        let bytes = print(&sent(&[14, 60, 900])).expect("it is written");
        for length in 0..bytes.len() {
            // A file that ends between two frames is whole, and shorter.
            if let Err(said) = parse(&bytes[..length], 0) {
                assert!(said.contains("pcap file"), "{said}");
            }
        }
        assert!(parse(&bytes[..bytes.len() - 1], 0).is_err());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            let _ = parse(&damaged, 0);
        }
    }
}
