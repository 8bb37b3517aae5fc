//! pktqueue(9): the queues between the interfaces and a protocol, one on each CPU.
//!
//! # Overview
//!
//! A packet queue has a ring ([pcq](crate::kern::pcq)) for each CPU and a softint of the level of softnet. Who has a
//! packet for the protocol picks a CPU by the hash of the packet's flow ([`pktq_rps_hash`]), puts the packet into the ring
//! of that CPU, and schedules the softint there: so the packets of a flow stay in order, and flows are spread over the
//! CPUs. The softint takes all it can get ([`Pktqueue::dequeue`]).
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`Pktqueue::enqueue`] | thread, softint up to the level of softnet |
//! | [`Pktqueue::dequeue`] | the queue's own softint |
//! | [`Pktqueue::barrier`], [`Pktqueue::flush`], [`Pktqueue::set_maxlen`] | thread that may sleep; any number at once |
//! | [`Pktqueue::create`] | thread, or boot |
//! | [`Pktqueue::destroy`] | thread that may sleep; nobody uses the queue any more |
//!
//! # Per-CPU operation
//!
//! A ring is emptied by its own CPU alone, at the level of softnet. So is it swapped and flushed, by a cross call which
//! runs at that level: it never comes into the middle of a dequeue. Whoever puts does it at that level, too: so when a
//! barrier of that level has been on every CPU, nobody still has a ring in hand that was swapped away.
//!
//! # The barrier
//!
//! [`Pktqueue::barrier`] waits until all packets have been handled that were put before it was called. It puts a
//! *marker* into each ring; a CPU that takes it counts it and goes on with the next item.
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
//! A ring that looks empty gets its marker, too. That its first item cannot be had does not say that there is none: a
//! producer may be just putting it, with packets behind it that were put before the barrier was called. And that there is
//! none does not say that all were handled: the softint may have the last one in its hands.
//!
//! # Invariants
//!
//! 1. Enqueued = dequeued + flushed + in the rings, without the markers.
//! 2. After each put the softint is scheduled, so at rest the rings are empty.
//! 3. `pq_barrier` is 0 unless `pq_lock` is held.
//!
//! # Lock order
//!
//! `pq_lock`, under which it sleeps, comes after IFNET_LOCK and before nothing. Not with `softnet_lock` held: the softint
//! may need it.
//!
//! # Memory order
//!
//! The ring of a CPU is published by the swap (release, acquire); that the ring is not used any more is ordered by the
//! cross calls. Packets are ordered by their ring. The count of the barrier is a release of what was handled.
//!
//! # Differences from NetBSD
//!
//! * [`Pktqueue::barrier`] puts a marker into every ring; there, only if `pcq_peek` finds an item, which misses packets as
//!   above (the scenario `net-pktqueue` found that, on 2 CPUs after 139,384 schedules).
//! * [`Pktqueue::enqueue`] raises the level to softnet itself. There, a caller that only has preemption off can still be
//!   interrupted by the barrier of `pktq_set_maxlen`, with a ring in hand that is then freed.
//! * [`Pktqueue::flush`] empties each ring on its own CPU, so that packets may come meanwhile; there the caller keeps
//!   them away.
//! * [`Pktqueue::set_maxlen`] holds `pq_lock` until what was in the old rings is in the new, so that a barrier cannot
//!   overtake it.
//! * [`Pktqueue::destroy`] ends the softint *before* it frees the rings.
//! * The rings stand in an array, not in percpu(9) storage: other CPUs read it all the time. The hash is a mixture of
//!   addresses and ports, without a key (Toeplitz there).
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
use crate::kern::kmem::{kmem_alloc, kmem_free};
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
        let pq = kmem_alloc(
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

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.pq_name
    }

    /// What was given to [`create`](Self::create) for the softint.
    pub fn arg(&self) -> Arg {
        self.pq_arg
    }

    /// What went through it: exact at rest.
    pub fn stats(&self) -> PktqStats {
        PktqStats {
            enqueued: self.enqueued.load(Bare::Relaxed),
            dequeued: self.dequeued.load(Bare::Relaxed),
            flushed: self.flushed.load(Bare::Relaxed),
            full: self.full.load(Bare::Relaxed),
        }
    }

    /// Packets that are in its rings, by its statistics: exact at rest.
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

    /// Has the softint run on a CPU.
    fn schedule(&self, cpu: usize) {
        if let Some(sih) = self.pq_sih.get() {
            softint::schedule_cpu(sih, curlwp().kernel().cpu(cpu));
        }
    }

    /// Puts a packet at the end of the ring that `hash` picks, and has it taken out there (`pktq_enqueue`).
    ///
    /// A packet that finds no room ends as [`End::QueueFull`]; then the result is false.
    /// Context: thread, softint up to the level of softnet; not with the level raised above it. Panics: contract
    /// `pktq-level`.
    #[track_caller]
    pub fn enqueue(&self, m: Mbuf, hash: u32) -> bool {
        // At this level no barrier comes between the look at the ring and the put.
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

    /// Takes the next packet out of the ring of this CPU (`pktq_dequeue`). `None`: there is none to be had.
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

    /// Waits until all packets have been handled that were put before the call (`pktq_barrier`).
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

    /// Has the softint run on a CPU: for a thread.
    fn kick(&self, cpu: usize) {
        let s = spl::splraise(Ipl::SoftNet);
        self.schedule(cpu);
        spl::splx(s);
    }

    /// Frees the packets that are in the rings, as [`End::Flushed`] (`pktq_flush`).
    ///
    /// A packet behind one that is just being put stays, and is handled. Context: thread that may sleep, without a lock
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

    /// Gives each CPU a ring for `maxlen - 1` packets, with what was in the old one (`pktq_set_maxlen`).
    ///
    /// Packets that come meanwhile may overtake those. False: there is no memory, and nothing changes.
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
        // Who looked at an old ring before it was swapped has put into it after this.
        xcall::barrier(Priority::High(Ipl::SoftNet));
        for cpu in 0..curlwp().kernel().cpus().len() {
            if let Some(old) = swap.rings[cpu].get() {
                self.move_over(old, cpu);
                old.destroy();
            }
        }
        self.pq_lock.exit();
        // SAFETY: (1) it came from `kmem_alloc`; (2) the cross call has returned.
        unsafe { kmem_free(swap) };
        true
    }

    /// Puts what is in a ring that nobody else has any more into that of a CPU.
    fn move_over(&self, old: &Pcq<Packet>, cpu: usize) {
        while let Some(packet) = old.get() {
            while !self.ring(cpu).put(packet) {
                self.kick(cpu);
                kpause("pktqrenq", 1, None);
            }
            self.kick(cpu);
        }
    }

    /// Ends the queue (`pktq_destroy`). What is in its rings ends as [`End::Flushed`].
    ///
    /// Context: thread that may sleep; nobody enqueues any more. Panics: contracts `sleepable`.
    #[track_caller]
    pub fn destroy(&'static self) {
        self.retire();
        self.free();
    }

    /// The first part of [`destroy`](Self::destroy): its statistics are still there.
    #[track_caller]
    pub(crate) fn retire(&self) {
        assert_sleepable("pktq_destroy");
        // First of all: it may be queued, and looks at the rings.
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

    /// The rings that were made.
    fn rings(&self) -> impl Iterator<Item = &'static Pcq<Packet>> {
        self.pq_pcq.iter().filter_map(|place| place.load(Relaxed))
    }

    /// The end of [`destroy`](Self::destroy), and of what was created in part: there is no softint.
    pub(crate) fn free(&'static self) {
        for ring in self.rings() {
            ring.destroy();
        }
        if let Some(marker) = self.pq_marker.get() {
            // SAFETY: it came from `marker`, and no barrier is under way.
            unsafe { marker.free_marker() };
        }
        self.pq_lock.destroy();
        // SAFETY: (1) it came from `kmem_alloc`; (2) nobody uses it any more, the caller says.
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
    // In a rump kernel a thread makes the call: nobody may take packets out meanwhile.
    let s = spl::splraise(Ipl::SoftNet);
    let cpu = curcpu().index();
    let ring = pq.ring(cpu);
    while let Some(packet) = ring.get() {
        packet.m_nextpkt.set(pq.pq_flushed[cpu].get());
        pq.pq_flushed[cpu].set(Some(packet));
    }
    spl::splx(s);
}

/// What the cross call of a change of the length gets: new rings; and leaves: the old ones.
struct Swap {
    pq: &'static Pktqueue,
    rings: [Plain<Option<&'static Pcq<Packet>>>; Config::MAXCPUS],
}

impl Swap {
    #[track_caller]
    fn new(pq: &'static Pktqueue, maxlen: usize) -> Option<&'static Swap> {
        let swap = kmem_alloc(
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
        // SAFETY: (1) it came from `kmem_alloc`; (2) nobody else knows it.
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
