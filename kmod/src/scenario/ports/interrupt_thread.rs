//! FreeBSD review D45492: an interrupt thread is told to end, and the event that it looks at is freed at once.

use super::{OLD, historical};
use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::kthread::{Options, kthread_create};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::Plain;
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, PORTED, Scenario, actor, runs};

struct Event {
    lock: Kmutex,
    cv: Kcondvar,
    dead: Plain<bool>,
    has_thread: Plain<bool>,
}

crate::fields!(Event {
    lock,
    cv,
    dead,
    has_thread
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "interrupt-thread",
    summary: "an event is destroyed together with the thread that waits for it",
    about: "A thread waits for an event. Another one destroys the event: it tells the thread to end, waits until it has \
            seen that, and frees the event.",
    variants: &[
        FIXED,
        historical("the event is freed before the thread has seen that it must end"),
    ],
    setup: |kernel| actor(kernel, "owner", 0, own, Arg::NONE),
    ..PORTED
};

fn wait_for_events(event: Arg) {
    let event: &Event = shared(event);
    event.lock.enter();
    while !event.dead.get() {
        event.cv.wait(&event.lock);
    }
    event.has_thread.set(false);
    event.cv.broadcast();
    event.lock.exit();
}

fn own(_: Arg) {
    let new = Event {
        lock: Kmutex::new("intr_event", Ipl::None),
        cv: Kcondvar::new("ithread"),
        dead: Plain::new(false),
        has_thread: Plain::new(true),
    };
    let Some(event) = kmem_alloc("event", new) else {
        return;
    };
    machine::label(event, format_args!("event"));
    let options = Options {
        begin_on: 1,
        ..Options::default()
    };
    let name = format_args!("ithread");
    let kernel = curlwp().kernel();
    if kthread_create(kernel, &options, wait_for_events, Arg::of(event), name).is_some() {
        destroy(event);
    }
    // SAFETY: it came from `kmem_alloc`; that it is no longer in use is what this scenario tests.
    unsafe { kmem_free(event) };
}

fn destroy(event: &Event) {
    event.lock.enter();
    event.dead.set(true);
    event.cv.broadcast();
    if !runs(OLD) {
        while event.has_thread.get() {
            event.cv.wait(&event.lock);
        }
    }
    event.lock.exit();
}
