//! A queue of a virtio device with the buffers that go through it.
//!
//! # Overview
//!
//! Every buffer is either the driver's or the device's. The driver's it *holds* ([`Held`], which cannot be
//! copied); [`Ring::give`] makes it the device's, [`Ring::take`] gives it back when the device is done. As many
//! buffers as places in the ring: whoever holds a buffer finds a place for it, and nothing is allocated after the start.
//!
//! # Memory order
//!
//! Each side writes what it has to say and then looks whether the other sleeps. That is a store before a load, the one
//! order that x86 does not keep, and `virtio-drivers` leaves the fence to its callers:
//!
//! ```text
//!     driver                                 device
//!     ring index = n + 1                     flags = "wake me"
//!     ── fence ──                            ── fence ──
//!     flags == "wake me"? then doorbell      ring index == n? then sleep
//! ```
//!
//! Without the fences both can read the old value: the device sleeps, and nobody wakes it. [`Ring::wants_bell`] and
//! [`Ring::unmute`] have the driver's.
//!
//! # Differences from the driver of `virtio-drivers`
//!
//! `VirtIONetRaw` of 0.13 knows one queue a direction and no MSI-X, has no such fence, and negotiates
//! VIRTIO_F_EVENT_IDX, with which its comparison goes wrong when the index wraps around after 65,536 buffers. Its queue
//! and its transport are used here, and that feature is not.
//!
//! # Sources
//!
//! Virtual I/O Device (VIRTIO) Version 1.2, 2.7 "Split Virtqueues".

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::slice;
use core::sync::atomic::{Ordering::SeqCst, fence};

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::pci::PciTransport;

use super::Unfit;
use super::hal::Identity;

/// Places in a ring, and buffers: as many as QEMU's cards offer.
pub(super) const PLACES: usize = 256;

/// Bytes of a buffer: a frame with the header of virtio, and to spare.
pub(super) const BUFFER_BYTES: usize = 2048;

/// Which way the bytes of a ring go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The device fills the buffers.
    In,
    /// The device reads the buffers.
    Out,
}

struct Buffer(UnsafeCell<[u8; BUFFER_BYTES]>);

// SAFETY: the bytes are touched through the one `Held` of the buffer, or by the device while there is none.
unsafe impl Sync for Buffer {}

/// A buffer that the driver holds, by its number.
pub(super) struct Held(u16);

/// A ring and its buffers.
pub(super) struct Ring {
    queue: Box<VirtQueue<Identity, PLACES>>,
    buffers: &'static [Buffer],
    /// Which buffer lies at which place of the ring: what the device has.
    lies_at: [Option<u16>; PLACES],
    way: Way,
}

impl Ring {
    /// Sets queue `index` of the device up. All buffers are held.
    pub(super) fn new(
        transport: &mut PciTransport,
        index: u16,
        way: Way,
    ) -> Result<(Ring, Vec<Held>), Unfit> {
        let queue = Box::new(VirtQueue::new(transport, index, false, false)?);
        let buffers: Vec<Buffer> = (0..PLACES)
            .map(|_| Buffer(UnsafeCell::new([0; BUFFER_BYTES])))
            .collect();
        let ring = Ring {
            queue,
            buffers: buffers.leak(),
            lies_at: [None; PLACES],
            way,
        };
        Ok((ring, (0..PLACES as u16).map(Held).collect()))
    }

    /// The bytes of a buffer.
    pub(super) fn bytes<'a>(&'a mut self, held: &'a mut Held) -> &'a mut [u8; BUFFER_BYTES] {
        // SAFETY: the driver holds the buffer, and both are borrowed for this alone.
        unsafe { &mut *self.buffers[usize::from(held.0)].0.get() }
    }

    /// Gives the first `len` bytes of a buffer to the device.
    pub(super) fn give(&mut self, held: Held, len: usize) {
        let start = self.buffers[usize::from(held.0)].0.get().cast::<u8>();
        let len = len.min(BUFFER_BYTES);
        let added = match self.way {
            Way::In => {
                // SAFETY: (1) as many bytes are there; (2) nobody else holds the buffer.
                let bytes = unsafe { slice::from_raw_parts_mut(start, len) };
                // SAFETY: the buffers live for good, and this one is not touched before `take` gives it back.
                unsafe { self.queue.add(&[], &mut [bytes]) }
            }
            Way::Out => {
                // SAFETY: (1) as many bytes are there; (2) nobody else holds the buffer.
                let bytes = unsafe { slice::from_raw_parts(start, len) };
                // SAFETY: as above.
                unsafe { self.queue.add(&[bytes], &mut []) }
            }
        };
        let place = added.expect("there are as many places as buffers");
        self.lies_at[usize::from(place)] = Some(held.0);
    }

    /// Takes the next buffer that the device is done with, and the number of bytes that it wrote.
    pub(super) fn take(&mut self) -> Option<(Held, usize)> {
        let place = self.queue.peek_used()?;
        let lies_there = self.lies_at.get_mut(usize::from(place));
        let Some(number) = lies_there.and_then(Option::take) else {
            panic!(
                "a network card gave back place {place} of a ring of {PLACES}, where no buffer lies"
            );
        };
        let start = self.buffers[usize::from(number)].0.get().cast::<u8>();
        let taken = match self.way {
            Way::In => {
                // SAFETY: (1) as many bytes are there; (2) the device is done with them, and the driver does not hold them.
                let bytes = unsafe { slice::from_raw_parts_mut(start, BUFFER_BYTES) };
                // SAFETY: it is the buffer that was added at this place.
                unsafe { self.queue.pop_used(place, &[], &mut [bytes]) }
            }
            Way::Out => {
                // SAFETY: as above.
                let bytes = unsafe { slice::from_raw_parts(start, BUFFER_BYTES) };
                // SAFETY: as above.
                unsafe { self.queue.pop_used(place, &[bytes], &mut []) }
            }
        };
        let len = taken.expect("what was peeked at can be popped");
        Some((Held(number), len as usize))
    }

    /// Whether the device sleeps and must be told of what it was given.
    pub(super) fn wants_bell(&self) -> bool {
        fence(SeqCst);
        self.queue.should_notify()
    }

    /// The device need not interrupt for what it is done with.
    pub(super) fn mute(&mut self) {
        self.queue.set_dev_notify(false);
    }

    /// The device interrupts for the next buffer that it is done with, unless there is one already: look again.
    pub(super) fn unmute(&mut self) {
        self.queue.set_dev_notify(true);
        fence(SeqCst);
    }
}
