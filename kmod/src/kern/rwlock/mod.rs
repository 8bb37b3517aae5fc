//! rwlock(9): many readers, or one writer.
//!
//! # Overview
//!
//! The lock is one word: the number of readers, or the writer's LWP, and three flags. An LWP spins only while a
//! writer runs on a CPU and there are no other waiters. Otherwise it sleeps on a turnstile, which has a queue for
//! readers and one for writers.
//!
//! A lock with waiters is not simply released. The last holder decides who gets it next, and *hands it over* before
//! it wakes any LWP.
//!
//! | who exits | who waits | what happens |
//! |---|---|---|
//! | a writer | readers, perhaps writers | all waiting readers get it; writers keep waiting |
//! | the last reader | readers and writers | the writer that has waited longest gets it |
//! | either | writers only | it is free, but closed to readers; all writers are woken and try |
//!
//! While a writer waits, new readers must wait too (*writer preference*), so readers cannot keep a writer out for
//! ever. A writer that exits lets the waiting readers in before the next writer, so writers cannot keep readers out
//! either.
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
//! [`Krwlock::enter`], [`Krwlock::exit`] and the rest: thread and softint; not a hard interrupt, and not with a spin
//! mutex held. The lock does not raise the level: a softint that enters it may have to wait for a thread. No thread
//! may enter a lock that it already holds, not even twice as a reader, because a writer may wait in between. The word
//! does not say who reads; a kernel with contracts [records](crate::kern::shares) it. The lock cannot be the
//! interlock of a condition variable or callout.
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
//! 2. WRITE_WANTED is set while a writer sleeps, and while readers hold the lock and any LWP sleeps. So the word of a
//!    lock that its last holder exits does not change once the chain is locked.
//! 3. A reader that was woken has the lock. A writer that was woken has it if the word says so.
//!
//! # Memory order
//!
//! An exit is a release and an enter is an acquire. Every change in between is an interlocked operation on the word,
//! which passes on what was released before. A writer that gets the lock from the *last* reader must also see what
//! the *other* readers did, none of which woke it:
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
//! Readers write to the word, so they do not scale. For data that is read often and changed rarely there are passive
//! references and passive serialization.
//!
//! # Differences from NetBSD
//!
//! A lock has a name. There is no bit for lock debugging, so the count begins one bit lower. No priority inheritance.
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
use crate::machine::{self, Described, Field, Mark, ObjectKind, Occasion};
use crate::mem::{Acquire, AtomicUsize, Relaxed, Release};
use crate::note;
use word::{
    FLAGS, HAS_WAITERS, READ_INCR, THREAD, WRITE_LOCKED, WRITE_WANTED, Word, share, writer,
    writer_of,
};

/// How a lock is entered (`krw_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Krw {
    /// Shared with other readers (`RW_READER`).
    Reader,
    /// Exclusively (`RW_WRITER`).
    Writer,
}

impl Krw {
    /// The bits that make the caller wait.
    const fn need_wait(self) -> usize {
        match self {
            Krw::Reader => WRITE_LOCKED | WRITE_WANTED,
            Krw::Writer => WRITE_LOCKED | THREAD,
        }
    }

    /// The bits that a waiter sets.
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

    /// The mark in the trace.
    fn mark(self, addr: usize) -> Mark {
        match self {
            Krw::Reader => Mark::Shared(addr),
            Krw::Writer => Mark::Held(addr),
        }
    }

    /// The value that a holder adds to a word that is free for it.
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

/// To traces a lock is one word, named after the field that contains it.
impl Described for Krwlock {
    const FIELDS: &'static [Field] = &[];
    const SORT: ObjectKind = ObjectKind::Lock;
}

impl Krwlock {
    /// Creates a free lock (`rw_init`). `name` is for reports.
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

    /// The resource that its waiters wait for.
    #[inline(always)]
    fn resource(&self) -> Resource {
        order::lock(Sort::Rwlock, self, self.rw_name)
    }

    /// Destroys a lock (`rw_destroy`).
    ///
    /// Context: any. Panics (contract `rwlock-destroy`) if it is held or has waiters.
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

    /// Enters the lock, and waits for it if necessary (`rw_enter`).
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

    /// Enters the lock if that is possible without waiting (`rw_tryenter`), and returns whether it did.
    ///
    /// A reader does not get in while a writer waits. Context: as [`enter`](Self::enter); does not wait.
    /// Panics: contract `rwlock-context`.
    #[inline]
    #[track_caller]
    pub fn tryenter(&self, op: Krw) -> bool {
        let l = curlwp();
        self.assert_context("rw_tryenter", l);
        let mut word = self.rw_owner.load(Relaxed);
        while word & op.need_wait() == 0 {
            // WRITE_WANTED stays: the writers that were woken have not tried yet.
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

    /// Exits the lock, as a reader or a writer (`rw_exit`).
    ///
    /// Context: that of a holder. Panics: contracts `rwlock-owned`, `rwlock-held`, `rwlock-handoff`.
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

    /// Turns a write hold into a read hold without letting another writer in (`rw_downgrade`).
    ///
    /// Waiting readers get in too. Context: the writer's. Panics (contract `rwlock-write-held`) if the caller is not
    /// the writer.
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

    /// Turns a read hold into a write hold if there is no other reader (`rw_tryupgrade`). Returns whether it did.
    ///
    /// Context: a reader's. Panics (contract `rwlock-read-held`) if the caller is not a reader.
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
            // Acquire: other readers have left, and what they did must be visible.
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

    /// Records that the caller holds it.
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

    /// The value that the caller added to `word`.
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
                "rw_enter({}) by {}, which reads it: a writer that waits in between would block both",
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
        machine::happened(Occasion::Contended(self.addr()));
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

    /// Spins until the writer exits the lock or leaves its CPU, or others wait. Preemption is on in between.
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

    /// Sleeps until the caller is woken, unless the lock has changed in the meantime. Returns whether it slept.
    #[track_caller]
    fn block(&self, op: Krw) -> bool {
        let chain = turnstile::lookup(self.addr());
        // Check again: taking the chain lock may have taken long.
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
            // Acquire: what readers did that exited before the last one. See the header.
            Krw::Writer => self.rw_owner.load(Acquire) & (THREAD | WRITE_LOCKED) == writer(l),
        }
    }

    /// The slow path of an exit: the last holder exits, and an LWP sleeps (`rw_vector_exit`).
    #[cold]
    #[track_caller]
    fn vector_exit(&self, hold: usize) {
        let chain = turnstile::lookup(self.addr());
        let (readers, writers) = (chain.waiters(Queue::Reader), chain.waiters(Queue::Writer));
        if readers != 0 && hold != READ_INCR {
            // A writer exits: all waiting readers get in. Later ones must wait if a writer does.
            self.hand_over(hold, writers, share(readers as usize, writers));
            self.handed_to_readers(readers);
            chain.wakeup(Queue::Reader, readers);
        } else if let (Some(first), true) = (chain.first(Queue::Writer), readers != 0) {
            // The last reader exits: the next writer gets in, ahead of the readers that waited behind it.
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

    /// The slow path of a downgrade: an LWP sleeps.
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

    /// Replaces the word of a lock with `hold` as its last holder's value, and with waiters, `writers` of them
    /// writers.
    ///
    /// The chain is locked. WRITE_WANTED may be set although no writer sleeps: woken writers have not tried yet.
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
