#!/usr/bin/env bash
# The crate pcap-file 2.0.0 refuses two kinds of valid pcap file:
#   - with snap length 0 in the header, which means no limit for libpcap and Wireshark;
#   - with a frame that the snap length cut, as each capture with `tcpdump -s 64` has.
# It compares the captured and the original length of each frame with the snap length. The files here are written with Python's
# struct, by the description of the format (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html).
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs cargo and python3.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name finding .
cargo add --quiet pcap-file@=2.0.0
cat >src/main.rs <<'RUST'
use pcap_file::pcap::PcapReader;
use std::fs::File;

fn main() {
    for name in ["none.pcap", "cut.pcap"] {
        let mut reader = PcapReader::new(File::open(name).unwrap()).unwrap();
        match reader.next_packet().unwrap() {
            Ok(packet) => println!("{name}: {} of {} bytes", packet.data.len(), packet.orig_len),
            Err(error) => println!("{name}: {error}"),
        }
    }
}
RUST
python3 - <<'PYTHON'
import struct
def file(name, snap_length, captured, original):
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, snap_length, 1)
    frame = struct.pack("<IIII", 1, 0, captured, original) + bytes(captured)
    open(name, "wb").write(header + frame)
file("none.pcap", 0, 60, 60)
file("cut.pcap", 64, 64, 1500)
PYTHON

said=$(cargo run --quiet)
seen='none.pcap: Invalid field value: PacketHeader incl_len > snap_len
cut.pcap: Invalid field value: PacketHeader orig_len > snap_len'
echo "$said"
[ "$said" = "$seen" ]
