//! A queue of a virtio device, with its buffers.
//!
//! # Overview
//!
//! Every buffer belongs either to the driver or to the device. The driver *holds* its buffers ([`Held`], which cannot be copied).
//! [`Ring::give`] gives a buffer to the device, and [`Ring::take`] returns it when the device is done. Each buffer has a
//! descriptor of its own. So there is always room for a held buffer, and nothing is allocated after the start.
//!
//! # Notifications and interrupts
//!
//! Each side tells the other at which index it wants to be notified (VIRTIO_F_EVENT_IDX): the device names the buffer at which it
//! goes to sleep, and the driver names the one behind the last that it has taken. So a frame that is given while the device still has
//! others to process needs no doorbell, which under QEMU costs a lock and a system call. A device without this feature has
//! a flag instead, which it changes later.
//!
//! # Memory order
//!
//! Each side writes its index, and then reads whether the other sleeps. That is a store before a load, the one order that x86
//! does not keep:
//!
//! ```text
//!     driver                                 device
//!     ring index = n + 1                     event = n: "wake me"
//!     ── fence ──                            ── fence ──
//!     event passed? then doorbell            ring index == n? then sleep
//! ```
//!
//! Without the fences both can read the old value: the device sleeps, and is not woken. [`Ring::wants_bell`] and [`Ring::unmute`]
//! have the driver's fences. QEMU before 8.1 leaves out the device's on a machine that can have only one CPU, so `scripts/boot` allows
//! at least two.
//!
//! # Differences from `virtio-drivers`
//!
//! The queue of `virtio-drivers` 0.13 is not used. With VIRTIO_F_EVENT_IDX its comparison is wrong when the index wraps around after
//! 65,536 buffers, and it does not notice that the device has been notified already. It also leaves the fence to its callers.
//!
//! # Sources
//!
//! Virtual I/O Device (VIRTIO) Version 1.2, 2.7 "Split Virtqueues".

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, fence};

use virtio_drivers::transport::Transport;
use virtio_drivers::transport::pci::PciTransport;

use super::Unfit;
use crate::memory;

/// Size of a ring, and number of buffers: as many as QEMU's cards offer.
pub(super) const PLACES: usize = 256;

/// Size of a buffer in bytes: a frame with virtio's header, and some more.
pub(super) const BUFFER_BYTES: usize = 2048;

/// The direction of a ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The device fills the buffers.
    In,
    /// The device reads the buffers.
    Out,
}

/// The address of a buffer (`struct virtq_desc`).
#[repr(C)]
struct Descriptor {
    address: AtomicU64,
    len: AtomicU32,
    flags: AtomicU16,
    next: AtomicU16,
}

/// The driver's ring (`struct virtq_avail`).
#[repr(C)]
struct Available {
    flags: AtomicU16,
    index: AtomicU16,
    ring: [AtomicU16; PLACES],
    /// The index in the device's ring after which the device must interrupt.
    used_event: AtomicU16,
}

/// A buffer that the device has finished (`struct virtq_used_elem`).
#[repr(C)]
struct Done {
    place: AtomicU32,
    len: AtomicU32,
}

/// The device's ring (`struct virtq_used`).
#[repr(C)]
struct Used {
    flags: AtomicU16,
    index: AtomicU16,
    ring: [Done; PLACES],
    /// The index in the driver's ring after which the device must be notified.
    avail_event: AtomicU16,
}

/// The memory that driver and device share. All zeroes is an empty ring.
#[repr(C, align(16))]
struct Shared {
    descriptors: [Descriptor; PLACES],
    available: Available,
    used: Used,
}

/// The device writes into the buffer (`VIRTQ_DESC_F_WRITE`).
const WRITE: u16 = 1 << 1;
/// For either side: the other need not notify it (`VIRTQ_AVAIL_F_NO_INTERRUPT`, `VIRTQ_USED_F_NO_NOTIFY`).
const QUIET: u16 = 1 << 0;
/// A distance that is not reached soon: half of all indices.
const FAR: u16 = 1 << 15;

