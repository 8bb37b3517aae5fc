//! Operations on workqueues: work that belongs to an LWP, and work that its function frees.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::workqueue::{self, Work, Workers, Workqueue};
use crate::mem::{AcqRel, Acquire, AtomicU32, Plain, Relaxed, Release};
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::ops::MAX_LWPS;
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::ops::world::World;

pub(super) const QUEUES: usize = 2;
pub(super) const ITEMS: usize = 2;
/// The queue with a worker on each CPU.
const PER_CPU: usize = 1;

/// A work of one LWP. It is enqueued again only when its function was called.
struct Item {
    work: Work,
    /// Written by the LWP before it enqueues, read by the function: how often it was enqueued.
    enqueued: Plain<u32>,
    /// How often the function was called, and how often it has returned.
    called: AtomicU32,
    returned: AtomicU32,
}

crate::fields!(Item {
    work,
    enqueued,
    called,
    returned
});

/// The argument of a work that is enqueued once and freed by its function.
const ERRAND: Arg = Arg(usize::MAX);

/// The workqueues of the world.
pub(super) struct Objects {
    items: [[Item; ITEMS]; MAX_LWPS],
    /// Protects `queues`, which the first LWP that needs them creates.
    lock: Kmutex,
    queues: [Plain<Option<&'static Workqueue>>; QUEUES],
    sent: AtomicU32,
    done: AtomicU32,
    ended: AtomicU32,
}

crate::fields!(Objects {
    items,
    lock,
    queues,
    sent,
    done,
    ended
});

/// The argument of an item's work: LWP and item in one.
const fn item_arg(lwp: usize, item: usize) -> Arg {
    Arg(lwp * ITEMS + item)
}

impl Objects {
    pub(super) fn new() -> Self {
        let items_of = |lwp| core::array::from_fn(|item| Item::new(item_arg(lwp, item)));
        Objects {
            items: core::array::from_fn(items_of),
            lock: Kmutex::new("queues", Ipl::None),
            queues: [const { Plain::new(None) }; QUEUES],
            sent: AtomicU32::new(0),
            done: AtomicU32::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// Queue 0 has one worker and an adaptive mutex, the other a worker on each CPU and a spin mutex.
    fn queue(&self, index: usize) -> Option<&'static Workqueue> {
        self.lock.enter();
        let mut queue = self.queues[index].get();
        if queue.is_none() {
            let (name, ipl, workers) = match index {
                0 => ("wq0", Ipl::SoftNet, Workers::One),
                _ => ("wq1", Ipl::Vm, Workers::PerCpu),
            };
            let kernel = curlwp().kernel();
            let func: workqueue::WorkFunc = do_work;
            let func = (func, Arg::NONE);
            queue = workqueue::create(kernel, name, func, pri::KTHREAD, ipl, workers);
            self.queues[index].set(queue);
        }
        self.lock.exit();
        queue
    }

    /// Checks what must hold when all LWPs have ended.
    pub(super) fn verify(&self) {
        for item in self.items.iter().flatten() {
            let (enqueued, called) = (item.enqueued.peek(), item.called.peek());
            let returned = item.returned.peek();
            if (called, returned) != (enqueued, enqueued) {
                broken_promise(
                    "workqueue-once",
                    format_args!(
                        "a work was enqueued {enqueued} times; its function was called {called} times \
                         and returned {returned} times"
                    ),
                );
            }
        }
        let (sent, done) = (self.sent.peek(), self.done.peek());
        if sent != done {
            broken_promise(
                "workqueue-once",
                format_args!("{sent} works were enqueued to be freed, and {done} were done"),
            );
        }
    }
}

impl Item {
    const fn new(arg: Arg) -> Self {
        Item {
            work: Work::new(arg),
            enqueued: Plain::new(0),
            called: AtomicU32::new(0),
            returned: AtomicU32::new(0),
        }
    }

