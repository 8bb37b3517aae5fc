//! pslist(9).

use super::{Breach, breach};
use crate::kern::pserialize::Pserialize;
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::scenario::share;

#[repr(C)]
struct Item {
    entry: PslistEntry,
}

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for Item {
    fn entry(&self) -> &PslistEntry {
        &self.entry
    }
}

fn item() -> &'static Item {
    let entry = PslistEntry::new();
    share("item", Item { entry })
}

fn list() -> &'static PslistHead<Item> {
    share("list", PslistHead::new())
}

/// A list with an item on it.
fn listed() -> (&'static PslistHead<Item>, &'static Item) {
    let (list, item) = (list(), item());
    list.insert_head(item);
    (list, item)
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("pslist-insert": "inserts an entry that is on the list", || {
        let (list, item) = listed();
        list.insert_head(item);
    }),
    breach!("pslist-before": "inserts an entry before one that was removed", || {
        let (list, first) = listed();
        first.entry.remove();
        list.insert_before(first, item());
    }),
    breach!("pslist-linked": "inserts an entry behind one that was removed", || {
        let (list, _) = listed();
        let first = item();
        list.insert_head(first);
        first.entry.remove();
        list.insert_after(first, item());
    }),
    breach!("pslist-linked", "remove": "moves the head of a list that is not empty, and removes an entry", || {
        let mut head = PslistHead::new();
        let first = item();
        head.insert_head(first);
        let _moved = core::mem::take(&mut head);
        first.entry.remove();
    }),
    breach!("pslist-remove": "removes an entry that is on no list", || item().entry.remove()),
    breach!("pslist-destroy": "destroys an entry that is on a list", || listed().1.entry.destroy()),
    breach!("pslist-wait": "destroys an entry after a wait for readers that came before its removal", || {
        let (_, item) = listed();
        let psz = Pserialize::new();
        psz.perform();
        item.entry.remove();
        item.entry.assert_waited_for("breach");
    }),
    breach!("pslist-empty": "destroys a list that is not empty", || listed().0.destroy()),
    breach!("pslist-next": "follows an entry that was destroyed", || {
        let (list, item) = listed();
        item.entry.remove();
        item.entry.destroy();
        list.next(item);
    }),
];
