//! if_percpuq: the input queue of an interface, one on each CPU.
//!
//! # Overview
//!
//! Sometimes a frame cannot be handled where it appears: a thread that writes to the other end of a pair has locks of its own, and
//! little stack. It puts the frame on the queue of its CPU. A softint at the level of softnet, on the same CPU, takes it out and
//! gives it to the interface ([`if_input`]).
//!
//! # Contexts
//!
//! [`IfPercpuq::enqueue`]: thread or softint, with a reference to the interface. `IfPercpuq::init`: thread, or boot.
//! `IfPercpuq::destroy`: thread that may sleep.
//!
//! # Per-CPU operation
//!
//! Only its own CPU touches a queue, at IPL_VM (`splnet`). The head of the queue is in percpu(9) storage, which may move, so
//! nothing points to it.
//!
//! # Invariants
//!
//! 1. The softint is scheduled after each put, on the same CPU. So the queues are empty at rest.
//! 2. The softint of an interface is disestablished before the interface is freed.
//!
//! # Differences from NetBSD
//!
//! It is not called from a hard interrupt, which cannot allocate packets here (see [`mbuf`](crate::net::mbuf)). Drivers of cards
//! receive in a softint, and need no such queue.
//!
//! # Sources
//!
//! `sys/net/if.c` 1.531 (`if_percpuq_create`, `if_percpuq_enqueue`, `if_percpuq_softint`, `if_percpuq_destroy`).

use crate::kern::lwp::Arg;
use crate::kern::percpu::{Percpu, PercpuData, percpu_alloc};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::{self, Ipl};
use crate::kernel::Kernel;
use crate::mem::{Local, Plain};
use crate::net::ifnet::{Ifnet, if_input};
use crate::net::mbuf::{End, Mbuf, Packet};
use crate::net::stages::{self, Stage};

/// Most packets on the queue of a CPU (`IFQ_MAXLEN`).
const IFQ_MAXLEN: u64 = 256;

/// The queue of a CPU (`struct ifqueue`).
struct Ifqueue {
    ifq_head: Plain<Option<&'static Packet>>,
    ifq_tail: Plain<Option<&'static Packet>>,
    ifq_len: Plain<u64>,
}

// SAFETY: (1) nulls are the empty queue; (2) cells of eight bytes; (3) nothing points at them.
unsafe impl PercpuData for Ifqueue {}

impl Ifqueue {
    fn put(&self, packet: &'static Packet) {
        packet.m_nextpkt.set(None);
        match self.ifq_tail.get() {
            None => self.ifq_head.set(Some(packet)),
            Some(tail) => tail.m_nextpkt.set(Some(packet)),
        }
        self.ifq_tail.set(Some(packet));
        self.ifq_len.set(self.ifq_len.get() + 1);
    }

    fn take(&self) -> Option<Mbuf> {
        let packet = self.ifq_head.get()?;
        let next = packet.m_nextpkt.get();
        self.ifq_head.set(next);
        if next.is_none() {
            self.ifq_tail.set(None);
        }
        self.ifq_len.set(self.ifq_len.get() - 1);
        // SAFETY: (1) `enqueue` put what `into_queue` gave; (2) it is off the queue.
        Some(unsafe { Mbuf::from_queue(packet) })
    }
}

/// The queues of an interface (`if_percpuq_t`).
pub struct IfPercpuq {
    /// These are set before anybody else knows the interface.
    ipq_ifqs: Local<Option<Percpu<Ifqueue>>>,
    ipq_si: Local<Option<Softint>>,
}

impl IfPercpuq {
    pub(crate) const fn new() -> Self {
        IfPercpuq {
            ipq_ifqs: Local::new(None),
            ipq_si: Local::new(None),
        }
    }

    /// Makes the queues usable (`if_percpuq_create`). `None`: there is no memory, or no room for a softint.
    #[track_caller]
    pub(crate) fn init(&self, kernel: &'static Kernel, ifp: &'static Ifnet) -> Option<()> {
        let ifqs = percpu_alloc()?;
        let si = crate::net::establish(kernel, Ipl::SoftNet, softintr, Arg::of(ifp));
        if si.is_none() {
            ifqs.free_at_rest();
            return None;
        }
        self.ipq_ifqs.set(Some(ifqs));
        self.ipq_si.set(si);
        Some(())
    }

    fn ifqs(&self) -> Percpu<Ifqueue> {
        match self.ipq_ifqs.get() {
            Some(ifqs) => ifqs,
            None => unreachable!("`init` is called before anybody knows the interface"),
        }
    }

    /// Puts a frame on the queue of this CPU (`if_percpuq_enqueue`). One that finds no room ends as [`End::IfFull`].
    #[track_caller]
    pub fn enqueue(&self, m: Mbuf) {
        let ifqs = self.ifqs();
        let s = spl::splraise(Ipl::Vm);
        let ifq = ifqs.getref();
        if ifq.ifq_len.get() < IFQ_MAXLEN {
            ifq.put(m.into_queue());
            if let Some(si) = self.ipq_si.get() {
                softint::schedule(si);
            }
            stages::reached(Stage::Queued);
        } else {
            m.free(End::IfFull);
        }
        ifqs.putref();
        spl::splx(s);
    }

    /// Takes the next frame off the queue of this CPU (`if_percpuq_dequeue`).
    #[track_caller]
    fn dequeue(&self) -> Option<Mbuf> {
        let ifqs = self.ifqs();
        let s = spl::splraise(Ipl::Vm);
        let m = ifqs.getref().take();
        ifqs.putref();
        spl::splx(s);
        m
    }

    /// Ends the queues (`if_percpuq_destroy`). What is left on them ends as [`End::Flushed`].
    ///
    /// Context: thread that may sleep; nobody enqueues any more. Panics: contract `sleepable`.
    #[track_caller]
    pub(crate) fn destroy(&self) {
        if let Some(si) = self.ipq_si.get() {
            softint::disestablish(si);
        }
        let ifqs = self.ifqs();
        ifqs.foreach(|ifq, _| {
            while let Some(m) = ifq.take() {
                m.free(End::Flushed);
            }
        });
        ifqs.free();
    }
}

/// The softint of an interface (`if_percpuq_softint`).
fn softintr(ifp: Arg) {
    // SAFETY: `init` gave the interface, whose end waits for the softint's.
    let ifp: &'static Ifnet = unsafe { ifp.get() };
    while let Some(m) = ifp.if_percpuq.dequeue() {
        stages::reached(Stage::Received);
        if_input(ifp, m);
    }
}
