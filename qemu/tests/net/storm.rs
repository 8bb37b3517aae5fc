//! The scenario `net-storm`, from outside: hosts that flood the card with everything while its interface comes and goes,
//! and look at each frame that it sends.
//!
//! # The account
//!
//! A frame has gone through the card, which counts it, or it was lost at a socket that was full, which the host's own kernel
//! counts. So both directions add up to the last frame, once the flood has ended and what was answered last has been heard.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use smoltcp::wire::{Ipv4Address, Ipv4Packet};

use crate::machine::Machine;
use crate::nic_loop::address;
use crate::packets::{Heard, Packets};
use crate::wire::{BRIEFLY, Wire};

/// The addresses of the card: one that it comes with, and one that comes and goes.
const KERNEL: [Ipv4Address; 2] = [
    Ipv4Address::new(10, 0, 2, 15),
    Ipv4Address::new(10, 0, 2, 16),
];
const ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// Hosts of the card's net that send, behind the router's address.
const HOSTS: u8 = 4;
/// Frames that are sent one behind the other, before the sender sleeps for the shortest while.
const BURST: u32 = 32;
const PAUSE: Duration = Duration::from_millis(1);
const ECHO_PORT: u16 = 7;
const DISCARD_PORT: u16 = 9;
/// The number of the pings that are sent at the end.
const LAST: u16 = u16::MAX;

/// How long the storm is, in seconds.
fn seconds() -> u64 {
    let text = env::var("RUMPLAB_STORM_SECONDS").unwrap_or_else(|_| "20".to_owned());
    text.parse().expect("RUMPLAB_STORM_SECONDS is a number")
}

/// What was sent and heard.
#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    frames: AtomicU64,
    requests: AtomicU64,
    replies: AtomicU64,
    pongs: AtomicU64,
    datagrams: AtomicU64,
    unreachable: AtomicU64,
    /// A ping of the end was answered.
    last: AtomicBool,
    /// Nothing more is sent.
    ended: AtomicBool,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The wire, the card at its other end, and what went over it.
struct Storm {
    wire: Wire,
    packets: Packets,
    counts: Counts,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it floods is not part of what is checked"
)]
fn now() -> Instant {
    Instant::now()
}

fn host(number: u32) -> Ipv4Address {
    Ipv4Address::new(10, 0, 2, 32 + (number % u32::from(HOSTS)) as u8)
}

impl Storm {
    fn send(&self, frame: &[u8]) {
        self.wire.send(frame);
        count(&self.counts.sent);
    }

    /// Frame `number`: one of everything, one after the other, from one host after the other.
    fn frame(&self, number: u32) -> Vec<u8> {
        let from = host(number / 12);
        let [stays, goes] = KERNEL;
        let far = Ipv4Address::new(192, 0, 2, (number / 16) as u8 | 1);
        let (sequence, port) = (number as u16 & 0x7fff, 4000 + (number / 12 % 64) as u16);
        let data = vec![number as u8; (number * 37 % 1400) as usize];
        let packets = &self.packets;
        match number % 12 {
            0 => packets.arp_request(from, stays),
            1 => packets.ping(from, stays, sequence, &data),
            2 => packets.datagram((from, port), (stays, ECHO_PORT), &data),
            3 => packets.arp_reply(from, stays),
            4 => packets.ping(from, goes, sequence, &data),
            5 => packets.datagram((from, port), (stays, 99), &data),
            6 => packets.ping(far, stays, sequence, b"from far away"),
            7 => packets.datagram((from, port), (stays, DISCARD_PORT), &data),
            8 => packets.fragment(from, stays, sequence.is_multiple_of(2)),
            9 => damaged(packets.ping(from, stays, sequence, b"damaged")),
            10 => packets.arp_request(from, goes),
            _ => damaged(packets.datagram((from, port), (goes, ECHO_PORT), b"damaged")),
        }
    }

