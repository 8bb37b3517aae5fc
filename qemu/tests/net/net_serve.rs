//! The servers of the scenario `net-serve`: ARP, ICMP echo, UDP echo and discard, errors, and what is dropped.

use std::time::{Duration, Instant};

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv4Packet, IpAddress, IpProtocol, Ipv4Address, Ipv4Packet, UdpPacket,
};

use crate::machine::Machine;
use crate::nic_loop::address;
use crate::packets::Packets;
use crate::wire::Wire;

/// The address that the scenario gives its card.
const SERVER: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
/// Ours.
const CLIENT: Ipv4Address = Ipv4Address::new(10, 0, 2, 7);
/// A host behind the router, which is ours, too.
const FAR: Ipv4Address = Ipv4Address::new(192, 0, 2, 9);
const ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const ECHO_PORT: u16 = 7;
const DISCARD_PORT: u16 = 9;
const OUR_PORT: u16 = 4000;
/// Requests that are on their way at once.
const WINDOW: u32 = 16;

/// A host on the wire with the server at its other end.
struct Client {
    wire: Wire,
    packets: Packets,
    card: EthernetAddress,
}

/// What came, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    ArpReply(EthernetAddress),
    ArpRequest(Ipv4Address),
    EchoReply { to: Ipv4Address, number: u16 },
    Unreachable(u8),
    Datagram { from_port: u16, data: Vec<u8> },
}

impl Client {
    fn ping(&self, src: Ipv4Address, number: u16) {
        self.wire
            .send(&self.packets.ping(src, SERVER, number, &[0x5a; 56]));
    }

    fn datagram(&self, port: u16, data: &[u8]) -> Vec<u8> {
        self.packets
            .datagram((CLIENT, OUR_PORT), (SERVER, port), data)
    }

    /// The next frame that is of any interest.
    fn receive(&self) -> Option<Seen> {
        loop {
            let bytes = self.wire.receive()?;
            let frame = EthernetFrame::new_checked(&bytes[..]).expect("a frame");
            assert_eq!(frame.src_addr(), self.card);
            match frame.ethertype() {
                EthernetProtocol::Arp => {
                    let packet = ArpPacket::new_checked(frame.payload()).expect("an ARP packet");
                    match ArpRepr::parse(&packet).expect("an ARP packet") {
                        ArpRepr::EthernetIpv4 {
                            operation: ArpOperation::Reply,
                            source_hardware_addr,
                            ..
                        } => return Some(Seen::ArpReply(source_hardware_addr)),
                        ArpRepr::EthernetIpv4 {
                            source_protocol_addr,
                            target_protocol_addr,
                            ..
                        } if source_protocol_addr != target_protocol_addr => {
                            return Some(Seen::ArpRequest(target_protocol_addr));
                        }
                        // An announcement.
                        _ => {}
                    }
                }
                EthernetProtocol::Ipv4 => return Some(seen_in_ip(frame.payload())),
                other => panic!("a frame of type {other}"),
            }
        }
    }
}

fn seen_in_ip(packet: &[u8]) -> Seen {
    let ip = Ipv4Packet::new_checked(packet).expect("an IPv4 packet");
    assert!(ip.verify_checksum());
    assert_eq!(ip.src_addr(), SERVER);
    match ip.next_header() {
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(ip.payload()).expect("an ICMP message");
            assert!(icmp.verify_checksum());
            match u8::from(icmp.msg_type()) {
                0 => Seen::EchoReply {
                    to: ip.dst_addr(),
                    number: icmp.echo_seq_no(),
                },
                3 => Seen::Unreachable(icmp.msg_code()),
                other => panic!("an ICMP message of type {other}"),
            }
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(ip.payload()).expect("an UDP datagram");
            let addresses = (IpAddress::Ipv4(SERVER), IpAddress::Ipv4(ip.dst_addr()));
            assert!(udp.verify_checksum(&addresses.0, &addresses.1));
            Seen::Datagram {
                from_port: udp.src_port(),
                data: udp.payload().to_vec(),
            }
        }
        other => panic!("a packet of protocol {other}"),
    }
}

/// Boots the servers, and asks for their Ethernet address.
fn serve(arguments: &str) -> (Machine, Client) {
    let wire = Wire::lay();
    let options = wire.option();
    let mut machine = Machine::boot(&format!("--scenario net-serve {arguments} {options}"));
    let card = EthernetAddress(address(&machine.wait_for("# nic0: ")));
    machine.wait_for("# net-serve: nic0 is 10.0.2.15/24");
    let packets = Packets::new(card.0);
    let client = Client {
        wire,
        packets,
        card,
    };
    client
        .wire
        .send(&client.packets.arp_request(CLIENT, SERVER));
    assert_eq!(client.receive(), Some(Seen::ArpReply(card)));
    (machine, client)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how fast answers come is told, and decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}

