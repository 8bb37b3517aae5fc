//! What the check of sent frames takes and refuses: by hand, rule by rule; of frames from outside that the stack answers; and
//! beside tshark.

mod build;
mod tshark;

use hostshim::replay::LIMITS;
use hostshim::strategy::Rng;
use hostshim::wire::{Frame, Wire};
use hostshim::{Machine, Portfolio, Setup, Verdict};
use kmod::config::Config;
use kmod::machine::NIC_FRAME;
use kmod::scenario::net::wellformed::{Malformed, check};
use kmod::scenario::net::wire::{REMOTE, STACK, WIRE};

use build::{DATA, arp, ether, icmp, ip, mended, quote, udp, with};

/// Well-formed frames, with what each is.
pub(crate) fn sound() -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut add = |what: String, frame: Vec<u8>| frames.push((what, frame));
    for operation in [1, 2] {
        add(format!("ARP operation {operation}"), arp(operation));
        let padded = [arp(operation), vec![0; 18]].concat();
        add(format!("ARP operation {operation}, padded"), padded);
    }
    for length in [0, 1, 7, 8, 36, 1472] {
        add(
            format!("echo reply of {length} bytes"),
            icmp(0, 0, &vec![0x55; length]),
        );
        add(
            format!("datagram of {length} bytes"),
            udp([4000, 4001], &vec![0xaa; length]),
        );
    }
    for code in [1, 5, 255] {
        add(
            format!("echo request with code {code}"),
            icmp(8, code, b"data"),
        );
        add(
            format!("echo reply with code {code}"),
            icmp(0, code, b"data"),
        );
    }
    for code in 0..=15 {
        add(
            format!("unreachable with code {code}"),
            icmp(3, code, &quote(16, 8)),
        );
    }
    for length in 0..=20 {
        for quoted in length.min(8)..=length {
            let what = format!("unreachable that quotes {quoted} of {length} bytes");
            add(what, icmp(3, 2, &quote(length, quoted)));
        }
    }
    add("datagram from port 0".to_owned(), udp([0, 4001], b"data"));
    let padded = [udp([4000, 4001], b""), vec![0; 18]].concat();
    add("datagram, padded".to_owned(), padded);
    for options in [[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0], [148, 4, 0, 0]] {
        let what = format!("echo reply with options {options:?}");
        add(what, ip(1, &options, &icmp(0, 0, b"data")[DATA..]));
    }
    let data = [7; 24];
    for (place, flags, offset) in [("first", 0x20, 0), ("middle", 0x20, 3), ("last", 0, 6)] {
        let whole = ip(17, &[], &data);
        let fragment = mended(&whole, &[(20, flags), (21, offset)]);
        add(format!("{place} fragment"), fragment);
    }
    frames
}

/// A frame that breaks each rule, and what is wrong with it.
fn breaches() -> Vec<(Malformed, Vec<u8>)> {
    use Malformed::*;
    let echo = icmp(0, 0, b"data");
    let datagram = udp([4000, 4001], b"data");
    let error = icmp(3, 3, &quote(16, 8));
    let arp = arp(1);
    let fragment = ip(17, &[], &[7; 24]);
    let quoted = |changes: &[(usize, u8)]| {
        // What is quoted has a checksum of its own.
        let mut packet = build::ether(0x0800, &quote(16, 16));
        packet = mended(&packet, changes);
        icmp(3, 3, &packet[build::IP..][..28])
    };
    let last = |frame: &[u8]| (frame.len() - 1, frame[frame.len() - 1] ^ 0x40);
    vec![
        (EtherShort, echo[..13].to_vec()),
        (EtherLong, [echo.clone(), vec![0; 1500]].concat()),
        (EtherSource, with(&echo, &[(6, 3)])),
        (EtherType, with(&echo, &[(12, 0x86), (13, 0xdd)])),
        (ArpShort, arp[..41].to_vec()),
        (ArpKind, with(&arp, &[(18, 8)])),
        (ArpKind, with(&arp, &[(19, 16)])),
        (ArpOperation, with(&arp, &[(21, 3)])),
        (ArpSender, with(&arp, &[(22, 0xff)])),
        (IpShort, echo[..33].to_vec()),
        (IpShort, with(&echo, &[(14, 0x4f)])),
        (IpVersion, mended(&echo, &[(14, 0x65)])),
        (IpHeaderLength, with(&echo, &[(14, 0x44)])),
        (IpTotalLength, mended(&echo, &[(17, 19)])),
        (IpTotalLength, mended(&echo, &[(17, 33)])),
        (IpChecksum, with(&echo, &[(25, echo[25] ^ 1)])),
        (IpReserved, mended(&echo, &[(20, 0xc0)])),
        (IpFragment, mended(&echo, &[(20, 0x20)])),
        (IpFragment, mended(&fragment, &[(20, 0x1f), (21, 0xff)])),
        (IpTtl, mended(&echo, &[(22, 0)])),
        (IpOptions, ip(1, &[7, 5, 4, 0], &echo[DATA..])),
        (IpOptions, ip(1, &[7, 1, 0, 0], &echo[DATA..])),
        (IpOptions, ip(1, &[1, 1, 1, 7], &echo[DATA..])),
        (
            IpSource,
            mended(&echo, &[(26, 0), (27, 0), (28, 0), (29, 0)]),
        ),
        (IpSource, mended(&echo, &[(26, 224)])),
        (IpSource, mended(&echo, &[(26, 127)])),
        (
            IpDestination,
            mended(&echo, &[(30, 0), (31, 0), (32, 0), (33, 0)]),
        ),
        (IpDestination, mended(&echo, &[(30, 127)])),
        (IpProtocol, ip(6, &[], &[0; 20])),
        (IcmpShort, ip(1, &[], &[0; 7])),
        (IcmpChecksum, with(&echo, &[last(&echo)])),
        (IcmpType, icmp(13, 0, &[0; 12])),
        (IcmpCode, icmp(3, 16, &quote(16, 8))),
        (IcmpUnused, mended(&error, &[(38, 1)])),
        (IcmpUnused, mended(&error, &[(41, 1)])),
        (IcmpQuote, icmp(3, 3, &quote(16, 7))),
        (IcmpQuote, icmp(3, 3, &quote(7, 6))),
        (IcmpQuote, icmp(3, 3, &[quote(4, 4), vec![0; 4]].concat())),
        (IcmpQuote, mended(&error, &[(DATA + 8 + 8, 9)])),
        (IcmpUnasked, quoted(&[(26, 11)])),
        (IcmpUnasked, quoted(&[(23, 1), (34, 3)])),
        (IcmpUnasked, quoted(&[(21, 1)])),
        (IcmpUnasked, quoted(&[(30, 224)])),
        (UdpShort, ip(17, &[], &[0; 7])),
        (UdpLength, mended(&datagram, &[(39, 11)])),
        (UdpLength, mended(&datagram, &[(39, 13)])),
        (UdpPort, mended(&datagram, &[(36, 0), (37, 0)])),
        (UdpNoChecksum, with(&datagram, &[(40, 0), (41, 0)])),
        (UdpChecksum, with(&datagram, &[last(&datagram)])),
    ]
}