/// Whether a ring that advanced from `old` to `new` has passed the buffer `event` (`vring_need_event`). Indices wrap
/// around.
const fn passed(event: u16, old: u16, new: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

struct Buffer(UnsafeCell<[u8; BUFFER_BYTES]>);

// SAFETY: the bytes are touched through the one `Held` of the buffer, or by the device while there is none.
unsafe impl Sync for Buffer {}

/// A buffer that the driver holds. It contains its number.
pub(super) struct Held(u16);

/// A ring and its buffers.
pub(super) struct Ring {
    shared: &'static Shared,
    buffers: &'static [Buffer],
    /// Which buffers the device has.
    given: [bool; PLACES],
    /// Index of the next buffer to be given, and its value when the device was last notified, or did not need to be.
    next_given: u16,
    told: u16,
    /// Index of the next buffer that returns.
    next_taken: u16,
    /// Whether VIRTIO_F_EVENT_IDX was negotiated.
    events: bool,
}

/// The device's address of an object.
///
/// Panics if the object is not mapped at its physical address.
fn address<T>(what: &T) -> u64 {
    let start = core::ptr::from_ref(what).expose_provenance();
    let end = start + size_of::<T>();
    assert!(
        end <= memory::MAPPED_END,
        "what a device shares lies at {start:#x}, where addresses are not physical ones"
    );
    start as u64
}

impl Ring {
    /// Sets up queue `index` of the device; `events` says whether VIRTIO_F_EVENT_IDX was negotiated. All buffers are
    /// held.
    pub(super) fn new(
        transport: &mut PciTransport,
        index: u16,
        way: Way,
        events: bool,
    ) -> Result<(Ring, Vec<Held>), Unfit> {
        let offered = transport.max_queue_size(index);
        if (offered as usize) < PLACES {
            return Err(Unfit::Small { index, offered });
        }
        let buffers: Vec<Buffer> = (0..PLACES)
            .map(|_| Buffer(UnsafeCell::new([0; BUFFER_BYTES])))
            .collect();
        let buffers: &'static [Buffer] = buffers.leak();
        let shared: &'static Shared = Box::leak(Shared::empty());
        for (descriptor, buffer) in shared.descriptors.iter().zip(buffers) {
            descriptor.address.store(address(buffer), Relaxed);
            let flags = if way == Way::In { WRITE } else { 0 };
            descriptor.flags.store(flags, Relaxed);
        }
        transport.queue_set(
            index,
            PLACES as u32,
            address(&shared.descriptors),
            address(&shared.available),
            address(&shared.used),
        );
        let ring = Ring {
            shared,
            buffers,
            given: [false; PLACES],
            next_given: 0,
            told: 0,
            next_taken: 0,
            events,
        };
        Ok((ring, (0..PLACES as u16).map(Held).collect()))
    }

    /// The bytes of a buffer.
    pub(super) fn bytes<'a>(&'a mut self, held: &'a mut Held) -> &'a mut [u8; BUFFER_BYTES] {
        // SAFETY: the driver holds the buffer, and both are borrowed for this alone.
        unsafe { &mut *self.buffers[usize::from(held.0)].0.get() }
    }

    /// Gives a buffer with `len` bytes to the device.
    pub(super) fn give(&mut self, held: Held, len: usize) {
        let (place, available) = (usize::from(held.0), &self.shared.available);
        let len = len.min(BUFFER_BYTES) as u32;
        self.shared.descriptors[place].len.store(len, Relaxed);
        available.ring[usize::from(self.next_given) % PLACES].store(held.0, Relaxed);
        self.given[place] = true;
        self.next_given = self.next_given.wrapping_add(1);
        // Release: a device that sees the index also sees the descriptor and the bytes.
        available.index.store(self.next_given, Release);
    }

    /// Takes the next buffer that the device has finished, and the number of bytes that it wrote.
    pub(super) fn take(&mut self) -> Option<(Held, usize)> {
        let used = &self.shared.used;
        // Acquire: a driver that sees the index also sees what the device wrote.
        if used.index.load(Acquire) == self.next_taken {
            return None;
        }
        let done = &used.ring[usize::from(self.next_taken) % PLACES];
        let (place, len) = (done.place.load(Relaxed), done.len.load(Relaxed));
        let given = self.given.get_mut(place as usize);
        if !given.is_some_and(core::mem::take) {
            panic!("a network card gave back buffer {place} of {PLACES}, which it did not have");
        }
        self.next_taken = self.next_taken.wrapping_add(1);
        Some((Held(place as u16), (len as usize).min(BUFFER_BYTES)))
    }

    /// Whether the device is idle and must be notified of what it was given since the last call.
    pub(super) fn wants_bell(&mut self) -> bool {
        fence(SeqCst);
        let used = &self.shared.used;
        let old = core::mem::replace(&mut self.told, self.next_given);
        match self.events {
            true => passed(used.avail_event.load(Relaxed), old, self.next_given),
            false => used.flags.load(Relaxed) & QUIET == 0,
        }
    }

    /// Tells the device that it need not interrupt for finished buffers. It may still do so.
    pub(super) fn mute(&mut self) {
        let available = &self.shared.available;
        match self.events {
            true => available
                .used_event
                .store(self.next_taken.wrapping_add(FAR), Relaxed),
            false => available.flags.store(QUIET, Relaxed),
        }
    }

    /// Tells the device to interrupt for the next finished buffer. There may be one already: check again.
    pub(super) fn unmute(&mut self) {
        let available = &self.shared.available;
        match self.events {
            true => available.used_event.store(self.next_taken, Relaxed),
            false => available.flags.store(0, Relaxed),
        }
        fence(SeqCst);
    }
}

impl Shared {
    fn empty() -> Box<Shared> {
        // SAFETY: words of zero are what it consists of.
        unsafe { Box::new_zeroed().assume_init() }
    }
}
