//! Tests of rwlock(9): exclusion, no starvation of writers, and hand-over.

use crate::kern::kthread::{Options, kthread_create, kthread_join};
use crate::kern::lwp::{Arg, Lwp, Stat, curlwp};
use crate::kern::rwlock::{Krw, Krwlock};
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicRef, AtomicU32, Plain, Relaxed, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Handler;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// Two words that writers change together.
struct Account {
    lock: Krwlock,
    left: Plain<u32>,
    right: Plain<u32>,
    /// How often the words were changed, as counted by the writers.
    written: AtomicU32,
    softint: Handler,
}

crate::fields!(Account {
    lock,
    left,
    right,
    written,
    softint
});

/// Readers, writers, and LWPs that upgrade or downgrade.
pub static EXCLUSION: Scenario = Scenario {
    name: "rwlock-exclusion",
    summary: "readers and writers of two words that must agree, upgrades, downgrades, a softint that reads",
    about: "Writers change two words, one after the other; readers compare them. One writer becomes a reader \
            (rw_downgrade), one reader tries to become the writer (rw_tryupgrade), and a softint on top of any \
            of them also reads. No writer may be inside together with a reader or another writer.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: set_up_exclusion,
    verify: |kernel| {
        let account: &Account = shared(kernel.data());
        let (left, right) = (account.left.peek(), account.right.peek());
        let written = account.written.peek();
        if (left, right) != (written, written) {
            torn(left, right, written);
        }
        account.lock.destroy();
    },
    teardown: |kernel| {
        shared::<Account>(kernel.data())
            .softint
            .disestablish(kernel);
        free_data::<Account>(kernel);
    },
};

fn set_up_exclusion(kernel: &'static Kernel) {
    let account = share(
        "account",
        Account {
            lock: Krwlock::new("account"),
            left: Plain::new(0),
            right: Plain::new(0),
            written: AtomicU32::new(0),
            softint: Handler::new(),
        },
    );
    machine::label(account, format_args!("account"));
    let arg = Arg::of(account);
    kernel.set_data(arg);
    account
        .softint
        .establish(kernel, Ipl::SoftNet, softint_reads, arg);
    actor(kernel, "writer", 0, write_then_read, arg);
    actor(kernel, "reader", 1, read_then_write, arg);
    actor(kernel, "third", 0, write_and_read, arg);
}

fn torn(left: u32, right: u32, written: u32) -> ! {
    broken_promise(
        "rwlock-exclusion",
        format_args!("the words were changed {written} times, and are {left} and {right}"),
    )
}

fn compare(account: &Account) {
    let (left, right) = (account.left.get(), account.right.get());
    if left != right {
        torn(left, right, account.written.load(Relaxed));
    }
}

fn change(account: &Account) {
    account.left.set(account.left.get() + 1);
    account.right.set(account.right.get() + 1);
    account.written.fetch_add(1, Relaxed);
}

fn softint_reads(account: Arg) {
    let account: &Account = shared(account);
    account.lock.enter(Krw::Reader);
    compare(account);
    account.lock.exit();
}

fn write_then_read(account: Arg) {
    let account: &Account = shared(account);
    for _ in 0..curlwp().kernel().config().repeat {
        account.lock.enter(Krw::Writer);
        change(account);
        let written = account.left.get();
        account.lock.downgrade();
        compare(account);
        if account.left.get() != written {
            torn(account.left.get(), account.right.get(), written);
        }
        account.lock.exit();
    }
}

fn read_then_write(account: Arg) {
    let account: &Account = shared(account);
    for _ in 0..curlwp().kernel().config().repeat {
        account.lock.enter(Krw::Reader);
        compare(account);
        if account.lock.tryupgrade() {
            change(account);
        }
        account.lock.exit();
    }
}

fn write_and_read(account: Arg) {
    let account: &Account = shared(account);
    for _ in 0..curlwp().kernel().config().repeat {
        if account.lock.tryenter(Krw::Writer) {
            change(account);
            account.lock.exit();
        }
        account.softint.schedule();
        account.lock.enter(Krw::Reader);
        compare(account);
        account.lock.exit();
    }
}

/// An LWP that enters a lock repeatedly, and how often it reached each point.
struct Client {
    lwp: AtomicRef<Lwp>,
    /// How often it started to enter.
    began: AtomicU32,
    /// How often it was inside. Stored inside.
    entered: AtomicU32,
}

crate::fields!(Client {
    lwp,
    began,
    entered
});

impl Client {
    const fn new() -> Self {
        Client {
            lwp: AtomicRef::new(),
            began: AtomicU32::new(0),
            entered: AtomicU32::new(0),
        }
    }

    /// The current LWP, which is this client, enters the lock for the `number`th time.
    fn enter(&self, lock: &Krwlock, op: Krw, number: u32) {
        self.lwp.store(Some(curlwp()), Release);
        self.began.store(number, Relaxed);
        lock.enter(op);
        self.entered.store(number, Relaxed);
    }

