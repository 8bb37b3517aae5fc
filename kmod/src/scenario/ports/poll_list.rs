//! DragonOS issue 1525: a spin lock is taken with interrupts on, and a softint tries to take it on the same CPU.

use super::{OLD, historical, start};
use crate::history::Own;
use crate::kern::lwp::Arg;
use crate::kern::spl::{Ipl, splraise, splx};
use crate::kern::synch::{kpreempt_disable, kpreempt_enable};
use crate::mem::{Acquire, AtomicBool, Plain, Release, relax};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::{Device, Handler};
use crate::scenario::{FIXED, PORTED, Scenario, Variant, broken_promise, runs};

/// The loop does not call `mem::relax`.
const BARE: Own = Own::piece(1);

struct List {
    lock: AtomicBool,
    polls: Plain<u32>,
    device: Device,
    softint: Handler,
}

crate::fields!(List {
    lock,
    polls,
    device,
    softint
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "poll-list",
    summary: "two threads and a softint add to a list under a spin lock of their own",
    about: "The interrupt of a network card schedules a softint, which adds to the list of interfaces to be \
            polled, as the threads do. The lock is a word and a loop; taking it disables preemption and masks \
            the softint.",
    variants: &[
        FIXED,
        historical("the softint is not masked: it spins for what the thread below it holds"),
        Variant {
            name: "historical-bare",
            own: OLD.with(BARE),
            ..historical("likewise, and the loop does not call mem::relax")
        },
        Variant {
            name: "fixed-bare",
            summary: "as fixed, and the loop does not call mem::relax",
            own: BARE,
            ..FIXED
        },
    ],
    setup: |kernel| {
        let list = List {
            lock: AtomicBool::new(false),
            polls: Plain::new(0),
            device: Device::new(),
            softint: Handler::new(),
        };
        let receive = |list| {
            shared::<List>(list).device.raise();
            add(list);
        };
        let list = start(kernel, "list", list, &[("t0", 0, add), ("t1", 1, receive)]);
        let arg = Arg::of(list);
        let interrupt = |list| shared::<List>(list).softint.schedule();
        list.softint.establish(kernel, Ipl::SoftNet, add, arg);
        list.device.establish(kernel, 0, Ipl::Vm, interrupt, arg);
    },
    verify: |kernel| {
        let polls = shared::<List>(kernel.data()).polls.peek();
        if polls != 3 {
            broken_promise(
                "poll-list-added",
                format_args!("two threads and a softint added 1 to 0, and it is {polls}"),
            );
        }
    },
    teardown: |kernel| {
        let list: &List = shared(kernel.data());
        list.device.disestablish(kernel);
        list.softint.disestablish(kernel);
        free_data::<List>(kernel);
    },
    ..PORTED
};

fn add(list: Arg) {
    let list: &List = shared(list);
    kpreempt_disable();
    let masked = (!runs(OLD)).then(|| splraise(Ipl::SoftNet));
    while list.lock.swap(true, Acquire) {
        if !runs(BARE) {
            relax();
        }
    }
    list.polls.set(list.polls.get() + 1);
    list.lock.store(false, Release);
    if let Some(level) = masked {
        splx(level);
    }
    kpreempt_enable();
}