    /// Sends for so long.
    fn flood(&self, time: Duration) {
        let (start, mut number) = (now(), 0_u32);
        while start.elapsed() < time {
            for _ in 0..BURST {
                self.send(&self.frame(number));
                number = number.wrapping_add(1);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Pings until one is answered: all that was sent before has gone through the card then. Many are not, because the
    /// interface is not there, or has no address yet.
    fn settle(&self) {
        for _ in 0..200 {
            self.send(&self.packets.ping(host(0), KERNEL[0], LAST, b"the last"));
            let sent = now();
            while sent.elapsed() < BRIEFLY {
                if self.counts.last.load(Relaxed) {
                    return;
                }
                thread::sleep(PAUSE);
            }
        }
        panic!("nothing answers when the flood is over");
    }

    /// Listens until nothing more is sent, and nothing is on its way.
    fn listen(&self) {
        loop {
            match self.wire.receive_within(BRIEFLY) {
                Some(frame) => self.hear(&frame),
                None if self.counts.ended.load(Relaxed) => return,
                None => {}
            }
        }
    }

    /// A frame of the kernel's: it must be sound. Who asks for a host is answered, most times.
    fn hear(&self, frame: &[u8]) {
        let counts = &self.counts;
        count(&counts.frames);
        match self.packets.hear(frame) {
            Heard::ArpRequest { from, target } => {
                let number = counts.requests.fetch_add(1, Relaxed);
                let known = target == ROUTER || (0..HOSTS).any(|n| host(n.into()) == target);
                if known && number % 8 != 7 {
                    self.send(&self.packets.arp_reply(target, from));
                }
            }
            Heard::ArpReply => count(&counts.replies),
            Heard::Pong { sequence } => {
                count(&counts.pongs);
                if sequence == LAST {
                    counts.last.store(true, Relaxed);
                }
            }
            Heard::Datagram => count(&counts.datagrams),
            Heard::Unreachable => count(&counts.unreachable),
        }
    }
}

/// A packet whose last byte was changed on the way.
fn damaged(mut frame: Vec<u8>) -> Vec<u8> {
    let packet = Ipv4Packet::new_unchecked(&frame[14..]);
    let last = 14 + usize::from(packet.total_len()) - 1;
    frame[last] ^= 0x40;
    frame
}

/// Datagrams that were lost at the UDP socket with this port because it was full.
fn lost_at(port: u16) -> u64 {
    let table = fs::read_to_string("/proc/net/udp").expect("Linux tells of its sockets");
    let local = format!("0100007F:{port:04X}");
    let row = table.lines().find(|row| row.contains(&local));
    let drops = row.and_then(|row| row.split_ascii_whitespace().last());
    let drops = drops.and_then(|drops| drops.parse().ok());
    drops.unwrap_or_else(|| panic!("no socket with port {port} in /proc/net/udp:\n{table}"))
}

/// The numbers of what the machine says of its card: received, unfit, sent, refused.
fn through_card(said: &str) -> [u64; 4] {
    let line = said.lines().find(|line| line.contains("frames received"));
    let line = line.expect("a line of the card");
    let (_, line) = line.split_once(':').expect("the card has a name");
    let numbers = line.split(' ').filter_map(|word| word.parse().ok());
    let numbers: Vec<u64> = numbers.collect();
    numbers.try_into().expect("four numbers")
}

fn storm(variant: &str, seconds: u64) {
    let wire = Wire::lay();
    let options = wire.option();
    // It ends when it is told to.
    let limit = seconds + 120;
    let mut machine = Machine::boot(&format!(
        "--scenario net-storm --variant {variant} --cpus 4 --seconds {limit} {options}"
    ));
    let packets = Packets::new(address(&machine.wait_for("# nic0: ")));
    let storm = Storm {
        wire,
        packets,
        counts: Counts::default(),
    };
    let (said, lost_there) = thread::scope(|scope| {
        let listener = scope.spawn(|| storm.listen());
        storm.flood(Duration::from_secs(seconds));
        storm.settle();
        let lost_there = lost_at(storm.wire.card_port());
        let said = machine.pass();
        storm.counts.ended.store(true, Relaxed);
        listener.join().expect("every frame is sound");
        (said, lost_there)
    });
    let lost_here = lost_at(storm.wire.port());
    let counts = &storm.counts;
    let [sent, heard] = [&counts.sent, &counts.frames].map(|counter| counter.load(Relaxed));
    println!("{said}");
    println!("sent by the hosts outside: {sent}, lost at the card's socket: {lost_there}");
    println!("heard by the hosts outside: {heard}, lost at their socket: {lost_here}");
    for (counter, what) in [
        (&counts.requests, "ARP requests"),
        (&counts.replies, "ARP replies"),
        (&counts.pongs, "echo replies"),
        (&counts.datagrams, "datagrams"),
        (&counts.unreachable, "errors"),
    ] {
        let number = counter.load(Relaxed);
        println!("  {number} {what}");
        assert!(number > 0, "no {what} in a storm of {seconds} s");
    }
    let [received, unfit, transmitted, _] = through_card(&said);
    assert_eq!(sent, received + unfit + lost_there, "frames to the card");
    assert_eq!(transmitted, heard + lost_here, "frames from the card");
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn a_storm_adds_up_to_the_last_frame() {
    storm("fixed", seconds());
}

/// For a quarter of the time.
#[test]
#[ignore = "boots machines: scripts/test-net"]
fn a_storm_with_softnet_lock_adds_up_to_the_last_frame() {
    storm("softnet-lock", seconds().div_ceil(4));
}
