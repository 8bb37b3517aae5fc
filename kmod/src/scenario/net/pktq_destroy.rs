//! pktqueue(9): a protocol that goes while packets are in the rings of its queue.
//!
//! The owner of a queue makes sure that nobody puts packets any more: producers find the queue under a lock. What was put
//! before is in the rings, also in those of CPUs that have not taken the interrupt for it yet.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicU32, Plain, Relaxed, Release};
use crate::net::mbuf::{End, Mbuf};
use crate::net::pktqueue::Pktqueue;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// Packets that a producer puts in a repetition.
const PACKETS: u32 = 3;

/// A protocol: freed when its queue is destroyed.
struct Protocol {
    /// Packets that found room. Counted under the desk's lock.
    taken: Plain<u32>,
    handled: AtomicU32,
    /// Whether it is going: then it handles no more packets.
    going: AtomicU32,
    /// Whether pktq_destroy has returned.
    gone: AtomicU32,
}

crate::fields!(Protocol {
    taken,
    handled,
    going,
    gone
});

struct Desk {
    /// Whoever puts packets holds it, and whoever takes the queue away.
    lock: Kmutex,
    open: Plain<Option<(&'static Pktqueue, &'static Protocol)>>,
}

crate::fields!(Desk { lock, open });

/// Queues are destroyed that are not empty.
pub static PKTQ_DESTROY: Scenario = Scenario {
    name: "net-pktq-destroy",
    summary: "a packet queue is destroyed while packets are in its rings and its softint runs",
    about: "A protocol creates a queue, lets two producers find it, puts packets for all CPUs itself, and goes: it takes the \
            queue away from the producers, handles no more packets, destroys the queue and frees its own data, which the softint uses. Then the softint \
            neither runs nor will run, and every packet that found room was handled or is counted as flushed. The next \
            protocol gets the same entry in the table of softints.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.repeat *= 2,
    setup: |kernel| {
        let desk = share(
            "desk",
            Desk {
                lock: Kmutex::new("desk", Ipl::None),
                open: Plain::new(None),
            },
        );
        machine::label(desk, format_args!("desk"));
        kernel.set_data(Arg::of(desk));
        actor(kernel, "protocol", 0, |_| each_time(serve), Arg::NONE);
        for (number, name) in ["producer0", "producer1"].into_iter().enumerate() {
            actor(kernel, name, 1 + number, |_| each_time(produce), Arg::NONE);
        }
    },
    verify: |kernel: &'static Kernel| {
        let living = crate::net::of(kernel).mbufs.living();
        if living != 0 {
            broken_promise(
                "accounting",
                format_args!("{living} packets have no end at rest"),
            );
        }
    },
    teardown: free_data::<Desk>,
};

fn each_time(part: fn(&'static Desk)) {
    let kernel = curlwp().kernel();
    for _ in 0..kernel.config().repeat {
        part(shared(kernel.data()));
    }
}

/// Puts a packet for the CPU that `hash` picks. The desk's lock is held, or nobody else knows the queue.
fn put(pq: &Pktqueue, protocol: &Protocol, hash: u32) {
    if let Some(m) = Mbuf::with(&[1])
        && pq.enqueue(m, hash)
    {
        protocol.taken.set(protocol.taken.get() + 1);
    }
}

fn produce(desk: &'static Desk) {
    for number in 0..PACKETS {
        desk.lock.enter();
        if let Some((pq, protocol)) = desk.open.get() {
            put(pq, protocol, number);
        }
        desk.lock.exit();
    }
}

/// The softint of the queue.
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
                "pktq-destroy-gone",
                format_args!(
                    "the softint of a packet queue {what} on cpu{} after pktq_destroy has returned",
                    curcpu().index()
                ),
            );
        }
    }
}

/// A protocol comes and goes.
fn serve(desk: &'static Desk) {
    let kernel = curlwp().kernel();
    let protocol = Protocol {
        taken: Plain::new(0),
        handled: AtomicU32::new(0),
        going: AtomicU32::new(0),
        gone: AtomicU32::new(0),
    };
    let Some(protocol) = kmem_alloc("protocol", protocol) else {
        return;
    };
    machine::label(protocol, format_args!("protocol"));
    let slots = kernel.config().pcq_slots;
    if let Some(pq) = Pktqueue::create(kernel, "proto", slots, handle, Arg::of(protocol)) {
        machine::label(pq, format_args!("proto"));
        let flushed = || crate::net::of(kernel).mbufs.ended(End::Flushed);
        let before = flushed();
        desk.lock.enter();
        desk.open.set(Some((pq, protocol)));
        desk.lock.exit();
        desk.lock.enter();
        for ci in kernel.cpus() {
            put(pq, protocol, ci.index() as u32);
        }
        desk.open.set(None);
        desk.lock.exit();
        protocol.going.store(1, Relaxed);
        pq.destroy();
        protocol.gone.store(1, Release);
        let (taken, handled) = (protocol.taken.get(), protocol.handled.load(Acquire));
        let flushed = flushed() - before;
        if u64::from(taken) != u64::from(handled) + flushed {
            broken_promise(
                "pktq-destroy-lost",
                format_args!(
                    "{taken} packets found room in a queue that is destroyed, {handled} were handled, and {flushed} flushed"
                ),
            );
        }
    }
    // SAFETY: (1) it came from `kmem_alloc`; (2) the softint neither runs nor will run: a promise under test.
    unsafe { kmem_free(protocol) };
}
