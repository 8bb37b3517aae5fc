//! pktqueue(9): the queues between the interfaces and a protocol, one on each CPU.
//!
//! # Overview
//!
//! A packet queue has a ring ([pcq](crate::kern::pcq)) for each CPU, and a softint at the level of softnet. A producer picks a CPU
//! by the hash of the packet's flow ([`pktq_rps_hash`]), puts the packet into the ring of that CPU, and schedules the softint there.
//! So the packets of a flow stay in order, and flows are spread over the CPUs. The softint takes all packets that are there
//! ([`Pktqueue::dequeue`]).
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`Pktqueue::enqueue`] | thread, softint up to the level of softnet |
//! | [`Pktqueue::dequeue`] | the queue's own softint |
//! | [`Pktqueue::barrier`], [`Pktqueue::flush`], [`Pktqueue::set_maxlen`] | thread that may sleep; several at once |
//! | [`Pktqueue::create`] | thread, or boot |
//! | [`Pktqueue::destroy`] | thread that may sleep, after the last use of the queue |
//!
//! # Per-CPU operation
//!
//! Only its own CPU empties a ring, at the level of softnet. A cross call that runs at that level swaps and flushes it, so this
//! never happens in the middle of a dequeue. Producers put at that level too. So after a cross call at that level has run on every
//! CPU, no producer still uses a ring that was swapped out.
//!
//! # The barrier
//!
//! [`Pktqueue::barrier`] waits until all packets that were put before the call have been handled. It puts a *marker* into each
//! ring. A CPU that takes a marker out counts it, and continues with the next item.
//!
//! ```text
//! producer        ring of cpu1        cpu1                          barrier
//! puts a          a
//!                 a M                                               puts the marker, schedules
//! puts b          a M b               a is handled
//!                 b                   M: pq_barrier += 1
//!                                     b is handled                  pq_barrier is 1: a was handled
//! ```
//!
//! A ring that looks empty gets a marker too. It may look empty although it is not: a producer may be putting the first item, with
//! packets behind it that were put before the barrier was called. And if it is empty, the softint may still be handling the
//! last packet.
//!
//! # Invariants
//!
//! 1. Enqueued = dequeued + flushed + in the rings, without the markers.
//! 2. The softint is scheduled after each put. So the rings are empty at rest.
//! 3. `pq_barrier` is 0 unless `pq_lock` is held.
//!
//! # Lock order
//!
//! `pq_lock` comes after IFNET_LOCK, and no lock is taken under it. A barrier sleeps with it held, so it is not taken with
//! `softnet_lock` held, which the softint may need.
//!
//! # Memory order
//!
//! The swap publishes the ring of a CPU (release, acquire). The cross calls order the last use of the old ring before its end. A ring
//! orders its packets. Counting a marker is a release of the packets that were handled before it.
//!
//! # Differences from NetBSD
//!
//! * [`Pktqueue::barrier`] puts a marker into every ring. NetBSD does only if `pcq_peek` finds an item, which misses packets as
//!   described above (the scenario `net-pktqueue` found that, on 2 CPUs after 139,384 schedules).
//! * [`Pktqueue::enqueue`] raises the level to softnet itself. In NetBSD, a caller that has only disabled preemption can be
//!   interrupted by the barrier of `pktq_set_maxlen` while it uses a ring that is then freed.
//! * [`Pktqueue::flush`] empties each ring on its own CPU, and packets may arrive meanwhile. In NetBSD the caller must prevent that.
//! * [`Pktqueue::set_maxlen`] holds `pq_lock` until the contents of the old rings are in the new ones, so that a barrier cannot
//!   overtake them.
//! * [`Pktqueue::destroy`] ends the softint *before* it frees the rings.
//! * The rings are in an array, not in percpu(9) storage, because other CPUs read it all the time. The hash mixes addresses and
//!   ports, without a key (NetBSD has a Toeplitz hash).
//!
//! # Sources
//!
//! pktqueue(9); `sys/net/pktqueue.c` 1.22.

use core::sync::atomic::{AtomicU64, Ordering as Bare};

use smoltcp::wire::{IpProtocol, Ipv4Packet, UdpPacket};

use crate::config::Config;
use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::inside;
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pcq::Pcq;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::{self, Ipl};
use crate::kern::synch::kpause;
use crate::kern::xcall::{self, Priority};
use crate::kernel::Kernel;
use crate::mem::{AcqRel, Acquire, AtomicRef, AtomicU32, Local, Plain, Relaxed};
use crate::net::mbuf::{End, Mbuf, Packet};

