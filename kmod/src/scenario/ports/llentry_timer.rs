//! FreeBSD, link-layer table (review D2219): an entry of the link-layer table is freed although its timer is running.

use super::{OLD, historical};
use crate::history::Own;
use crate::kern::callout::Callout;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::rwlock::{Krw, Krwlock};
use crate::machine;
use crate::mem::Plain;
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, PORTED, Scenario, Variant, actor, runs};

/// Ticks until the timer fires, where it is not 1.
const LATER: [(Own, u32); 3] = [(Own::piece(1), 2), (Own::piece(2), 4), (Own::piece(3), 8)];

struct Entry {
    lock: Krwlock,
    timer: Callout,
    references: Plain<u32>,
    linked: Plain<bool>,
}

crate::fields!(Entry {
    lock,
    timer,
    references,
    linked
});

const fn later(name: &'static str, summary: &'static str, number: usize) -> Variant {
    Variant {
        name,
        own: OLD.with(LATER[number].0),
        ..historical(summary)
    }
}

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "llentry-timer",
    summary: "an entry of the ARP table is deleted while its timer fires",
    about: "Its table, its timer and the thread that made it each have a reference to an entry. The thread deletes the \
            entry: it stops the timer, and drops the reference of the timer only if the handler is not running.",
    variants: &[
        FIXED,
        historical("the entry is freed whatever callout_stop says; the timer fires after a tick"),
        later(
            "historical-2",
            "likewise, and the timer fires after 2 ticks",
            0,
        ),
        later(
            "historical-4",
            "likewise, and the timer fires after 4 ticks",
            1,
        ),
        later(
            "historical-8",
            "likewise, and the timer fires after 8 ticks",
            2,
        ),
    ],
    setup: |kernel| {
        actor(kernel, "if0", 0, interface, Arg::NONE);
        actor(kernel, "if1", 1, interface, Arg::NONE);
    },
    ..PORTED
};

/// Drops a reference. The lock is held, and is released.
fn drop_reference(entry: &'static Entry) {
    let references = entry.references.get() - 1;
    entry.references.set(references);
    entry.lock.exit();
    if references == 0 {
        entry.lock.destroy();
        // SAFETY: it came from `kmem_alloc`; that it is no longer in use is what this scenario tests.
        unsafe { kmem_free(entry) };
    }
}

/// Takes the entry out of the table, if it is there. The lock is held.
fn unlink(entry: &Entry) {
    if entry.linked.get() {
        entry.linked.set(false);
        entry.references.set(entry.references.get() - 1);
    }
}

fn expire(entry: Arg) {
    let entry: &'static Entry = shared(entry);
    entry.lock.enter(Krw::Writer);
    unlink(entry);
    drop_reference(entry);
}

fn interface(_: Arg) {
    let new = Entry {
        lock: Krwlock::new("entry"),
        timer: Callout::new(),
        references: Plain::new(3),
        linked: Plain::new(true),
    };
    let Some(entry) = kmem_alloc("entry", new) else {
        return;
    };
    machine::label(entry, format_args!("{}.entry", curlwp().name()));
    entry.timer.init(curlwp().kernel().cpu(0));
    let later = LATER.iter().find(|(piece, _)| runs(*piece));
    let ticks = later.map_or(1, |(_, ticks)| *ticks);
    entry.timer.reset(ticks, expire, Arg::of(entry));
    entry.lock.enter(Krw::Writer);
    unlink(entry);
    let fired = entry.timer.stop();
    if !fired {
        entry.references.set(entry.references.get() - 1);
    } else if runs(OLD) {
        entry.references.set(1);
    }
    drop_reference(entry);
}
