//! The link-level table: the link address of each network address (`struct lltable`, `struct llentry`).
//!
//! # Overview
//!
//! Each interface has a table for each network protocol: a hash table of entries, by network address. The table is protected by the
//! interface's `IF_AFDATA_LOCK`, an rwlock, which is part of the table here (`llt_afdata_lock`). An entry has an rwlock of its own
//! (`lle_lock`), and a reference count, an int that changes only with the entry's lock held to write.
//!
//! # References to an entry
//!
//! | holder | from | until |
//! |---|---|---|
//! | the table | the entry is linked | it is unlinked, and [`Llentry::free`] drops the reference |
//! | its timer | the timer is scheduled | it is stopped before it runs, or its handler drops the reference |
//! | others, by name | [`Lltable::lookup_hold`] | [`Llentry::unref`] |
//!
//! *Each* schedule of the timer has a reference of its own, which its handler drops. So code that stops or replaces a pending
//! schedule must drop the reference of the run that will not happen. `callout_pending` tells whether there is one.
//! `callout_stop` stops it, and tells whether the handler has begun to run in between. Each time the lock of an entry is released,
//! its count is compared with the known holders: [`lleref`](crate::net::lleref).
//!
//! # Contexts
//!
//! Thread and softint, including the handlers of timers. Functions here wait only for the two locks, and, when the last reference
//! is dropped, for a handler that is about to return.
//!
//! # Lock order
//!
//! `softnet_lock` (without NET_MPSAFE), `llt_afdata_lock`, `lle_lock`. A handler has the lock of its entry before that of the table. It
//! releases the entry, which its reference keeps alive, locks the table, locks the entry again, and checks that it is still linked.
//! The locks of several entries are held at once only with `llt_afdata_lock` held to write.
//!
//! # Invariants
//!
//! 1. An entry is marked LLE_LINKED exactly if it is in a bucket of its table and the table has a reference to it. This changes with
//!    both locks held to write, and holds whenever `lle_lock` is released.
//! 2. An unlinked entry is never linked again.
//! 3. Only linked entries hold packets.
//! 4. An entry whose link address is known and has not expired has no unanswered requests.
//!
//! # Differences from NetBSD
//!
//! * The lock of the table belongs to the table, not to the interface. There is no list of all tables.
//! * Entries of a bucket are on a singly linked list.
//! * A reference has a name ([`Holder`]), and the check of references knows which function took it.
//! * Before it frees an entry, the last holder waits for a handler of the timer that has dropped its reference and has not returned
//!   yet. NetBSD calls `callout_destroy` at once, which asserts that no handler runs. The two differ only if there are holders other
//!   than the table and the timer.
//! * [`Lltable::purge_entries`] does not wait for handlers, and neither does NetBSD's. A handler releases its entry before it locks the
//!   table, so the table may be freed only after all handlers have returned (`xc_barrier` at softclock's level waits for them).
//! * The old code of [`Bug::LlentryFree`] was in the purge, as `if (callout_halt(…, lle_lock)) LLE_REMREF`. The result of `callout_halt`
//!   does not tell whether a pending schedule was stopped, and an rwlock is no interlock for it (in.c 1.213). The code here has the
//!   effect that this had on a pending timer.
//!
//! # Sources
//!
//! `sys/net/if_llatbl.c` 1.35, `sys/net/if_llatbl.h`, `sys/netinet/in.c` (`in_lltable_create` and the others).

use crate::contract;
use crate::history::Bug;
use crate::kern::callout::Callout;
use crate::kern::clock::getticks;
use crate::kern::grace::Moment;
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_alloc_slice_nosleep, kmem_free, kmem_free_slice};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::rwlock::{Krw, Krwlock};
use crate::machine;
use crate::mem::{Local, Plain};
use crate::net::lleref::{Account, Holder, References, Which};
use crate::net::mbuf::{End, Mbuf, Packet};
use crate::net::{InAddr, LlAddr};
use crate::note;

