//! A broken program: a thread signals a condition variable without the mutex.

use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::{Acquire, AtomicBool, AtomicU32, Relaxed, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, share};

struct Mailbox {
    mutex: Kmutex,
    mail: Kcondvar,
    full: AtomicBool,
    /// Times that it was found empty.
    empty: AtomicU32,
}

crate::fields!(Mailbox {
    mutex,
    mail,
    full,
    empty
});

/// A consumer tests a word under a mutex and sleeps; a producer writes it, and signals, without the mutex.
pub static LOST_WAKEUP: Scenario = Scenario {
    name: "lost-wakeup",
    summary: "a thread signals a condition variable without the mutex that the sleeper tests under",
    about: "The consumer finds the mailbox empty under the mutex and goes to sleep. The producer fills it and signals \
            without the mutex: if it does so between the test and the sleep, nobody is there to be woken. No primitive \
            is at fault.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |kernel| {
        let mailbox = share(
            "mailbox",
            Mailbox {
                mutex: Kmutex::new("mutex", Ipl::None),
                mail: Kcondvar::new("mail"),
                full: AtomicBool::new(false),
                empty: AtomicU32::new(0),
            },
        );
        machine::label(mailbox, format_args!("mailbox"));
        kernel.set_data(Arg::of(mailbox));
        actor(kernel, "consumer", 0, consume, Arg::of(mailbox));
        actor(kernel, "producer", 1, produce, Arg::of(mailbox));
    },
    verify: |_| {},
    teardown: free_data::<Mailbox>,
};

fn consume(mailbox: Arg) {
    let mailbox: &Mailbox = shared(mailbox);
    mailbox.mutex.enter();
    while !mailbox.full.load(Acquire) {
        mailbox.empty.fetch_add(1, Relaxed);
        mailbox.mail.wait(&mailbox.mutex);
    }
    mailbox.mutex.exit();
}

fn produce(mailbox: Arg) {
    let mailbox: &Mailbox = shared(mailbox);
    mailbox.full.store(true, Release);
    mailbox.mail.signal();
}
