//! The measurements, one per row.
//!
//! The object of a measurement goes through a `black_box`, so that the compiler knows only its type.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hint::black_box;

use crossbeam_epoch::Collector;
use haphazard::{Domain, HazardPointer};
use kmod::kern::condvar::Kcondvar;
use kmod::kern::localcount::Localcount;
use kmod::kern::lwp::{self, Arg};
use kmod::kern::mutex::Kmutex;
use kmod::kern::pserialize::{self, Pserialize};
use kmod::kern::psref::{Psref, PsrefClass, PsrefTarget};
use kmod::kern::rwlock::{Krw, Krwlock};
use kmod::kern::spl::{self, Ipl};
use kmod::kern::synch;
use kmod::kern::xcall::{self, Priority};

use crate::count::{Cost, pairs, single};

/// The table of a row.
pub(crate) enum Group {
    /// What a reader, or the holder of a lock, executes: one CPU, no contention.
    Read,
    /// The same for a peer.
    Peer,
    /// Operations that wait for every CPU.
    Write,
}

impl Group {
    /// The word in the output.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Group::Read => "read",
            Group::Peer => "peer",
            Group::Write => "write",
        }
    }
}

/// A measurement.
pub(crate) struct Row {
    pub(crate) group: Group,
    pub(crate) name: &'static str,
    /// Sets up, and measures with [`pairs`] or [`single`].
    pub(crate) measure: fn() -> Cost,
}

const fn read(name: &'static str, measure: fn() -> Cost) -> Row {
    Row {
        group: Group::Read,
        name,
        measure,
    }
}

const fn peer(name: &'static str, measure: fn() -> Cost) -> Row {
    Row {
        group: Group::Peer,
        name,
        measure,
    }
}

const fn write(name: &'static str, measure: fn() -> Cost) -> Row {
    Row {
        group: Group::Write,
        name,
        measure,
    }
}

/// All rows, in the order of the tables.
pub(crate) static ROWS: &[Row] = &[
    read("pserialize: read_enter, read_exit", || {
        pairs(|| pserialize::read_exit(pserialize::read_enter()))
    }),
    read("psref: acquire, release", hold),
    read("localcount: acquire, release", count),
    read("mutex, adaptive: enter, exit", || {
        let mutex = Kmutex::new("cost", Ipl::None);
        let mutex = black_box(&mutex);
        pairs(|| {
            mutex.enter();
            mutex.exit();
        })
    }),
    read("mutex, spin: spin_enter, spin_exit", || {
        let mutex = Kmutex::new("cost", Ipl::Vm);
        let mutex = black_box(&mutex);
        pairs(|| {
            mutex.spin_enter();
            mutex.spin_exit();
        })
    }),
    read("rwlock: enter as reader, exit", || rwlock(Krw::Reader)),
    read("rwlock: enter as writer, exit", || rwlock(Krw::Writer)),
    read("splsoftserial, splx", || {
        pairs(|| spl::splx(spl::splsoftserial()))
    }),
    read("kpreempt_disable, kpreempt_enable", || {
        pairs(|| {
            synch::kpreempt_disable();
            synch::kpreempt_enable();
        })
    }),
    read("curlwp_bind, curlwp_bindx", || {
        pairs(|| lwp::curlwp_bindx(lwp::curlwp_bind()))
    }),
    peer("crossbeam-epoch: pin, unpin", || {
        let collector = Collector::new();
        let handle = collector.register();
        let handle = black_box(&handle);
        pairs(|| drop(handle.pin()))
    }),
    peer("haphazard: protect, reset", protect),
    peer("Arc: clone, drop", || {
        let shared = Arc::new(0_u64);
        let shared = black_box(&shared);
        pairs(|| drop(Arc::clone(shared)))
    }),
    peer("spin::Mutex: lock, unlock", || {
        let lock = spin::mutex::SpinMutex::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.lock()))
    }),
    // If a thread is preempted with the lock, the thread that preempts it keeps spinning.
    peer("spin::Mutex: lock, unlock, preemption off", || {
        let lock = spin::mutex::SpinMutex::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| {
            synch::kpreempt_disable();
            drop(lock.lock());
            synch::kpreempt_enable();
        })
    }),
    peer("spin::TicketMutex: lock, unlock", || {
        let lock = spin::mutex::TicketMutex::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.lock()))
    }),
    peer("spin::RwLock: read, unlock", || {
        let lock = spin::RwLock::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.read()))
    }),
    peer("spin::RwLock: write, unlock", || {
        let lock = spin::RwLock::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.write()))
    }),
    write("xcall, low priority: broadcast, wait", || {
        cross_call(Priority::Low)
    }),
    write("xcall, high priority: broadcast, wait", || {
        cross_call(Priority::HIGH)
    }),
    write("pserialize_perform", || {
        let psz = Pserialize::new();
        single(|| (), |()| psz.perform(), |()| ())
    }),
    write("psref_target_destroy", target_destroy),
    write("localcount_drain", drain),
];

