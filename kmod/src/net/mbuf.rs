//! mbuf(9): packets.
//!
//! # Overview
//!
//! An [`Mbuf`] owns one packet: its bytes in one piece, with room in front for headers that are still to be written, and
//! what the layers tell each other about it. It moves from layer to layer. Each layer sends it, queues it or frees it
//! ([`Mbuf::free`]). Dropping an [`Mbuf`] breaks a contract: each place where a packet can end must give the reason, which is
//! counted as one [`End`].
//!
//! # Contexts
//!
//! [`Mbuf::get`] and [`Mbuf::free`]: thread and softint, as kmem(9). So drivers receive in a softint ([`crate::net::nic`]).
//! Everything else: any context, by the owner.
//!
//! # Per-CPU operation
//!
//! Each CPU has a cache of free buffers (`mbuf_cache` of the configuration), which only it touches, at IPL_VM. A CPU with too many
//! moves half of its cache to the *depot*, and a CPU with none takes some from there. So buffers that one CPU allocates and another
//! frees come back, and after a while nothing more is allocated. With a cache of 0 each buffer comes from kmem(9) and goes back
//! at once: then the simulated machine reports every access to a freed buffer.
//!
//! # Lock order
//!
//! The depot's lock is a spin mutex at IPL_VM. No lock is taken under it.
//!
//! # Ownership
//!
//! The handle owns the packet, and cannot be copied. A queue between CPUs stores the packet itself ([`Mbuf::into_queue`]);
//! taking it out gives the handle back ([`Mbuf::from_queue`]). Both touch a plain word of the packet, so a queue that
//! does not order them is reported as a data race.
//!
//! # When to use something else
//!
//! Small records of the kernel's own that pass between CPUs: pcq(9) of whatever they are.
//!
//! # Differences from NetBSD
//!
//! There are no chains and no shared storage: each packet has a buffer that is large enough for any Ethernet frame and aligned for
//! the headers. There are no tags. A hard interrupt cannot allocate buffers. NetBSD's drivers can, from a pool at IPL_VM; here
//! the cache is filled by kmem(9), which a hard interrupt must not call, and on the simulated machine there is often no cache.
//!
//! # Sources
//!
//! mbuf(9), pool_cache(9); `sys/kern/uipc_mbuf.c`, `sys/sys/mbuf.h`, `sys/kern/subr_pool.c`.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::config::Config;
use crate::contract;
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::references;
use crate::kern::spl::{self, Ipl};
use crate::kernel::Kernel;
use crate::mem::{Local, Plain, Private};

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