#[test]
fn what_the_standards_allow_is_well_formed() {
    for (what, frame) in sound() {
        assert_eq!(check(&frame), Ok(()), "{what}");
    }
}

#[test]
fn every_rule_is_broken_by_a_frame_that_breaks_no_other() {
    let breaches = breaches();
    for (number, (rule, frame)) in breaches.iter().enumerate() {
        assert_eq!(check(frame), Err(*rule), "breach {number}: {frame:02x?}");
    }
    for rule in Malformed::ALL {
        assert!(breaches.iter().any(|(of, _)| of == rule), "{rule:?}");
    }
    assert_eq!(check(&ether(0x0800, &[])), Err(Malformed::IpShort));
}

/// A frame from the other host to the stack.
fn to_stack(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&STACK.ether);
    frame[6..12].copy_from_slice(&REMOTE.ether);
    if frame[12..14] == [8, 0] {
        frame[26..30].copy_from_slice(&REMOTE.ip.octets());
        frame[30..34].copy_from_slice(&STACK.ip.octets());
        build::mend(&mut frame);
    }
    frame
}

/// Runs `net-wire` with these frames from outside, a few at a time: whatever comes, the stack answers with frames that are well
/// formed, or not at all.
fn answers_are_well_formed(frames: &[Vec<u8>], runs: u64) {
    for variant in WIRE.variants {
        let mut machine = Machine::new();
        let setup = Setup {
            scenario: &WIRE,
            config: WIRE.config(Config::small(WIRE.default_cpus), variant),
            trace: false,
        };
        if let Err(failure) = machine.boot(&setup) {
            panic!("it does not boot: {failure}");
        }
        for (number, part) in frames.chunks(8).enumerate() {
            let frames = part.iter().map(|frame| Frame {
                card: 0,
                bytes: frame.clone(),
            });
            machine.connect(&Wire {
                frames: frames.collect(),
                mishaps: Vec::new(),
            });
            let mut strategy = Portfolio::new(number as u64);
            for _ in 0..runs {
                let outcome = machine.run(&mut strategy, &LIMITS);
                assert_eq!(outcome.verdict, Verdict::Passed, "{part:02x?}");
            }
        }
    }
}

#[test]
fn valid_frames_from_outside_are_answered_by_well_formed_ones() {
    let ports = [0, 7, 9, 99, 4000];
    let mut frames: Vec<Vec<u8>> = sound().iter().map(|(_, frame)| to_stack(frame)).collect();
    for from in ports {
        for to in ports {
            frames.push(to_stack(&udp([from, to], b"data")));
        }
    }
    for length in 0..10 {
        frames.push(to_stack(&ip(6, &[], &vec![1; length])));
        frames.push(to_stack(&ip(47, &[1, 1, 1, 0], &vec![1; length])));
    }
    answers_are_well_formed(&frames, 12);
}

#[test]
fn any_frames_from_outside_are_answered_by_well_formed_ones() {
    const MUTANTS: u64 = 20;
    let mut frames = Vec::new();
    for (number, (_, frame)) in sound().iter().enumerate() {
        let mut rng = Rng::new(2, number as u64);
        let frame = to_stack(frame);
        frames.extend((0..MUTANTS).map(|_| build::mutant(&mut rng, &frame)));
    }
    // From nowhere, and from everywhere.
    for src in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [240, 0, 0, 1],
        [10, 0, 2, 255],
        [10, 0, 2, 15],
    ] {
        let from = [(26, src[0]), (27, src[1]), (28, src[2]), (29, src[3])];
        for frame in [
            icmp(8, 0, b"data"),
            udp([4000, 7], b"data"),
            udp([7, 99], b"data"),
        ] {
            frames.push(mended(&to_stack(&frame), &from));
        }
    }
    frames.retain(|frame| frame.len() <= NIC_FRAME);
    answers_are_well_formed(&frames, 3);
}
