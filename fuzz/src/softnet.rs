//! The inputs of the target `softnet`: arbitrary programs over the network stack.

use arbitrary::{Arbitrary, Result, Unstructured};
use hostshim::wire::{Frame, Mishap, Wire};
use kmod::config::{Config, Wiring};
use kmod::machine::NIC_FRAME;
use kmod::scenario::ops::{Language, MAX_CPUS, Program};
use kmod::scenario::softnet::HOST;

use crate::frames::liken;
use crate::program::{WHOLE, program};

/// How many cards a machine has, if it has any.
const CARDS: usize = 2;
/// Most mishaps on a wire, and most frames from outside.
const MISHAPS: u8 = 4;
const FRAMES: u8 = 3;
/// A mishap happens to one of the first frames, of so many.
const AMONG: u8 = 24;

/// The kind of a machine. Each kind is booted once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Kind {
    cpus: usize,
    rump: bool,
    mpsafe: bool,
    cards: bool,
    roomy: bool,
}

impl Kind {
    fn decode(head: u8) -> Kind {
        let has = |bit: u8| head & 1 << bit != 0;
        Kind {
            cpus: 1 + usize::from(head) % MAX_CPUS,
            roomy: has(4),
            cards: has(5),
            mpsafe: !has(6),
            rump: has(7),
        }
    }

    /// CPUs of the machine.
    pub fn cpus(self) -> usize {
        self.cpus
    }

    /// How cross calls are wired.
    pub fn xcall(self) -> Wiring {
        match self.rump {
            true => Wiring::Rump,
            false => Wiring::Native,
        }
    }

    /// The locking scheme, the cards, and the sizes: small ones, or large ones with which packets wait for long and buffers are reused.
    pub fn configure(self, config: &mut Config) {
        config.net_mpsafe &= self.mpsafe;
        config.nics = if self.cards { CARDS } else { 0 };
        if self.roomy {
            config.pcq_slots = 16;
            config.mbuf_cache = 2;
            config.arpt_keep_ticks = 1_000;
            config.arpt_down_ticks = 1;
        }
    }
}

/// A machine, a program, a wire, and the bytes of the schedule.
#[derive(Debug)]
pub struct Input {
    /// The machine.
    pub kind: Kind,
    /// What happens on the wire. Without cards, nothing.
    pub wire: Wire,
    /// The program of its LWPs.
    pub program: Program,
    /// The schedule.
    pub schedule: Vec<u8>,
}

impl Input {
    /// The length of an input that specifies everything.
    pub const WHOLE: usize =
        2 + 2 * MISHAPS as usize + FRAMES as usize * (2 + u8::MAX as usize) + WHOLE;
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Input> {
        let kind = Kind::decode(bytes.arbitrary()?);
        let wire = match kind.cards {
            true => wire(bytes)?,
            false => Wire::default(),
        };
        Ok(Input {
            kind,
            wire,
            program: program(Language::Softnet, bytes)?,
            schedule: bytes.bytes(bytes.len())?.to_vec(),
        })
    }
}

/// Mishaps and frames. A byte says how many of each.
fn wire(bytes: &mut Unstructured<'_>) -> Result<Wire> {
    let mut wire = Wire::default();
    let counts: u8 = bytes.arbitrary()?;
    for _ in 0..counts % MISHAPS {
        let [number, what]: [u8; 2] = bytes.arbitrary()?;
        let mishap = Mishap::ALL[usize::from(what) % Mishap::ALL.len()];
        wire.befall(u32::from(number % AMONG), mishap);
    }
    for _ in 0..counts / MISHAPS % FRAMES {
        let [likeness, length]: [u8; 2] = bytes.arbitrary()?;
        let length = usize::from(length).clamp(1, NIC_FRAME).min(bytes.len());
        if length == 0 {
            break;
        }
        let mut frame = bytes.bytes(length)?.to_vec();
        liken(&mut frame, likeness, HOST);
        wire.frames.push(Frame {
            card: usize::from(likeness >> 7),
            bytes: frame,
        });
    }
    Ok(wire)
}