fn rwlock(op: Krw) -> Cost {
    let lock = Krwlock::new("cost");
    let lock = black_box(&lock);
    match op {
        Krw::Reader => pairs(|| {
            lock.enter(Krw::Reader);
            lock.exit();
        }),
        Krw::Writer => pairs(|| {
            lock.enter(Krw::Writer);
            lock.exit();
        }),
    }
}

fn protect() -> Cost {
    let shared = haphazard::AtomicPtr::from(Box::new(0_u64));
    let pointer = black_box(&shared);
    let mut hazard = HazardPointer::new();
    let cost = pairs(|| {
        black_box(pointer.safe_load(&mut hazard));
        hazard.reset_protection();
    });
    // SAFETY: it is retired once.
    unsafe { shared.retire() };
    Domain::global().eager_reclaim();
    cost
}

fn cross_call(priority: Priority) -> Cost {
    let args = (Arg::NONE, Arg::NONE);
    let call = |(): &()| xcall::wait(xcall::broadcast(priority, |_, _| {}, args));
    single(|| (), call, |()| ())
}

fn class() -> PsrefClass {
    PsrefClass::create("cost", Ipl::SoftNet).expect("memory for a class")
}

fn hold() -> Cost {
    let class = class();
    let (target, psref) = (PsrefTarget::new(), Psref::new());
    target.init(class);
    let (hidden, psref, in_class) = black_box((&target, &psref, class));
    let cost = pairs(move || {
        psref.acquire(hidden, in_class);
        psref.release(hidden, in_class);
    });
    target.destroy(class);
    // SAFETY: (1) it was created; (2) its only target has been destroyed.
    unsafe { class.destroy() };
    cost
}

fn target_destroy() -> Cost {
    let class = class();
    let begin = || {
        let target = PsrefTarget::new();
        target.init(class);
        target
    };
    let cost = single(begin, |target| target.destroy(class), drop);
    // SAFETY: (1) it was created; (2) all of its targets have been destroyed.
    unsafe { class.destroy() };
    cost
}

/// A counter, and what its drain waits with.
struct Counter {
    count: Localcount,
    cv: Kcondvar,
    lock: Kmutex,
}

impl Counter {
    fn init() -> Self {
        let counter = Counter {
            count: Localcount::new(),
            cv: Kcondvar::new("cost"),
            lock: Kmutex::new("cost", Ipl::None),
        };
        counter.count.init().expect("memory for a counter");
        counter
    }

    fn fini(&self) {
        self.count.fini();
        self.cv.destroy();
    }
}

fn count() -> Cost {
    let counter = Counter::init();
    let hidden = black_box(&counter);
    let cost = pairs(|| {
        hidden.count.acquire();
        hidden.count.release(&hidden.cv, &hidden.lock);
    });
    counter.lock.enter();
    counter.count.drain(&counter.cv, &counter.lock);
    counter.lock.exit();
    counter.fini();
    cost
}

fn drain() -> Cost {
    let begin = || {
        let counter = Counter::init();
        counter.lock.enter();
        counter
    };
    let drain = |counter: &Counter| counter.count.drain(&counter.cv, &counter.lock);
    let end = |counter: Counter| {
        counter.lock.exit();
        counter.fini();
    };
    single(begin, drain, end)
}
