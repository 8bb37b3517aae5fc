//! Tests of workqueue(9): each work is done once and in order, and a wait returns when it is done.

use crate::kern::condvar::Kcondvar;
use crate::kern::cpu::Cpu;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::workqueue::{self, Work, WorkFunc, Workers, Workqueue};
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{AcqRel, AtomicU32, Plain, Relaxed};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Handler;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// The queue of a scenario, and the number of actors that have not finished. The last one destroys the queue.
struct Shared {
    queue: Plain<Option<&'static Workqueue>>,
    actors: AtomicU32,
}

crate::fields!(Shared { queue, actors });

impl Shared {
    const fn new() -> Self {
        Shared {
            queue: Plain::new(None),
            actors: AtomicU32::new(0),
        }
    }

    /// Creates the queue, and an actor for each of `names`, which runs `run` with its number. For `setup`.
    fn set_up(
        &self,
        kernel: &'static Kernel,
        func: WorkFunc,
        (ipl, workers): (Ipl, Workers),
        names: [&str; 2],
        run: fn(Arg),
    ) {
        let func = (func, Arg::NONE);
        let queue = workqueue::create(kernel, "works", func, pri::KTHREAD, ipl, workers);
        if queue.is_none() {
            machine::stop(
                Stop::Contract("scenario-memory"),
                format_args!("no memory for a workqueue"),
            );
        }
        self.queue.set(queue);
        self.actors.store(names.len() as u32, Relaxed);
        for (number, name) in names.into_iter().enumerate() {
            actor(kernel, name, number, run, Arg(number));
        }
    }

    fn queue(&self) -> &'static Workqueue {
        match self.queue.peek() {
            Some(queue) => queue,
            None => unreachable!("`set_up` has created it"),
        }
    }

    /// An actor has finished. The last one runs `end`, and destroys the queue when all work is done.
    fn leave(&self, end: impl FnOnce()) {
        if self.actors.fetch_sub(1, AcqRel) == 1 {
            end();
            self.queue().destroy();
        }
    }
}

/// The senders of work: two threads and a softint.
const SENDERS: usize = 3;
const SOFTINT_SENDER: usize = 2;
/// How often the work that enqueues itself must be done.
const AGAIN: u32 = 3;

struct Once {
    shared: Shared,
    /// Number of works that each sender has sent. Written by that sender.
    sent: [Plain<u32>; SENDERS],
    /// Number of works of each sender that were done. Written by the worker.
    done: [Plain<u32>; SENDERS],
    softint: Handler,
    /// A work that enqueues itself until it was done [`AGAIN`] times.
    again: Work,
    rounds: Plain<u32>,
    lock: Kmutex,
    cv: Kcondvar,
    complete: Plain<bool>,
    closed: Plain<bool>,
}

crate::fields!(Once {
    shared,
    sent,
    done,
    softint,
    again,
    rounds,
    lock,
    complete,
    closed
});

/// The argument of a work: its sender and its number. [`AGAIN_ARG`] is the work that enqueues itself.
const fn order(sender: usize, number: u32) -> Arg {
    Arg(sender << 32 | number as usize)
}

const AGAIN_ARG: Arg = Arg(usize::MAX);

/// Every work is done once, in the order in which it was sent.
pub static ONCE: Scenario = Scenario {
    name: "workqueue-once",
    summary: "two threads and a softint enqueue works: is each done once, and in order?",
    about: "Threads and a softint enqueue numbered works, which the function frees. One more work enqueues \
            itself again, and waits for itself, which must not block. The function must see the numbers of each \
            sender in order, from the first to the last that was enqueued before the queue was destroyed.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let once = share(
            "once",
            Once {
                shared: Shared::new(),
                sent: [const { Plain::new(0) }; SENDERS],
                done: [const { Plain::new(0) }; SENDERS],
                softint: Handler::new(),
                again: Work::new(AGAIN_ARG),
                rounds: Plain::new(0),
                lock: Kmutex::new("once", Ipl::SoftNet),
                cv: Kcondvar::new("again"),
                complete: Plain::new(false),
                closed: Plain::new(false),
            },
        );
        machine::label(once, format_args!("once"));
        kernel.set_data(Arg::of(once));
        once.softint
            .establish(kernel, Ipl::SoftNet, softint_sends, Arg::NONE);
        once.shared.set_up(
            kernel,
            do_once,
            (Ipl::SoftNet, Workers::One),
            ["sender0", "sender1"],
            sender,
        );
    },
    verify: |kernel| {
        let once: &Once = shared(kernel.data());
        for (sent, done) in once.sent.iter().zip(&once.done) {
            let (sent, done) = (sent.peek(), done.peek());
            if sent != done {
                broken_promise(
                    "workqueue-once",
                    format_args!(
                        "{sent} works of a sender were enqueued, but {done} were done before the queue was destroyed"
                    ),
                );
            }
        }
    },
    teardown: |kernel| {
        shared::<Once>(kernel.data()).softint.disestablish(kernel);
        free_data::<Once>(kernel);
    },
};

