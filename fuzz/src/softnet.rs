//! Generated programs over the network stack: the decoding of an input of the target `softnet`.

use arbitrary::{Arbitrary, Result, Unstructured};
use hostshim::wire::{Frame, Mishap, Wire};
use kmod::config::{Config, Wiring};
use kmod::machine::NIC_FRAME;
use kmod::scenario::ops::{Language, MAX_CPUS, Program};
use kmod::scenario::softnet::HOST;

use crate::frames::liken;
use crate::program::{WHOLE, program};

/// Number of cards of a machine with cards.
const CARDS: usize = 2;
/// Maximum number of mishaps on a wire, and of frames from outside.
const MISHAPS: u8 = 4;
const FRAMES: u8 = 3;
/// A mishap affects one of the first frames.
const AMONG: u8 = 24;

/// The kind of a machine: each kind is booted once.
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

    /// The scheme of locking, the cards, and sizes: small ones, or such that packets wait for long and are reused.
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

/// A machine, a program, the events on the wire, and the bytes of the schedule.
#[derive(Debug)]
pub struct Input {
    /// The machine.
    pub kind: Kind,
    /// The events on the wire: none without cards.
    pub wire: Wire,
    /// The programs of its LWPs.
    pub program: Program,
    /// The schedule.
    pub schedule: Vec<u8>,
}

impl Input {
    /// Number of bytes of a complete input.
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

/// Mishaps and frames: a byte says how many of each.
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