/// The function of a queue's softint: takes packets out with [`Pktqueue::dequeue`] until there are none.
pub type PktqIntr = fn(&'static Pktqueue);

/// A queue for a protocol (`pktqueue_t`).
pub struct Pktqueue {
    /// One barrier, flush or change of the length at a time.
    pq_lock: Kmutex,
    /// Markers that were taken out.
    pq_barrier: AtomicU32,
    pq_pcq: [AtomicRef<Pcq<Packet>>; Config::MAXCPUS],
    /// What a flush took out of each ring: `pq_lock`, and the CPU's own in between.
    pq_flushed: [Plain<Option<&'static Packet>>; Config::MAXCPUS],
    pq_name: &'static str,
    pq_intr: PktqIntr,
    pq_arg: Arg,
    /// These are set before anybody else knows the queue.
    pq_sih: Local<Option<Softint>>,
    pq_marker: Local<Option<&'static Packet>>,
    /// Statistics: exact at rest.
    enqueued: AtomicU64,
    dequeued: AtomicU64,
    flushed: AtomicU64,
    full: AtomicU64,
}

crate::fields!(Pktqueue {
    pq_lock,
    pq_barrier,
    pq_pcq,
    pq_flushed
});

/// What went through a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PktqStats {
    /// Packets that were put into a ring.
    pub enqueued: u64,
    /// Packets that the softint took out.
    pub dequeued: u64,
    /// Packets that a flush took out.
    pub flushed: u64,
    /// Packets that found no room.
    pub full: u64,
}

impl Pktqueue {
    /// Creates a queue with room for `maxlen - 1` packets on each CPU; `intr` takes them out (`pktq_create`).
    ///
    /// `None`: there is no memory, or no room for a softint. Context: thread that may sleep, or boot.
    #[track_caller]
    pub fn create(
        kernel: &'static Kernel,
        name: &'static str,
        maxlen: usize,
        intr: PktqIntr,
        arg: Arg,
    ) -> Option<&'static Pktqueue> {
        let pq = kmem_alloc_nosleep(
            "pktqueue",
            Pktqueue {
                pq_lock: Kmutex::new(name, Ipl::None),
                pq_barrier: AtomicU32::new(0),
                pq_pcq: [const { AtomicRef::new() }; Config::MAXCPUS],
                pq_flushed: [const { Plain::new(None) }; Config::MAXCPUS],
                pq_name: name,
                pq_intr: intr,
                pq_arg: arg,
                pq_sih: Local::new(None),
                pq_marker: Local::new(None),
                enqueued: AtomicU64::new(0),
                dequeued: AtomicU64::new(0),
                flushed: AtomicU64::new(0),
                full: AtomicU64::new(0),
            },
        )?;
        let complete = pq.fill(kernel, maxlen);
        if complete.is_none() {
            pq.free();
            return None;
        }
        Some(pq)
    }

    fn fill(&'static self, kernel: &'static Kernel, maxlen: usize) -> Option<()> {
        for (place, _) in self.pq_pcq.iter().zip(kernel.cpus()) {
            place.store(Some(Pcq::create(maxlen)?), Relaxed);
        }
        self.pq_marker.set(Some(Packet::marker()?));
        let sih = crate::net::establish(kernel, Ipl::SoftNet, softintr, Arg::of(self))?;
        self.pq_sih.set(Some(sih));
        Some(())
    }

    /// The argument that [`create`](Self::create) was given for the softint.
    pub fn arg(&self) -> Arg {
        self.pq_arg
    }

    /// How many packets went through it. Exact at rest.
    pub fn stats(&self) -> PktqStats {
        PktqStats {
            enqueued: self.enqueued.load(Bare::Relaxed),
            dequeued: self.dequeued.load(Bare::Relaxed),
            flushed: self.flushed.load(Bare::Relaxed),
            full: self.full.load(Bare::Relaxed),
        }
    }

    /// Packets in its rings, by its statistics. Exact at rest.
    pub fn queued(&self) -> u64 {
        let stats = self.stats();
        stats.enqueued - stats.dequeued - stats.flushed
    }

    fn ring(&self, cpu: usize) -> &'static Pcq<Packet> {
        match self.pq_pcq[cpu].load(Acquire) {
            Some(pcq) => pcq,
            None => unreachable!("`create` made a ring for each CPU"),
        }
    }

    fn marker(&self) -> &'static Packet {
        match self.pq_marker.get() {
            Some(marker) => marker,
            None => unreachable!("`create` made a marker"),
        }
    }

    /// Schedules the softint on a CPU.
    fn schedule(&self, cpu: usize) {
        if let Some(sih) = self.pq_sih.get() {
            softint::schedule_cpu(sih, curlwp().kernel().cpu(cpu));
        }
    }

    /// Puts a packet at the end of the ring that `hash` picks, and schedules the softint there (`pktq_enqueue`).
    ///
    /// A packet that finds no room ends as [`End::QueueFull`]; then the result is false.
    /// Context: thread, softint up to the level of softnet; not with the level raised above it. Panics: contract
    /// `pktq-level`.
    #[track_caller]
    pub fn enqueue(&self, m: Mbuf, hash: u32) -> bool {
        // At this level no barrier can run between reading the ring's address and the put.
        let s = spl::splraise(Ipl::SoftNet);
        contract!(
            spl::ilevel() == Ipl::SoftNet && !spl::cpu_intr_p(),
            "pktq-level",
            "pktq_enqueue({}) in {} at level {}: packets are put at softnet",
            self.pq_name,
            curlwp().name(),
            spl::ilevel().name()
        );
        let cpu = hash as usize % curlwp().kernel().cpus().len();
        let packet = m.into_queue();
        let room = self.ring(cpu).put(packet);
        if room {
            self.enqueued.fetch_add(1, Bare::Relaxed);
            self.schedule(cpu);
        } else {
            self.full.fetch_add(1, Bare::Relaxed);
            // SAFETY: (1) `into_queue` gave it just now; (2) the ring did not take it.
            let m = unsafe { Mbuf::from_queue(packet) };
            m.free(End::QueueFull);
        }
        spl::splx(s);
        room
    }

    /// Takes the next packet out of the ring of this CPU (`pktq_dequeue`). `None`: there is none.
    ///
    /// Context: the softint of the queue. Panics: contract `pktq-dequeue`.
    #[track_caller]
    pub fn dequeue(&self) -> Option<Mbuf> {
        contract!(
            softint::level_of(curlwp()) == Ipl::SoftNet,
            "pktq-dequeue",
            "pktq_dequeue({}) in {}: only softints of softnet take packets out",
            self.pq_name,
            curlwp().name()
        );
        let ring = self.ring(curcpu().index());
        loop {
            let packet = ring.get()?;
            if core::ptr::eq(packet, self.marker()) {
                // Release: what came before the marker has been handled.
                self.pq_barrier.fetch_add(1, AcqRel);
                continue;
            }
            self.dequeued.fetch_add(1, Bare::Relaxed);
            // SAFETY: (1) `enqueue` put what `into_queue` gave; (2) who takes an item out has it alone.
            return Some(unsafe { Mbuf::from_queue(packet) });
        }
    }

    /// Waits until all packets that were put before the call have been handled (`pktq_barrier`).
    ///
    /// Context: thread that may sleep, without a lock that the softint takes. Panics: contracts `sleepable`,
    /// `pktq-barrier`.
    #[track_caller]
    pub fn barrier(&self) {
        assert_sleepable("pktq_barrier");
        let _inside = inside("pktq_barrier");
        self.pq_lock.enter();
        let left = self.pq_barrier.load(Relaxed);
        contract!(
            left == 0,
            "pktq-barrier",
            "pktq_barrier({}) begins with {left} markers counted",
            self.pq_name
        );
        let mut pending = 0;
        for cpu in 0..curlwp().kernel().cpus().len() {
            // Also into a ring that looks empty: see the header of this module.
            let ring = self.ring(cpu);
            while !ring.put(self.marker()) {
                kpause("pktqsync", 1, None);
            }
            self.kick(cpu);
            pending += 1;
        }
        while self.pq_barrier.load(Acquire) != pending {
            kpause("pktqsync", 1, None);
        }
        self.pq_barrier.store(0, Relaxed);
        self.pq_lock.exit();
    }

    /// Schedules the softint on a CPU, from a thread.
    fn kick(&self, cpu: usize) {
        let s = spl::splraise(Ipl::SoftNet);
        self.schedule(cpu);
        spl::splx(s);
    }

    /// Frees the packets that are in the rings, as [`End::Flushed`] (`pktq_flush`).
    ///
    /// A packet behind one that is just being put stays in the ring, and is handled later. Context: thread that may sleep, without a lock
    /// that the softint takes. Panics: contract `sleepable`.
    #[track_caller]
    pub fn flush(&self) {
        assert_sleepable("pktq_flush");
        let _inside = inside("pktq_flush");
        self.pq_lock.enter();
        let args = (Arg::of(self), Arg::NONE);
        xcall::wait(xcall::broadcast(
            Priority::High(Ipl::SoftNet),
            flush_cpu,
            args,
        ));
        let kernel = curlwp().kernel();
        for (place, _) in self.pq_flushed.iter().zip(kernel.cpus()) {
            let mut next = place.replace(None);
            while let Some(packet) = next {
                next = packet.m_nextpkt.get();
                self.flushed.fetch_add(1, Bare::Relaxed);
                // SAFETY: (1) `enqueue` put what `into_queue` gave; (2) the cross call took it out.
                let m = unsafe { Mbuf::from_queue(packet) };
                m.free(End::Flushed);
            }
        }
        self.pq_lock.exit();
    }

    /// Gives each CPU a new ring for `maxlen - 1` packets, with the contents of the old one (`pktq_set_maxlen`).
    ///
    /// Packets that arrive meanwhile may overtake those. False: there is no memory, and nothing changes.
    /// Context: thread that may sleep, without a lock that the softint takes. Panics: contracts `sleepable`, `pcq-size`.
    #[track_caller]
    pub fn set_maxlen(&'static self, maxlen: usize) -> bool {
        assert_sleepable("pktq_set_maxlen");
        let _inside = inside("pktq_set_maxlen");
        let Some(swap) = Swap::new(self, maxlen) else {
            return false;
        };
        self.pq_lock.enter();
        let args = (Arg::of(swap), Arg::NONE);
        xcall::wait(xcall::broadcast(
            Priority::High(Ipl::SoftNet),
            swap_cpu,
            args,
        ));
        // Producers that found an old ring before it was swapped have finished their put after this.
        xcall::barrier(Priority::High(Ipl::SoftNet));
        for cpu in 0..curlwp().kernel().cpus().len() {
            if let Some(old) = swap.rings[cpu].get() {
                self.move_over(old, cpu);
                old.destroy();
            }
        }
        self.pq_lock.exit();
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) the cross call has returned.
        unsafe { kmem_free(swap) };
        true
    }

    /// Moves the packets of a ring that is no longer used into that of a CPU.
    fn move_over(&self, old: &Pcq<Packet>, cpu: usize) {
        while let Some(packet) = old.get() {
            while !self.ring(cpu).put(packet) {
                self.kick(cpu);
                kpause("pktqrenq", 1, None);
            }
            self.kick(cpu);
        }
    }

    /// Destroys the queue (`pktq_destroy`). Packets in its rings end as [`End::Flushed`].
    ///
    /// Context: thread that may sleep; nobody enqueues any more. Panics: contracts `sleepable`.
    #[track_caller]
    pub fn destroy(&'static self) {
        self.retire();
        self.free();
    }

    /// The first part of [`destroy`](Self::destroy), after which the statistics can still be read.
    #[track_caller]
    pub(crate) fn retire(&self) {
        assert_sleepable("pktq_destroy");
        // First, because the softint may be queued and uses the rings.
        if let Some(sih) = self.pq_sih.get() {
            softint::disestablish(sih);
        }
        for ring in self.rings() {
            while let Some(packet) = ring.get() {
                self.flushed.fetch_add(1, Bare::Relaxed);
                // SAFETY: (1) `enqueue` put what `into_queue` gave: no barrier is under way; (2) nobody else takes.
                let m = unsafe { Mbuf::from_queue(packet) };
                m.free(End::Flushed);
            }
        }
    }

    /// [`destroy`](Self::destroy) when nothing runs.
    pub(crate) fn destroy_at_rest(&'static self, kernel: &'static Kernel) {
        if let Some(sih) = self.pq_sih.get() {
            softint::disestablish_at_rest(kernel, sih);
        }
        self.free();
    }

    /// The rings that were created.
    fn rings(&self) -> impl Iterator<Item = &'static Pcq<Packet>> {
        self.pq_pcq.iter().filter_map(|place| place.load(Relaxed))
    }

    /// The end of [`destroy`](Self::destroy), and of a queue that was created only in part. There is no softint.
    pub(crate) fn free(&'static self) {
        for ring in self.rings() {
            ring.destroy();
        }
        if let Some(marker) = self.pq_marker.get() {
            // SAFETY: it came from `marker`, and no barrier is under way.
            unsafe { marker.free_marker() };
        }
        self.pq_lock.destroy();
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody uses it any more, the caller says.
        unsafe { kmem_free(self) };
    }
}

