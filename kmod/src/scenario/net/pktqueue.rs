//! pktqueue(9): several CPUs put packets while the queue is emptied, flushed and given other rings.

use crate::kern::lwp::{Arg, curlwp};
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{AcqRel, Acquire, AtomicU32, Local, Relaxed};
use crate::net::mbuf::{End, Mbuf};
use crate::net::pktqueue::Pktqueue;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const PRODUCERS: usize = 2;
/// How many packets a producer puts.
const PACKETS: usize = 4;

/// Not put yet.
const NEW: u32 = 0;
/// Put: the call has returned.
const PUT: u32 = 1;
/// Handled, or dropped for want of room.
const DONE: u32 = 2;

struct World {
    pq: Local<Option<&'static Pktqueue>>,
    /// What became of each packet: one of the above.
    states: [[AtomicU32; PACKETS]; PRODUCERS],
    /// Packets that found room.
    taken: AtomicU32,
    /// Packets that found none.
    refused: AtomicU32,
}

crate::fields!(World {
    pq,
    states,
    taken,
    refused
});

/// Barriers, a flush, and rings of other sizes.
pub static PKTQUEUE: Scenario = Scenario {
    name: "net-pktqueue",
    summary: "packets are put on several CPUs while a packet queue is emptied, flushed and given other rings",
    about: "Two threads put numbered packets on the rings of all CPUs. One thread waits in pktq_barrier, gives the \
            queue other rings, waits again and flushes it; another gives it other rings, too, and waits. Each packet \
            comes out once or is counted as flushed; when pktq_barrier returns, those have been handled whose \
            pktq_enqueue had returned before it was called; at rest the rings are empty.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 4,
    kind: Kind::Sound,
    // Buffers are reused here; in the other scenarios of the stack each is freed, so that later accesses are found.
    configure: |config| config.mbuf_cache = 2,
    setup: |kernel| {
        let world = share(
            "world",
            World {
                pq: Local::new(None),
                states: [const { [const { AtomicU32::new(NEW) }; PACKETS] }; PRODUCERS],
                taken: AtomicU32::new(0),
                refused: AtomicU32::new(0),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        let slots = kernel.config().pcq_slots;
        let pq = Pktqueue::create(kernel, "pq", slots, handle, Arg::of(world));
        let Some(pq) = pq else {
            machine::stop(
                Stop::Contract("scenario-memory"),
                format_args!("no memory for a packet queue"),
            )
        };
        machine::label(pq, format_args!("pq"));
        world.pq.set(Some(pq));
        actor(kernel, "producer0", 0, produce, Arg(0));
        actor(kernel, "producer1", 1, produce, Arg(1));
        actor(kernel, "operator", 1, operate, Arg::NONE);
        actor(kernel, "grower", 0, grow, Arg::NONE);
    },
    verify,
    teardown: |kernel| {
        let world: &World = shared(kernel.data());
        world.pq().destroy_at_rest(kernel);
        free_data::<World>(kernel);
    },
};

impl World {
    fn pq(&self) -> &'static Pktqueue {
        match self.pq.get() {
            Some(pq) => pq,
            None => unreachable!("`setup` created it"),
        }
    }

    /// Every packet that was put and not handled.
    fn waiting(&self) -> [[bool; PACKETS]; PRODUCERS] {
        self.states
            .each_ref()
            .map(|states| states.each_ref().map(|state| state.load(Acquire) == PUT))
    }

    /// Waits in the barrier: what was put before has been handled then.
    fn barrier(&self) {
        let before = self.waiting();
        self.pq().barrier();
        let after = self.waiting();
        for (producer, (before, after)) in before.iter().zip(&after).enumerate() {
            for (number, (&before, &after)) in before.iter().zip(after).enumerate() {
                if before && after {
                    broken_promise(
                        "pktq-barrier",
                        format_args!(
                            "pktq_barrier returned to {} while packet {number} of producer {producer} still waits, \
                             which was put before it was called",
                            curlwp().name()
                        ),
                    );
                }
            }
        }
    }
}

fn world() -> &'static World {
    shared(curlwp().kernel().data())
}

fn produce(producer: Arg) {
    let world = world();
    for (number, state) in world.states[producer.0].iter().enumerate() {
        let Some(m) = Mbuf::with(&[producer.0 as u8, number as u8]) else {
            return;
        };
        // Every packet belongs to another flow, so each ring has packets of both producers.
        if world.pq().enqueue(m, number as u32) {
            world.taken.fetch_add(1, Relaxed);
            // It may have been handled already.
            let _done = state.compare_exchange(NEW, PUT, AcqRel, Acquire);
        } else {
            world.refused.fetch_add(1, Relaxed);
            state.store(DONE, Relaxed);
        }
    }
}

/// The softint of the queue.
fn handle(pq: &'static Pktqueue) {
    let world: &World = shared(pq.arg());
    while let Some(m) = pq.dequeue() {
        let (producer, number) = match m.bytes() {
            &[producer, number] => (usize::from(producer), usize::from(number)),
            _ => unreachable!("packets of two bytes are put"),
        };
        if world.states[producer][number].swap(DONE, AcqRel) == DONE {
            broken_promise(
                "pktq-once",
                format_args!("packet {number} of producer {producer} comes out twice"),
            );
        }
        m.free(End::Delivered);
    }
}

fn operate(_: Arg) {
    let world = world();
    world.barrier();
    world.pq().set_maxlen(2);
    world.barrier();
    world.pq().flush();
}

fn grow(_: Arg) {
    let world = world();
    world.pq().set_maxlen(4);
    world.pq().barrier();
}

fn verify(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    let (pq, stats) = (world.pq(), world.pq().stats());
    if pq.queued() != 0 {
        broken_promise(
            "pktq-rest",
            format_args!("{} packets are in the rings at rest", pq.queued()),
        );
    }
    let (taken, refused) = (world.taken.peek(), world.refused.peek());
    if stats.enqueued != u64::from(taken) || stats.full != u64::from(refused) {
        broken_promise(
            "accounting",
            format_args!(
                "{taken} packets found room and {refused} did not, and the queue has counted {} and {}",
                stats.enqueued, stats.full
            ),
        );
    }
    let living = crate::net::of(kernel).mbufs.living();
    if living != 0 {
        broken_promise(
            "accounting",
            format_args!("{living} packets have no end at rest"),
        );
    }
}
