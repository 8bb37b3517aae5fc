//! The network cards, and the wire between them: see [`Wire`].
//!
//! # Overview
//!
//! A frame that is sent enters the wire. While there is a frame on the wire, [`Line::Net`](kmod::machine::Line) is
//! asserted on one CPU, a different one for each frame. When that CPU takes the interrupt, the frame is in its card's
//! ring. So a strategy that defers the interrupt delays the frame.
//!
//! # Several kernels
//!
//! Cards are numbered across all kernels: card `unit` of each of two kernels is number `2 * unit` or the one after
//! it, so that joined pairs connect the kernels. Each kernel has its own wire for frames to its cards.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use kmod::machine::{NIC_FRAME, Nic, NicCounts, NicQueue};

use crate::wire::{Frame, Mishap, Wire};

/// Maximum number of frames on the wire: a card that finds it full refuses to send.
const LENGTH: usize = 64;

/// A frame that entered the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The number of the point after which it did.
    pub point: u64,
    /// Its destination card, and its bytes.
    pub frame: Frame,
}

/// The cards of a machine.
#[derive(Default)]
pub(crate) struct Cards {
    /// Number of cards per kernel.
    count: Cell<usize>,
    kernels: Cell<usize>,
    state: RefCell<State>,
    /// The events on the wire in the next runs.
    plan: RefCell<Wire>,
}

/// The state of a run.
#[derive(Default)]
struct State {
    /// The wire to each kernel.
    wires: Vec<OneWire>,
    rings: Vec<VecDeque<Vec<u8>>>,
    /// What came to each ring.
    queues: Vec<NicQueue>,
    /// What went through the cards of each kernel.
    counts: Vec<NicCounts>,
    /// Number of frames that entered the wire.
    sent: u32,
    /// Every frame that entered the wire, if they are kept.
    log: Option<Vec<Sent>>,
}

/// Frames on their way to the cards of a kernel.
#[derive(Clone, Default)]
struct OneWire {
    /// Frames, each with a flag that the one after it overtakes it.
    frames: VecDeque<(Frame, bool)>,
    /// Frames that arrived.
    arrived: usize,
}

impl State {
    fn put(&mut self, plan: &Wire, point: u64, frame: Frame) {
        if let Some(log) = &mut self.log {
            let frame = frame.clone();
            log.push(Sent { point, frame });
        }
        let number = self.sent;
        self.sent += 1;
        let kernels = self.wires.len();
        let wire = &mut self.wires[frame.card % kernels].frames;
        match plan.mishap(number) {
            Some(Mishap::Lost) => {}
            Some(Mishap::Twice) => {
                wire.push_back((frame.clone(), false));
                wire.push_back((frame, false));
            }
            Some(Mishap::Late) => wire.push_back((frame, true)),
            None => wire.push_back((frame, false)),
        }
    }
}

impl Cards {
    /// Sets up another machine, with this many kernels and cards, and nothing on the wire.
    pub(crate) fn clear(&self, kernels: usize, count: usize) {
        self.count.set(count);
        self.kernels.set(kernels);
        self.plan.replace(Wire::default());
        self.state.replace(State::default());
    }

    /// Sets the events on the wire for the next runs.
    pub(crate) fn load(&self, plan: &Wire) {
        self.plan.borrow_mut().clone_from(plan);
    }

    /// Begins a run, in which sent frames are kept or not. Returns whether there is a frame on the wire.
    pub(crate) fn begin(&self, keep: bool) -> bool {
        if self.count.get() == 0 {
            return false;
        }
        let plan = self.plan.borrow();
        let mut state = State {
            log: keep.then(Vec::new),
            ..State::default()
        };
        let cards = self.kernels.get() * self.count.get();
        state.rings.resize_with(cards, VecDeque::new);
        state.queues.resize(cards, NicQueue::default());
        state
            .counts
            .resize(self.kernels.get(), NicCounts::default());
        state.wires.resize(self.kernels.get(), OneWire::default());
        for frame in &plan.frames {
            state.put(&plan, 0, frame.clone());
        }
        let busy = state.wires.iter().any(|wire| !wire.frames.is_empty());
        self.state.replace(state);
        busy
    }

    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// The number of a kernel's card among all cards.
    fn number(&self, (kernel, unit): (usize, usize)) -> usize {
        unit * self.kernels.get() + kernel
    }

    /// Card `unit` of a kernel. Its address is a locally administered one.
    pub(crate) fn card(&self, kernel: usize, unit: usize) -> Nic {
        Nic {
            address: [0x02, 0, 0, 0, 0, self.number((kernel, unit)) as u8],
            queues: 1,
        }
    }

