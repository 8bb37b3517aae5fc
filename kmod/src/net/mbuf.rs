//! mbuf(9): packets.
//!
//! # Overview
//!
//! An [`Mbuf`] owns one packet: its bytes, in one piece, with room in front for headers that are still to be
//! written, and what the layers tell each other about it. It is moved from layer to layer; whoever has it sends it,
//! queues it or frees it ([`Mbuf::free`]). None is dropped on the way: that is a contract, so that each place
//! where a packet can end says why, and counts it.
//!
//! # Contexts
//!
//! [`Mbuf::get`] and [`Mbuf::free`]: as kmem(9), thread and softint. Everything else: any; the owner alone.
//!
//! # Ownership
//!
//! The handle is what owns: it cannot be copied. A queue that other CPUs take packets from keeps the packet itself
//! ([`Mbuf::into_queue`]), and whoever takes it out has the handle again ([`Mbuf::from_queue`]). Both touch a plain word
//! of the packet, so that a queue which does not order the two is reported as a data race.
//!
//! # When to use something else
//!
//! Small records of the kernel's own that pass between CPUs: pcq(9) of whatever they are.
//!
//! # Differences from NetBSD
//!
//! There are no chains and no shared storage: each packet has a buffer that holds any Ethernet frame. It is aligned
//! as the headers want it. No tags.
//!
//! # Sources
//!
//! mbuf(9); `sys/kern/uipc_mbuf.c`, `sys/sys/mbuf.h`.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;

use crate::contract;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::curlwp;
use crate::mem::{Local, Private};

/// Bytes of a packet's buffer.
pub const MCLBYTES: usize = 2048;
/// Bytes that are free in front of a new packet: for an Ethernet, an IPv4 and a UDP header, aligned.
pub const MAX_HEADERS: usize = 64;
/// Most bytes of a new packet.
pub const MAX_LEN: usize = MCLBYTES - MAX_HEADERS;

/// Received as a link-level broadcast (`M_BCAST`).
pub const M_BCAST: u32 = 1 << 0;
/// Received as a link-level multicast (`M_MCAST`).
pub const M_MCAST: u32 = 1 << 1;

/// A packet and what is known of it (`struct mbuf`, with its `m_pkthdr`).
pub struct Packet {
    /// Counts how often it went through a queue.
    m_passed: Local<u32>,
    /// The packet after this one, for queues.
    pub(crate) m_nextpkt: Local<Option<&'static Packet>>,
    m_off: Private<usize>,
    m_len: Private<usize>,
    m_flags: Private<u32>,
    /// Index of the interface that received it, 0 if none did.
    m_rcvif: Private<u32>,
    m_buf: UnsafeCell<[u8; MCLBYTES]>,
}

crate::fields!(Packet {
    m_passed,
    m_nextpkt,
    m_off,
    m_len,
    m_flags,
    m_rcvif
});

// SAFETY: the bytes are only touched through the one `Mbuf` that owns the packet; everything else is cells.
unsafe impl Sync for Packet {}