    /// If the client sleeps on the lock: the number of the hold that it waits for. It sleeps nowhere else.
    fn waits_for(&self) -> Option<u32> {
        let l = self.lwp.load(Acquire)?;
        l.lock();
        let waits = (l.l_stat.get() == Stat::Sleep).then(|| self.began.load(Relaxed));
        l.unlock();
        waits
    }

    /// Checks that the client has entered, as it was seen waiting to do.
    fn must_have_entered(&self, waited: Option<u32>, promise: &'static str, before: &str) {
        let entered = self.entered.load(Relaxed);
        if let (Some(waited), Some(l)) = (waited, self.lwp.load(Acquire))
            && entered < waited
        {
            broken_promise(
                promise,
                format_args!(
                    "{} entered before {}, which slept on the lock {before}",
                    curlwp().name(),
                    l.name()
                ),
            );
        }
    }
}

const READERS: usize = 2;

struct Fair {
    lock: Krwlock,
    writer: Client,
    word: Plain<u32>,
}

crate::fields!(Fair { lock, writer, word });

/// A writer among readers that keep entering.
pub static WRITER_NOT_STARVED: Scenario = Scenario {
    name: "rwlock-writer-not-starved",
    summary: "readers keep entering: does one that comes after a waiting writer get in before it?",
    about: "Readers enter and exit, so that the lock may never be free; a writer wants it. A reader that starts \
            to enter while the writer sleeps on the lock must not get in before the writer has. (With one \
            writer: if a writer holds the lock and another waits, readers correctly come first.)",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 3,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let fair = share(
            "fair",
            Fair {
                lock: Krwlock::new("fair"),
                writer: Client::new(),
                word: Plain::new(0),
            },
        );
        machine::label(fair, format_args!("fair"));
        kernel.set_data(Arg::of(fair));
        for (index, name) in ["reader0", "reader1", "reader2"].into_iter().enumerate() {
            actor(kernel, name, index, fair_reader, Arg::of(fair));
        }
        actor(kernel, "writer", 1, fair_writer, Arg::of(fair));
    },
    verify: |kernel| shared::<Fair>(kernel.data()).lock.destroy(),
    teardown: free_data::<Fair>,
};

fn fair_reader(fair: Arg) {
    let fair: &Fair = shared(fair);
    for _ in 0..2 * curlwp().kernel().config().repeat {
        let waited = fair.writer.waits_for();
        fair.lock.enter(Krw::Reader);
        fair.writer
            .must_have_entered(waited, "rwlock-writer-starved", "when it began to enter");
        fair.word.get();
        fair.lock.exit();
    }
}

fn fair_writer(fair: Arg) {
    let fair: &Fair = shared(fair);
    for number in 1..=curlwp().kernel().config().repeat {
        fair.writer.enter(&fair.lock, Krw::Writer, number);
        fair.word.set(number);
        fair.lock.exit();
    }
}

struct Handoff {
    lock: Krwlock,
    readers: [Client; READERS],
    /// Which readers slept on the lock while the previous writer held it. Protected by the lock.
    slept: [Plain<Option<u32>>; READERS],
}

crate::fields!(Handoff {
    lock,
    readers,
    slept
});

/// Writers that hand the lock over to the waiting readers.
pub static HANDOFF: Scenario = Scenario {
    name: "rwlock-handoff",
    summary: "several writers in turn: do the waiting readers get in between them?",
    about: "A writer that has the lock checks which readers sleep on it. When it exits, all of them must get the \
            lock before the next writer, however long that one has waited.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 3,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let handoff = share(
            "handoff",
            Handoff {
                lock: Krwlock::new("handoff"),
                readers: [const { Client::new() }; READERS],
                slept: [const { Plain::new(None) }; READERS],
            },
        );
        machine::label(handoff, format_args!("handoff"));
        kernel.set_data(Arg::of(handoff));
        for (index, name) in ["reader0", "reader1"].into_iter().enumerate() {
            actor(kernel, name, index, handoff_reader, Arg(index));
        }
        for (index, name) in ["writer0", "writer1"].into_iter().enumerate() {
            actor(kernel, name, 2 - index, handoff_writer, Arg::of(handoff));
        }
    },
    verify: |kernel| shared::<Handoff>(kernel.data()).lock.destroy(),
    teardown: free_data::<Handoff>,
};

fn handoff_reader(index: Arg) {
    let kernel = curlwp().kernel();
    let handoff: &Handoff = shared(kernel.data());
    for number in 1..=kernel.config().repeat {
        handoff.readers[index.0].enter(&handoff.lock, Krw::Reader, number);
        for slept in &handoff.slept {
            slept.get();
        }
        handoff.lock.exit();
    }
}

fn handoff_writer(handoff: Arg) {
    let handoff: &Handoff = shared(handoff);
    for _ in 0..curlwp().kernel().config().repeat {
        handoff.lock.enter(Krw::Writer);
        for (client, slept) in handoff.readers.iter().zip(&handoff.slept) {
            client.must_have_entered(
                slept.get(),
                "rwlock-handoff",
                "while the previous writer held it",
            );
            slept.set(client.waits_for());
        }
        handoff.lock.exit();
    }
}