    /// The function: checks that it is called once for each enqueue.
    fn run(&self, world: &World) {
        let enqueued = self.enqueued.get();
        let called = self.called.fetch_add(1, Release) + 1;
        if called != enqueued {
            broken_promise(
                "workqueue-once",
                format_args!(
                    "{} runs a work for the {called}th time that was enqueued {enqueued} times",
                    curlwp().name()
                ),
            );
        }
        world.leaves[0].section();
        self.returned.fetch_add(1, Release);
    }
}

/// The function of both queues.
fn do_work(work: &'static Work, _: Arg) {
    let world: &World = shared(curlwp().kernel().data());
    match work.arg() {
        ERRAND => {
            // SAFETY: (1) `wq_errand` got it from `kmem_alloc`; (2) a queue does not touch a work that it has called
            // the function for: a promise under test.
            unsafe { kmem_free(work) };
            world.workqueues.done.fetch_add(1, Relaxed);
        }
        Arg(number) => world.workqueues.items[number / ITEMS][number % ITEMS].run(world),
    }
}

/// The queue on which an LWP last enqueued each of its items.
#[derive(Default)]
pub(super) struct Sent([Option<&'static Workqueue>; ITEMS]);

fn enqueue(actor: &mut Actor, queue: usize, number: u8, cpu: Option<u8>) {
    let objects = &actor.world.workqueues;
    let item = &objects.items[actor.lwp.index][number as usize];
    let times = item.enqueued.get();
    let Some(queue) = objects.queue(queue) else {
        return;
    };
    // A work is on at most one list. It may be enqueued again on its last worker as soon as its function is called;
    // another worker might reach it at the same time.
    let same = !queue.is_percpu()
        && actor.works.0[number as usize].is_some_and(|q| core::ptr::eq(q, queue));
    let seen = if same { &item.called } else { &item.returned };
    if seen.load(Acquire) != times {
        return;
    }
    let cpus = curlwp().kernel().cpus();
    item.enqueued.set(times + 1);
    queue.enqueue(&item.work, cpu.map(|cpu| &cpus[cpu as usize % cpus.len()]));
    actor.works.0[number as usize] = Some(queue);
}

pub(super) fn wq_enqueue(actor: &mut Actor, [queue, item]: [u8; 2]) {
    enqueue(actor, queue as usize, item, None);
}

pub(super) fn wq_enqueue_cpu(actor: &mut Actor, [item, cpu]: [u8; 2]) {
    enqueue(actor, PER_CPU, item, Some(cpu));
}

pub(super) fn wq_errand(actor: &mut Actor, [queue, _]: [u8; 2]) {
    let objects = &actor.world.workqueues;
    if let Some(queue) = objects.queue(queue as usize)
        && let Some(work) = kmem_alloc("ops errand", Work::new(ERRAND))
    {
        objects.sent.fetch_add(1, Relaxed);
        queue.enqueue(work, None);
    }
}

pub(super) fn wq_wait(actor: &mut Actor, [number, _]: [u8; 2]) {
    let item = &actor.world.workqueues.items[actor.lwp.index][number as usize];
    if let Some(queue) = actor.works.0[number as usize] {
        queue.wait(&item.work);
        let (returned, enqueued) = (item.returned.load(Acquire), item.enqueued.get());
        if returned != enqueued {
            broken_promise(
                "workqueue-wait",
                format_args!(
                    "workqueue_wait returned to {}, and the function of the work has returned {returned} times \
                     of {enqueued}",
                    curlwp().name()
                ),
            );
        }
    }
}

/// The LWP has finished. The last one destroys the queues, when all work is done.
pub(super) fn end(actor: &mut Actor) {
    let objects = &actor.world.workqueues;
    if objects.ended.fetch_add(1, AcqRel) as usize == MAX_LWPS - 1 {
        for queue in &objects.queues {
            if let Some(queue) = queue.get() {
                queue.destroy();
            }
        }
    }
}