/// The entry is in its table.
pub const LLE_LINKED: u32 = 1 << 0;
/// The entry was set by hand: it has no timer, and no reply changes it.
pub const LLE_STATIC: u32 = 1 << 1;
/// The table has freed the entry; others may still hold references.
pub const LLE_DELETED: u32 = 1 << 2;
/// The link address is known.
pub const LLE_VALID: u32 = 1 << 3;

type Bucket = Plain<Option<&'static Llentry>>;

/// The functions by which a table uses its interface.
#[derive(Debug)]
pub struct LltOps {
    /// Sends a packet to a network address (`if_output`), and looks up the link address again.
    pub output: fn(Arg, Mbuf, InAddr),
    /// Requests the link address of a network address (`arprequest`).
    pub request: fn(Arg, InAddr),
}

/// A table (`struct lltable`).
pub struct Lltable {
    /// Protects the buckets (`IF_AFDATA_LOCK`).
    llt_afdata_lock: Krwlock,
    lle_head: Local<&'static [Bucket]>,
    llt_lle_count: Plain<u32>,
    /// Taken first by the handlers of timers, without NET_MPSAFE.
    llt_softnet_lock: Local<Option<&'static Kmutex>>,
    llt_ops: Local<Option<&'static LltOps>>,
    llt_arg: Local<Arg>,
    /// When the handler of a timer was on its way to the table last: for checks.
    llt_handler: Moment,
}

crate::fields!(Lltable {
    llt_afdata_lock,
    lle_head,
    llt_lle_count
});

/// An entry (`struct llentry`).
pub struct Llentry {
    pub(super) lle_lock: Krwlock,
    lle_refcnt: Plain<i32>,
    pub(super) la_flags: Plain<u32>,
    /// The next entry of its bucket. Protected by the lock of the table.
    lle_next: Plain<Option<&'static Llentry>>,
    /// The next entry that is being purged.
    lle_chain: Plain<Option<&'static Llentry>>,
    pub(crate) la_timer: Callout,
    /// Packets that wait for the link address, the oldest first.
    la_hold: Plain<Option<&'static Packet>>,
    la_numheld: Plain<u32>,
    /// Requests since the last answer.
    pub(super) la_asked: Plain<u32>,
    /// When the link address expires, in ticks.
    pub(super) la_expire: Plain<u32>,
    /// So many ticks before it expires, it is requested again.
    pub(super) la_preempt: Plain<u32>,
    pub(super) ll_addr: Plain<LlAddr>,
    references: References,
    /// The run of the timer whose handler has dropped its reference, as [`Callout::state`] counts them.
    consumed: Local<u32>,
    r_l3addr: InAddr,
    lle_tbl: &'static Lltable,
    lle_softnet_lock: &'static Kmutex,
}

crate::fields!(Llentry as Kernel {
    lle_lock,
    lle_refcnt,
    la_flags,
    lle_next,
    lle_chain,
    la_timer,
    la_hold,
    la_numheld,
    la_asked,
    la_expire,
    la_preempt,
    ll_addr,
    references,
    consumed
});

impl Default for Lltable {
    fn default() -> Self {
        Self::new()
    }
}

impl Lltable {
    /// A table that must be initialized with [`init`](Self::init).
    pub const fn new() -> Self {
        Lltable {
            llt_afdata_lock: Krwlock::new("afdata"),
            lle_head: Local::new(&[]),
            llt_lle_count: Plain::new(0),
            llt_softnet_lock: Local::new(None),
            llt_ops: Local::new(None),
            llt_arg: Local::new(Arg::NONE),
            llt_handler: Moment::new(),
        }
    }

    /// Allocates the buckets, and sets the functions of the interface and their argument. False: there is no memory.
    ///
    /// Context: thread or boot, before the table is published.
    #[must_use]
    pub fn init(&self, softnet_lock: &'static Kmutex, ops: &'static LltOps, arg: Arg) -> bool {
        let buckets = curlwp().kernel().config().lltable_buckets;
        let Some(heads) = kmem_alloc_slice_nosleep("lltable", buckets, |_| Plain::new(None)) else {
            return false;
        };
        self.lle_head.set(heads);
        self.llt_softnet_lock.set(Some(softnet_lock));
        self.llt_ops.set(Some(ops));
        self.llt_arg.set(arg);
        true
    }

