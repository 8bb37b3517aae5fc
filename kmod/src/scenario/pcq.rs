//! Tests of pcq(9): no item is lost or taken twice, and items come out in order, if the consumer is told of each put.

use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pcq::Pcq;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

const PRODUCERS: usize = 2;
/// Items that a producer puts per repetition: more than the small ring has slots.
const ITEMS: u32 = 4;

struct Item {
    producer: Plain<usize>,
    number: Plain<u32>,
}

/// The queue of a scenario, and what went through it.
struct Channel {
    queue: Plain<Option<&'static Pcq<Item>>>,
    /// Number of items that each producer has put. Written by that producer.
    put: [Plain<u32>; PRODUCERS],
    /// Number of items of each producer that were taken. Written by the consumer.
    got: [Plain<u32>; PRODUCERS],
}

crate::fields!(Channel { queue, put, got });

impl Channel {
    const fn new() -> Self {
        Channel {
            queue: Plain::new(None),
            put: [const { Plain::new(0) }; PRODUCERS],
            got: [const { Plain::new(0) }; PRODUCERS],
        }
    }

    /// For `setup`.
    fn create_queue(&self, kernel: &'static Kernel) {
        let queue = Pcq::create(kernel.config().pcq_slots);
        if queue.is_none() {
            machine::stop(
                Stop::Contract("scenario-memory"),
                format_args!("no memory for a pcq"),
            );
        }
        self.queue.set(queue);
    }

    fn queue(&self) -> &'static Pcq<Item> {
        match self.queue.peek() {
            Some(queue) => queue,
            None => unreachable!("`create_queue` has created it"),
        }
    }

    /// Tries to put the next item of a producer.
    fn put(&self, producer: usize) -> bool {
        let number = self.put[producer].get() + 1;
        let item = Item {
            producer: Plain::new(producer),
            number: Plain::new(0),
        };
        let Some(item) = kmem_alloc("item", item) else {
            return false;
        };
        item.number.set(number);
        let room = self.queue().put(item);
        if room {
            self.put[producer].set(number);
        } else {
            // SAFETY: it came from `kmem_alloc` just now, and the queue did not take it.
            unsafe { kmem_free(item) };
        }
        room
    }

    /// Takes every item that it can get, and returns their number. The items of each producer must come in order.
    fn drain(&self) -> u32 {
        let mut count = 0;
        while let Some(item) = self.queue().get() {
            let (producer, number) = (item.producer.get(), item.number.get());
            // SAFETY: (1) `put` got it from `kmem_alloc`; (2) who takes an item has it alone: a promise under test.
            unsafe { kmem_free(item) };
            let got = self.got[producer].get();
            if number != got + 1 {
                broken_promise(
                    "pcq-fifo",
                    format_args!(
                        "item {number} of producer {producer} comes out after its item {got}"
                    ),
                );
            }
            self.got[producer].set(number);
            count += 1;
        }
        count
    }

    fn verify(&self) {
        for (producer, (put, got)) in self.put.iter().zip(&self.got).enumerate() {
            let (put, got) = (put.peek(), got.peek());
            if put != got {
                broken_promise(
                    "pcq-lost",
                    format_args!("producer {producer} has put {put} items, but {got} came out"),
                );
            }
        }
    }
}

struct Fifo {
    channel: Channel,
    lock: Kmutex,
    /// Something was put.
    filled: Kcondvar,
    news: Plain<bool>,
    /// Something was taken.
    emptied: Kcondvar,
    drains: Plain<u32>,
}

crate::fields!(Fifo {
    channel,
    lock,
    news,
    drains
});

