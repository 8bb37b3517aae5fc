#!/usr/bin/env bash
# The crate pcap-file 2.0.0 takes the time of a frame in a pcapng file for nanoseconds, whatever its interface says. The default
# of the format is microseconds (option if_tsresol, https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html, 4.2), so
# the times of files that dumpcap writes by default are wrong by a factor of 1000. The file here has no options, and a frame
# 1,700,000,000 seconds after 1970.
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs cargo and python3.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name finding .
cargo add --quiet pcap-file@=2.0.0
cat >src/main.rs <<'RUST'
use pcap_file::pcapng::{Block, PcapNgReader};
use std::fs::File;

fn main() {
    let mut reader = PcapNgReader::new(File::open("times.pcapng").unwrap()).unwrap();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            println!("{} s", packet.timestamp.as_secs());
        }
    }
}
RUST
python3 - <<'PYTHON'
import struct
def block(kind, body):
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length
time = 1_700_000_000 * 1_000_000
section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
interface = block(1, struct.pack("<HHI", 1, 0, 0))
packet = block(6, struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, 60, 60) + bytes(60))
open("times.pcapng", "wb").write(section + interface + packet)
PYTHON

said=$(cargo run --quiet)
echo "$said"
# 1700000000 s would be right.
[ "$said" = '1700000 s' ]
