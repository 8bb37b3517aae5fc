#!/usr/bin/env bash
# tshark 4.0.17, as it is installed, calls a valid ARP request malformed if a byte of its padding is 1. An ARP packet has
# 28 bytes, and Ethernet pads it to 46 with bytes of any value. A dissector for the trailers of F5's switches, which is on by default,
# takes such padding for its own and fails. With --disable-protocol f5ethtrailer nothing is malformed.
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs Debian 12's apt-get and the libraries of its tshark
# (apt-get install tshark), and python3.
set -euo pipefail

version=4.0.17-0+deb12u3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq -o APT::Sandbox::User=root tshark=$version libwireshark16=$version libwiretap13=$version libwsutil14=$version
for package in *.deb; do dpkg-deb -x "$package" tree; done
python3 - <<'PYTHON'
import struct
def padded(byte):
    padding = bytes(11) + bytes([byte]) + bytes(6)
    arp = bytes.fromhex("0001080006040001 020000000000 0a00020f 000000000000 0a000202".replace(" ", ""))
    return bytes.fromhex("ffffffffffff 020000000000 0806".replace(" ", "")) + arp + padding
with open("arp.pcap", "wb") as file:
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
    for frame in map(padded, [0, 1]):
        file.write(struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame)
PYTHON

# malformed OPTIONS...: the numbers of the frames that are.
malformed() {
    HOME=$work LD_LIBRARY_PATH=$(echo "$work"/tree/usr/lib/*-linux-gnu) tree/usr/bin/tshark -n -r arp.pcap "$@" \
        -Y _ws.malformed -T fields -e frame.number -e _ws.expert.message 2>/dev/null
}
said=$(malformed && echo "without F5's dissector:" && malformed --disable-protocol f5ethtrailer)
seen=$'2\tMalformed Packet (Exception occurred)\nwithout F5\'s dissector:'
echo "$said"
[ "$said" = "$seen" ]