/// Producers that wait for room, and a thread that consumes.
pub static FIFO: Scenario = Scenario {
    name: "pcq-fifo",
    summary: "two producers fill a ring of three slots, and a thread empties it: first in, first out?",
    about: "Each producer puts numbered items, waits for room when the ring is full, and signals after each put. \
            The consumer takes and frees them until it has had all. The items of a producer must come out in \
            order, none lost and none twice. The ring wraps around several times.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let fifo = share(
            "fifo",
            Fifo {
                channel: Channel::new(),
                lock: Kmutex::new("fifo", Ipl::None),
                filled: Kcondvar::new("filled"),
                news: Plain::new(false),
                emptied: Kcondvar::new("emptied"),
                drains: Plain::new(0),
            },
        );
        machine::label(fifo, format_args!("fifo"));
        kernel.set_data(Arg::of(fifo));
        fifo.channel.create_queue(kernel);
        actor(kernel, "producer0", 0, fifo_producer, Arg(0));
        actor(kernel, "producer1", 1, fifo_producer, Arg(1));
        actor(kernel, "consumer", 1, fifo_consumer, Arg::NONE);
    },
    verify: |kernel| shared::<Fifo>(kernel.data()).channel.verify(),
    teardown: |kernel| {
        shared::<Fifo>(kernel.data()).channel.queue().destroy();
        free_data::<Fifo>(kernel);
    },
};

fn fifo_producer(number: Arg) {
    let kernel = curlwp().kernel();
    let fifo: &Fifo = shared(kernel.data());
    for _ in 0..ITEMS * kernel.config().repeat {
        loop {
            fifo.lock.enter();
            let drains = fifo.drains.get();
            fifo.lock.exit();
            if fifo.channel.put(number.0) {
                break;
            }
            fifo.lock.enter();
            while fifo.drains.get() == drains {
                fifo.emptied.wait(&fifo.lock);
            }
            fifo.lock.exit();
        }
        fifo.lock.enter();
        fifo.news.set(true);
        fifo.filled.signal();
        fifo.lock.exit();
    }
}

fn fifo_consumer(_: Arg) {
    let kernel = curlwp().kernel();
    let fifo: &Fifo = shared(kernel.data());
    let mut left = PRODUCERS as u32 * ITEMS * kernel.config().repeat;
    while left > 0 {
        fifo.lock.enter();
        while !fifo.news.get() {
            fifo.filled.wait(&fifo.lock);
        }
        fifo.news.set(false);
        fifo.lock.exit();
        left -= fifo.channel.drain();
        fifo.lock.enter();
        fifo.drains.set(fifo.drains.get() + 1);
        fifo.emptied.broadcast();
        fifo.lock.exit();
    }
}

struct Notify {
    channel: Channel,
    softint: Plain<Option<Softint>>,
}

crate::fields!(Notify { channel, softint });

/// Producers that schedule a softint after each put.
pub static NOTIFY: Scenario = Scenario {
    name: "pcq-notify",
    summary: "a softint is scheduled after each put: is anything left in the ring?",
    about: "Producers on all CPUs put items (as packets arrive), drop those for which there is no room, and \
            schedule the consumer, a softint of CPU 0, after each put. The softint gives up when the next slot \
            is reserved but not filled, even if its producer is the thread that it has interrupted. The \
            notification that follows runs it again, so at rest the ring must be empty.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let notify = share(
            "notify",
            Notify {
                channel: Channel::new(),
                softint: Plain::new(None),
            },
        );
        machine::label(notify, format_args!("notify"));
        kernel.set_data(Arg::of(notify));
        notify.channel.create_queue(kernel);
        let softint = softint::establish_at_boot(
            kernel.cpus(),
            Ipl::SoftNet,
            |notify| {
                shared::<Notify>(notify).channel.drain();
            },
            Arg::of(notify),
        );
        notify.softint.set(softint);
        actor(kernel, "producer0", 0, notify_producer, Arg(0));
        actor(kernel, "producer1", 1, notify_producer, Arg(1));
    },
    verify: |kernel| shared::<Notify>(kernel.data()).channel.verify(),
    teardown: |kernel| {
        let notify: &Notify = shared(kernel.data());
        if let Some(softint) = notify.softint.peek() {
            softint::disestablish_at_rest(kernel, softint);
        }
        notify.channel.queue().destroy();
        free_data::<Notify>(kernel);
    },
};

fn notify_producer(number: Arg) {
    let kernel = curlwp().kernel();
    let notify: &Notify = shared(kernel.data());
    let Some(softint) = notify.softint.peek() else {
        return;
    };
    for _ in 0..ITEMS * kernel.config().repeat {
        if notify.channel.put(number.0) {
            synch::kpreempt_disable();
            softint::schedule_cpu(softint, kernel.cpu(0));
            synch::kpreempt_enable();
        }
    }
}
