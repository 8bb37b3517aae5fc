//! rwlock(9): many readers, or one writer.
//!
//! # Overview
//!
//! The lock is one word: the number of readers, or the writer's LWP, and three flags. Nobody waits
//! spinning except for a writer that runs on a CPU right now and has no other waiters; everybody else
//! sleeps on a turnstile, which has a queue for readers and one for writers.
//!
//! A lock with waiters is not just released: whoever leaves it last decides who has it next, and *hands
//! it over* before anybody is woken.
//!
//! | who leaves | who waits | what happens |
//! |---|---|---|
//! | a writer | readers, perhaps writers | all readers that wait have it; writers go on waiting |
//! | the last reader | readers and writers | the writer that waits longest has it |
//! | either | writers only | it is free, but closed to readers; all writers are woken and try |
//!
//! While a writer waits, readers that come must wait too (*writer preference*): those that read cannot keep
//! a writer out for ever. And a writer that leaves lets the readers in before the next writer: writers
//! cannot keep readers out either.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::{run, thread};
//! use kmod::kern::kthread::kthread_join;
//! use kmod::kern::lwp::Arg;
//! use kmod::kern::rwlock::{Krw, Krwlock};
//! use kmod::mem::Plain;
//! use kmod::scenario::classics::shared;
//!
//! struct Route {
//!     lock: Krwlock,
//!     gateway: Plain<u32>,
//! }
//!
//! fn look_up(route: Arg) {
//!     let route: &Route = shared(route);
//!     route.lock.enter(Krw::Reader);
//!     assert!([1, 2].contains(&route.gateway.get()));
//!     route.lock.exit();
//! }
//!
//! run(|| {
//!     let route = Route { lock: Krwlock::new("route"), gateway: Plain::new(1) };
//!     let reader = thread(look_up, Arg::of(&route));
//!     route.lock.enter(Krw::Writer);
//!     route.gateway.set(2);
//!     route.lock.exit();
//!     kthread_join(reader);
//!     route.lock.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! [`Krwlock::enter`], [`Krwlock::exit`] and the rest: thread and softint; not a hard interrupt, and not with
//! a spin mutex held. There is no level: a softint that takes the lock may have to wait for a thread.
//! Nobody may enter a lock that he has already, not even twice as a reader: a writer may have come between. The word does
//! not say who reads; a kernel with contracts [notes](crate::kern::shares) it. A lock is no interlock for condition variables or callouts.
//!
//! # The word
//!
//! ```text
//! bits 4..   the writer's LWP, or the number of readers
//! bit 2      WRITE_LOCKED    the former
//! bit 1      WRITE_WANTED    a writer waits, or was woken to try: readers that come must wait
//! bit 0      HAS_WAITERS     somebody sleeps: the last to leave must take the slow path
//! ```
//!
//! # Invariants
//!
//! 1. HAS_WAITERS is set exactly while the turnstile has LWPs on a queue; it changes with the chain locked.
//! 2. While a writer sleeps WRITE_WANTED is set, and while readers hold the lock and somebody sleeps it is set too.
//!    So the word of a lock that its last holder leaves does not change once the chain is locked.
//! 3. A reader that was woken has the lock. A writer that was woken has it if the word says so.
//!
//! # Memory order
//!
//! Who leaves releases, who enters acquires; every change in between is an interlocked operation on the word,
//! which passes on what was released before. The writer that gets the lock handed over by the *last* reader
//! must see what the *others* did, which nobody woke it for:
//!
//! ```text
//! reader a                 reader b, the last               writer
//! ... reads                                                 (sleeps)
//! word -= 1 (release) ──►  swap(word, writer)
//!                          wakeup                     ──►   load word (acquire): a's release
//!                                                           ... writes
//! ```
//!
//! # When to use something else
//!
//! Readers write to the word, so they do not scale. For data that is read all the time and hardly ever
//! changed there are passive references and passive serialization.
//!
//! # Differences from NetBSD
//!
//! A lock has a name. There is no bit for lock debugging, so that the count begins one bit lower. No priority
//! is lent.
//!
//! # Sources
//!
//! rwlock(9); `sys/kern/kern_rwlock.c` 1.76.

mod word;

use crate::contract;
use crate::kern::lwp::{Lwp, curlwp};
use crate::kern::mutex::lwp_oncpu;
use crate::kern::order::{self, Resource, Sort};
use crate::kern::pserialize;
use crate::kern::shares;
use crate::kern::sleepq::SyncObj;
use crate::kern::turnstile::{self, Queue};
use crate::kern::{spl, synch};
use crate::machine::{self, Described, Field, Mark};
use crate::mem::{Acquire, AtomicUsize, Relaxed, Release};
use crate::note;
use word::{
    FLAGS, HAS_WAITERS, READ_INCR, THREAD, WRITE_LOCKED, WRITE_WANTED, Word, share, writer,
    writer_of,
};

