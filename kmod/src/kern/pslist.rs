//! pslist(9): lists that are read without a lock.
//!
//! # Overview
//!
//! A doubly linked list. Readers follow `ple_next` inside a read section of [pserialize](crate::kern::pserialize).
//! Writers insert and remove; they exclude each other by other means. A removed entry keeps its `ple_next`, so that a
//! reader at that entry can continue. The writer waits for readers (`pserialize_perform`) before it destroys the
//! entry or reuses it.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::pserialize::{self, Pserialize};
//! use kmod::kern::pslist::{Listed, PslistEntry, PslistHead};
//!
//! #[repr(C)]
//! struct Address {
//!     entry: PslistEntry,
//!     number: u32,
//! }
//!
//! // SAFETY: `repr(C)`, and the entry is the first field.
//! unsafe impl Listed for Address {
//!     fn entry(&self) -> &PslistEntry {
//!         &self.entry
//!     }
//! }
//!
//! run(|| {
//!     let list = PslistHead::<Address>::new();
//!     let first = Address { entry: PslistEntry::new(), number: 1 };
//!     let second = Address { entry: PslistEntry::new(), number: 2 };
//!     list.insert_head(&first);
//!     list.insert_after(&first, &second);
//!
//!     let s = pserialize::read_enter();
//!     assert!(list.iter().map(|address| address.number).eq([1, 2]));
//!     pserialize::read_exit(s);
//!
//!     let psz = Pserialize::new();
//!     first.entry.remove();
//!     second.entry.remove();
//!     psz.perform();
//!     first.entry.destroy();
//!     second.entry.destroy();
//!     list.destroy();
//!     psz.destroy();
//! });
//! ```
//!
//! # Contexts
//!
//! Reading ([`PslistHead::first`], [`PslistHead::next`]): any context that keeps the entries from being destroyed,
//! usually a read section. Writing: writers exclude each other. [`PslistEntry::destroy`], [`PslistHead::destroy`]: no
//! other thread uses it any more.
//!
//! # Invariants
//!
//! 1. `ple_prevp` points to the pointer that points to the entry. Only writers read it. It is null if the entry is on
//!    no list.
//! 2. Everything that a reader can reach was initialized before it was published.
//!
//! # Memory order
//!
//! ```text
//! writer                                  reader
//! fills the entry                         first() / next(): load-consume (here: acquire)
//! new.ple_next = successor (plain)        reads the entry: sees what was filled in
//! *prevp = new (release)
//! ```
//!
//! The release also keeps the writer's *earlier loads* before the publication (1.7, 2019-12-01). Removal is also a
//! release: it publishes the address of the successor again, perhaps by another writer than the one that initialized
//! it.
//!
//! ```text
//! writer 1            writer 2 (later)                reader
//! fills A             removes B, which stood first:
//! first = A (release) first = A (relaxed?)            first(): reads what writer 2 stored
//!                                                     reads A: ordered after writer 1?
//! ```
//!
//! A relaxed store would end the release sequence that writer 1 began.
//!
//! # Differences from NetBSD
//!
//! Loads are acquire instead of consume. Removal is a release instead of relaxed (see above: by the letter of C11 the
//! relaxed store of 1.7 leaves the reader unordered; a generated program found that). On x86 all of them are plain
//! instructions. The container of an entry is found by a cast, by the first-field rule: containers are `repr(C)` and
//! begin with their entry.
//!
//! # Sources
//!
//! pslist(9); `sys/sys/pslist.h` 1.7.

use core::marker::PhantomData;

use crate::contract;
use crate::kern::grace::Moment;
use crate::kern::lwp::curlwp;
use crate::machine;
use crate::mem::{Acquire, AtomicUsize, Plain, Relaxed, Release};

/// The value of `ple_next` in a destroyed entry, which is not a valid address.
const POISON: usize = 1;

/// A list of `T`s, each of which begins with a [`PslistEntry`].
pub struct PslistHead<T: Listed> {
    plh_first: AtomicUsize,
    of: PhantomData<&'static T>,
}

/// The link of an object in a list.
#[repr(C)]
pub struct PslistEntry {
    ple_next: AtomicUsize,
    ple_prevp: Plain<usize>,
    /// When it was removed: for checks.
    removed: Moment,
}

/// An object that can be on a list.
///
/// # Safety
///
/// The type is `repr(C)` and its first field is the [`PslistEntry`] that `entry` gives.
pub unsafe trait Listed: 'static {
    /// The entry.
    fn entry(&self) -> &PslistEntry;
}

impl<T: Listed> crate::machine::Described for PslistHead<T> {
    const FIELDS: &'static [crate::machine::Field] = &[];
}

crate::fields!(PslistEntry {
    ple_next,
    ple_prevp
});

