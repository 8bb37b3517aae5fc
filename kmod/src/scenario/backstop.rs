//! What the check of backstops promises: a wake-up that is only late is no failure.

use crate::kern::callout::Callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::machine;
use crate::mem::Plain;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, share};

/// Items that come by and by.
struct Shelf {
    lock: Kmutex,
    filled: Kcondvar,
    items: Plain<u32>,
    delivery: Callout,
}

crate::fields!(Shelf {
    lock,
    filled,
    items,
    delivery
});

/// Backstops of one tick, and wake-ups that come later.
pub static LATE: Scenario = Scenario {
    name: "condvar-backstop",
    summary: "wake-ups come later than the backstops of those who wait for them",
    about: "Two consumers wait for an item each, with a backstop of one tick. A thread puts one item after a pause of two \
            ticks, and a callout puts the other after three. Every backstop fires before its wake-up comes, and that is no \
            failure, for there is always something else that can still happen.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let shelf = share(
            "shelf",
            Shelf {
                lock: Kmutex::new("shelf", Ipl::SoftClock),
                filled: Kcondvar::new("items"),
                items: Plain::new(0),
                delivery: Callout::new(),
            },
        );
        machine::label(shelf, format_args!("shelf"));
        shelf.delivery.init(kernel.cpu(0));
        kernel.set_data(Arg::of(shelf));
        actor(kernel, "consumer0", 0, take, Arg::of(shelf));
        actor(kernel, "consumer1", 1, take, Arg::of(shelf));
        actor(kernel, "producer", 1, produce, Arg::of(shelf));
    },
    verify: |_| {},
    teardown: free_data::<Shelf>,
};

fn take(shelf: Arg) {
    let shelf: &Shelf = shared(shelf);
    shelf.lock.enter();
    while shelf.items.get() == 0 {
        shelf.filled.timedwait_backstop(&shelf.lock, 1);
    }
    shelf.items.set(shelf.items.get() - 1);
    shelf.lock.exit();
}

fn put(shelf: Arg) {
    let shelf: &Shelf = shared(shelf);
    shelf.lock.enter();
    shelf.items.set(shelf.items.get() + 1);
    shelf.filled.signal();
    shelf.lock.exit();
}

fn produce(at: Arg) {
    let shelf: &Shelf = shared(at);
    shelf.delivery.reset(3, put, at);
    kpause("produce", 2, None);
    put(at);
    // The callout is gone before its memory is.
    while shelf.delivery.pending() {
        kpause("deliver", 1, None);
    }
    shelf.delivery.halt(None);
    shelf.delivery.destroy();
}