/// How a lock is entered (`krw_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Krw {
    /// To share it with other readers (`RW_READER`).
    Reader,
    /// To have it alone (`RW_WRITER`).
    Writer,
}

impl Krw {
    /// Who finds one of these bits must wait.
    const fn need_wait(self) -> usize {
        match self {
            Krw::Reader => WRITE_LOCKED | WRITE_WANTED,
            Krw::Writer => WRITE_LOCKED | THREAD,
        }
    }

    /// What who waits sets.
    const fn set_wait(self) -> usize {
        match self {
            Krw::Reader => HAS_WAITERS,
            Krw::Writer => HAS_WAITERS | WRITE_WANTED,
        }
    }

    const fn queue(self) -> Queue {
        match self {
            Krw::Reader => Queue::Reader,
            Krw::Writer => Queue::Writer,
        }
    }

    /// What a trace is told of a hold.
    fn mark(self, addr: usize) -> Mark {
        match self {
            Krw::Reader => Mark::Shared(addr),
            Krw::Writer => Mark::Held(addr),
        }
    }

    /// What a hold adds to a word that is free for it.
    fn hold(self, l: &Lwp) -> usize {
        match self {
            Krw::Reader => READ_INCR,
            Krw::Writer => writer(l),
        }
    }
}

/// A readers/writer lock (`krwlock_t`).
#[repr(C)]
pub struct Krwlock {
    rw_owner: AtomicUsize,
    rw_name: &'static str,
}

/// A lock is one word to traces: its name is that of the field that holds it.
impl Described for Krwlock {
    const FIELDS: &'static [Field] = &[];
}