impl Default for PslistEntry {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Listed> Default for PslistHead<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The pointer at `prevp`: the `ple_next` or `plh_first` that points to an entry.
fn pointer(prevp: usize) -> &'static AtomicUsize {
    // SAFETY: (1) `ple_prevp` is set from the address of such a pointer, whose owner is on the list or its head; (2)
    // who takes the owner off corrects `ple_prevp` of its successor first.
    unsafe { &*(prevp as *const AtomicUsize) }
}

fn addr(pointer: &AtomicUsize) -> usize {
    core::ptr::from_ref(pointer) as usize
}

/// The entry at an address that a list holds.
fn at(address: usize) -> Option<&'static PslistEntry> {
    // SAFETY: lists hold addresses of entries that were inserted. That they are still alive is the readers' and
    // writers' protocol, which the simulated machine checks at each access.
    unsafe { (address as *const PslistEntry).as_ref() }
}

impl PslistEntry {
    /// An entry on no list (`PSLIST_ENTRY_INITIALIZER`).
    pub const fn new() -> Self {
        PslistEntry {
            ple_next: AtomicUsize::new(0),
            ple_prevp: Plain::new(0),
            removed: Moment::new(),
        }
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }

    /// Destroys the entry (`PSLIST_ENTRY_DESTROY`). Readers that still follow it are detected.
    ///
    /// Context: no other thread uses it. Panics (contract `pslist-destroy`) if it is on a list.
    #[track_caller]
    pub fn destroy(&self) {
        contract!(
            self.ple_prevp.get_fused() == 0,
            "pslist-destroy",
            "{} destroys an entry that is on a list",
            curlwp().name()
        );
        self.ple_next.store_fused(POISON, Relaxed);
    }

    /// Inserts the entry where `prevp` points, and publishes it.
    #[track_caller]
    fn insert(&self, prevp: &AtomicUsize) {
        contract!(
            self.ple_prevp.get_fused() == 0 && self.ple_next.load_fused(Relaxed) == 0,
            "pslist-insert",
            "{} inserts an entry that is on a list, or was removed from one and not initialized since",
            curlwp().name()
        );
        let next = prevp.load_fused(Relaxed);
        if let Some(next) = at(next) {
            contract!(
                next.ple_prevp.get_fused() == addr(prevp),
                "pslist-linked",
                "{} inserts an entry before one that does not point back: the list was moved, or the place is no longer on it",
                curlwp().name()
            );
            next.ple_prevp.set_fused(addr(&self.ple_next));
        }
        self.ple_next.store_fused(next, Relaxed);
        self.ple_prevp.set_fused(addr(prevp));
        prevp.store(self.address(), Release);
    }

    /// Removes the entry from its list (`PSLIST_WRITER_REMOVE`). Readers may still be at it.
    ///
    /// Context: writer. Panics: contracts `pslist-remove`, `pslist-linked`.
    #[track_caller]
    pub fn remove(&self) {
        let prevp = self.ple_prevp.get_fused();
        let next = self.ple_next.load_fused(Relaxed);
        contract!(
            prevp != 0 && next != POISON,
            "pslist-remove",
            "{} removes an entry that is on no list",
            curlwp().name()
        );
        contract!(
            pointer(prevp).load_fused(Relaxed) == self.address(),
            "pslist-linked",
            "{} removes an entry that its predecessor does not point to",
            curlwp().name()
        );
        if let Some(next) = at(next) {
            next.ple_prevp.set_fused(prevp);
        }
        // Readers continue through `ple_next`, which stays.
        pointer(prevp).store(next, Release);
        self.ple_prevp.set_fused(0);
        // Without a kernel nobody waits.
        if cfg!(feature = "contracts") && !machine::word().is_null() {
            self.removed.set(&curlwp().kernel().psz_graces);
        }
    }

    /// Whether the entry was removed, and a wait for readers that began after that has ended: no reader is at it that found it on the list.
    pub(crate) fn is_waited_for(&self) -> bool {
        curlwp().kernel().psz_graces.since(&self.removed)
    }

    /// The entry, of a list that has readers at any time, is about to be destroyed by `what`: it was never on a list, or its readers were
    /// waited for.
    ///
    /// Panics (contract `pslist-wait`) if not.
    #[track_caller]
    pub(crate) fn assert_waited_for(&self, what: &str) {
        contract!(
            !self.removed.is_set() || self.is_waited_for(),
            "pslist-wait",
            "{what} by {} destroys an entry, and no wait for readers has begun and ended since it was removed from its list",
            curlwp().name()
        );
    }

    #[track_caller]
    fn follow(&self) -> Option<&'static PslistEntry> {
        let next = self.ple_next.load(Acquire);
        contract!(
            next != POISON,
            "pslist-next",
            "{} follows an entry that was destroyed",
            curlwp().name()
        );
        at(next)
    }
}

impl<T: Listed> PslistHead<T> {
    /// An empty list (`PSLIST_INITIALIZER`).
    pub const fn new() -> Self {
        PslistHead {
            plh_first: AtomicUsize::new(0),
            of: PhantomData,
        }
    }

