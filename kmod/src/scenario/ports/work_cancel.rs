//! Linux, btmtksdio, 2026: a work is waited for with the host claimed, and the work claims the host.

use super::{OLD, historical, start};
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::workqueue::{self, Work, Workers, Workqueue};
use crate::mem::{AcqRel, AtomicU32, Plain};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, PORTED, Scenario, runs};

struct Card {
    queue: Plain<Option<&'static Workqueue>>,
    host: Kmutex,
    state: Kmutex,
    closed: Plain<bool>,
    work: Plain<Option<&'static Work>>,
    bytes: Plain<u32>,
    users: AtomicU32,
}

crate::fields!(Card {
    queue,
    host,
    state,
    closed,
    work,
    bytes,
    users
});

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "work-cancel",
    summary: "a card is closed while its work is queued",
    about: "One thread queues a work, which claims the host of the card. The other closes the card: it also \
            claims the host, and waits for the work.",
    variants: &[
        FIXED,
        historical("the work is waited for with the host claimed"),
    ],
    setup: |kernel| {
        let card = Card {
            queue: Plain::new(None),
            host: Kmutex::new("sdio_host", Ipl::None),
            state: Kmutex::new("state", Ipl::None),
            closed: Plain::new(false),
            work: Plain::new(None),
            bytes: Plain::new(0),
            users: AtomicU32::new(2),
        };
        let card = start(
            kernel,
            "card",
            card,
            &[("irq", 0, interrupt), ("close", 1, close)],
        );
        let func = (transfer as workqueue::WorkFunc, Arg::of(card));
        let queue = workqueue::create(kernel, "hci", func, pri::KTHREAD, Ipl::None, Workers::One);
        card.queue.set(queue);
    },
    teardown: free_data::<Card>,
    ..PORTED
};

fn transfer(_: &'static Work, card: Arg) {
    let card: &Card = shared(card);
    card.host.enter();
    card.bytes.set(card.bytes.get() + 1);
    card.host.exit();
}

/// The last user frees the card.
fn leave(card: &Card) {
    if card.users.fetch_sub(1, AcqRel) == 1 {
        if let Some(queue) = card.queue.get() {
            queue.destroy();
        }
        if let Some(work) = card.work.get() {
            // SAFETY: (1) it came from `kmem_alloc`; (2) its queue is gone, and so are the users.
            unsafe { kmem_free(work) };
        }
    }
}

fn interrupt(card: Arg) {
    let card: &Card = shared(card);
    card.state.enter();
    if !card.closed.get()
        && let Some(queue) = card.queue.get()
        && let Some(work) = kmem_alloc("work", Work::new(Arg::NONE))
    {
        card.work.set(Some(work));
        queue.enqueue(work, None);
    }
    card.state.exit();
    leave(card);
}

fn close(card: Arg) {
    let card: &Card = shared(card);
    card.host.enter();
    card.state.enter();
    card.closed.set(true);
    let work = card.work.get();
    card.state.exit();
    if !runs(OLD) {
        card.host.exit();
    }
    if let Some(work) = work
        && let Some(queue) = card.queue.get()
    {
        queue.wait(work);
    }
    if !runs(OLD) {
        card.host.enter();
    }
    card.bytes.set(0);
    card.host.exit();
    leave(card);
}
