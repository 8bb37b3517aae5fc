//! The two directions of a card: receiving frames out of buffers, and sending frames in buffers.
//!
//! # Overview
//!
//! A *receiving* queue gives all of its buffers to the device. [`Receiving::next`] copies a frame out of the next buffer that the
//! device has filled, and gives the buffer back at once. The queue interrupts when a frame arrives after it was found empty. While it
//! is being emptied, its interrupts are off.
//!
//! A *sending* queue holds the buffers that the device does not use. [`Sending::send`] first takes back the buffers of frames that
//! have been sent, and then copies the frame into one. The queue never interrupts, and no thread waits for it: a frame without a
//! buffer is refused.
//!
//! # Contexts
//!
//! [`Receiving::next`]: any, one CPU at a time. [`Sending::send`]: any.
//!
//! # Lock order
//!
//! No lock is taken under a queue's lock, which protects its ring only, and is held with interrupts off. The doorbell of a sending
//! queue is rung without the lock, because it runs QEMU's own code.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kmod::machine::NIC_FRAME;
use virtio_drivers::transport::pci::PciTransport;

use super::Unfit;
use super::registers::{Bell, Registers};
use super::ring::{BUFFER_BYTES, Held, Ring, Way};
use crate::sync::IrqLock;

/// Size of virtio's header before each frame: all zero for sending, ignored when receiving.
const HEADER_BYTES: usize = 12;

/// Size of the shortest frame: an Ethernet header.
const SHORTEST_FRAME: usize = 14;

const _: () = assert!(HEADER_BYTES + NIC_FRAME <= BUFFER_BYTES);

struct Inbox {
    ring: Ring,
    /// The device was told not to interrupt.
    muted: bool,
}

/// A receiving queue.
pub(super) struct Receiving {
    inbox: IrqLock<Inbox>,
    bell: Bell,
    received: AtomicU64,
    /// Frames of an invalid length.
    unfit: AtomicU64,
}

impl Receiving {
    /// Sets up queue `index` of the device, which interrupts with message `vector`. The first notification starts it.
    pub(super) fn new(
        transport: &mut PciTransport,
        registers: &Registers,
        index: u16,
        vector: u16,
        events: bool,
    ) -> Result<Receiving, Unfit> {
        registers.set_vector(index, vector)?;
        let (mut ring, held) = Ring::new(transport, index, Way::In, events)?;
        for buffer in held {
            ring.give(buffer, BUFFER_BYTES);
        }
        Ok(Receiving {
            inbox: IrqLock::new(Inbox { ring, muted: false }),
            bell: registers.bell(index)?,
            received: AtomicU64::new(0),
            unfit: AtomicU64::new(0),
        })
    }

    /// Tells the device that there are buffers.
    pub(super) fn ring_bell(&self) {
        self.bell.ring();
    }

    /// Copies the next frame to `frame`, and returns its length. Nothing if there is none, and then the next one
    /// interrupts.
    ///
    /// Panics if another CPU does this at the same time, or if `frame` is too small for any frame.
    pub(super) fn next(&self, frame: &mut [u8]) -> Option<usize> {
        assert!(
            frame.len() >= NIC_FRAME,
            "a frame of up to {NIC_FRAME} bytes is received into {}",
            frame.len()
        );
        let Some(mut inbox) = self.inbox.try_lock() else {
            panic!(
                "two CPUs receive on one queue of a network card at once; machine.rs says: one at a time"
            );
        };
        loop {
            let Some((mut buffer, filled)) = inbox.ring.take() else {
                if !inbox.muted {
                    return None;
                }
                inbox.ring.unmute();
                inbox.muted = false;
                // Check again: a frame that came before the device was told does not interrupt.
                continue;
            };
            if !inbox.muted {
                inbox.ring.mute();
                inbox.muted = true;
            }
            let len = filled.saturating_sub(HEADER_BYTES);
            let fits = (SHORTEST_FRAME..=NIC_FRAME).contains(&len);
            if fits {
                let bytes = &inbox.ring.bytes(&mut buffer)[HEADER_BYTES..];
                frame[..len].copy_from_slice(&bytes[..len]);
            }
            inbox.ring.give(buffer, BUFFER_BYTES);
            if inbox.ring.wants_bell() {
                self.bell.ring();
            }
            if fits {
                self.received.fetch_add(1, Relaxed);
                return Some(len);
            }
            self.unfit.fetch_add(1, Relaxed);
        }
    }

    /// Frames since boot: received, and unfit.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.received.load(Relaxed), self.unfit.load(Relaxed))
    }
}

struct Outbox {
    ring: Ring,
    held: Vec<Held>,
}

/// A sending queue.
pub(super) struct Sending {
    outbox: IrqLock<Outbox>,
    bell: Bell,
    sent: AtomicU64,
    /// Frames for which there was no buffer.
    refused: AtomicU64,
}

impl Sending {
    /// Sets up queue `index` of the device, which does not interrupt.
    pub(super) fn new(
        transport: &mut PciTransport,
        registers: &Registers,
        index: u16,
        events: bool,
    ) -> Result<Sending, Unfit> {
        let (mut ring, held) = Ring::new(transport, index, Way::Out, events)?;
        ring.mute();
        Ok(Sending {
            outbox: IrqLock::new(Outbox { ring, held }),
            bell: registers.bell(index)?,
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Sends a copy of `frame`. Returns false if all buffers are in flight.
    ///
    /// Panics if the length is invalid.
    pub(super) fn send(&self, frame: &[u8]) -> bool {
        assert!(
            (SHORTEST_FRAME..=NIC_FRAME).contains(&frame.len()),
            "a frame of {} bytes is to be sent: frames have {SHORTEST_FRAME} to {NIC_FRAME}",
            frame.len()
        );
        let Some(wants_bell) = self.put(frame) else {
            self.refused.fetch_add(1, Relaxed);
            return false;
        };
        if wants_bell {
            self.bell.ring();
        }
        self.sent.fetch_add(1, Relaxed);
        true
    }

    /// Puts a copy into the ring, if there is room. Returns whether the device must be notified.
    fn put(&self, frame: &[u8]) -> Option<bool> {
        let mut outbox = self.outbox.lock();
        let Outbox { ring, held } = &mut *outbox;
        while let Some((buffer, _)) = ring.take() {
            held.push(buffer);
        }
        let mut buffer = held.pop()?;
        let (header, rest) = ring.bytes(&mut buffer).split_at_mut(HEADER_BYTES);
        header.fill(0);
        rest[..frame.len()].copy_from_slice(frame);
        ring.give(buffer, HEADER_BYTES + frame.len());
        Some(ring.wants_bell())
    }

    /// Frames since boot: sent, and refused.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.sent.load(Relaxed), self.refused.load(Relaxed))
    }
}