    fn container(entry: &'static PslistEntry) -> &'static T {
        // SAFETY: entries of this list are first fields of `T`s: the promise of `Listed`.
        unsafe { &*core::ptr::from_ref(entry).cast::<T>() }
    }

    /// Destroys the list (`PSLIST_DESTROY`).
    ///
    /// Context: no other thread uses it. Panics (contract `pslist-empty`) if it is not empty.
    #[track_caller]
    pub fn destroy(&self) {
        contract!(
            self.plh_first.load_fused(Relaxed) == 0,
            "pslist-empty",
            "{} destroys a list that is not empty",
            curlwp().name()
        );
    }

    /// Inserts `item` at the head (`PSLIST_WRITER_INSERT_HEAD`).
    ///
    /// Context: writer. Panics: contracts `pslist-insert`, `pslist-linked`.
    #[track_caller]
    pub fn insert_head(&self, item: &T) {
        item.entry().insert(&self.plh_first);
    }

    /// Inserts `item` after `before`, which is on this list (`PSLIST_WRITER_INSERT_AFTER`).
    ///
    /// Context, panics: as [`insert_head`](Self::insert_head).
    #[track_caller]
    pub fn insert_after(&self, before: &T, item: &T) {
        item.entry().insert(&before.entry().ple_next);
    }

    /// Inserts `item` before `after`, which is on this list (`PSLIST_WRITER_INSERT_BEFORE`).
    ///
    /// Context: writer. Panics: contracts `pslist-before`, and those of [`insert_head`](Self::insert_head).
    #[track_caller]
    pub fn insert_before(&self, after: &T, item: &T) {
        let prevp = after.entry().ple_prevp.get_fused();
        contract!(
            prevp != 0,
            "pslist-before",
            "{} inserts an entry before one that is on no list",
            curlwp().name()
        );
        item.entry().insert(pointer(prevp));
    }

    /// The first item (`PSLIST_READER_FIRST`).
    ///
    /// Context: reader.
    #[track_caller]
    pub fn first(&self) -> Option<&'static T> {
        at(self.plh_first.load(Acquire)).map(Self::container)
    }

    /// The item after `item` (`PSLIST_READER_NEXT`).
    ///
    /// Context: reader. Panics (contract `pslist-next`) if `item` was destroyed.
    #[track_caller]
    pub fn next(&self, item: &T) -> Option<&'static T> {
        item.entry().follow().map(Self::container)
    }

    /// The items, first to last, without a step. For checks, on a machine on which CPUs take turns.
    pub(crate) fn peek(&self) -> impl Iterator<Item = &'static T> {
        let first = at(self.plh_first.peek());
        core::iter::successors(first, |entry| at(entry.ple_next.peek())).map(Self::container)
    }

    /// The items, first to last (`PSLIST_READER_FOREACH`). The current item may be removed during the iteration.
    ///
    /// Context: reader, for as long as the iterator is used.
    #[track_caller]
    pub fn iter(&self) -> impl Iterator<Item = &'static T> + '_ {
        // The successor is read only when it is needed.
        let mut last = None;
        core::iter::from_fn(move || {
            last = match last {
                None => self.first(),
                Some(item) => self.next(item),
            };
            last
        })
        .fuse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    struct Item {
        entry: PslistEntry,
        value: u32,
    }

    // SAFETY: `repr(C)`, and the entry is the first field.
    unsafe impl Listed for Item {
        fn entry(&self) -> &PslistEntry {
            &self.entry
        }
    }

    fn item(value: u32) -> Item {
        Item {
            entry: PslistEntry::new(),
            value,
        }
    }

    fn values<const N: usize>(list: &PslistHead<Item>) -> [u32; N] {
        let mut items = list.iter();
        let values = core::array::from_fn(|_| items.next().map_or(0, |item| item.value));
        assert!(items.next().is_none(), "the list is longer than {N}");
        values
    }

    #[test]
    fn items_stand_where_they_were_put() {
        let list = PslistHead::new();
        let (a, b, c, d) = (item(1), item(2), item(3), item(4));
        list.insert_head(&b);
        list.insert_head(&a);
        list.insert_after(&b, &d);
        list.insert_before(&d, &c);
        assert_eq!(values(&list), [1, 2, 3, 4]);
        b.entry.remove();
        assert_eq!(values(&list), [1, 3, 4]);
        a.entry.remove();
        d.entry.remove();
        assert_eq!(values(&list), [3]);
        c.entry.remove();
        list.destroy();
    }

    #[test]
    fn a_reader_on_a_removed_item_goes_on() {
        let list = PslistHead::new();
        let (a, b) = (item(1), item(2));
        list.insert_head(&b);
        list.insert_head(&a);
        a.entry.remove();
        assert_eq!(list.next(&a).map(|item| item.value), Some(2));
        assert_eq!(values(&list), [2]);
    }
}
