//! What must not be left in the queues of network cards when every CPU idles.
//!
//! # Overview
//!
//! A frame that a card has received is somebody's: who has claimed its queue takes it out ([`nic`](super::nic)), and counts what becomes of
//! it. If nobody has claimed the queue, the frame stays there until another one comes. No packet is missing then, and no counter is wrong.
//! So this is a failure of its own, `nic-left`, of the kind of those in [`crate::kern::rest`]. It is looked for whenever every CPU idles
//! and no interrupt is asserted, and when the stack ends, on a machine that counts what its queues hold ([`machine::nic_queue`]).
//!
//! While there is a stack, all that has arrived is its business. When it has ended, that is what had arrived at the last interrupt of which
//! it was told, and for a [`listener`](super::listener) it is always so. What comes when there is neither waits for the next one.
//!
//! # Contexts
//!
//! [`Told::of_all`]: hard interrupt at IPL_VM. The checks: at rest, or when the driver's softint has ended.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::net::nic::{CARDS, QUEUES};

/// How many frames had arrived in each queue at the last interrupt that a stack or a listener was told of.
pub(crate) struct Told([[AtomicU64; QUEUES]; CARDS]);

impl Told {
    pub(crate) const fn new() -> Self {
        Told([const { [const { AtomicU64::new(0) }; QUEUES] }; CARDS])
    }

    /// A stack or a listener is told of an interrupt, and with it of all that has arrived.
    pub(crate) fn of_all(&self) {
        for (unit, queue) in queues() {
            if let Some(frames) = machine::nic_queue(unit, queue) {
                self.0[unit][queue].fetch_max(frames.arrived, Relaxed);
            }
        }
    }

    /// Frames of a queue that somebody was told of, and that nobody has taken out.
    fn left(&self, unit: usize, queue: usize) -> u64 {
        let taken = machine::nic_queue(unit, queue).map_or(u64::MAX, |frames| frames.taken);
        self.0[unit][queue].load(Relaxed).saturating_sub(taken)
    }

    /// Stops the machine (oracle `nic-left`) if such a frame is left. Nobody is about to take any out.
    #[track_caller]
    pub(crate) fn assert_none_left(&self, unit: usize, queue: usize) {
        let left = self.left(unit, queue);
        if left != 0 {
            machine::stop(
                Stop::Oracle("nic-left"),
                format_args!(
                    "{left} frames that have arrived are left in queue {queue} of nic{unit}: nobody has claimed the queue, and nobody \
                     looks at it before the next interrupt"
                ),
            );
        }
    }
}

/// Checks all queues. At rest.
pub(crate) fn assert_none_left(kernel: &'static Kernel) {
    let network = super::of(kernel);
    if network.stack.peek().is_some() {
        network.told.of_all();
    }
    for (unit, queue) in queues() {
        network.told.assert_none_left(unit, queue);
    }
}

/// The queues of all cards.
fn queues() -> impl Iterator<Item = (usize, usize)> {
    let cards = 0..machine::nics().min(CARDS);
    cards
        .flat_map(|unit| (0..machine::nic(unit).queues.min(QUEUES)).map(move |queue| (unit, queue)))
}
