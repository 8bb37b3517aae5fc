//! Frames from outside, in files: `rumplab run --frames`.

use crate::program::{Scratch, rumplab};

/// An ARP request for the address of the stack, padded.
fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend([
        2, 0, 0, 0, 0, 9, 10, 0, 2, 9, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15,
    ]);
    frame.resize(60, 0);
    frame
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A pcap file with so many frames.
fn pcap(magic: u32, snap_length: u32, frames: usize) -> Vec<u8> {
    let header = words(&[magic, 0x0004_0002, 0, 0, snap_length, 1]);
    let frame = [words(&[1, 999_999, 60, 60]), arp()].concat();
    [header, frame.repeat(frames)].concat()
}

/// A pcapng file with a frame.
fn pcapng() -> Vec<u8> {
    let section = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28]);
    let interface = words(&[1, 20, 1, 0, 20]);
    let packet = [words(&[6, 92, 0, 0, 0, 60, 60]), arp(), words(&[92])].concat();
    [section, interface, packet].concat()
}

fn run(scenario: &str, path: &str) -> crate::program::Ran {
    let seed = ["--schedules", "20", "--frames", path];
    rumplab(&[&["run", scenario][..], &seed].concat())
}

#[test]
fn captures_of_every_kind_are_run() {
    let scratch = Scratch::new("frames");
    let microseconds = 0xa1b2_c3d4;
    let nanoseconds = 0xa1b2_3c4d;
    for (name, file) in [
        ("usual.pcap", pcap(microseconds, 262_144, 2)),
        ("no-snap-length.pcap", pcap(microseconds, 0, 2)),
        ("nanoseconds.pcap", pcap(nanoseconds, 0, 2)),
        ("one.pcapng", pcapng()),
    ] {
        let path = scratch.path(name);
        std::fs::write(&path, file).expect("the file is written");
        let ran = run("net-wire", &path);
        assert_eq!(ran.status, Some(0), "{name}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn a_bad_file_is_refused_with_its_place() {
    let scratch = Scratch::new("bad-frames");
    let whole = pcap(0xa1b2_c3d4, 0, 2);
    let mut cut = whole.clone();
    cut[24 + 12] = 200;
    for (name, file, said) in [
        (
            "short.pcap",
            &whole[..whole.len() - 1],
            "frame 2, at byte 100: the file ends before",
        ),
        (
            "cut.pcap",
            &cut,
            "frame 1, at byte 24: only 60 of its 200 bytes were captured",
        ),
        ("empty.pcap", &whole[..24], "it has no frames"),
        (
            "short.pcapng",
            &pcapng()[..60],
            "at byte 48: the file ends before the block does",
        ),
        (
            "text.pcap",
            b"no capture",
            "this is neither a pcap nor a pcapng file",
        ),
    ] {
        let path = scratch.path(name);
        std::fs::write(&path, file).expect("the file is written");
        let ran = run("net-wire", &path);
        assert_eq!(ran.status, Some(2), "{name}: {}", ran.out);
        assert!(ran.err.contains(said), "{name}: {}", ran.err);
        assert!(ran.err.contains(&path), "{name}: {}", ran.err);
    }
}

/// What one kernel says it was answered, the other has said: a frame from outside could pretend to be from either.
#[test]
fn between_two_kernels_nothing_comes_from_outside() {
    let scratch = Scratch::new("two-kernels-frames");
    let path = scratch.path("usual.pcap");
    std::fs::write(&path, pcap(0xa1b2_c3d4, 0, 1)).expect("the file is written");
    let ran = run("net-two-kernels", &path);
    assert_eq!(ran.status, Some(2), "{}", ran.out);
    assert!(
        ran.err.contains("has a wire between its own kernels"),
        "{}",
        ran.err
    );
}
