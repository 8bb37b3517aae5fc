#!/usr/bin/env bash
# smoltcp 0.14.0, `Icmpv4Repr::parse`, refuses two kinds of valid ICMP message:
#   - an echo reply whose code is not 0. A host that answers a request with another code returns the code that it was sent
#     (RFC 1122, 3.2.2.6: the data must be returned; BSD and Linux change nothing but the type and the checksum);
#   - "protocol unreachable" that quotes a datagram of fewer than 8 bytes. RFC 792 wants "the first 64 bits of the original
#     datagram's data", and there are no more.
# The messages are made and summed with smoltcp itself.
# Exit status: 0 the behaviour is as described, 1 it has changed. Needs cargo.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cargo init --quiet --name finding .
cargo add --quiet smoltcp@=0.14.0 --no-default-features --features proto-ipv4,medium-ethernet,socket-udp
cat >src/main.rs <<'RUST'
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Message, Icmpv4Packet, Icmpv4Repr, IpProtocol, Ipv4Address, Ipv4Packet, Ipv4Repr};

fn say(what: &str, message: &[u8]) {
    let packet = Icmpv4Packet::new_checked(message).unwrap();
    assert!(packet.verify_checksum());
    let parsed = Icmpv4Repr::parse(&packet, &ChecksumCapabilities::default());
    println!("{what}: {}", if parsed.is_ok() { "taken" } else { "refused" });
}

fn message(kind: Icmpv4Message, code: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = [&[0; 8][..], data].concat();
    let mut packet = Icmpv4Packet::new_unchecked(&mut bytes);
    packet.set_msg_type(kind);
    packet.set_msg_code(code);
    packet.fill_checksum();
    bytes
}

fn quoted(payload_len: usize) -> Vec<u8> {
    let mut bytes = vec![0; 20 + payload_len];
    let header = Ipv4Repr {
        src_addr: Ipv4Address::new(10, 0, 0, 1),
        dst_addr: Ipv4Address::new(10, 0, 0, 2),
        next_header: IpProtocol::Unknown(200),
        payload_len,
        hop_limit: 64,
    };
    header.emit(&mut Ipv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    bytes
}

fn main() {
    for code in [0, 5] {
        let reply = message(Icmpv4Message::EchoReply, code, b"data");
        say(&format!("echo reply with code {code}"), &reply);
    }
    for length in [8, 4] {
        let error = message(Icmpv4Message::DstUnreachable, 2, &quoted(length));
        say(&format!("error that quotes a datagram of {length} bytes"), &error);
    }
}
RUST

said=$(cargo run --quiet)
seen='echo reply with code 0: taken
echo reply with code 5: refused
error that quotes a datagram of 8 bytes: taken
error that quotes a datagram of 4 bytes: refused'
echo "$said"
[ "$said" = "$seen" ]