/// The owner of a packet.
///
/// Panics (contract `mbuf-dropped`) if it is dropped.
pub struct Mbuf(&'static Packet);

impl Mbuf {
    /// A new packet without bytes (`m_gethdr`). `None`: there is no memory.
    ///
    /// Context: thread or softint.
    #[track_caller]
    pub fn get() -> Option<Mbuf> {
        let packet = Packet {
            m_passed: Local::new(0),
            m_nextpkt: Local::new(None),
            m_off: Private::new(MAX_HEADERS),
            m_len: Private::new(0),
            m_flags: Private::new(0),
            m_rcvif: Private::new(0),
            m_buf: UnsafeCell::new([0; MCLBYTES]),
        };
        kmem_alloc("mbuf", packet).map(Mbuf)
    }

    /// A new packet with these bytes. `None`: there is no memory, or they are more than [`MAX_LEN`].
    ///
    /// Context: thread or softint.
    #[track_caller]
    pub fn with(bytes: &[u8]) -> Option<Mbuf> {
        if bytes.len() > MAX_LEN {
            return None;
        }
        let mut mbuf = Mbuf::get()?;
        mbuf.0.m_len.set(bytes.len());
        mbuf.bytes_mut().copy_from_slice(bytes);
        Some(mbuf)
    }

    /// Gives the packet back (`m_freem`).
    ///
    /// Context: thread or softint.
    #[track_caller]
    pub fn free(self) {
        let packet = ManuallyDrop::new(self).0;
        // SAFETY: (1) it came from `get`; (2) the handle that owned it is gone.
        unsafe { kmem_free(packet) }
    }

    /// Bytes of the packet (`m_len`).
    #[inline]
    pub fn len(&self) -> usize {
        self.0.m_len.get()
    }

    /// Whether it has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes (`mtod`).
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        let (off, len) = (self.0.m_off.get(), self.0.m_len.get());
        // SAFETY: the handle is the only way to the bytes, and it is borrowed as long as the result.
        let buffer = unsafe { &*self.0.m_buf.get() };
        &buffer[off..off + len]
    }

    /// The bytes, to be changed.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let (off, len) = (self.0.m_off.get(), self.0.m_len.get());
        // SAFETY: as for `bytes`; the handle is borrowed for this alone.
        let buffer = unsafe { &mut *self.0.m_buf.get() };
        &mut buffer[off..off + len]
    }

    /// Takes `count` bytes, or all there are, off the front: a header that has been read (`m_adj`).
    #[inline]
    pub fn adj(&mut self, count: usize) {
        let count = count.min(self.len());
        self.0.m_off.set(self.0.m_off.get() + count);
        self.0.m_len.set(self.0.m_len.get() - count);
    }

    /// Cuts the packet off behind `len` bytes, if it is longer: padding (`m_adj` with a negative count).
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.0.m_len.set(len.min(self.len()));
    }

    /// Makes room for `count` more bytes in front: for a header (`M_PREPEND`). False: there is no such room.
    #[inline]
    #[must_use]
    pub fn prepend(&mut self, count: usize) -> bool {
        let off = self.0.m_off.get();
        if count > off {
            return false;
        }
        self.0.m_off.set(off - count);
        self.0.m_len.set(self.0.m_len.get() + count);
        true
    }

    /// Makes the packet `len` bytes long by adding zeroes behind it (padding), or cutting. False: there is no such room.
    #[must_use]
    pub fn resize(&mut self, len: usize) -> bool {
        let old = self.len();
        if self.0.m_off.get() + len > MCLBYTES {
            return false;
        }
        self.0.m_len.set(len);
        if let Some(new) = self.bytes_mut().get_mut(old..) {
            new.fill(0);
        }
        true
    }

    /// The flags: [`M_BCAST`], [`M_MCAST`].
    pub fn flags(&self) -> u32 {
        self.0.m_flags.get()
    }

    /// Sets the flags.
    pub fn set_flags(&mut self, flags: u32) {
        self.0.m_flags.set(flags);
    }

    /// Index of the interface that received it, 0 if none did (`m_pkthdr.rcvif_index`).
    pub fn rcvif(&self) -> u32 {
        self.0.m_rcvif.get()
    }

    /// Says which interface received it, by its index.
    pub fn set_rcvif(&mut self, index: u32) {
        self.0.m_rcvif.set(index);
    }

    /// The packet itself, to be kept by a queue. It is freed by whoever makes an [`Mbuf`] of it again.
    #[inline]
    #[track_caller]
    pub fn into_queue(self) -> &'static Packet {
        let packet = ManuallyDrop::new(self).0;
        packet.m_passed.set(packet.m_passed.get() + 1);
        packet
    }

    /// The owner of a packet that was taken out of a queue.
    ///
    /// # Safety
    ///
    /// The packet came from [`into_queue`](Self::into_queue), and this is called once for that.
    #[inline]
    #[track_caller]
    pub unsafe fn from_queue(packet: &'static Packet) -> Mbuf {
        packet.m_passed.set(packet.m_passed.get() + 1);
        Mbuf(packet)
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        contract!(
            false,
            "mbuf-dropped",
            "{} drops a packet of {} bytes instead of freeing it",
            curlwp().name(),
            self.len()
        );
    }
}