/// The results of a lock's tries and predicates.
pub static ANSWERS: Scenario = Scenario {
    name: "rwlock-answers",
    summary: "the results of the tries and predicates of an rwlock are checked while it is free, read, and written",
    about: "A thread goes through every state of a lock. In each state another thread, which it waits for, tries \
            to enter the lock. No other thread uses the lock, so both know the right results of rw_tryenter, \
            rw_tryupgrade, rw_read_held, rw_write_held and rw_lock_held.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let lock = share("asked", Krwlock::new("asked"));
        machine::label(lock, format_args!("asked"));
        kernel.set_data(Arg::of(lock));
        actor(kernel, "asker", 0, ask, Arg::of(lock));
    },
    verify: |_| {},
    teardown: free_data::<Krwlock>,
};

#[track_caller]
fn expect(answer: bool, expected: bool, what: &str, state: &str) {
    if answer != expected {
        broken_promise(
            "rwlock-answers",
            format_args!(
                "{what} by {} of a lock that is {state} returned {answer}",
                curlwp().name()
            ),
        );
    }
}

/// Checks who holds a lock: readers, the caller as its writer, any LWP.
#[track_caller]
fn expect_held(lock: &Krwlock, [read, write, any]: [bool; 3], state: &str) {
    expect(lock.read_held(), read, "rw_read_held", state);
    expect(lock.write_held(), write, "rw_write_held", state);
    expect(lock.lock_held(), any, "rw_lock_held", state);
}

/// Tries to enter a lock, and exits it if that succeeds.
#[track_caller]
fn expect_try(lock: &Krwlock, [reader, writer]: [bool; 2], state: &str) {
    for (op, expected, what) in [
        (Krw::Reader, reader, "rw_tryenter(RW_READER)"),
        (Krw::Writer, writer, "rw_tryenter(RW_WRITER)"),
    ] {
        let entered = lock.tryenter(op);
        expect(entered, expected, what, state);
        if entered {
            lock.exit();
        }
    }
}

/// Runs `func` in another thread, and waits for its end.
fn meanwhile(lock: &Krwlock, func: fn(Arg)) {
    let options = Options {
        must_join: true,
        begin_on: 1,
        ..Options::default()
    };
    let (kernel, arg) = (curlwp().kernel(), Arg::of(lock));
    if let Some(other) = kthread_create(kernel, &options, func, arg, format_args!("other")) {
        kthread_join(other);
    }
}

fn ask(lock: Arg) {
    let lock: &Krwlock = shared(lock);
    let nobody = [false; 3];
    for _ in 0..curlwp().kernel().config().repeat {
        expect_held(lock, nobody, "free");
        expect_try(lock, [true, true], "free");

        lock.enter(Krw::Reader);
        expect_held(lock, [true, false, true], "read by it");
        expect(
            lock.tryenter(Krw::Writer),
            false,
            "rw_tryenter(RW_WRITER)",
            "read by it",
        );
        meanwhile(lock, |lock| {
            let lock: &Krwlock = shared(lock);
            expect_held(lock, [true, false, true], "read by another");
            expect_try(lock, [true, false], "read by another");
            lock.enter(Krw::Reader);
            expect(lock.tryupgrade(), false, "rw_tryupgrade", "read by both");
            lock.exit();
        });
        expect(lock.tryupgrade(), true, "rw_tryupgrade", "read by it alone");

        expect_held(lock, [false, true, true], "written by it");
        expect_try(lock, [false, false], "written by it");
        meanwhile(lock, |lock| {
            let lock: &Krwlock = shared(lock);
            expect_held(lock, [false, false, true], "written by another");
            expect_try(lock, [false, false], "written by another");
        });

        lock.downgrade();
        expect_held(lock, [true, false, true], "read again");
        lock.exit();
        expect_held(lock, nobody, "free again");
    }
    lock.destroy();
}

struct Two {
    a: Krwlock,
    b: Krwlock,
}

crate::fields!(Two { a, b });

/// Two threads hold one lock for writing and want another for reading, in opposite orders.
pub static ABBA: Scenario = Scenario {
    name: "rwlock-abba",
    summary: "two threads each hold an rwlock for writing and want to read the other's",
    about: "t1 holds a for writing and wants b; t2 holds b for writing and wants a. Both wait for ever, and the \
            report names the writers. No primitive is at fault.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |kernel| {
        let two = share(
            "two",
            Two {
                a: Krwlock::new("a"),
                b: Krwlock::new("b"),
            },
        );
        machine::label(two, format_args!("two"));
        kernel.set_data(Arg::of(two));
        actor(
            kernel,
            "t1",
            0,
            |two| write_and_read_other(shared(two), |two| (&two.a, &two.b)),
            Arg::of(two),
        );
        actor(
            kernel,
            "t2",
            1,
            |two| write_and_read_other(shared(two), |two| (&two.b, &two.a)),
            Arg::of(two),
        );
    },
    verify: |_| {},
    teardown: free_data::<Two>,
};

fn write_and_read_other(two: &Two, order: fn(&Two) -> (&Krwlock, &Krwlock)) {
    let (mine, other) = order(two);
    mine.enter(Krw::Writer);
    other.enter(Krw::Reader);
    other.exit();
    mine.exit();
}