impl Krwlock {
    /// A lock that is free (`rw_init`). `name` is for reports.
    pub const fn new(name: &'static str) -> Self {
        Krwlock {
            rw_owner: AtomicUsize::new(0),
            rw_name: name,
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.rw_name
    }

    fn addr(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// What it is to those who wait for it.
    #[inline(always)]
    fn resource(&self) -> Resource {
        order::lock(Sort::Rwlock, self, self.rw_name)
    }

    /// Ends the use of a lock (`rw_destroy`).
    ///
    /// Context: any. Panics (contract `rwlock-destroy`) if somebody holds it or waits for it.
    #[track_caller]
    pub fn destroy(&self) {
        let word = self.rw_owner.load(Relaxed);
        contract!(
            word == 0,
            "rwlock-destroy",
            "rw_destroy({}) by {} of a lock that is in use: {}",
            self.rw_name,
            curlwp().name(),
            Word(word)
        );
    }

    /// Enters the lock; waits for it (`rw_enter`).
    ///
    /// Context: thread or softint, no spin mutex held; the caller does not hold it. Panics: contracts
    /// `rwlock-context`, `rwlock-read-section`, `rwlock-spin-held`, `rwlock-recursion`, `sleepable`.
    #[inline]
    #[track_caller]
    pub fn enter(&self, op: Krw) {
        let l = curlwp();
        self.assert_may_block(l);
        order::wants(self.resource(), op == Krw::Reader);
        let word = self.rw_owner.load(Relaxed);
        if word & op.need_wait() != 0 || self.take(word, op, l).is_err() {
            self.vector_enter(op, l);
        }
        l.count_lock(1);
        self.held(op);
    }

    /// Enters the lock if that needs no waiting (`rw_tryenter`).
    ///
    /// A reader does not come in while a writer waits. Context: as [`enter`](Self::enter); does not wait.
    /// Panics: contract `rwlock-context`.
    #[inline]
    #[track_caller]
    pub fn tryenter(&self, op: Krw) -> bool {
        let l = curlwp();
        self.assert_context("rw_tryenter", l);
        let mut word = self.rw_owner.load(Relaxed);
        while word & op.need_wait() == 0 {
            // WRITE_WANTED stays: writers that were woken to try have not come yet.
            match self
                .rw_owner
                .compare_exchange(word, word + op.hold(l), Acquire, Relaxed)
            {
                Ok(_) => {
                    l.count_lock(1);
                    self.held(op);
                    return true;
                }
                Err(now) => word = now,
            }
        }
        false
    }

    /// Leaves the lock, whichever way it was entered (`rw_exit`).
    ///
    /// Context: a holder's. Panics: contracts `rwlock-owned`, `rwlock-held`, `rwlock-handoff`.
    #[inline]
    #[track_caller]
    pub fn exit(&self) {
        let l = curlwp();
        let mut word = self.rw_owner.load(Relaxed);
        let hold = self.hold_of(word, l);
        l.count_lock(-1);
        order::releases(self.resource());
        if hold == READ_INCR {
            shares::give_back(self);
        }
        loop {
            let left = word - hold;
            if left & (THREAD | HAS_WAITERS) == HAS_WAITERS {
                return self.vector_exit(hold);
            }
            match self.rw_owner.compare_exchange(word, left, Release, Relaxed) {
                Ok(_) => return machine::mark(Mark::Released(self.addr())),
                Err(now) => word = now,
            }
        }
    }

    /// Goes from writing to reading without letting another writer in (`rw_downgrade`).
    ///
    /// Readers that wait come in too. Context: the writer's. Panics (contract `rwlock-write-held`) if the caller is
    /// not the writer.
    #[track_caller]
    pub fn downgrade(&self) {
        let l = curlwp();
        let word = self.rw_owner.load(Relaxed);
        contract!(
            word & (THREAD | WRITE_LOCKED) == writer(l),
            "rwlock-write-held",
            "rw_downgrade({}) by {}, which is not its writer: {}",
            self.rw_name,
            l.name(),
            Word(word)
        );
        let easy = word & HAS_WAITERS == 0
            && self
                .rw_owner
                .compare_exchange(word, READ_INCR, Release, Relaxed)
                .is_ok();
        order::changes(self.resource(), true);
        shares::take(self);
        match easy {
            true => machine::mark(Mark::Shared(self.addr())),
            false => self.vector_downgrade(),
        }
    }

    /// Goes from reading to writing if there is no other reader (`rw_tryupgrade`).
    ///
    /// Context: a reader's. Panics (contract `rwlock-read-held`) if nobody reads.
    #[track_caller]
    pub fn tryupgrade(&self) -> bool {
        let l = curlwp();
        let mut word = self.rw_owner.load(Relaxed);
        loop {
            contract!(
                word & WRITE_LOCKED == 0 && word & THREAD != 0 && shares::may_have(self),
                "rwlock-read-held",
                "rw_tryupgrade({}) by {}, which is not a reader: {}",
                self.rw_name,
                l.name(),
                Word(word)
            );
            if word & THREAD != READ_INCR {
                return false;
            }
            // Acquire: other readers have left, and what they did must be over.
            match self
                .rw_owner
                .compare_exchange(word, writer(l) | word & FLAGS, Acquire, Relaxed)
            {
                Ok(_) => {
                    order::changes(self.resource(), false);
                    shares::give_back(self);
                    machine::mark(Mark::Held(self.addr()));
                    return true;
                }
                Err(now) => word = now,
            }
        }
    }

    /// Whether readers hold it: for assertions (`rw_read_held`).
    #[track_caller]
    pub fn read_held(&self) -> bool {
        let word = self.rw_owner.load_fused(Relaxed);
        word & WRITE_LOCKED == 0 && word & THREAD != 0
    }

    /// Whether the caller holds it as the writer: for assertions (`rw_write_held`).
    #[track_caller]
    pub fn write_held(&self) -> bool {
        self.rw_owner.load_fused(Relaxed) & (THREAD | WRITE_LOCKED) == writer(curlwp())
    }

    /// Whether anybody holds it: for assertions (`rw_lock_held`).
    #[track_caller]
    pub fn lock_held(&self) -> bool {
        self.rw_owner.load_fused(Relaxed) & THREAD != 0
    }

    /// The writer that holds it: for reports.
    pub fn owner(&self) -> Option<&'static Lwp> {
        writer_of(self.rw_owner.peek())
    }

    /// How many readers hold it: for reports.
    pub fn readers(&self) -> usize {
        let word = self.rw_owner.peek();
        if word & WRITE_LOCKED == 0 {
            word / READ_INCR
        } else {
            0
        }
    }

    /// The caller holds it from now on.
    #[inline(always)]
    #[track_caller]
    fn held(&self, op: Krw) {
        order::holds(self.resource(), op == Krw::Reader);
        if op == Krw::Reader {
            shares::take(self);
        }
        machine::mark(op.mark(self.addr()));
    }

    /// Takes a lock whose word was `word` and is free for `op`.
    #[inline]
    #[track_caller]
    fn take(&self, word: usize, op: Krw, l: &Lwp) -> Result<usize, usize> {
        self.rw_owner
            .compare_exchange(word, (word + op.hold(l)) & !WRITE_WANTED, Acquire, Relaxed)
    }

    /// What the caller's hold added to `word`.
    #[track_caller]
    fn hold_of(&self, word: usize, l: &Lwp) -> usize {
        if word & WRITE_LOCKED != 0 {
            contract!(
                word & (THREAD | WRITE_LOCKED) == writer(l),
                "rwlock-owned",
                "rw_exit({}) by {}, but it is {}",
                self.rw_name,
                l.name(),
                Word(word)
            );
            writer(l)
        } else {
            contract!(
                word & THREAD != 0 && shares::may_have(self),
                "rwlock-held",
                "rw_exit({}) by {}, which does not hold it: {}",
                self.rw_name,
                l.name(),
                Word(word)
            );
            READ_INCR
        }
    }

    #[track_caller]
    fn assert_context(&self, what: &str, l: &Lwp) {
        contract!(
            !spl::cpu_intr_p(),
            "rwlock-context",
            "{what}({}) in a hard interrupt on {}",
            self.rw_name,
            l.name()
        );
    }

    #[track_caller]
    fn assert_may_block(&self, l: &Lwp) {
        if cfg!(feature = "contracts") {
            self.assert_context("rw_enter", l);
            contract!(
                pserialize::not_in_read_section(),
                "rwlock-read-section",
                "rw_enter({}) by {} in a read section of pserialize",
                self.rw_name,
                l.name()
            );
            let held = l.of_cpu(|ci| -ci.ci_mtx_count.look());
            contract!(
                held == 0,
                "rwlock-spin-held",
                "rw_enter({}) by {} with {held} spin mutexes held",
                self.rw_name,
                l.name()
            );
            contract!(
                !shares::has(self),
                "rwlock-recursion",
                "rw_enter({}) by {}, which reads it: a writer that comes in between keeps both waiting",
                self.rw_name,
                l.name()
            );
        }
    }

    /// The slow path of an enter (`rw_vector_enter`).
    #[cold]
    #[track_caller]
    fn vector_enter(&self, op: Krw, l: &'static Lwp) {
        contract!(
            !l.is_idle(),
            "sleepable",
            "rw_enter({}) would block the idle LWP {}",
            self.rw_name,
            l.name()
        );
        l.l_wantrw
            .store_fused(core::ptr::from_ref(self).cast_mut().cast(), Relaxed);
        synch::kpreempt_disable();
        let mut word = self.rw_owner.load(Relaxed);
        loop {
            if word & op.need_wait() == 0 {
                match self.take(word, op, l) {
                    Ok(_) => break,
                    Err(now) => word = now,
                }
                continue;
            }
            contract!(
                word & (THREAD | WRITE_LOCKED) != writer(l),
                "rwlock-recursion",
                "rw_enter({}) by {}, which is its writer: locking against myself",
                self.rw_name,
                l.name()
            );
            if oncpu(word) {
                word = self.spin_while_oncpu(word);
                if word & op.need_wait() == 0 {
                    continue;
                }
            }
            if self.block(op) && self.was_handed(op, l) {
                break;
            }
            word = self.rw_owner.load(Relaxed);
        }
        l.l_wantrw.store_fused(core::ptr::null_mut(), Relaxed);
        synch::kpreempt_enable();
    }

    /// Spins until the writer leaves the lock or its CPU, or others wait. Preemption is on in between.
    #[track_caller]
    fn spin_while_oncpu(&self, mut word: usize) -> usize {
        while oncpu(word) {
            synch::kpreempt_enable();
            crate::mem::relax();
            synch::kpreempt_disable();
            word = self.rw_owner.load(Relaxed);
        }
        word
    }

    /// Sleeps until somebody wakes the caller, unless the lock has changed meanwhile. Whether it slept.
    #[track_caller]
    fn block(&self, op: Krw) -> bool {
        let chain = turnstile::lookup(self.addr());
        // Look again: the chain lock may have taken its time.
        let word = self.rw_owner.load(Relaxed);
        let marked = word & op.need_wait() != 0
            && !oncpu(word)
            && self
                .rw_owner
                .compare_exchange(word, word | op.set_wait(), Relaxed, Relaxed)
                .is_ok();
        if !marked {
            chain.exit();
            return false;
        }
        curlwp().kernel().counters.rwlock_sleeps.incr();
        note!(
            "{} sleeps for {}: it is {}",
            curlwp().name(),
            self.rw_name,
            Word(word)
        );
        chain.block(self.addr(), op.queue(), SyncObj::Rwlock);
        true
    }

    /// Whether the caller, which has been woken, has the lock. Panics: contract `rwlock-handoff`.
    #[track_caller]
    fn was_handed(&self, op: Krw, l: &Lwp) -> bool {
        match op {
            Krw::Reader => {
                contract!(
                    self.read_held(),
                    "rwlock-handoff",
                    "{} was woken as a reader of {}, and it is {}",
                    l.name(),
                    self.rw_name,
                    Word(self.rw_owner.peek())
                );
                true
            }
            // Acquire: what readers did that left before the last one. See the header.
            Krw::Writer => self.rw_owner.load(Acquire) & (THREAD | WRITE_LOCKED) == writer(l),
        }
    }

    /// The slow path of an exit: the last hold goes, and somebody sleeps (`rw_vector_exit`).
    #[cold]
    #[track_caller]
    fn vector_exit(&self, hold: usize) {
        let chain = turnstile::lookup(self.addr());
        let (readers, writers) = (chain.waiters(Queue::Reader), chain.waiters(Queue::Writer));
        if readers != 0 && hold != READ_INCR {
            // A writer leaves: all readers that wait. Later ones must wait if a writer does.
            self.hand_over(hold, writers, share(readers as usize, writers));
            self.handed_to_readers(readers);
            chain.wakeup(Queue::Reader, readers);
        } else if let (Some(first), true) = (chain.first(Queue::Writer), readers != 0) {
            // The last reader leaves: the next writer, ahead of the readers that it has kept out.
            let wanted = if writers > 1 { WRITE_WANTED } else { 0 };
            self.hand_over(hold, writers, writer(first) | HAS_WAITERS | wanted);
            note!("{} is handed to {}", self.rw_name, first.name());
            curlwp().kernel().counters.rwlock_handoffs.incr();
            chain.wakeup(Queue::Writer, 1);
        } else {
            contract!(
                writers != 0,
                "rwlock-handoff",
                "{} has waiters, and of those that sleep {readers} are readers and none is a writer",
                self.rw_name
            );
            self.hand_over(hold, writers, WRITE_WANTED);
            chain.wakeup(Queue::Writer, writers);
        }
    }

    /// The slow path of a downgrade: somebody sleeps.
    #[cold]
    #[track_caller]
    fn vector_downgrade(&self) {
        let hold = writer(curlwp());
        let chain = turnstile::lookup(self.addr());
        let (readers, writers) = (chain.waiters(Queue::Reader), chain.waiters(Queue::Writer));
        // One more reader than those that wait: the caller.
        self.hand_over(hold, writers, share(readers as usize + 1, writers));
        machine::mark(Mark::Shared(self.addr()));
        if readers == 0 {
            chain.exit();
        } else {
            self.handed_to_readers(readers);
            chain.wakeup(Queue::Reader, readers);
        }
    }

    fn handed_to_readers(&self, readers: u32) {
        note!("{} is handed to {readers} readers", self.rw_name);
        curlwp().kernel().counters.rwlock_handoffs.incr();
    }

    /// Replaces the word of a lock that has `hold` as its last hold, and waiters, `writers` of them writers.
    ///
    /// The chain is locked. WRITE_WANTED may be set although no writer sleeps: woken ones are on their way.
    #[track_caller]
    fn hand_over(&self, hold: usize, writers: u32, new: usize) {
        let old = self.rw_owner.swap(new, Release);
        machine::mark(Mark::Released(self.addr()));
        contract!(
            old & !WRITE_WANTED == hold | HAS_WAITERS && (writers == 0 || old & WRITE_WANTED != 0),
            "rwlock-handoff",
            "{} is handed over by its last holder while it is {}",
            self.rw_name,
            Word(old)
        );
    }
}

/// Whether to spin: a writer that runs on a CPU, and nobody else waits (`rw_oncpu`). Preemption is off.
#[track_caller]
fn oncpu(word: usize) -> bool {
    match writer_of(word) {
        Some(l) if word & HAS_WAITERS == 0 => lwp_oncpu(l),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_wait_for_writers_that_hold_or_want_and_writers_for_all() {
        for (word, reader, writer) in [
            (0, false, false),
            (READ_INCR, false, true),
            (READ_INCR | HAS_WAITERS | WRITE_WANTED, true, true),
            (0x1000 | WRITE_LOCKED, true, true),
            (WRITE_WANTED, true, false),
            (WRITE_WANTED | HAS_WAITERS, true, false),
        ] {
            assert_eq!(word & Krw::Reader.need_wait() != 0, reader, "{word:#x}");
            assert_eq!(word & Krw::Writer.need_wait() != 0, writer, "{word:#x}");
        }
    }
}
