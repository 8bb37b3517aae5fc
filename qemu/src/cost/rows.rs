//! What is measured: a row each.
//!
//! The object of a measurement goes through a `black_box`, so that the compiler knows nothing of it but its type.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hint::black_box;

use crossbeam_epoch::Collector;
use haphazard::{Domain, HazardPointer};
use kmod::kern::lwp::{self, Arg};
use kmod::kern::mutex::Kmutex;
use kmod::kern::spl::{self, Ipl};
use kmod::kern::synch;
use kmod::kern::xcall::{self, Priority};

use crate::count::{Cost, pairs, single};

/// Which table a row belongs to.
pub(crate) enum Group {
    /// What a reader, or the holder of a lock, executes: one CPU, nobody else wants it.
    Read,
    /// The same of a peer.
    Peer,
    /// What waits for every CPU.
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

const fn row(group: Group, name: &'static str, measure: fn() -> Cost) -> Row {
    Row {
        group,
        name,
        measure,
    }
}

/// All rows, in the order of the tables.
pub(crate) static ROWS: &[Row] = &[
    row(Group::Read, "mutex, adaptive: enter, exit", || {
        let mutex = Kmutex::new("cost", Ipl::None);
        let mutex = black_box(&mutex);
        pairs(|| {
            mutex.enter();
            mutex.exit();
        })
    }),
    row(Group::Read, "mutex, spin: spin_enter, spin_exit", || {
        let mutex = Kmutex::new("cost", Ipl::Vm);
        let mutex = black_box(&mutex);
        pairs(|| {
            mutex.spin_enter();
            mutex.spin_exit();
        })
    }),
    row(Group::Read, "splsoftserial, splx", || {
        pairs(|| spl::splx(spl::splsoftserial()))
    }),
    row(Group::Read, "splhigh, splx", || {
        pairs(|| spl::splx(spl::splhigh()))
    }),
    row(Group::Read, "kpreempt_disable, kpreempt_enable", || {
        pairs(|| {
            synch::kpreempt_disable();
            synch::kpreempt_enable();
        })
    }),
    row(Group::Read, "curlwp_bind, curlwp_bindx", || {
        pairs(|| lwp::curlwp_bindx(lwp::curlwp_bind()))
    }),
    row(Group::Peer, "crossbeam-epoch: pin, unpin", || {
        let collector = Collector::new();
        let handle = collector.register();
        let handle = black_box(&handle);
        pairs(|| drop(handle.pin()))
    }),
    row(Group::Peer, "haphazard: protect, reset", hazard_pointer),
    row(Group::Peer, "Arc: clone, drop", || {
        let shared = Arc::new(0_u64);
        let shared = black_box(&shared);
        pairs(|| drop(Arc::clone(shared)))
    }),
    row(Group::Peer, "spin::Mutex: lock, unlock", || {
        let lock = spin::mutex::SpinMutex::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.lock()))
    }),
    row(Group::Peer, "spin::TicketMutex: lock, unlock", || {
        let lock = spin::mutex::TicketMutex::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.lock()))
    }),
    row(Group::Peer, "spin::RwLock: read, unlock", || {
        let lock = spin::RwLock::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.read()))
    }),
    row(Group::Peer, "spin::RwLock: write, unlock", || {
        let lock = spin::RwLock::<u64>::new(0);
        let lock = black_box(&lock);
        pairs(|| drop(lock.write()))
    }),
    row(Group::Write, "xcall, low priority: broadcast, wait", || {
        cross_call(Priority::Low)
    }),
    row(
        Group::Write,
        "xcall, high priority: broadcast, wait",
        || cross_call(Priority::HIGH),
    ),
];

fn hazard_pointer() -> Cost {
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
    single(|| {
        xcall::wait(xcall::broadcast(
            priority,
            |_, _| {},
            (Arg::NONE, Arg::NONE),
        ))
    })
}
