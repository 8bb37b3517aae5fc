//! The past of a run: which of its steps happened before which, and a fingerprint of that order.
//!
//! # Overview
//!
//! Two steps are *dependent* if one CPU makes both, or both touch the same place and one of them writes it. The order of
//! dependent steps is the run's *trace* (Mazurkiewicz). Runs with the same trace differ only in the order of steps that do not
//! matter to each other, and end in the same state.
//!
//! Each step gets a vector clock: how many steps of each CPU happened before it. A trace is told by the set of its steps, each
//! with its CPU, its clock, and what it touched. The fingerprint is the sum of a hash of each: it does not depend on the order in
//! which the steps were made.
//!
//! # Back and forth
//!
//! A search goes back to an earlier point again and again, and on from there. So every step can be taken back.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use kmod::config::Config;

use crate::machine::Touch;

/// A hasher for numbers, which is much faster than the standard library's.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        // The low bits choose the bucket.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0, word);
    }
}

/// A map with keys that are numbers.
pub(super) type Numbered<V> = HashMap<u64, V, BuildHasherDefault<Mixer>>;

/// Mixes a word into a hash.
#[inline]
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let product =
        u128::from(hash ^ 0x9e37_79b9_7f4a_7c15) * u128::from(word ^ 0xd6e8_feb8_6659_fd93);
    (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(23))
}

/// For each CPU, how many of its steps.
type Clock = [u32; Config::MAXCPUS];

/// Who touched a place. Steps are numbered from 1; 0 is none.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The last step that wrote it.
    written: u32,
    /// The last step of each CPU that read it since.
    read: [u32; Config::MAXCPUS],
}

/// A step, and how it is taken back.
struct Step {
    cpu: usize,
    clock: Clock,
    /// The CPU's step before it.
    before: u32,
    /// How much there was to put back when it was made.
    undo: usize,
    floor: Clock,
    fingerprint: u64,
}

/// The steps of a run so far.
pub(super) struct Past {
    ncpu: usize,
    steps: Vec<Step>,
    /// The last step of each CPU.
    last: Clock,
    /// What happened before every step to come.
    floor: Clock,
    fingerprint: u64,
    /// The number of each place in `places`.
    numbers: Numbered<u32>,
    places: Vec<Place>,
    undo: Vec<(u32, Place)>,
}

impl Past {
    pub(super) fn new(ncpu: usize) -> Past {
        Past {
            ncpu,
            steps: Vec::new(),
            last: Clock::default(),
            floor: Clock::default(),
            fingerprint: 0,
            numbers: HashMap::default(),
            places: Vec::new(),
            undo: Vec::new(),
        }
    }

    /// The fingerprint of the trace.
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// `cpu` has made a step of this kind that touched `touches`, which is put in order.
    pub(super) fn push(&mut self, cpu: usize, kind: u64, touches: &mut Vec<Touch>) {
        in_order(touches);
        let before = self.last[cpu];
        let undo = self.undo.len();
        let mut clock = self.floor;
        self.join(&mut clock, before);
        let number = self.steps.len() as u32 + 1;
        let mut hash = mix(kind, cpu as u64);
        let mut rests = false;
        for touch in touches.iter() {
            if *touch == Touch::REST {
                rests = true;
                continue;
            }
            hash = mix(hash, touch.place() << 1 | u64::from(touch.writes()));
            let index = self.number_of(touch.place());
            let place = self.places[index as usize];
            self.undo.push((index, place));
            self.join(&mut clock, place.written);
            let now = &mut self.places[index as usize];
            if touch.writes() {
                *now = Place {
                    written: number,
                    ..Place::default()
                };
                for reader in &place.read[..self.ncpu] {
                    self.join(&mut clock, *reader);
                }
            } else {
                now.read[cpu] = number;
            }
        }
        clock[cpu] += 1;
        for count in &clock[..self.ncpu] {
            hash = mix(hash, u64::from(*count));
        }
        self.steps.push(Step {
            cpu,
            clock,
            before,
            undo,
            floor: self.floor,
            fingerprint: self.fingerprint,
        });
        self.last[cpu] = number;
        self.fingerprint = self.fingerprint.wrapping_add(hash);
        if rests {
            let mut floor = self.floor;
            for last in &self.last[..self.ncpu] {
                self.join(&mut floor, *last);
            }
            self.floor = floor;
        }
    }

    /// Takes back all steps but the first `count`.
    pub(super) fn truncate(&mut self, count: usize) {
        while self.steps.len() > count {
            let Some(step) = self.steps.pop() else { break };
            self.last[step.cpu] = step.before;
            self.floor = step.floor;
            self.fingerprint = step.fingerprint;
            for (index, place) in self.undo.drain(step.undo..).rev() {
                self.places[index as usize] = place;
            }
        }
    }

    fn number_of(&mut self, place: u64) -> u32 {
        let places = &mut self.places;
        *self.numbers.entry(place).or_insert_with(|| {
            places.push(Place::default());
            places.len() as u32 - 1
        })
    }

    /// What happened before step `number`, and that step, happened before what `clock` is of.
    fn join(&self, clock: &mut Clock, number: u32) {
        if number != 0 {
            let step = &self.steps[number as usize - 1];
            for (count, other) in clock[..self.ncpu].iter_mut().zip(&step.clock) {
                *count = (*count).max(*other);
            }
        }
    }
}

/// Sorts by place, and keeps one touch of each: the write, if there is one.
fn in_order(touches: &mut Vec<Touch>) {
    touches.sort_unstable();
    touches.dedup_by(|later, earlier| {
        let same = later.place() == earlier.place();
        if same {
            // In this order a write comes last.
            *earlier = *later;
        }
        same
    });
}
