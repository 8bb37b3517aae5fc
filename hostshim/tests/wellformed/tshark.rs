//! The check beside tshark: thousands of frames, valid and changed. Each frame of which the two think differently is explained
//! here, in [`REFUSED`] and [`ALLOWED`]. A difference without an explanation fails the test, and so does an explanation that
//! explains none.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs, process};

use hostshim::Sent;
use hostshim::pcap;
use hostshim::strategy::Rng;
use hostshim::wire::Frame;
use kmod::scenario::net::wellformed::{Malformed, check};

use crate::build::mutant;
use crate::{breaches, sound};

/// Frames that are made from each well-formed one.
const MUTANTS: u64 = 50;

/// A rule of the check, the frames of which tshark does not say that they break it, and why it does not.
type Refused = (Malformed, fn(&[u8]) -> bool, &'static str);

const ANY: fn(&[u8]) -> bool = |_| true;
const VALID: &str = "valid, but this stack has no reason to send it";

const REFUSED: &[Refused] = &[
    (
        Malformed::EtherLong,
        ANY,
        "tshark does not know the MTU of the wire",
    ),
    (Malformed::EtherType, ANY, VALID),
    (Malformed::ArpKind, ANY, VALID),
    (Malformed::ArpOperation, ANY, VALID),
    (
        Malformed::ArpSender,
        ANY,
        "tshark looks at the source of the frame only",
    ),
    (
        Malformed::IpReserved,
        ANY,
        "tshark shows the flag, which RFC 791 wants 0",
    ),
    (
        Malformed::IpFragment,
        ANY,
        "tshark would say so if it put fragments together",
    ),
    (
        Malformed::IpTtl,
        ANY,
        "RFC 1122, 3.2.1.7, forbids to send it; tshark notes a low TTL for groups only",
    ),
    (Malformed::IpSource, ANY, "tshark does not judge addresses"),
    (
        Malformed::IpDestination,
        ANY,
        "tshark does not judge addresses",
    ),
    (Malformed::IpProtocol, ANY, VALID),
    (
        Malformed::IcmpShort,
        |frame| total_length(frame) == header_length(frame),
        "tshark looks for no message in a packet without data",
    ),
    (Malformed::IcmpType, ANY, VALID),
    (Malformed::IcmpCode, ANY, "tshark shows the code as unknown"),
    (
        Malformed::IcmpUnused,
        ANY,
        "tshark takes the bytes for a length (RFC 4884), which this stack does not send",
    ),
    (
        Malformed::IcmpQuote,
        |frame| !quotes_enough(frame),
        "tshark takes a quote of any length and any version",
    ),
    (
        Malformed::IcmpUnasked,
        ANY,
        "tshark does not judge whether an error may be sent",
    ),
    (Malformed::UdpPort, ANY, "tshark does not judge ports"),
    (
        Malformed::UdpNoChecksum,
        ANY,
        "valid, but RFC 1122, 4.1.3.4, wants a checksum unless an application asks for none",
    ),
];

/// What tshark says of frames that the check takes, and why it takes them.
const ALLOWED: &[(&str, &str)] = &[(
    "4 NOP in a row",
    "RFC 791 sets no limit; a router that takes an option out may leave this",
)];

/// Bytes of a packet, and of its header.
fn total_length(frame: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([frame[16], frame[17]]))
}

fn header_length(frame: &[u8]) -> usize {
    usize::from(frame[14] & 0xf) * 4
}

/// Whether an error quotes an IPv4 header, the 8 bytes behind it if there are so many, and nothing from behind the packet.
fn quotes_enough(frame: &[u8]) -> bool {
    let quote = &frame[14 + header_length(frame) + 8..14 + total_length(frame)];
    if quote.len() < 20 || quote[0] >> 4 != 4 {
        return false;
    }
    let header = usize::from(quote[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([quote[2], quote[3]]));
    (total.min(header + 8)..=total).contains(&quote.len())
}

fn frames() -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = breaches().into_iter().map(|(_, frame)| frame).collect();
    for (number, (_, sound)) in sound().iter().enumerate() {
        let mut rng = Rng::new(1, number as u64);
        frames.extend((0..MUTANTS).map(|_| mutant(&mut rng, sound)));
        frames.push(sound.clone());
    }
    frames
}

/// What tshark writes.
fn tshark(arguments: &[&str]) -> String {
    let output = Command::new("tshark").args(arguments).output();
    let output = output.expect("tshark runs: scripts/setup net installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark: {said}");
    String::from_utf8(output.stdout).expect("tshark writes UTF-8")
}