macro_rules! ends {
    ($($(#[$doc:meta])* $end:ident, $text:literal;)*) => {
        /// How a packet ends: each packet ends in exactly one of these ways.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(usize)]
        pub enum End {
            $($(#[$doc])* $end,)*
        }

        impl End {
            /// Every end.
            pub const ALL: &[End] = &[$(End::$end),*];

            /// The text after a number of packets: "12 sent".
            pub const fn text(self) -> &'static str {
                match self {
                    $(End::$end => $text,)*
                }
            }
        }
    };
}

ends! {
    /// An interface has sent it: the card has a copy.
    Sent, "sent";
    /// The reader of a socket or of a tap took it.
    Delivered, "delivered";
    /// An ARP packet that was read.
    Arp, "ARP packets read";
    /// An ICMP message to this host that was read and wants no answer.
    Icmp, "ICMP messages read";
    /// It was allocated for a frame that did not come.
    Unused, "not needed";
    /// The interface is down, or was when it came to be sent.
    IfDown, "dropped: interface down";
    /// The interface that it came by is gone.
    IfGone, "dropped: interface gone";
    /// The interface's queue of this CPU is full, or the card's.
    IfFull, "dropped: interface queue full";
    /// A protocol's queue is full.
    QueueFull, "dropped: protocol queue full";
    /// It was in a queue that was flushed or destroyed.
    Flushed, "dropped: queue flushed";
    /// Too short for its Ethernet header.
    BadFrame, "dropped: bad frame";
    /// For another Ethernet address.
    OtherHost, "dropped: another's frame";
    /// Neither IPv4 nor ARP.
    NoEthertype, "dropped: unknown ethertype";
    /// Not an ARP packet for Ethernet and IPv4, or one that cannot be.
    BadArp, "dropped: bad ARP packet";
    /// Not an IPv4 header, or one that its packet does not hold.
    BadIp, "dropped: bad IP header";
    /// The checksum of the IPv4 header is wrong.
    BadIpSum, "dropped: bad IP checksum";
    /// A fragment: fragments are not reassembled.
    Fragment, "dropped: fragment";
    /// For another IP address: nothing is forwarded.
    NotOurs, "dropped: not for this host";
    /// A protocol other than ICMP and UDP.
    NoProtocol, "dropped: unknown protocol";
    /// An ICMP message that is too short, or has a wrong checksum.
    BadIcmp, "dropped: bad ICMP message";
    /// A UDP datagram that is too short, is for port 0, or has a wrong checksum.
    BadUdp, "dropped: bad UDP datagram";
    /// There is no socket for its port.
    NoPort, "dropped: no port";
    /// The socket has as much as it keeps.
    SocketFull, "dropped: socket full";
    /// There is no route to its destination, or it is just being changed.
    NoRoute, "dropped: no route";
    /// No address of this host fits as its source, the address has been removed, or its destination is port 0 or 0.0.0.0.
    NoAddress, "dropped: no address";
    /// The Ethernet address of the next hop is not known, and it could not wait.
    Unresolved, "dropped: unresolved";
    /// Larger than the interface sends: nothing is fragmented.
    TooBig, "dropped: too big";
    /// There was no memory for what it needs.
    NoMemory, "dropped: no memory";
}

/// The packets of a kernel.
pub struct Mbufs {
    caches: [Cache; Config::MAXCPUS],
    depot: Kmutex,
    depot_first: Plain<Option<&'static Packet>>,
    /// Packets that were made, ever.
    born: AtomicU64,
    /// Packets that have ended, ever, by end.
    ends: [AtomicU64; End::ALL.len()],
    /// Buffers that came from kmem(9), ever.
    allocated: AtomicU64,
}

/// The free buffers of a CPU.
struct Cache {
    first: Plain<Option<&'static Packet>>,
    count: Plain<usize>,
}

crate::fields!(Cache { first, count });
crate::fields!(Mbufs {
    caches,
    depot,
    depot_first
});

impl Mbufs {
    pub(crate) const fn new() -> Self {
        Mbufs {
            caches: [const {
                Cache {
                    first: Plain::new(None),
                    count: Plain::new(0),
                }
            }; Config::MAXCPUS],
            depot: Kmutex::new("mbufs", Ipl::Vm),
            depot_first: Plain::new(None),
            born: AtomicU64::new(0),
            ends: [const { AtomicU64::new(0) }; End::ALL.len()],
            allocated: AtomicU64::new(0),
        }
    }

    /// Packets that were made, ever.
    pub fn born(&self) -> u64 {
        self.born.load(Relaxed)
    }

    /// Packets that ended so, ever.
    pub fn ended(&self, end: End) -> u64 {
        self.ends[end as usize].load(Relaxed)
    }

    /// Packets that are somewhere: made and not ended. Exact at rest.
    pub fn living(&self) -> u64 {
        let ended: u64 = End::ALL.iter().map(|&end| self.ended(end)).sum();
        self.born() - ended
    }

    /// Buffers that came from kmem(9), ever: at rest and with a cache it stops growing.
    pub fn allocated(&self) -> u64 {
        self.allocated.load(Relaxed)
    }

    /// A free buffer from the cache of this CPU, which gets some from the depot if it has none.
    #[track_caller]
    fn take(&self, keep: usize) -> Option<&'static Packet> {
        if keep == 0 {
            return None;
        }
        let s = spl::splraise(Ipl::Vm);
        let cache = &self.caches[curcpu().index()];
        if cache.count.get() == 0 {
            self.refill(cache, keep.div_ceil(2));
        }
        let packet = cache.pop();
        spl::splx(s);
        packet
    }

    /// Keeps a free buffer. False: none is kept.
    #[track_caller]
    fn keep(&self, packet: &'static Packet, keep: usize) -> bool {
        if keep == 0 {
            return false;
        }
        let s = spl::splraise(Ipl::Vm);
        let cache = &self.caches[curcpu().index()];
        if cache.count.get() >= keep {
            self.unload(cache, keep.div_ceil(2));
        }
        cache.push(packet);
        spl::splx(s);
        true
    }

    fn refill(&self, cache: &Cache, count: usize) {
        self.depot.enter();
        for _ in 0..count {
            let Some(packet) = self.depot_first.get() else {
                break;
            };
            self.depot_first.set(packet.m_nextpkt.get());
            cache.push(packet);
        }
        self.depot.exit();
    }

    fn unload(&self, cache: &Cache, count: usize) {
        self.depot.enter();
        for _ in 0..count {
            if let Some(packet) = cache.pop() {
                packet.m_nextpkt.set(self.depot_first.get());
                self.depot_first.set(Some(packet));
            }
        }
        self.depot.exit();
    }
}

impl Cache {
    fn push(&self, packet: &'static Packet) {
        packet.m_nextpkt.set(self.first.get());
        self.first.set(Some(packet));
        self.count.set(self.count.get() + 1);
    }

    fn pop(&self) -> Option<&'static Packet> {
        let packet = self.first.get()?;
        self.first.set(packet.m_nextpkt.get());
        self.count.set(self.count.get() - 1);
        Some(packet)
    }
}

/// Gives the free buffers that are kept back to kmem(9). When nothing runs.
pub(crate) fn drain_at_rest(kernel: &'static Kernel) {
    if kernel.config().mbuf_cache == 0 {
        return;
    }
    let mbufs = &super::of(kernel).mbufs;
    for cache in &mbufs.caches {
        while let Some(packet) = cache.pop() {
            // SAFETY: (1) it came from `get`; (2) it is free, and off the list now.
            unsafe { kmem_free(packet) };
        }
    }
    while let Some(packet) = mbufs.depot_first.get() {
        mbufs.depot_first.set(packet.m_nextpkt.get());
        // SAFETY: likewise.
        unsafe { kmem_free(packet) };
    }
}

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

impl Packet {
    const fn new() -> Self {
        Packet {
            m_passed: Local::new(0),
            m_nextpkt: Local::new(None),
            m_off: Private::new(MAX_HEADERS),
            m_len: Private::new(0),
            m_flags: Private::new(0),
            m_rcvif: Private::new(0),
            m_buf: UnsafeCell::new([0; MCLBYTES]),
        }
    }

    /// What stands in a queue and is no packet: a marker. Freed by [`Packet::free_marker`].
    pub(crate) fn marker() -> Option<&'static Packet> {
        kmem_alloc_nosleep("mbuf marker", Packet::new())
    }

    /// Gives a marker back.
    ///
    /// # Safety
    ///
    /// It came from [`Packet::marker`], and stands in no queue.
    pub(crate) unsafe fn free_marker(&'static self) {
        // SAFETY: the caller's promise.
        unsafe { kmem_free(self) }
    }

    /// As new, but for the bytes.
    fn reset(&self) {
        self.m_nextpkt.set(None);
        self.m_off.set(MAX_HEADERS);
        self.m_len.set(0);
        self.m_flags.set(0);
        self.m_rcvif.set(0);
    }
}

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
        let kernel = curlwp().kernel();
        let mbufs = &super::of(kernel).mbufs;
        let packet = match mbufs.take(kernel.config().mbuf_cache) {
            Some(packet) => {
                packet.reset();
                packet
            }
            None => {
                let packet = kmem_alloc_nosleep("mbuf", Packet::new())?;
                mbufs.allocated.fetch_add(1, Relaxed);
                packet
            }
        };
        mbufs.born.fetch_add(1, Relaxed);
        references::taken(packet, "", "m_gethdr");
        Some(Mbuf(packet))
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

    /// Ends the packet, which came to `end` (`m_freem`).
    ///
    /// Context: thread or softint.
    #[track_caller]
    pub fn free(self, end: End) {
        let packet = ManuallyDrop::new(self).0;
        let kernel = curlwp().kernel();
        let mbufs = &super::of(kernel).mbufs;
        mbufs.ends[end as usize].fetch_add(1, Relaxed);
        references::given(packet, "");
        if !mbufs.keep(packet, kernel.config().mbuf_cache) {
            // SAFETY: (1) it came from `get`; (2) the handle that owned it is gone.
            unsafe { kmem_free(packet) }
        }
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

    /// Makes an empty packet `len` bytes long, which are whatever the buffer holds: for who writes them, and then says by
    /// [`truncate`](Self::truncate) how many those are. False: there is no such room.
    #[must_use]
    pub fn claim(&mut self, len: usize) -> bool {
        let fits = self.0.m_off.get() + len <= MCLBYTES;
        if fits {
            self.0.m_len.set(len);
        }
        fits
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
        references::passed(packet, "into a queue");
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
        references::passed(packet, "out of a queue");
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
