//! The echo of the scenario `nic-loop`: each frame comes back once, with its addresses exchanged and otherwise unchanged.

use std::time::{Duration, Instant};

use crate::machine::Machine;
use crate::wire::{BRIEFLY, Wire};

/// The first EtherType for local experiments.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// Where frames come from: an address of our own.
const OURS: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// Lengths of a frame, without its checksum.
const SHORTEST: usize = 60;
const LONGEST: usize = 1514;
/// Frames that are on their way at once.
const WINDOW: u32 = 16;

/// The address at the beginning of a line that a machine says of its card.
pub(crate) fn address(line: &str) -> [u8; 6] {
    let text = line.split(',').next().unwrap_or_default();
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).expect("an Ethernet address"))
        .collect();
    bytes.try_into().expect("six bytes")
}

/// Frame `number`: its length and its bytes are its own. It goes from `from` to `to`.
fn frame(number: u32, to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    let len = SHORTEST + number as usize % (LONGEST - SHORTEST + 1);
    let mut frame = Vec::with_capacity(len);
    frame.extend(to);
    frame.extend(from);
    frame.extend(ETHERTYPE);
    frame.extend(number.to_be_bytes());
    let mut state = number.wrapping_mul(0x9e37_79b9) | 1;
    frame.resize_with(len, || {
        // xorshift32
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    frame
}

/// The number that a frame carries.
fn number(frame: &[u8]) -> u32 {
    let bytes = frame.get(14..18).expect("every frame carries a number");
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// Which frames have come back.
struct Returned {
    card: [u8; 6],
    seen: Vec<bool>,
}

impl Returned {
    fn new(card: [u8; 6], frames: u32) -> Returned {
        Returned {
            card,
            seen: vec![false; frames as usize],
        }
    }

    /// A frame has come: it must be one that was sent, as it was, for the first time.
    fn check(&mut self, returned: &[u8]) {
        let number = number(returned);
        let sent = frame(number, OURS, self.card);
        assert!(
            returned == sent,
            "frame {number}, of {} bytes, came back changed: {returned:02x?}",
            sent.len()
        );
        let seen = self
            .seen
            .get_mut(number as usize)
            .expect("a frame that was sent");
        assert!(!*seen, "frame {number} came back twice");
        *seen = true;
    }

    fn missing(&self) -> usize {
        self.seen.iter().filter(|seen| !**seen).count()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how fast frames go is told, and decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}

/// Sends `frames` frames, of which so many as the window says are on their way at once, and checks that all come back.
fn exchange(wire: &Wire, card: [u8; 6], frames: u32) -> Duration {
    let mut returned = Returned::new(card, frames);
    let start = now();
    let mut next = 0;
    for received in 0..frames {
        while next < frames && next - received < WINDOW {
            wire.send(&frame(next, card, OURS));
            next += 1;
        }
        let Some(frame) = wire.receive() else {
            let missing = Vec::from_iter((0..next).filter(|n| !returned.seen[*n as usize]));
            panic!(
                "{} of {next} frames did not come back: {missing:?}",
                missing.len()
            );
        };
        returned.check(&frame);
    }
    assert_eq!(returned.missing(), 0);
    start.elapsed()
}

/// Boots the echo with `options` and exchanges `frames` frames with it.
fn echo(options: &str, frames: u32) -> (String, Duration) {
    let wire = Wire::lay();
    let mut machine = Machine::boot(&format!("--scenario nic-loop {options} {}", wire.option()));
    let card = address(&machine.wait_for("# nic0: "));
    let time = exchange(&wire, card, frames);
    (machine.pass(), time)
}

/// Every length three times.
const FRAMES: u32 = 3 * (LONGEST - SHORTEST + 1) as u32;

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn each_frame_comes_back_once_and_unchanged() {
    for loader in ["--direct", "--grub"] {
        for cpus in [1, 2, 4] {
            let (said, _) = echo(&format!("--cpus {cpus} {loader}"), FRAMES);
            assert!(said.contains(&format!("# nic0: {FRAMES} frames received, 0 dropped for their length; {FRAMES} sent, 0 refused")), "{said}");
        }
    }
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn any_cpu_takes_the_interrupts() {
    for cpu in 0..4 {
        let (said, _) = echo(&format!("--cpus 4 --net-irq {cpu}"), FRAMES / 3);
        let line = said
            .lines()
            .find_map(|line| line.strip_prefix("# interrupts of network cards:"));
        for (at, taken) in (0..4).zip(line.expect("a line of interrupts").split(" cpu").skip(1)) {
            let (_, taken) = taken.split_once(' ').expect("a CPU and its number");
            assert_eq!(taken != "0", at == cpu, "{said}");
        }
    }
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn two_cards_are_two_wires() {
    let (left, right) = (Wire::lay(), Wire::lay());
    let mut machine = Machine::boot(&format!(
        "--scenario nic-loop --cpus 2 {} {}",
        left.option(),
        right.option()
    ));
    let left_card = address(&machine.wait_for("# nic0: "));
    let right_card = address(&machine.wait_for("# nic1: "));
    assert_ne!(left_card, right_card);
    exchange(&left, left_card, FRAMES / 3);
    exchange(&right, right_card, FRAMES / 3);
    let said = machine.pass();
    assert!(!said.contains("cpu0 0"), "{said}");
    assert!(!said.contains("cpu1 0"), "{said}");
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn what_is_no_frame_is_dropped_and_a_flood_is_survived() {
    let wire = Wire::lay();
    let options = wire.option();
    let mut machine = Machine::boot(&format!("--scenario nic-loop --cpus 2 {options}"));
    let card = address(&machine.wait_for("# nic0: "));
    for len in [1, 13, LONGEST + 1, 3000] {
        wire.send(&vec![0xff; len]);
    }
    exchange(&wire, card, FRAMES / 3);
    // More than the rings hold: some are lost, none comes back twice or changed.
    let flood = 5000;
    let mut returned = Returned::new(card, flood);
    for number in 0..flood {
        wire.send(&frame(number, card, OURS));
    }
    // What has not come back before a frame that was sent after it never will: there is one queue.
    let last = || wire.send(&frame(flood, card, OURS));
    last();
    loop {
        match wire.receive_within(BRIEFLY) {
            Some(back) if number(&back) == flood => break,
            Some(back) => returned.check(&back),
            None => last(),
        }
    }
    println!(
        "of a flood of {flood} frames {} did not come back",
        returned.missing()
    );
    assert!(returned.missing() < flood as usize);
    let said = machine.pass();
    // Those of more bytes than a buffer has QEMU drops itself.
    assert!(said.contains("dropped for their length"), "{said}");
}

#[test]
#[ignore = "boots machines: scripts/test-net"]
fn a_ring_wraps_around() {
    // The indices of a ring have 16 bits.
    const FRAMES: u32 = 100_000;
    for cpus in [1, 2, 4] {
        let (said, time) = echo(&format!("--cpus {cpus} --no-perturb"), FRAMES);
        let rate = f64::from(FRAMES) / time.as_secs_f64();
        println!("{cpus} CPUs: {rate:.0} frames a second there and back, {WINDOW} on their way");
        assert!(
            said.contains(&format!("{FRAMES} sent, 0 refused")),
            "{said}"
        );
    }
}
