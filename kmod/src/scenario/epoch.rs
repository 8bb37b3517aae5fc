//! Tests of `epoch_call`: a function runs when every section that was open has ended, and each function runs.

use crate::kern::epoch::{Epoch, EpochContext};
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::pserialize::{read_enter, read_exit};
use crate::machine::{self, Stop};
use crate::mem::{AcqRel, Acquire, AtomicRef, AtomicU32, Local, Relaxed};
use crate::scenario::alive::Alive;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

struct Item {
    alive: Alive,
    ctx: EpochContext,
    table: Arg,
}

crate::fields!(Item { alive, ctx });

struct Table {
    item: AtomicRef<Item>,
    epoch: Local<Option<&'static Epoch>>,
    freed: AtomicU32,
    /// Writers that have not ended.
    writers: AtomicU32,
}

crate::fields!(Table {
    item,
    freed,
    writers
});

/// Items that are replaced while others read them.
pub static FREES: Scenario = Scenario {
    name: "epoch-frees",
    summary: "two threads replace an item that a third reads, and free the old one, with epoch_call and after epoch_wait",
    about: "Each writer replaces the item. One passes the old one to epoch_call, to be freed when no reader can see it any \
            more; the other waits for that with epoch_wait, and frees it. A reader must find its item alive. The last writer removes the last item and waits \
            until all were freed.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let table = share(
            "table",
            Table {
                item: AtomicRef::new(),
                epoch: Local::new(None),
                freed: AtomicU32::new(0),
                writers: AtomicU32::new(2),
            },
        );
        machine::label(table, format_args!("table"));
        let Some(epoch) = Epoch::create(kernel, "items") else {
            machine::stop(
                Stop::Contract("scenario-memory"),
                format_args!("no memory for an epoch"),
            );
        };
        table.epoch.set(Some(epoch));
        kernel.set_data(Arg::of(table));
        actor(kernel, "reader", 0, read, Arg::of(table));
        let table = Arg::of(table);
        actor(kernel, "writer0", 0, |table| write(table, false), table);
        actor(kernel, "writer1", 1, |table| write(table, true), table);
    },
    verify: |kernel| {
        let freed = shared::<Table>(kernel.data()).freed.peek();
        let made = 2 * kernel.config().repeat;
        if freed != made {
            broken_promise(
                "epoch-all",
                format_args!("{made} items were handed over, but {freed} were freed at the end"),
            );
        }
    },
    teardown: free_data::<Table>,
};

impl Table {
    fn replace(&self, new: Option<&'static Item>, waits: bool) {
        if let Some(old) = self.item.swap(new, AcqRel)
            && let Some(epoch) = self.epoch.get()
        {
            if waits {
                epoch.wait();
                free(Arg::of(old));
            } else {
                epoch.call(&old.ctx, free, Arg::of(old));
            }
        }
    }
}

fn free(item: Arg) {
    let item: &'static Item = shared(item);
    let table: &Table = shared(item.table);
    item.alive.end();
    // SAFETY: (1) it came from `kmem_alloc`; (2) no reader sees it, which is what this scenario tests.
    unsafe { kmem_free(item) };
    table.freed.fetch_add(1, Relaxed);
}

fn read(table: Arg) {
    let table: &Table = shared(table);
    for _ in 0..2 * curlwp().kernel().config().repeat {
        let s = read_enter();
        if let Some(item) = table.item.load(Acquire) {
            item.alive.check("epoch-alive");
        }
        read_exit(s);
    }
}

fn write(at: Arg, waits: bool) {
    let table: &Table = shared(at);
    for _ in 0..curlwp().kernel().config().repeat {
        let new = Item {
            alive: Alive::new(),
            ctx: EpochContext::new(),
            table: at,
        };
        let Some(item) = kmem_alloc("item", new) else {
            return;
        };
        table.replace(Some(item), waits);
    }
    if table.writers.fetch_sub(1, AcqRel) == 1
        && let Some(epoch) = table.epoch.get()
    {
        table.replace(None, waits);
        epoch.drain_callbacks();
        let expected = 2 * curlwp().kernel().config().repeat;
        let freed = table.freed.load(Relaxed);
        if freed != expected {
            broken_promise(
                "epoch-drained",
                format_args!("the epoch was drained, but {freed} of {expected} items were freed"),
            );
        }
        epoch.free();
    }
}

/// How many functions a thread has called.
const CALLS: usize = 4;

/// A thread's calls, in order.
struct Caller {
    calls: [EpochContext; CALLS],
    /// How many of them have run.
    ran: AtomicU32,
}

crate::fields!(Caller { calls, ran });

struct Callers {
    epoch: Local<Option<&'static Epoch>>,
    callers: [Caller; 2],
    /// Callers that have not ended.
    left: AtomicU32,
}

crate::fields!(Callers { callers, left });

/// Functions that are called one after another.
pub static ORDER: Scenario = Scenario {
    name: "epoch-order",
    summary: "two threads hand over functions with epoch_call: do those of each run in the order in which it did?",
    about: "Each thread calls epoch_call four times, while the worker takes what is there. The functions of a thread must run in the order of \
            its calls, each once.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let callers = share(
            "callers",
            Callers {
                epoch: Local::new(Epoch::create(kernel, "calls")),
                callers: [const {
                    Caller {
                        calls: [const { EpochContext::new() }; CALLS],
                        ran: AtomicU32::new(0),
                    }
                }; 2],
                left: AtomicU32::new(2),
            },
        );
        machine::label(callers, format_args!("callers"));
        kernel.set_data(Arg::of(callers));
        for (number, name) in ["caller0", "caller1"].into_iter().enumerate() {
            actor(kernel, name, number, call, Arg(number));
        }
    },
    verify: |kernel| {
        for caller in &shared::<Callers>(kernel.data()).callers {
            let ran = caller.ran.peek();
            if ran != CALLS as u32 {
                broken_promise(
                    "epoch-order",
                    format_args!("{CALLS} functions were handed over, and {ran} have run"),
                );
            }
        }
    },
    teardown: free_data::<Callers>,
};

fn call(number: Arg) {
    let callers: &'static Callers = shared(curlwp().kernel().data());
    let Some(epoch) = callers.epoch.get() else {
        return;
    };
    for (index, ctx) in callers.callers[number.0].calls.iter().enumerate() {
        epoch.call(ctx, called, Arg(number.0 * CALLS + index));
    }
    if callers.left.fetch_sub(1, AcqRel) == 1 {
        epoch.free();
    }
}

/// The function of a call. The worker runs one at a time.
fn called(call: Arg) {
    let callers: &Callers = shared(curlwp().kernel().data());
    let (number, index) = (call.0 / CALLS, (call.0 % CALLS) as u32);
    let ran = callers.callers[number].ran.fetch_add(1, Relaxed);
    if ran != index {
        broken_promise(
            "epoch-order",
            format_args!(
                "function {index} of caller{number} runs when {ran} of its functions have run"
            ),
        );
    }
}