    /// The frames that entered the wire in the last run, if they were kept.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.state.borrow().log.clone().unwrap_or_default()
    }

    /// A card sends a frame after that point. False: the wire is full.
    pub(crate) fn transmit(&self, point: u64, of: (usize, usize), bytes: &[u8]) -> bool {
        let mut state = self.state.borrow_mut();
        let on_the_way: usize = state.wires.iter().map(|wire| wire.frames.len()).sum();
        if bytes.len() > NIC_FRAME || on_the_way >= LENGTH {
            state.counts[of.0].refused += 1;
            return false;
        }
        state.counts[of.0].sent += 1;
        let frame = Frame {
            card: self.number(of) ^ 1,
            bytes: bytes.to_vec(),
        };
        // If there is no such card, the frame goes outside.
        state.put(&self.plan.borrow(), point, frame);
        true
    }

    /// Takes a frame out of a card's ring. Returns its length.
    pub(crate) fn receive(&self, of: (usize, usize), to: &mut [u8]) -> Option<usize> {
        let number = self.number(of);
        let mut state = self.state.borrow_mut();
        let bytes = state.rings.get_mut(number)?.pop_front()?;
        state.queues[number].taken += 1;
        state.counts[of.0].received += 1;
        let length = bytes.len().min(to.len());
        to[..length].copy_from_slice(&bytes[..length]);
        Some(length)
    }

    /// What went through the cards of a kernel in this run. While it boots, nothing.
    pub(crate) fn counts(&self, kernel: usize) -> NicCounts {
        let state = self.state.borrow();
        state.counts.get(kernel).copied().unwrap_or_default()
    }

    /// What came to a card's ring in this run.
    pub(crate) fn queue(&self, of: (usize, usize)) -> NicQueue {
        let state = self.state.borrow();
        let queue = state.queues.get(self.number(of));
        queue.copied().unwrap_or_default()
    }

    /// The first frame on a kernel's wire arrives: its interrupt is taken.
    pub(crate) fn arrive(&self, kernel: usize) {
        let mut state = self.state.borrow_mut();
        let wire = &mut state.wires[kernel];
        if wire.frames.len() > 1 && wire.frames[0].1 {
            wire.frames[0].1 = false;
            wire.frames.swap(0, 1);
        }
        if let Some((frame, _)) = wire.frames.pop_front() {
            wire.arrived += 1;
            if let Some(ring) = state.rings.get_mut(frame.card) {
                ring.push_back(frame.bytes);
                state.queues[frame.card].arrived += 1;
            }
        }
    }

    /// The CPU of a kernel that receives its next frame. `None`: there is none on its wire.
    pub(crate) fn next_cpu(&self, kernel: usize, ncpu: usize) -> Option<usize> {
        let state = self.state.borrow();
        let wire = state.wires.get(kernel)?;
        (!wire.frames.is_empty()).then(|| wire.arrived % ncpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(wire: &Wire, sent: &[u8]) -> Vec<u8> {
        let cards = Cards::default();
        cards.clear(1, 2);
        cards.load(wire);
        cards.begin(false);
        for byte in sent {
            assert!(cards.transmit(0, (0, 0), &[*byte]));
        }
        let mut got = Vec::new();
        while cards.next_cpu(0, 2).is_some() {
            cards.arrive(0);
            let mut byte = [0];
            assert_eq!(cards.receive((0, 0), &mut byte), None);
            assert_eq!(cards.receive((0, 1), &mut byte), Some(1));
            got.push(byte[0]);
        }
        got
    }

    #[test]
    fn a_wire_loses_doubles_and_reorders_as_it_is_told() {
        let mut wire = Wire::default();
        assert_eq!(arrivals(&wire, b"abcd"), b"abcd");
        wire.befall(0, Mishap::Late);
        wire.befall(2, Mishap::Lost);
        wire.befall(3, Mishap::Twice);
        assert_eq!(arrivals(&wire, b"abcd"), b"badd");
    }

    #[test]
    fn the_last_frame_can_only_be_as_late_as_it_is() {
        let mut wire = Wire::default();
        wire.befall(0, Mishap::Late);
        assert_eq!(arrivals(&wire, b"a"), b"a");
    }

    #[test]
    fn frames_from_outside_come_before_what_cards_send() {
        let frame = |card, byte| Frame {
            card,
            bytes: vec![byte],
        };
        let wire = Wire {
            frames: vec![frame(1, b'x'), frame(1, b'y')],
            mishaps: vec![(0, Mishap::Lost)],
        };
        assert_eq!(arrivals(&wire, b"a"), b"ya");
    }

    #[test]
    fn a_full_wire_takes_nothing() {
        let cards = Cards::default();
        cards.clear(1, 2);
        cards.begin(false);
        let taken = (0..2 * LENGTH)
            .filter(|_| cards.transmit(0, (0, 1), b"a"))
            .count();
        assert_eq!(taken, LENGTH);
    }

    #[test]
    fn what_a_kernel_sends_another_receives_on_a_wire_of_its_own() {
        let cards = Cards::default();
        cards.clear(2, 1);
        cards.begin(false);
        assert_ne!(cards.card(0, 0), cards.card(1, 0));
        assert!(cards.transmit(0, (0, 0), b"a"));
        assert!(cards.transmit(0, (1, 0), b"b"));
        let mut byte = [0];
        for (kernel, sent) in [(1, b"a"), (0, b"b")] {
            assert_eq!(cards.next_cpu(kernel, 2), Some(0));
            cards.arrive(kernel);
            assert_eq!(cards.next_cpu(kernel, 2), None);
            assert_eq!(cards.receive((kernel, 0), &mut byte), Some(1));
            assert_eq!(&byte, sent);
        }
    }
}