/// Exchanges `count` datagrams with the echo server; each must come back once and unchanged.
fn echo(client: &Client, count: u32) -> Duration {
    let start = now();
    let mut seen = vec![false; count as usize];
    let mut next = 0;
    for received in 0..count {
        while next < count && next - received < WINDOW {
            client
                .wire
                .send(&client.datagram(ECHO_PORT, &next.to_be_bytes()));
            next += 1;
        }
        let Some(Seen::Datagram { from_port, data }) = client.receive() else {
            panic!("{received} of {next} datagrams came back");
        };
        assert_eq!(from_port, ECHO_PORT);
        let number = u32::from_be_bytes(data.try_into().expect("four bytes"));
        assert!(!std::mem::replace(&mut seen[number as usize], true));
    }
    start.elapsed()
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn servers_answer_and_everything_is_accounted_for() {
    for arguments in ["--cpus 1", "--cpus 4", "--cpus 2 --variant softnet-lock"] {
        let (machine, client) = serve(arguments);
        for number in 0..50 {
            client.ping(CLIENT, number);
            let to = CLIENT;
            assert_eq!(client.receive(), Some(Seen::EchoReply { to, number }));
        }
        // From another net: the answer goes to the router, whose Ethernet address is asked for first.
        client.ping(FAR, 1);
        assert_eq!(client.receive(), Some(Seen::ArpRequest(ROUTER)));
        client.wire.send(&client.packets.arp_reply(ROUTER, SERVER));
        let reply = Seen::EchoReply { to: FAR, number: 1 };
        assert_eq!(client.receive(), Some(reply));
        echo(&client, 500);
        for _ in 0..20 {
            client
                .wire
                .send(&client.datagram(DISCARD_PORT, b"to nobody"));
        }
        client.wire.send(&client.datagram(99, b"closed"));
        assert_eq!(client.receive(), Some(Seen::Unreachable(3)));
        let tcp = client
            .packets
            .ip((CLIENT, SERVER), IpProtocol::Tcp, 20, |_| {});
        client.wire.send(&tcp);
        assert_eq!(client.receive(), Some(Seen::Unreachable(2)));
        // Nothing of these comes back: the two parts of a datagram that never come together, and what is damaged in its
        // header, in UDP's data and in ICMP's.
        client
            .wire
            .send(&client.packets.fragment(CLIENT, SERVER, true));
        client
            .wire
            .send(&client.packets.fragment(CLIENT, SERVER, false));
        let mut damaged = client.datagram(ECHO_PORT, b"damaged");
        damaged[24] ^= 1;
        client.wire.send(&damaged);
        let mut damaged = client.datagram(ECHO_PORT, b"damaged");
        damaged[42] ^= 1;
        client.wire.send(&damaged);
        let mut damaged = client.packets.ping(CLIENT, SERVER, 98, b"damaged");
        damaged[45] ^= 1;
        client.wire.send(&damaged);
        client.wire.send(&[0xff; 200]);
        // The last thing that is answered: what was sent before has been handled.
        client.ping(CLIENT, 99);
        let (to, number) = (CLIENT, 99);
        assert_eq!(client.receive(), Some(Seen::EchoReply { to, number }));
        let said = machine.pass();
        for line in [
            "52 echo requests",
            "52 echo replies",
            "# 2 packets dropped: fragment",
            "# 1 packets dropped: bad IP checksum",
            "# 1 packets dropped: bad UDP datagram",
            "# 1 packets dropped: bad ICMP message",
            "# 1 packets dropped: no port",
            "# 1 packets dropped: unknown protocol",
            "520 datagrams to sockets",
        ] {
            assert!(said.contains(line), "no line `{line}` in:\n{said}");
        }
    }
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn echoes_allocate_nothing_once_there_are_buffers() {
    let datagrams = 20_000;
    let (machine, client) = serve("--cpus 2 --no-perturb");
    let time = echo(&client, datagrams);
    let rate = f64::from(datagrams) / time.as_secs_f64();
    println!("{rate:.0} UDP echoes a second, {WINDOW} on their way");
    let said = machine.pass();
    let line = said
        .lines()
        .find(|line| line.contains("buffers that were allocated"));
    let line = line.expect("a line of buffers");
    let buffers: u32 = line
        .split(", in ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .and_then(|number| number.parse().ok())
        .expect("a number of buffers");
    println!("{line}");
    assert!(buffers < 1000, "{line}");
}
