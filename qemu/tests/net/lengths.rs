//! The scenario `net-serve`, with packets of every length: a host on the kernel's wire pings it and sends it datagrams.

use smoltcp::wire::Ipv4Address;

use crate::machine::Machine;
use crate::peer::{Peer, Said};
use crate::wire::Wire;

const KERNEL: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const OURS: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);

/// The port of the echo (RFC 862).
const ECHO: u16 = 7;

/// Most data of a ping or a datagram in one frame.
const MOST: usize = 1472;

/// Packets that are on their way at once.
const WINDOW: usize = 16;

/// A kernel that serves, and a host that knows its Ethernet address.
fn serve(options: &str) -> (Machine, Peer) {
    let wire = Wire::lay();
    let mut machine = Machine::boot(&format!("--scenario net-serve {options} {}", wire.option()));
    machine.wait_for("# net-serve: nic0 is");
    let mut peer = Peer::new(wire, OURS, KERNEL);
    peer.ask();
    assert!(matches!(peer.listen(), Some(Said::IsAt(_))));
    (machine, peer)
}

/// Data of `len` bytes, different for each number.
fn data(number: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (number * 31 + at * 7 + at / 256) as u8)
        .collect()
}

/// Sends `count` packets, of which so many as the window says are on their way at once; each is to be answered once.
fn exchange(
    peer: &mut Peer,
    count: usize,
    send: impl Fn(&Peer, usize),
    answer: impl Fn(usize) -> Said,
) {
    let mut waited: Vec<usize> = Vec::new();
    let mut next = 0;
    for answered in 0..count {
        while next < count && waited.len() < WINDOW {
            send(peer, next);
            waited.push(next);
            next += 1;
        }
        let Some(said) = peer.listen() else {
            panic!("{answered} of {count} were answered, and none of {waited:?}");
        };
        let found = waited.iter().position(|&number| answer(number) == said);
        let Some(place) = found else {
            panic!("nobody waits for this (any more): {said:?}; {waited:?}");
        };
        waited.swap_remove(place);
    }
}

fn ping_all(peer: &mut Peer) {
    exchange(
        peer,
        MOST + 1,
        |peer, len| peer.ping(7, len as u16, &data(len, len)),
        |len| Said::Pong(7, len as u16, data(len, len)),
    );
}

fn echo_all(peer: &mut Peer) {
    let port = |number: usize| 1024 + number as u16;
    exchange(
        peer,
        MOST + 1,
        |peer, len| peer.datagram(port(len), ECHO, &data(len, len)),
        |len| Said::Datagram(ECHO, port(len), data(len, len)),
    );
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn pings_and_datagrams_of_every_length_are_answered() {
    for (cpus, loader) in [(1, "--direct"), (2, "--grub"), (4, "--direct")] {
        let (machine, mut peer) = serve(&format!("--cpus {cpus} {loader}"));
        ping_all(&mut peer);
        echo_all(&mut peer);
        machine.pass();
    }
}
