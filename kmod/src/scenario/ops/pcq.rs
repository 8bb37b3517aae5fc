//! Operations on a producer-consumer queue: every LWP puts; a softint takes, or an LWP that drains.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pcq::Pcq;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kernel::Kernel;
use crate::mem::Plain;
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::ops::MAX_LWPS;
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::ops::world::World;

/// An item: the LWP that put it, and its number.
struct Item {
    lwp: Plain<usize>,
    number: Plain<u32>,
}

/// The queue of the world.
pub(super) struct Objects {
    queue: Plain<Option<&'static Pcq<Item>>>,
    softint: Plain<Option<Softint>>,
    /// The LWP that holds it is the consumer.
    consumer: Kmutex,
    /// Number of items that each LWP has put. Written by that LWP.
    put: [Plain<u32>; MAX_LWPS],
    /// Number of items of each LWP that were taken. Written by the consumer.
    got: [Plain<u32>; MAX_LWPS],
}

crate::fields!(Objects {
    queue,
    softint,
    consumer,
    put,
    got
});

impl Objects {
    pub(super) const fn new() -> Self {
        Objects {
            queue: Plain::new(None),
            softint: Plain::new(None),
            consumer: Kmutex::new("consumer", Ipl::SoftNet),
            put: [const { Plain::new(0) }; MAX_LWPS],
            got: [const { Plain::new(0) }; MAX_LWPS],
        }
    }

    /// Creates the queue and establishes its softint. At boot.
    pub(super) fn establish(&self, kernel: &'static Kernel) {
        self.queue.set(Pcq::create(kernel.config().pcq_slots));
        let softint = softint::establish_at_boot(
            kernel.cpus(),
            Ipl::SoftNet,
            |_| shared::<World>(curlwp().kernel().data()).pcq.drain(),
            Arg::NONE,
        );
        self.softint.set(softint);
    }

    /// Destroys both. At rest.
    pub(super) fn disestablish(&self, kernel: &'static Kernel) {
        if let Some(softint) = self.softint.peek() {
            softint::disestablish_at_rest(kernel, softint);
        }
        if let Some(queue) = self.queue.peek() {
            queue.destroy();
        }
    }

    /// Takes every item that it can get.
    fn drain(&self) {
        let Some(queue) = self.queue.peek() else {
            return;
        };
        self.consumer.enter();
        loop {
            let seen = queue.peek();
            let Some(item) = queue.get() else { break };
            if seen.is_some_and(|seen| !core::ptr::eq(seen, item)) {
                broken_promise(
                    "pcq-fifo",
                    format_args!("pcq_get gives another item than pcq_peek did"),
                );
            }
            let (lwp, number) = (item.lwp.get(), item.number.get());
            // SAFETY: (1) `pcq_put` got it from `kmem_alloc`; (2) who takes an item has it alone: a promise under test.
            unsafe { kmem_free(item) };
            let got = self.got[lwp].get();
            if number != got + 1 {
                broken_promise(
                    "pcq-fifo",
                    format_args!("item {number} of l{lwp} comes after its item {got}"),
                );
            }
            self.got[lwp].set(number);
        }
        self.consumer.exit();
    }

    /// Checks what must hold when all LWPs have ended.
    pub(super) fn verify(&self) {
        for (lwp, (put, got)) in self.put.iter().zip(&self.got).enumerate() {
            let (put, got) = (put.peek(), got.peek());
            if put != got {
                broken_promise(
                    "pcq-lost",
                    format_args!(
                        "l{lwp} has put {put} items and notified the consumer after each, which got {got}"
                    ),
                );
            }
        }
    }
}

pub(super) fn pcq_put(actor: &mut Actor, [cpu, _]: [u8; 2]) {
    let objects = &actor.world.pcq;
    let (Some(queue), Some(softint)) = (objects.queue.peek(), objects.softint.peek()) else {
        return;
    };
    let number = objects.put[actor.lwp.index].get() + 1;
    let item = Item {
        lwp: Plain::new(actor.lwp.index),
        number: Plain::new(0),
    };
    let Some(item) = kmem_alloc("ops item", item) else {
        return;
    };
    item.number.set(number);
    if !queue.put(item) {
        // SAFETY: it came from `kmem_alloc` just now, and the queue did not take it.
        unsafe { kmem_free(item) };
        return;
    }
    objects.put[actor.lwp.index].set(number);
    let cpus = curlwp().kernel().cpus();
    synch::kpreempt_disable();
    softint::schedule_cpu(softint, &cpus[cpu as usize % cpus.len()]);
    synch::kpreempt_enable();
}

pub(super) fn pcq_drain(actor: &mut Actor, _: [u8; 2]) {
    actor.world.pcq.drain();
}
