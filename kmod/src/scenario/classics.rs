//! Well-known broken programs, for teaching and for comparing speeds.

use crate::kern::kmem::kmem_free;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AtomicU32, Plain, Relaxed};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, promise, share};

/// Two threads add one to a counter, without a lock.
pub static LOST_UPDATE: Scenario = Scenario {
    name: "lost-update",
    summary: "two threads add 1 to a counter with a load and a store",
    about: "Each thread loads the counter and stores it plus one. If both load before either stores, one update is \
            lost. No primitive is at fault.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |kernel| {
        let counter = share("counter", AtomicU32::new(0));
        machine::label(counter, format_args!("counter"));
        kernel.set_data(Arg::of(counter));
        for (name, cpu) in [("t1", 0), ("t2", 1)] {
            actor(
                kernel,
                name,
                cpu,
                |counter| promise::increment_unprotected(shared(counter)),
                Arg::of(counter),
            );
        }
    },
    verify: |kernel| {
        let counter: &AtomicU32 = shared(kernel.data());
        let value = counter.load(Relaxed);
        if value != 2 {
            broken_promise(
                "lost-update",
                format_args!("two threads added 1 to 0, and the counter is {value}"),
            );
        }
    },
    teardown: free_data::<AtomicU32>,
};

struct Locks {
    a: Kmutex,
    b: Kmutex,
}

crate::fields!(Locks { a, b });

/// Two threads take two mutexes in opposite orders.
pub static ABBA: Scenario = Scenario {
    name: "abba",
    summary: "two threads take two mutexes in opposite orders",
    about: "t1 takes a, then b; t2 takes b, then a. If each has its first mutex when it wants its second, both \
            wait for ever. No primitive is at fault.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |kernel| {
        let locks = share(
            "locks",
            Locks {
                a: Kmutex::new("a", Ipl::None),
                b: Kmutex::new("b", Ipl::None),
            },
        );
        machine::label(locks, format_args!("locks"));
        kernel.set_data(Arg::of(locks));
        actor(
            kernel,
            "t1",
            0,
            |locks| both(&shared::<Locks>(locks).a, &shared::<Locks>(locks).b),
            Arg::of(locks),
        );
        actor(
            kernel,
            "t2",
            1,
            |locks| both(&shared::<Locks>(locks).b, &shared::<Locks>(locks).a),
            Arg::of(locks),
        );
    },
    verify: |_| {},
    teardown: free_data::<Locks>,
};

struct Handed {
    lock: Kmutex,
    word: Plain<u32>,
}

crate::fields!(Handed { lock, word });

/// A word whose accesses are ordered only by luck.
pub static UNRELATED_LOCK: Scenario = Scenario {
    name: "unrelated-lock",
    summary: "a word is written before a lock is held, and read by another thread after it was held",
    about: "t1 writes a word, then enters and exits a lock; t2 enters and exits the lock, then reads the word. \
            If t1 gets the lock first, the write is ordered before the read; if t2 does, it is not. No primitive \
            is at fault.",
    variants: &[FIXED],
    min_cpus: 2,
    default_cpus: 2,
    kind: Kind::Broken,
    configure: |_| {},
    setup: |kernel| {
        let handed = share(
            "handed",
            Handed {
                lock: Kmutex::new("lock", Ipl::None),
                word: Plain::new(0),
            },
        );
        machine::label(handed, format_args!("handed"));
        kernel.set_data(Arg::of(handed));
        actor(kernel, "t1", 0, write_before, Arg::of(handed));
        actor(kernel, "t2", 1, read_after, Arg::of(handed));
    },
    verify: |_| {},
    teardown: free_data::<Handed>,
};

fn write_before(handed: Arg) {
    let handed: &'static Handed = shared(handed);
    handed.word.set(1);
    handed.lock.enter();
    handed.lock.exit();
}

fn read_after(handed: Arg) {
    let handed: &'static Handed = shared(handed);
    handed.lock.enter();
    handed.lock.exit();
    let _word = handed.word.get();
}

fn both(first: &Kmutex, second: &Kmutex) {
    first.enter();
    second.enter();
    second.exit();
    first.exit();
}

/// The object that `setup` shared.
pub fn shared<T>(data: Arg) -> &'static T {
    // SAFETY: the scenarios of this folder hand a `T` of `share` to their own functions, and free it in teardown.
    unsafe { data.get() }
}

/// A teardown for scenarios that share one object.
pub fn free_data<T: 'static>(kernel: &'static Kernel) {
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) all actors have come to their end.
    unsafe { kmem_free(shared::<T>(kernel.data())) };
}