/// What tshark has against each frame of a file: nothing, if it finds all in order.
fn complaints(file: &Path) -> BTreeMap<usize, Vec<String>> {
    const PROTOCOLS: [&str; 7] = ["frame", "eth", "ethertype", "arp", "ip", "icmp", "udp"];
    let file = file.to_str().expect("a path in UTF-8");
    let mut arguments = vec!["-n", "-r", file];
    // What is in a datagram, and what is behind a packet, is not looked at.
    let protocols = tshark(&["-G", "protocols"]);
    for protocol in protocols.lines().filter_map(|row| row.split('\t').nth(2)) {
        if !PROTOCOLS.contains(&protocol) {
            arguments.extend(["--disable-protocol", protocol]);
        }
    }
    for preference in [
        "ip.check_checksum:TRUE",
        "udp.check_checksum:TRUE",
        // What may be left to a card: the frame check sequence, and to cut what is sent into packets.
        "eth.fcs:Never",
        "ip.tso_support:FALSE",
        // Each frame is looked at alone.
        "ip.defragment:FALSE",
        "arp.detect_duplicate_ips:FALSE",
    ] {
        arguments.extend(["-o", preference]);
    }
    arguments.extend(["-T", "fields", "-E", "aggregator=|"]);
    for field in [
        "frame.number",
        "_ws.malformed",
        "_ws.short",
        "_ws.expert.severity",
        "_ws.expert.message",
    ] {
        arguments.extend(["-e", field]);
    }
    tshark(&arguments).lines().map(complaint).collect()
}

/// A row of tshark's: the number of the frame, from 1, and what is against it.
fn complaint(row: &str) -> (usize, Vec<String>) {
    /// A warning, as tshark numbers severities (`PI_WARN`).
    const WARNING: u32 = 0x0060_0000;
    let fields: Vec<&str> = row.split('\t').collect();
    let [number, malformed, short, severities, messages] = fields[..] else {
        panic!("tshark writes five fields: {row}");
    };
    let number: usize = number.parse().expect("the number of a frame");
    let mut against = Vec::new();
    against.extend((!malformed.is_empty()).then(|| "malformed".to_owned()));
    against.extend((!short.is_empty()).then(|| "short".to_owned()));
    for (severity, message) in severities.split('|').zip(messages.split('|')) {
        if severity
            .parse()
            .is_ok_and(|severity: u32| severity >= WARNING)
        {
            against.push(message.to_owned());
        }
    }
    (number - 1, against)
}

#[test]
#[ignore = "needs tshark: scripts/test-net"]
fn every_difference_from_tshark_is_explained() {
    let frames = frames();
    let file = env::temp_dir().join(format!("rumplab-wellformed-{}.pcap", process::id()));
    let sent: Vec<Sent> = frames
        .iter()
        .enumerate()
        .map(|(point, bytes)| Sent {
            point: point as u64,
            frame: Frame {
                card: 0,
                bytes: bytes.clone(),
            },
        })
        .collect();
    pcap::write(&file, &sent).expect("the file is written");
    let complaints = complaints(&file);
    let _ = fs::remove_file(&file);
    assert_eq!(complaints.len(), frames.len(), "tshark reads every frame");
    let mut agreed = [0, 0];
    let mut explained = BTreeMap::<String, u32>::new();
    let mut unexplained = BTreeMap::<String, (u32, String)>::new();
    for (number, frame) in frames.iter().enumerate() {
        let ours = check(frame);
        let theirs = &complaints[&number];
        let difference = match ours {
            Ok(()) if theirs.is_empty() => {
                agreed[0] += 1;
                continue;
            }
            Err(_) if !theirs.is_empty() => {
                agreed[1] += 1;
                continue;
            }
            Ok(()) => format!("tshark alone: {}", theirs.join("; ")),
            Err(rule) => format!("the check alone: {rule}"),
        };
        let reason = match ours {
            Err(rule) => {
                let explains = |(of, when, _): &&Refused| *of == rule && when(frame);
                REFUSED.iter().find(explains).map(|(_, _, why)| *why)
            }
            Ok(()) => {
                let why = |said: &String| ALLOWED.iter().find(|(of, _)| said.starts_with(of));
                let all: Option<Vec<_>> = theirs.iter().map(why).collect();
                all.and_then(|all| all.first().map(|(_, why)| *why))
            }
        };
        match reason {
            Some(why) => {
                *explained
                    .entry(format!("{difference}\n      {why}"))
                    .or_default() += 1
            }
            None => {
                let found = unexplained.entry(difference);
                found.or_insert((0, format!("{frame:02x?}"))).0 += 1;
            }
        }
    }
    println!(
        "{} frames: {} well formed and {} malformed for both",
        frames.len(),
        agreed[0],
        agreed[1]
    );
    for (difference, count) in &explained {
        println!("{count:5} {difference}");
    }
    for (difference, (count, example)) in &unexplained {
        println!("{count:5} UNEXPLAINED {difference}\n      as {example}");
    }
    assert!(unexplained.is_empty(), "differences without an explanation");
    let text: Vec<&String> = explained.keys().collect();
    let used = |what: &str| text.iter().any(|difference| difference.contains(what));
    for (rule, _, _) in REFUSED {
        assert!(used(&rule.to_string()), "{rule:?}: no difference");
    }
    for (said, _) in ALLOWED {
        assert!(used(said), "{said}: no difference");
    }
    let enough = agreed.iter().all(|&count| count > 2_000);
    assert!(enough, "most frames are judged alike: {agreed:?}");
}
