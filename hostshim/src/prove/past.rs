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

use std::ops::Range;

use kmod::config::Config;
use rustc_hash::FxHashMap;

use crate::machine::Touch;

/// Mixes a word into a hash.
#[inline]
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let product =
        u128::from(hash ^ 0x9e37_79b9_7f4a_7c15) * u128::from(word ^ 0xd6e8_feb8_6659_fd93);
    (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(23))
}

/// For each CPU, how many of its steps.
type Clock = [u32; Config::MAXCPUS];

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

/// The steps of a run so far. Steps are numbered from 1; 0 is none.
pub(super) struct Past {
    ncpu: usize,
    steps: Vec<Step>,
    /// The last step of each CPU.
    last: Clock,
    /// What happened before every step to come.
    floor: Clock,
    fingerprint: u64,
    numbers: Numbers,
    /// For each place, by its number: the last step that wrote it, and the last step of each CPU that read it since.
    places: Vec<u32>,
    /// What places were, each with its number behind it.
    undo: Vec<u32>,
}

impl Past {
    pub(super) fn new(ncpu: usize) -> Past {
        Past {
            ncpu,
            steps: Vec::new(),
            last: Clock::default(),
            floor: Clock::default(),
            fingerprint: 0,
            numbers: Numbers::default(),
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
            let index = self.numbers.of(touch.place());
            let place = self.place(index);
            if self.places.len() < place.end {
                self.places.resize(place.end, 0);
            }
            self.undo.extend_from_slice(&self.places[place.clone()]);
            self.undo.push(index);
            let [written, readers @ ..] = &mut self.places[place] else {
                continue;
            };
            join(&self.steps, self.ncpu, &mut clock, *written);
            if touch.writes() {
                *written = number;
                for reader in readers {
                    join(&self.steps, self.ncpu, &mut clock, *reader);
                    *reader = 0;
                }
            } else {
                readers[cpu] = number;
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
            while self.undo.len() > step.undo {
                let Some(index) = self.undo.pop() else { break };
                let place = self.place(index);
                let was = self.undo.len() - place.len();
                self.places[place].copy_from_slice(&self.undo[was..]);
                self.undo.truncate(was);
            }
        }
    }

    /// Where a place is in `places`.
    fn place(&self, index: u32) -> Range<usize> {
        let size = 1 + self.ncpu;
        let begin = index as usize * size;
        begin..begin + size
    }

    /// What happened before step `number`, and that step, happened before what `clock` is of.
    fn join(&self, clock: &mut Clock, number: u32) {
        join(&self.steps, self.ncpu, clock, number);
    }
}

fn join(steps: &[Step], ncpu: usize, clock: &mut Clock, number: u32) {
    if let Some(step) = (number as usize).checked_sub(1).map(|index| &steps[index]) {
        for (count, other) in clock[..ncpu].iter_mut().zip(&step.clock) {
            *count = (*count).max(*other);
        }
    }
}

/// Places in a page.
const PAGE: u64 = 1 << 12;

/// Small numbers for the places that were ever touched.
#[derive(Default)]
struct Numbers {
    /// One more than the number of each place of a page; 0 is none.
    pages: FxHashMap<u64, Box<[u32; PAGE as usize]>>,
    given: u32,
}

impl Numbers {
    fn of(&mut self, place: u64) -> u32 {
        let page = self.pages.entry(place / PAGE);
        let page = page.or_insert_with(|| Box::new([0; PAGE as usize]));
        let number = &mut page[(place % PAGE) as usize];
        if *number == 0 {
            self.given += 1;
            *number = self.given;
        }
        *number - 1
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
