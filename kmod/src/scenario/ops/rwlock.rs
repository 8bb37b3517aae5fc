//! Operations on rwlocks: held from one operation to the next, as outer mutexes are.

use crate::kern::lwp::curlwp;
use crate::kern::rwlock::{Krw, Krwlock};
use crate::mem::{AtomicU32, Plain, Relaxed};
use crate::scenario::broken_promise;
use crate::scenario::ops::interpreter::Actor;

pub(super) const RWLOCKS: usize = 2;

/// An rwlock, and what its holders see. The counts are relaxed: they order nothing.
struct Guarded {
    lock: Krwlock,
    readers: AtomicU32,
    writers: AtomicU32,
    /// Written by writers, read by readers.
    sections: Plain<u32>,
    ended: AtomicU32,
}

crate::fields!(Guarded {
    lock,
    readers,
    writers,
    sections,
    ended
});

impl Guarded {
    const fn new(name: &'static str) -> Self {
        Guarded {
            lock: Krwlock::new(name),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            sections: Plain::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// Done by a reader that has entered: checks that no writer is inside. Returns what it read.
    fn begin_reading(&self) -> u32 {
        self.readers.fetch_add(1, Relaxed);
        self.alone(self.writers.load(Relaxed), "writer");
        self.sections.get()
    }

    /// Done by a reader before it exits: checks that nothing was written since it entered.
    fn end_reading(&self, read: u32) {
        self.unchanged(read);
        self.readers.fetch_sub(1, Relaxed);
    }

    /// Checks that nothing was written since the caller, which has held the lock all the time, read `read`.
    fn unchanged(&self, read: u32) {
        let now = self.sections.get();
        if now != read {
            broken_promise(
                "rwlock-exclusion",
                format_args!(
                    "{} holds {}, and what it read as {read} has become {now}",
                    curlwp().name(),
                    self.lock.name()
                ),
            );
        }
    }

    /// Done by a writer that has entered: checks that no other thread is inside, and writes.
    fn begin_writing(&self) {
        self.alone(self.writers.fetch_add(1, Relaxed), "writer");
        self.alone(self.readers.load(Relaxed), "reader");
        self.sections.set(self.sections.get() + 1);
    }

    fn end_writing(&self) {
        self.alone(self.readers.load(Relaxed), "reader");
        self.ended.fetch_add(1, Relaxed);
        self.writers.fetch_sub(1, Relaxed);
    }

    fn alone(&self, others: u32, what: &str) {
        if others != 0 {
            broken_promise(
                "rwlock-exclusion",
                format_args!(
                    "{} is inside {}, and so is another {what}",
                    curlwp().name(),
                    self.lock.name()
                ),
            );
        }
    }

    fn verify(&self) {
        let (sections, ended) = (self.sections.peek(), self.ended.peek());
        if sections != ended || self.lock.owner().is_some() || self.lock.readers() != 0 {
            broken_promise(
                "rwlock-exclusion",
                format_args!(
                    "{ended} sections that write under {} were counted as {sections}, and it is {} at the end",
                    self.lock.name(),
                    match (self.lock.owner(), self.lock.readers()) {
                        (Some(_), _) => "held by a writer",
                        (None, 0) => "free",
                        _ => "held by readers",
                    }
                ),
            );
        }
    }
}

/// The rwlocks of the world.
pub(super) struct Objects {
    locks: [Guarded; RWLOCKS],
}

crate::fields!(Objects { locks });

impl Objects {
    pub(super) const fn new() -> Self {
        Objects {
            locks: [Guarded::new("rw0"), Guarded::new("rw1")],
        }
    }

    /// Checks what must hold when all LWPs have ended.
    pub(super) fn verify(&self) {
        self.locks.iter().for_each(Guarded::verify);
    }
}

/// How an LWP holds a lock.
#[derive(Clone, Copy)]
enum Hold {
    /// As a reader, with the value that it read when it entered.
    Reads(u32),
    Writes,
}

/// The rwlocks that an LWP holds.
#[derive(Default)]
pub(super) struct Held([Option<Hold>; RWLOCKS]);

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    fn highest(&self) -> Option<(usize, Hold)> {
        (0..RWLOCKS)
            .rev()
            .find_map(|index| Some((index, self.0[index]?)))
    }
}

const fn krw(mode: u8) -> Krw {
    match mode {
        0 => Krw::Reader,
        _ => Krw::Writer,
    }
}

/// The caller has entered.
fn began(actor: &mut Actor, index: usize, op: Krw) {
    let guarded = &actor.world.rwlocks.locks[index];
    actor.rwlocks.0[index] = Some(match op {
        Krw::Reader => Hold::Reads(guarded.begin_reading()),
        Krw::Writer => {
            guarded.begin_writing();
            Hold::Writes
        }
    });
}

pub(super) fn rw_enter(actor: &mut Actor, [lock, mode]: [u8; 2]) {
    let index = lock as usize;
    // Lock order: by number.
    if actor.rwlocks.0[index..].iter().all(Option::is_none) {
        actor.world.rwlocks.locks[index].lock.enter(krw(mode));
        began(actor, index, krw(mode));
    }
}

pub(super) fn rw_tryenter(actor: &mut Actor, [lock, mode]: [u8; 2]) {
    let index = lock as usize;
    // In any order, because it does not wait. Not twice: a lock does not know its readers.
    if actor.rwlocks.0[index].is_none() && actor.world.rwlocks.locks[index].lock.tryenter(krw(mode))
    {
        began(actor, index, krw(mode));
    }
}

pub(super) fn rw_exit(actor: &mut Actor, _: [u8; 2]) {
    if let Some((index, hold)) = actor.rwlocks.highest() {
        let guarded = &actor.world.rwlocks.locks[index];
        match hold {
            Hold::Reads(read) => guarded.end_reading(read),
            Hold::Writes => guarded.end_writing(),
        }
        guarded.lock.exit();
        actor.rwlocks.0[index] = None;
    }
}

pub(super) fn rw_downgrade(actor: &mut Actor, _: [u8; 2]) {
    if let Some((index, Hold::Writes)) = actor.rwlocks.highest() {
        let guarded = &actor.world.rwlocks.locks[index];
        let written = guarded.sections.get();
        guarded.end_writing();
        guarded.lock.downgrade();
        guarded.unchanged(written);
        began(actor, index, Krw::Reader);
    }
}

pub(super) fn rw_tryupgrade(actor: &mut Actor, _: [u8; 2]) {
    if let Some((index, Hold::Reads(read))) = actor.rwlocks.highest() {
        let guarded = &actor.world.rwlocks.locks[index];
        // Not a reader any more if it succeeds; counted as one again if it does not.
        guarded.end_reading(read);
        let op = if guarded.lock.tryupgrade() {
            Krw::Writer
        } else {
            Krw::Reader
        };
        guarded.unchanged(read);
        began(actor, index, op);
    }
}

/// The LWP has finished: exits the locks that it holds.
pub(super) fn end(actor: &mut Actor) {
    while !actor.rwlocks.is_empty() {
        rw_exit(actor, [0; 2]);
    }
}
