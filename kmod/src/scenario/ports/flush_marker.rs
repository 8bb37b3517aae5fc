//! Zephyr issue 64530: a worker accesses a marker on the stack of a function that has returned.

use super::{OLD, historical, start};
use crate::history::Own;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::preempt_point;
use crate::machine;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, Variant, broken_promise, runs};

/// The thread uses that part of its stack again.
const REUSE: Own = Own::piece(1);

const RUNNING: u32 = 1;

/// A marker on the stack of the thread that flushes the queue.
struct Marker {
    done: Plain<bool>,
    reached: Kcondvar,
    flags: Plain<u32>,
}

crate::fields!(Marker {
    done,
    reached,
    flags
});

struct Queue {
    lock: Kmutex,
    queued: Plain<Arg>,
    more: Kcondvar,
}

crate::fields!(Queue { lock, queued, more });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "flush-marker",
    summary: "a thread flushes a queue of work with a marker on its own stack",
    about: "A thread queues a marker that is on its stack, and sleeps until the worker has reached it. Then its \
            function returns.",
    variants: &[
        FIXED,
        historical("the worker clears a flag of the marker after it has woken the thread"),
        Variant {
            name: "historical-reuse",
            own: OLD.with(REUSE),
            ..historical("the same, and the thread reuses its stack")
        },
        Variant {
            name: "fixed-reuse",
            summary: "as fixed, and the thread reuses its stack",
            own: REUSE,
            ..FIXED
        },
    ],
    setup: |kernel| {
        let queue = Queue {
            lock: Kmutex::new("work_lock", Ipl::None),
            queued: Plain::new(Arg::NONE),
            more: Kcondvar::new("more"),
        };
        let flush = |queue| {
            flush(shared(queue));
            if runs(REUSE) {
                use_stack();
            }
        };
        start(
            kernel,
            "queue",
            queue,
            &[("worker", 0, work), ("flusher", 1, flush)],
        );
    },
    teardown: free_data::<Queue>,
    ..PORTED
};

fn work(queue: Arg) {
    let queue: &Queue = shared(queue);
    queue.lock.enter();
    while queue.queued.get() == Arg::NONE {
        queue.more.wait(&queue.lock);
    }
    let marker: &Marker = shared(queue.queued.get());
    marker.flags.set(RUNNING);
    queue.lock.exit();
    // The work that was queued before the marker would be done here.
    queue.lock.enter();
    if !runs(OLD) {
        marker.flags.set(marker.flags.get() & !RUNNING);
    }
    marker.done.set(true);
    marker.reached.signal();
    queue.lock.exit();
    if runs(OLD) {
        queue.lock.enter();
        marker.flags.set(marker.flags.get() & !RUNNING);
        queue.lock.exit();
    }
}

#[inline(never)]
fn flush(queue: &Queue) {
    let marker = Marker {
        done: Plain::new(false),
        reached: Kcondvar::new("flush"),
        flags: Plain::new(0),
    };
    machine::label(&marker, format_args!("marker"));
    queue.lock.enter();
    queue.queued.set(Arg::of(&marker));
    queue.more.signal();
    while !marker.done.get() {
        marker.reached.wait(&queue.lock);
    }
    queue.lock.exit();
}

#[inline(never)]
fn use_stack() {
    const UNTOUCHED: u32 = 0xffff_ffff;
    let words = [const { Plain::new(UNTOUCHED) }; 64];
    preempt_point();
    for word in &words {
        let word = word.get();
        if word != UNTOUCHED {
            broken_promise(
                "own-stack",
                format_args!("a word on the thread's own stack became {word:#x}"),
            );
        }
    }
}