    /// Frees the buckets (`llt_free_tbl`).
    ///
    /// Context: no other user of the table is left, and no handler of a timer runs. Panics: contract `lltable-empty` if the table
    /// has entries; contract `lltable-handlers` if a handler was on its way to the table, and nobody has waited for softclock since.
    #[track_caller]
    pub fn fini(&self) {
        // At rest, where the idle LWP runs, all handlers have ended.
        contract!(
            !self.llt_handler.is_set()
                || curlwp().is_idle()
                || curlwp().kernel().softclock_graces.since(&self.llt_handler),
            "lltable-handlers",
            "{} frees a table, and the handler of a timer that was on its way to it may not have returned: no barrier of softclock has begun \
             since, and ended",
            curlwp().name()
        );
        let entries = self.llt_lle_count.get_fused();
        contract!(
            entries == 0,
            "lltable-empty",
            "{} frees a table with {entries} entries in it",
            curlwp().name()
        );
        let heads = self.lle_head.get();
        self.lle_head.set(&[]);
        if !heads.is_empty() {
            // SAFETY: (1) it came from `kmem_alloc_slice_nosleep` in `init`; (2) nobody uses the table any more.
            unsafe { kmem_free_slice(heads) };
        }
        self.llt_afdata_lock.destroy();
    }

    /// Packets that its entries hold. When nothing runs.
    pub(crate) fn held(&self) -> u64 {
        let entries =
            |head: &Bucket| core::iter::successors(head.peek(), |lle| lle.lle_next.peek());
        let held = self.lle_head.peek().iter().flat_map(entries);
        held.map(|lle| u64::from(lle.la_numheld.peek())).sum()
    }

    /// Takes the lock of the table (`IF_AFDATA_RLOCK`, `IF_AFDATA_WLOCK`). Context: thread or softint, no entry held.
    #[track_caller]
    pub fn afdata_enter(&self, op: Krw) {
        self.llt_afdata_lock.enter(op);
    }

    /// Releases the lock of the table (`IF_AFDATA_UNLOCK`). Context: a holder's.
    #[track_caller]
    pub fn afdata_exit(&self) {
        self.llt_afdata_lock.exit();
    }

    /// `IF_AFDATA_WLOCK_ASSERT`. Panics: contract `lltable-write-held`.
    #[track_caller]
    fn assert_write_held(&self, what: &str) {
        contract!(
            self.llt_afdata_lock.write_held(),
            "lltable-write-held",
            "{what} by {}, which does not hold {} to write",
            curlwp().name(),
            self.llt_afdata_lock.name()
        );
    }

    /// The handler of a timer is on its way to the table, without a lock or a reference.
    pub(super) fn handler_comes(&self) {
        if cfg!(feature = "contracts") {
            self.llt_handler.set(&curlwp().kernel().softclock_graces);
        }
    }

    /// Sends a packet through the interface. Context: thread or softint, no lock of the table or of an entry held.
    pub(super) fn output(&self, m: Mbuf, dst: InAddr) {
        match self.llt_ops.get() {
            Some(ops) => (ops.output)(self.llt_arg.get(), m, dst),
            None => m.free(End::Unresolved),
        }
    }

    /// Requests a link address. Context: thread or softint, no lock of the table or of an entry held.
    pub(super) fn request(&self, dst: InAddr) {
        curlwp().kernel().counters.arp_requests.incr();
        if let Some(ops) = self.llt_ops.get() {
            (ops.request)(self.llt_arg.get(), dst);
        }
    }

