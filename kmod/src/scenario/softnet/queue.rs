//! The operations of pktqueue(9): barriers, flushes and other lengths, on the queues of IP and ARP; and a queue of an LWP's
//! own, which it creates, fills and destroys.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu};
use crate::mem::{Acquire, AtomicU32, Relaxed, Release};
use crate::net::mbuf::{End, Mbuf};
use crate::net::pktqueue::Pktqueue;
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::softnet::Actor;

/// What the softint of an LWP's queue uses. Freed when the queue has been destroyed.
pub(super) struct Protocol {
    handled: AtomicU32,
    /// Whether it is going: then it handles no more packets.
    going: AtomicU32,
    /// Whether pktq_destroy has returned.
    gone: AtomicU32,
}

crate::fields!(Protocol {
    handled,
    going,
    gone
});

/// The queue of an LWP, if it has one.
pub(super) type Own = Option<(&'static Pktqueue, &'static Protocol)>;

fn queue(actor: &Actor, number: u8) -> &'static Pktqueue {
    match number {
        0 => actor.world.net.ip_pktq(),
        _ => actor.world.net.arp_pktq(),
    }
}

pub(super) fn pktq_barrier(actor: &mut Actor, [number, _]: [u8; 2]) {
    queue(actor, number).barrier();
}

pub(super) fn pktq_flush(actor: &mut Actor, [number, _]: [u8; 2]) {
    queue(actor, number).flush();
}

pub(super) fn pktq_set_maxlen(actor: &mut Actor, [number, slots]: [u8; 2]) {
    // Without memory nothing changes, which is no error.
    queue(actor, number).set_maxlen(usize::from(slots));
}

/// The softint of an LWP's queue.
fn handle(pq: &'static Pktqueue) {
    let protocol: &Protocol = shared(pq.arg());
    protocol.assert_there("begins");
    while protocol.going.load(Relaxed) == 0
        && let Some(m) = pq.dequeue()
    {
        m.free(End::Delivered);
        protocol.handled.fetch_add(1, Relaxed);
    }
    protocol.assert_there("still runs");
}

impl Protocol {
    fn assert_there(&self, what: &str) {
        if self.gone.load(Acquire) != 0 {
            broken_promise(
                "pktq-gone",
                format_args!(
                    "the softint of a packet queue {what} on cpu{} after pktq_destroy has returned",
                    curcpu().index()
                ),
            );
        }
    }
}

pub(super) fn pktq_create(actor: &mut Actor, [slots, _]: [u8; 2]) {
    if actor.queue.is_some() {
        return;
    }
    let protocol = Protocol {
        handled: AtomicU32::new(0),
        going: AtomicU32::new(0),
        gone: AtomicU32::new(0),
    };
    let Some(protocol) = kmem_alloc("softnet protocol", protocol) else {
        return;
    };
    let kernel = actor.world.net.kernel;
    match Pktqueue::create(kernel, "own", slots.into(), handle, Arg::of(protocol)) {
        Some(pq) => actor.queue = Some((pq, protocol)),
        // There is no memory, or the table of softints is full.
        // SAFETY: it came from `kmem_alloc` just now, and nobody else knows it.
        None => unsafe { kmem_free(protocol) },
    }
}

pub(super) fn pktq_enqueue(actor: &mut Actor, [hash, _]: [u8; 2]) {
    if let Some((pq, _)) = actor.queue
        && let Some(m) = Mbuf::with(b"own")
    {
        // One that finds no room has its end there.
        let _room = pq.enqueue(m, hash.into());
    }
}

pub(super) fn pktq_destroy(actor: &mut Actor, _: [u8; 2]) {
    if let Some((pq, protocol)) = actor.queue.take() {
        protocol.going.store(1, Relaxed);
        pq.destroy();
        protocol.gone.store(1, Release);
        // SAFETY: (1) it came from `kmem_alloc`; (2) the softint neither runs nor will run: a promise under test.
        unsafe { kmem_free(protocol) };
    }
}