fn once() -> &'static Once {
    shared(curlwp().kernel().data())
}

/// The softint sends a work, unless the queue is about to be destroyed. It may run on several CPUs at once.
fn softint_sends(_: Arg) {
    let once = once();
    once.lock.enter();
    if !once.closed.get() {
        send(Arg(SOFTINT_SENDER));
    }
    once.lock.exit();
}

/// Sends the next work of a sender.
fn send(sender: Arg) {
    let once = once();
    let number = once.sent[sender.0].get() + 1;
    if let Some(work) = kmem_alloc("work", Work::new(order(sender.0, number))) {
        once.sent[sender.0].set(number);
        once.shared.queue().enqueue(work, None);
    }
}

fn sender(number: Arg) {
    let once = once();
    let kernel = curlwp().kernel();
    if number.0 == 0 {
        once.shared.queue().enqueue(&once.again, None);
    }
    for _ in 0..kernel.config().repeat {
        send(number);
        once.softint.schedule();
        send(number);
    }
    if number.0 == 0 {
        once.lock.enter();
        while !once.complete.get() {
            once.cv.wait(&once.lock);
        }
        once.lock.exit();
    }
    once.shared.leave(|| {
        once.lock.enter();
        once.closed.set(true);
        once.lock.exit();
    });
}

fn do_once(work: &'static Work, _: Arg) {
    let once = once();
    if work.arg() == AGAIN_ARG {
        return do_again(once);
    }
    let arg = work.arg().0;
    let (sender, number) = (arg >> 32, arg as u32);
    // SAFETY: (1) `send` got it from `kmem_alloc`; (2) the queue does not touch it any more: a promise under test.
    unsafe { kmem_free(work) };
    let done = once.done[sender].get();
    if number != done + 1 {
        broken_promise(
            "workqueue-once",
            format_args!(
                "work {number} of {} is done after work {done}",
                if sender == SOFTINT_SENDER {
                    "the softint"
                } else {
                    "a thread"
                }
            ),
        );
    }
    once.done[sender].set(number);
}

fn do_again(once: &'static Once) {
    let queue = once.shared.queue();
    // It runs now, and so does its worker, so this does not wait.
    queue.wait(&once.again);
    let rounds = once.rounds.get() + 1;
    once.rounds.set(rounds);
    if rounds < AGAIN {
        queue.enqueue(&once.again, None);
        return;
    }
    once.lock.enter();
    once.complete.set(true);
    once.cv.broadcast();
    once.lock.exit();
}

/// A wait returns when the function has returned.
pub static WAIT: Scenario = Scenario {
    name: "workqueue-wait",
    summary: "two threads wait for their works and free them, among works that free themselves",
    about: "On workers of different CPUs, each thread enqueues a work that its function frees, and one that it \
            waits for and then frees with its data. If a wait returned early the function would access freed \
            memory; if it accessed works that have been done, the wait would.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let wait = share("wait", Shared::new());
        machine::label(wait, format_args!("wait"));
        kernel.set_data(Arg::of(wait));
        wait.set_up(
            kernel,
            do_wait,
            (Ipl::Vm, Workers::PerCpu),
            ["waiter0", "waiter1"],
            waiter,
        );
    },
    verify: |_| {},
    teardown: free_data::<Shared>,
};

fn do_wait(work: &'static Work, _: Arg) {
    if work.arg() == Arg::NONE {
        // SAFETY: (1) `waiter` got it from `kmem_alloc`; (2) the queue does not touch it any more: a promise under test.
        unsafe { kmem_free(work) };
        return;
    }
    let word: &Plain<u32> = shared(work.arg());
    word.set(1);
    word.set(2);
}

fn waiter(index: Arg) {
    let kernel = curlwp().kernel();
    let wait: &Shared = shared(kernel.data());
    let cpus = kernel.cpus();
    for round in 0..kernel.config().repeat as usize {
        let near = &cpus[index.0 % cpus.len()];
        let far = &cpus[(index.0 + round + 1) % cpus.len()];
        if let Some(errand) = kmem_alloc("errand", Work::new(Arg::NONE)) {
            wait.queue().enqueue(errand, Some(far));
        }
        enqueue_and_wait(wait.queue(), near);
        enqueue_and_wait(wait.queue(), far);
    }
    wait.leave(|| {});
}

fn enqueue_and_wait(queue: &'static Workqueue, ci: &'static Cpu) {
    let Some(word) = kmem_alloc("word", Plain::new(0)) else {
        return;
    };
    if let Some(work) = kmem_alloc("work", Work::new(Arg::of(word))) {
        queue.enqueue(work, Some(ci));
        queue.wait(work);
        let word = word.get();
        if word != 2 {
            broken_promise(
                "workqueue-wait",
                format_args!(
                    "workqueue_wait returned to {}, but the function of the work is at step {word} of 2",
                    curlwp().name()
                ),
            );
        }
        // SAFETY: (1) it came from `kmem_alloc`; (2) its function has returned: the promise under test.
        unsafe { kmem_free(work) };
    }
    // SAFETY: likewise.
    unsafe { kmem_free(word) };
}