    fn bucket(&self, addr: InAddr) -> Option<&'static Bucket> {
        let heads = self.lle_head.get();
        heads.get(addr.0 as usize % heads.len().max(1))
    }

    fn find(&self, addr: InAddr) -> Option<&'static Llentry> {
        let first = self.bucket(addr)?.get();
        let mut entries = core::iter::successors(first, |lle| lle.lle_next.get());
        entries.find(|lle| lle.r_l3addr == addr)
    }

    /// Finds an entry and takes its lock, to read or to write (`lla_lookup`).
    ///
    /// Context: thread or softint, the lock of the table held in either way.
    #[track_caller]
    pub fn lookup(&self, addr: InAddr, op: Krw) -> Option<&'static Llentry> {
        let lle = self.find(addr)?;
        lle.lle_lock.enter(op);
        Some(lle)
    }

    /// Finds an entry and takes a reference, as `holder`, until [`Llentry::unref`].
    ///
    /// Context: thread or softint, no lock of the table or of an entry held.
    pub fn lookup_hold(&self, addr: InAddr, holder: &'static str) -> Option<&'static Llentry> {
        self.afdata_enter(Krw::Reader);
        let lle = self.lookup(addr, Krw::Writer);
        self.afdata_exit();
        let lle = lle?;
        lle.addref(Holder::Other(holder), "lookup_hold");
        lle.wunlock();
        Some(lle)
    }

    /// Finds an entry, or creates one without a link address, and takes its lock to write (`lla_create`). `None`: there is no
    /// memory.
    ///
    /// Context: thread or softint, the lock of the table held to write. Panics: contract `lltable-write-held`.
    #[track_caller]
    pub fn create(&'static self, addr: InAddr) -> Option<&'static Llentry> {
        self.assert_write_held("lla_create");
        if let Some(lle) = self.lookup(addr, Krw::Writer) {
            return Some(lle);
        }
        let lle = Llentry::new(self, addr)?;
        self.link_entry(lle);
        Some(lle)
    }

    /// Puts a new entry into its bucket, and takes its lock to write (`htable_link_entry`).
    fn link_entry(&self, lle: &'static Llentry) {
        let Some(head) = self.bucket(lle.r_l3addr) else {
            unreachable!("init has made a bucket at least")
        };
        lle.lle_lock.enter(Krw::Writer);
        lle.la_flags.set(lle.la_flags.get() | LLE_LINKED);
        lle.addref(Holder::Table, "lla_create");
        lle.lle_next.set(head.get());
        head.set(Some(lle));
        self.llt_lle_count.set(self.llt_lle_count.get() + 1);
    }

    /// Takes an entry out of its bucket, if it is linked (`htable_unlink_entry`). The table's reference stays.
    ///
    /// Context: both locks held to write. Panics: contracts `lltable-write-held`, `llentry-write-held`.
    pub fn unlink_entry(&self, lle: &'static Llentry) {
        lle.assert_write_held("lltable_unlink_entry");
        let flags = lle.la_flags.get();
        if flags & LLE_LINKED == 0 {
            return;
        }
        self.assert_write_held("lltable_unlink_entry");
        let next = lle.lle_next.get();
        let mut place = self.bucket(lle.r_l3addr);
        while let Some(link) = place {
            match link.get() {
                Some(here) if core::ptr::eq(here, lle) => {
                    link.set(next);
                    break;
                }
                Some(here) => place = Some(&here.lle_next),
                None => break,
            }
        }
        lle.la_flags.set(flags & !(LLE_VALID | LLE_LINKED));
        self.llt_lle_count.set(self.llt_lle_count.get() - 1);
    }

    /// Deletes an entry (`lla_delete`) and drops the packets that it holds. False: there was none.
    ///
    /// Context: thread or softint, the lock of the table held to write. Panics: contract `lltable-write-held`.
    pub fn delete(&'static self, addr: InAddr) -> bool {
        self.assert_write_held("lla_delete");
        let Some(lle) = self.lookup(addr, Krw::Writer) else {
            return false;
        };
        lle.free();
        true
    }

    /// Deletes every entry (`lltable_purge_entries`).
    ///
    /// Context: thread or softint, no lock of the table or of an entry held. Does not wait for handlers of timers.
    pub fn purge_entries(&'static self) {
        self.afdata_enter(Krw::Writer);
        let mut chain = None;
        for head in self.lle_head.get() {
            let mut next = head.get();
            while let Some(lle) = next {
                next = lle.lle_next.get();
                // Several at once: no other thread can hold two, because this one holds the table's lock to write.
                lle.lle_lock.enter(Krw::Writer);
                lle.lle_chain.set(chain);
                chain = Some(lle);
            }
        }
        let mut next = chain;
        while let Some(lle) = next {
            next = lle.lle_chain.get();
            self.unlink_entry(lle);
        }
        self.afdata_exit();
        while let Some(lle) = chain {
            chain = lle.lle_chain.get();
            lle.free();
        }
    }
}

impl Llentry {
    /// A new entry, without references.
    fn new(table: &'static Lltable, addr: InAddr) -> Option<&'static Llentry> {
        let lle = Llentry {
            lle_lock: Krwlock::new("lle"),
            lle_refcnt: Plain::new(0),
            la_flags: Plain::new(0),
            lle_next: Plain::new(None),
            lle_chain: Plain::new(None),
            la_timer: Callout::new(),
            la_hold: Plain::new(None),
            la_numheld: Plain::new(0),
            la_asked: Plain::new(0),
            la_expire: Plain::new(0),
            la_preempt: Plain::new(0),
            ll_addr: Plain::new([0; 6]),
            references: References::new(),
            consumed: Local::new(0),
            r_l3addr: addr,
            lle_tbl: table,
            lle_softnet_lock: table.llt_softnet_lock.get()?,
        };
        let lle = kmem_alloc_nosleep("llentry", lle)?;
        machine::label(lle, format_args!("lle"));
        lle.la_timer.init(curcpu());
        Some(lle)
    }

    /// Its network address.
    pub fn addr(&self) -> InAddr {
        self.r_l3addr
    }

    /// Whether the entry has a link address. Context: thread or softint, without the lock; by a holder.
    pub fn look(&self) -> bool {
        self.lle_lock.enter(Krw::Reader);
        let valid = self.la_flags.get() & LLE_VALID != 0;
        self.runlock();
        valid
    }

    /// Whether its link address is known and has not expired, without a step. Context: the lock held.
    fn is_good(&self) -> bool {
        let flags = self.la_flags.peek();
        let left = || {
            self.la_expire
                .peek()
                .wrapping_sub(getticks(curlwp().kernel())) as i32
        };
        flags & LLE_VALID != 0 && (flags & LLE_STATIC != 0 || left() > 0)
    }

    /// Its table. If the entry is not linked, the table may have been freed.
    pub(super) fn table(&self) -> &'static Lltable {
        self.lle_tbl
    }

    pub(super) fn softnet_lock(&self) -> &'static Kmutex {
        self.lle_softnet_lock
    }

    /// Takes its lock to write (`LLE_WLOCK`). Context: thread or softint; the caller, or the table, has a reference.
    #[track_caller]
    pub fn wlock(&self) {
        self.lle_lock.enter(Krw::Writer);
    }

    /// Releases its lock (`LLE_WUNLOCK`). Context: the writer's. Panics: contract `llentry-references`.
    #[track_caller]
    pub fn wunlock(&self) {
        self.audit();
        self.lle_lock.exit();
    }

    /// Releases its lock (`LLE_RUNLOCK`). Context: a reader's. Panics: contract `llentry-references`.
    #[track_caller]
    pub fn runlock(&self) {
        self.audit();
        self.lle_lock.exit();
    }

    /// Turns the write lock into a read lock (`LLE_DOWNGRADE`). Context: the writer's. Panics: contract `llentry-references`.
    #[track_caller]
    pub fn downgrade(&self) {
        self.audit();
        self.lle_lock.downgrade();
    }

    /// `LLE_WLOCK_ASSERT`. Panics: contract `llentry-write-held`.
    #[track_caller]
    pub(super) fn assert_write_held(&self, what: &str) {
        contract!(
            self.lle_lock.write_held(),
            "llentry-write-held",
            "{what} of the entry {} by {}, which does not hold its lock to write",
            self.r_l3addr,
            curlwp().name()
        );
    }

    /// Takes a reference, in `function` (`LLE_ADDREF`).
    ///
    /// Context: the lock held to write. Panics: contract `llentry-write-held`.
    #[track_caller]
    pub fn addref(&self, holder: Holder, function: &'static str) {
        self.assert_write_held("LLE_ADDREF");
        self.lle_refcnt.set(self.lle_refcnt.get() + 1);
        let runs = match holder {
            Holder::Timer => self.la_timer.state().runs,
            _ => 0,
        };
        self.references.take(holder, function, runs);
    }

    /// Drops a reference that is not the last (`LLE_REMREF`); of the timer, that of a schedule that was stopped.
    ///
    /// Context: the lock held to write. Panics: contracts `llentry-write-held`, `llentry-holder`.
    #[track_caller]
    pub fn remref(&self, holder: Holder) {
        self.drop_reference(holder, Which::Last);
    }

    /// Drops the timer's reference, from its handler.
    ///
    /// Context: the handler's, the lock held to write. Panics: contracts `llentry-write-held`, `llentry-holder`.
    #[track_caller]
    pub(super) fn remref_in_handler(&self) {
        self.drop_reference(Holder::Timer, Which::First);
        self.consumed.set(self.la_timer.state().runs);
    }

    #[track_caller]
    fn drop_reference(&self, holder: Holder, which: Which) {
        self.assert_write_held("LLE_REMREF");
        self.references.give(holder, which, self.r_l3addr);
        self.lle_refcnt.set(self.lle_refcnt.get() - 1);
    }

    /// Releases the lock, and frees the entry if it has no references (the second half of `LLE_FREE_LOCKED`; the first drops the
    /// caller's reference).
    ///
    /// Context: thread or softint, the lock held to write. Waits for a handler of the timer that has dropped its reference
    /// and is about to return. Panics: contract `llentry-references`.
    pub(super) fn free_locked(&'static self) {
        let left = self.lle_refcnt.get();
        self.wunlock();
        if left > 0 {
            return;
        }
        let _waited = self.la_timer.halt(None);
        self.la_timer.destroy();
        self.lle_lock.destroy();
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody has a reference: not the table, so that nobody finds it, not the
        // timer, and no holder. That the count is right is the promise under test.
        unsafe { kmem_free(self) };
    }

    /// Drops a holder's reference (`LLE_FREE`).
    ///
    /// Context: thread or softint, the lock not held. Panics: contract `llentry-holder`.
    pub fn unref(&'static self, holder: &'static str) {
        self.wlock();
        self.drop_reference(Holder::Other(holder), Which::First);
        self.free_locked();
    }

    /// Deletes the entry, drops the packets that it holds and the table's reference, and releases its lock (`llentry_free`).
    ///
    /// Context: thread or softint, the lock held to write; if the entry is linked, the lock of the table too.
    /// Panics: contracts `llentry-write-held`, `lltable-write-held`.
    pub fn free(&'static self) {
        self.assert_write_held("llentry_free");
        note!("{} is deleted", self.r_l3addr);
        self.la_flags.set(self.la_flags.get() | LLE_DELETED);
        if self.la_flags.get() & LLE_LINKED != 0 {
            self.lle_tbl.unlink_entry(self);
        }
        self.stop_timer(Bug::LlentryFree);
        let dropped = self.drop_queue();
        curlwp().kernel().counters.arp_dropped.add(dropped);
        self.remref(Holder::Table);
        self.free_locked();
    }

    /// Stops a pending timer, and drops the reference of the run that will not happen. `bug` is the old code that kept it.
    ///
    /// `callout_pending` first: `callout_stop` does not tell what was never scheduled from what was pending. If the handler
    /// has begun in between, `callout_stop` says so, and the reference is the handler's. Not `callout_halt`: the handler
    /// enters this lock, and no rwlock is an interlock.
    pub(super) fn stop_timer(&self, bug: Bug) {
        if self.la_timer.pending() {
            let expired = self.la_timer.stop();
            let how = if expired { "has fired" } else { "is taken off" };
            note!("{}'s timer {how}", self.r_l3addr);
            if !expired && !curlwp().kernel().config().history.has(bug) {
                self.remref(Holder::Timer);
            }
        }
    }

    /// Holds a packet until the link address is known; drops the oldest ones if there are more than `most`. Returns how many.
    ///
    /// Context: the lock held to write. Panics: contract `llentry-write-held`.
    pub(super) fn hold(&self, m: Mbuf, most: u32) -> u64 {
        self.assert_write_held("holding a packet");
        let dropped = if self.la_numheld.get() < most {
            0
        } else {
            let oldest = self.unhold();
            let count = u64::from(oldest.is_some());
            if let Some(oldest) = oldest {
                oldest.free(End::Unresolved);
            }
            count
        };
        let packet = m.into_queue();
        packet.m_nextpkt.set(None);
        let first = self.la_hold.get();
        match core::iter::successors(first, |packet| packet.m_nextpkt.get()).last() {
            Some(last) => last.m_nextpkt.set(Some(packet)),
            None => self.la_hold.set(Some(packet)),
        }
        self.la_numheld.set(self.la_numheld.get() + 1);
        dropped
    }

    /// Takes the oldest packet that is held. Context: the lock held to write.
    fn unhold(&self) -> Option<Mbuf> {
        let packet = self.la_hold.get()?;
        self.la_hold.set(packet.m_nextpkt.get());
        self.la_numheld.set(self.la_numheld.get() - 1);
        // SAFETY: it came from `into_queue`, and was taken out of the queue just now.
        Some(unsafe { Mbuf::from_queue(packet) })
    }

    /// Takes all packets that are held, the oldest first. Context: the lock held to write.
    pub(super) fn take_held(&self) -> Held {
        let held = Held(self.la_hold.get());
        self.la_hold.set(None);
        self.la_numheld.set(0);
        held
    }

    /// Drops all packets that are held (`lltable_drop_entry_queue`). Returns how many. Context: the lock held to write.
    fn drop_queue(&self) -> u64 {
        let mut dropped = 0;
        for m in self.take_held() {
            m.free(End::Unresolved);
            dropped += 1;
        }
        dropped
    }

    /// Checks the reference count against the known holders, and the count of requests against the state. Panics: contracts
    /// `llentry-references`, `llentry-asked`.
    #[track_caller]
    fn audit(&self) {
        if !cfg!(feature = "contracts") {
            return;
        }
        let asked = self.la_asked.peek();
        contract!(
            asked == 0 || !self.is_good(),
            "llentry-asked",
            "the link address of {} is known and has not expired, and {asked} requests are counted as unanswered, when {} releases the \
             entry's lock",
            self.r_l3addr,
            curlwp().name()
        );
        let timer = self.la_timer.state();
        self.references.audit(Account {
            entry: self.r_l3addr,
            refcnt: self.lle_refcnt.get(),
            linked: self.la_flags.get() & LLE_LINKED != 0,
            timer,
            consumed: self.consumed.get() == timer.runs,
        });
    }
}

/// Packets taken from an entry. Each must be sent or freed.
#[must_use = "the packets are to be sent or freed"]
pub(super) struct Held(Option<&'static Packet>);

impl Iterator for Held {
    type Item = Mbuf;

    fn next(&mut self) -> Option<Mbuf> {
        let packet = self.0?;
        self.0 = packet.m_nextpkt.get();
        packet.m_nextpkt.set(None);
        // SAFETY: it came from `into_queue`, and is of this list alone, which has left it behind.
        Some(unsafe { Mbuf::from_queue(packet) })
    }
}
