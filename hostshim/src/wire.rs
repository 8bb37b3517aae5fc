//! What happens on the wire between network cards: which frames come from outside, and what goes wrong.
//!
//! # Overview
//!
//! The cards of a simulated machine are connected in pairs: card 1 receives what card 0 sends, and the other way round. Frames of a
//! fuzzer's input or of a capture file come from outside. All frames are on one wire, one after the other. *When* the next one
//! arrives is a choice of the strategy, because a frame arrives together with its interrupt. Everything else that the wire does is
//! listed here, frame by frame, and recorded in replay files:
//!
//! ```text
//! wire
//!   frame 0 ffffffffffff5254001234560806...
//!   lost 3
//!   twice 4
//!   late 6
//! ```
//!
//! Frames are numbered from 0 in the order in which they enter the wire: first those from outside, then those that cards send.

use std::fmt;

use crate::strategy::Rng;

/// Maximum number of frames from outside, and of mishaps.
pub const MOST: usize = 256;
/// Most mishaps that a hunt chooses for a run.
const MISHAPS: u64 = 3;
/// A mishap happens to one of the first frames, of so many.
const AMONG: u64 = 12;
/// In so many of four runs nothing happens on the wire.
const PEACEFUL_FOURTHS: u64 = 1;

/// A frame that comes from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The card that receives it.
    pub card: usize,
    /// The Ethernet header, and what follows.
    pub bytes: Vec<u8>,
}

/// What can happen to a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Mishap {
    /// It never arrives.
    Lost,
    /// It arrives twice.
    Twice,
    /// The next frame overtakes it, if there is one when it would arrive.
    Late,
}

impl Mishap {
    /// All of them.
    pub const ALL: [Mishap; 3] = [Mishap::Lost, Mishap::Twice, Mishap::Late];

    /// The word in replay files.
    pub const fn name(self) -> &'static str {
        match self {
            Mishap::Lost => "lost",
            Mishap::Twice => "twice",
            Mishap::Late => "late",
        }
    }
}

/// What happens on the wire in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wire {
    /// Frames from outside, in order.
    pub frames: Vec<Frame>,
    /// What happens to which frame, in the order of their numbers; at most one mishap for each.
    pub mishaps: Vec<(u32, Mishap)>,
}

impl Wire {
    /// Whether there are only the frames that the cards send, and no mishaps.
    pub fn is_plain(&self) -> bool {
        self.frames.is_empty() && self.mishaps.is_empty()
    }

    /// What happens to frame `number`.
    pub fn mishap(&self, number: u32) -> Option<Mishap> {
        let found = self.mishaps.binary_search_by_key(&number, |(of, _)| *of);
        found.ok().map(|index| self.mishaps[index].1)
    }

    /// The mishaps of run `run` of a seed.
    pub fn random(seed: u64, run: u64) -> Wire {
        let mut rng = Rng::new(seed ^ u64::from_le_bytes(*b"the wire"), run);
        let mut wire = Wire::default();
        if rng.below(4) < PEACEFUL_FOURTHS {
            return wire;
        }
        for _ in 0..=rng.below(MISHAPS) {
            let number = rng.below(AMONG) as u32;
            let mishap = Mishap::ALL[rng.below(Mishap::ALL.len() as u64) as usize];
            wire.befall(number, mishap);
        }
        wire
    }

    /// Adds a mishap. False: the frame has one already, or there are enough.
    pub fn befall(&mut self, number: u32, mishap: Mishap) -> bool {
        match self.mishaps.binary_search_by_key(&number, |(of, _)| *of) {
            Err(index) if self.mishaps.len() < MOST => {
                self.mishaps.insert(index, (number, mishap));
                true
            }
            _ => false,
        }
    }
}

impl fmt::Display for Wire {
    /// The lines of a replay file; none if the wire is plain.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return Ok(());
        }
        writeln!(f, "wire")?;
        for frame in &self.frames {
            write!(f, "  frame {} ", frame.card)?;
            for byte in &frame.bytes {
                write!(f, "{byte:02x}")?;
            }
            writeln!(f)?;
        }
        for (number, mishap) in &self.mishaps {
            writeln!(f, "  {} {number}", mishap.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_happens_to_a_frame_once() {
        let mut wire = Wire::default();
        assert!(wire.befall(4, Mishap::Late));
        assert!(wire.befall(1, Mishap::Lost));
        assert!(!wire.befall(4, Mishap::Twice));
        assert_eq!(wire.mishap(4), Some(Mishap::Late));
        assert_eq!(wire.mishap(2), None);
        assert_eq!(wire.to_string(), "wire\n  lost 1\n  late 4\n");
    }

    #[test]
    fn runs_have_wires_of_their_own_and_some_are_plain() {
        let wires: Vec<Wire> = (0..100).map(|run| Wire::random(1, run)).collect();
        assert!(wires.iter().any(Wire::is_plain));
        for mishap in Mishap::ALL {
            let has = |wire: &Wire| wire.mishaps.iter().any(|(_, what)| *what == mishap);
            assert!(wires.iter().any(has), "{mishap:?}");
        }
        assert_eq!(wires[7], Wire::random(1, 7));
    }
}