/// The softint of a queue.
fn softintr(pq: Arg) {
    // SAFETY: `create` gave the queue, and `destroy` ends the softint before it frees it.
    let pq: &'static Pktqueue = unsafe { pq.get() };
    (pq.pq_intr)(pq);
}

/// A flush on this CPU: by cross call.
fn flush_cpu(pq: Arg, _: Arg) {
    // SAFETY: `flush` waits for the cross call, and its caller keeps the queue until it has returned.
    let pq: &'static Pktqueue = unsafe { pq.get() };
    // In a rump kernel a thread runs the cross call, so the softint must be kept from taking packets out meanwhile.
    let s = spl::splraise(Ipl::SoftNet);
    let cpu = curcpu().index();
    let ring = pq.ring(cpu);
    while let Some(packet) = ring.get() {
        packet.m_nextpkt.set(pq.pq_flushed[cpu].get());
        pq.pq_flushed[cpu].set(Some(packet));
    }
    spl::splx(s);
}

/// The rings of a change of the length: its cross call replaces the new ones by the old ones.
struct Swap {
    pq: &'static Pktqueue,
    rings: [Plain<Option<&'static Pcq<Packet>>>; Config::MAXCPUS],
}

impl Swap {
    #[track_caller]
    fn new(pq: &'static Pktqueue, maxlen: usize) -> Option<&'static Swap> {
        let swap = kmem_alloc_nosleep(
            "pktqueue swap",
            Swap {
                pq,
                rings: [const { Plain::new(None) }; Config::MAXCPUS],
            },
        )?;
        for (place, _) in swap.rings.iter().zip(curlwp().kernel().cpus()) {
            let ring = Pcq::create(maxlen);
            place.set(ring);
            if ring.is_none() {
                swap.give_up();
                return None;
            }
        }
        Some(swap)
    }

    fn give_up(&'static self) {
        for ring in self.rings.iter().filter_map(Plain::get) {
            ring.destroy();
        }
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
        unsafe { kmem_free(self) };
    }
}

/// Gives this CPU its new ring: by cross call (`pktq_set_maxlen_cpu`).
fn swap_cpu(swap: Arg, _: Arg) {
    // SAFETY: `set_maxlen` waits for the cross call.
    let swap: &'static Swap = unsafe { swap.get() };
    // As in `flush_cpu`: the softint may not be in the middle of a dequeue.
    let s = spl::splraise(Ipl::SoftNet);
    let cpu = curcpu().index();
    let old = swap.pq.ring(cpu);
    swap.pq.pq_pcq[cpu].store(swap.rings[cpu].get(), crate::mem::Release);
    swap.rings[cpu].set(Some(old));
    spl::splx(s);
}

/// Waits until the packets that are in any of these queues have been handled (`pktq_ifdetach`).
///
/// Context: as [`Pktqueue::barrier`].
#[track_caller]
pub fn pktq_ifdetach<'a>(queues: impl Iterator<Item = &'a Pktqueue>) {
    for pq in queues {
        pq.barrier();
    }
}

/// Mixes a word into a hash.
const fn mix(hash: u32, word: u32) -> u32 {
    let word = (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b1);
    word ^ word >> 15
}

/// The hash of the flow that an IPv4 packet belongs to (`pktq_rps_hash`): of both addresses, the protocol, and for UDP the
/// ports, unless it is a fragment. 0 for anything else.
pub fn pktq_rps_hash(packet: &[u8]) -> u32 {
    let Ok(ip) = Ipv4Packet::new_checked(packet) else {
        return 0;
    };
    let protocol = ip.next_header();
    let mut hash = mix(0, ip.src_addr().to_bits());
    hash = mix(hash, ip.dst_addr().to_bits());
    hash = mix(hash, u32::from(u8::from(protocol)));
    let whole = !ip.more_frags() && ip.frag_offset() == 0;
    if protocol == IpProtocol::Udp
        && whole
        && let Ok(udp) = UdpPacket::new_checked(ip.payload())
    {
        hash = mix(
            hash,
            u32::from(udp.src_port()) << 16 | u32::from(udp.dst_port()),
        );
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_told_apart_and_garbage_is_one() {
        assert_eq!(pktq_rps_hash(&[]), 0);
        let mut packet = [0_u8; 28];
        let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
        ip.set_version(4);
        ip.set_header_len(20);
        ip.set_total_len(28);
        ip.set_next_header(IpProtocol::Udp);
        packet[25] = 8;
        let hash = pktq_rps_hash(&packet);
        assert_ne!(hash, 0);
        packet[23] = 9;
        assert_ne!(pktq_rps_hash(&packet), hash, "another port, another flow");
        packet[27] = 1;
        let again = pktq_rps_hash(&packet);
        packet[26] = 1;
        assert_eq!(
            pktq_rps_hash(&packet),
            again,
            "the checksum says nothing of it"
        );
    }
}
