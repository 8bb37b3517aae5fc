//! The record of who holds references to an entry of a link-level table, which its count is checked against.
//!
//! # Overview
//!
//! The count of an entry is an int, which does not tell whose each reference is. So a forgotten reference shows up, if at all, as
//! memory that is never freed, much later and without a name. Here each reference is recorded when it is taken (for which holder,
//! by which LWP, on which CPU and where), and removed from the record when it is dropped. Each time the entry's lock is released,
//! its count must match:
//!
//! ```text
//! refcnt == 1 if it is linked           (the table)
//!         + 1 if its timer is pending   (the timer, which is on the wheel)
//!         + 1 if its timer is in flight (the handler, which has not dropped the timer's reference yet)
//!         + the other holders that are recorded
//! ```
//!
//! A timer is *in flight* from the moment when softclock takes it off its list (then it is no longer pending) until its handler drops
//! the reference that it was scheduled with, or returns without doing so. The two terms of the timer are read together, under
//! the lock of its callout.
//!
//! # What it knows
//!
//! It knows the protocol in the header of [`llatbl`](crate::net::llatbl), and no bug. What it records of the table and of the timer
//! is for reports, and is not counted.
//!
//! # Contexts
//!
//! With the entry's lock held: to write for changes, to read or write for looking.
//!
//! # Differences from NetBSD
//!
//! NetBSD has no such record. It takes a few words per entry, and none without the feature `contracts`.

use core::fmt;

use crate::contract;
use crate::kern::callout::CalloutState;
use crate::kern::lwp::{Name, curcpu, curlwp};
use crate::kern::references;
use crate::machine::At;
use crate::mem::Local;
use crate::net::InAddr;

/// Most references that are recorded for an entry. Further ones are only counted, without their holders.
const MOST: usize = 6;

/// The holder of a reference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// The table's, while the entry is linked.
    Table,
    /// The timer's, while it is scheduled or its handler runs.
    Timer,
    /// Another holder, which keeps the entry for longer than its lock, with its name.
    Other(&'static str),
}

impl Holder {
    /// Its name in reports.
    const fn word(self) -> &'static str {
        match self {
            Holder::Table => "the table",
            Holder::Timer => "the timer",
            Holder::Other(name) => name,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A reference that was taken.
#[derive(Clone, Copy)]
struct Reference {
    holder: Holder,
    /// The function that took it.
    function: &'static str,
    lwp: Name,
    cpu: usize,
    at: At,
    /// How often the entry's timer had run by then.
    runs: u32,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.holder, Taker(*self))
    }
}

/// How a reference was taken, as text: `arp_update by input on cpu1, at kmod/src/net/arp.rs:1`.
struct Taker(Reference);

impl fmt::Display for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Taker(Reference {
            function,
            lwp,
            cpu,
            at,
            ..
        }) = self;
        write!(f, "{function} by {lwp} on cpu{cpu}, at {at}")
    }
}

/// The references of an entry, the oldest first.
pub(super) struct References {
    taken: [Local<Option<Reference>>; MOST],
    /// How many were taken that are not recorded, because there is no room.
    beyond: Local<u32>,
    /// How many are [`Holder::Other`]'s, recorded or not.
    holders: Local<u32>,
}

crate::fields!(References {
    taken,
    beyond,
    holders
});

/// The state of an entry, and its count, at one moment.
#[derive(Clone, Copy)]
pub(super) struct Account {
    pub(super) entry: InAddr,
    pub(super) refcnt: i32,
    pub(super) linked: bool,
    pub(super) timer: CalloutState,
    /// Whether the handler that runs, if one does, has dropped the timer's reference.
    pub(super) consumed: bool,
}

impl Account {
    fn in_flight(&self) -> bool {
        self.timer.running && !self.consumed
    }

    /// References of the timer that are accounted for.
    fn of_timer(&self) -> usize {
        usize::from(self.timer.pending) + usize::from(self.in_flight())
    }
}

impl References {
    pub(super) const fn new() -> Self {
        References {
            taken: [const { Local::new(None) }; MOST],
            beyond: Local::new(0),
            holders: Local::new(0),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Reference> + '_ {
        self.taken.iter().map_while(|place| place.get())
    }

    /// Records a reference that `function` has taken, when the entry's timer had run `runs` times.
    #[track_caller]
    pub(super) fn take(&self, holder: Holder, function: &'static str, runs: u32) {
        if !cfg!(feature = "contracts") {
            return;
        }
        references::taken(self, holder.word(), function);
        self.write_down(Reference {
            holder,
            function,
            lwp: Name::format(format_args!("{}", curlwp().name())),
            cpu: curcpu().index(),
            at: At::caller(),
            runs,
        });
    }

    fn write_down(&self, reference: Reference) {
        if let Holder::Other(_) = reference.holder {
            self.holders.set(self.holders.get() + 1);
        }
        match self.taken.iter().find(|place| place.get().is_none()) {
            Some(place) => place.set(Some(reference)),
            None => self.beyond.set(self.beyond.get() + 1),
        }
    }

    /// Removes the record of a reference of `holder`: the one that was taken first, or last.
    ///
    /// Panics: contract `llentry-holder`.
    #[track_caller]
    pub(super) fn give(&self, holder: Holder, which: Which, entry: InAddr) {
        if !cfg!(feature = "contracts") {
            return;
        }
        let is_his = |place: &&Local<Option<Reference>>| {
            let reference = place.get();
            reference.is_some_and(|reference| reference.holder == holder)
        };
        let place = match which {
            Which::First => self.taken.iter().position(|place| is_his(&place)),
            Which::Last => self.taken.iter().rposition(|place| is_his(&place)),
        };
        let beyond = self.beyond.get();
        contract!(
            place.is_some() || beyond > 0,
            "llentry-holder",
            "{} drops a reference of {holder} to the entry {entry}, and {holder} has none",
            curlwp().name()
        );
        references::given(self, holder.word());
        if let Holder::Other(_) = holder {
            self.holders.set(self.holders.get().saturating_sub(1));
        }
        let Some(place) = place else {
            return self.beyond.set(beyond.saturating_sub(1));
        };
        // Close the gap: the oldest comes first.
        for index in place..MOST {
            let next = self.taken.get(index + 1).and_then(|place| place.get());
            self.taken[index].set(next);
        }
    }

    /// How many references are accounted for.
    fn answered_for(&self, account: Account) -> usize {
        usize::from(account.linked) + account.of_timer() + self.holders.get() as usize
    }

    /// Compares the count with the references that are accounted for.
    ///
    /// Panics: contract `llentry-references`.
    #[track_caller]
    pub(super) fn audit(&self, account: Account) {
        let known = self.answered_for(account);
        contract!(
            usize::try_from(account.refcnt) == Ok(known),
            "llentry-references",
            "reference count of {} is {}, expected {known}, when {} releases the entry's lock{}",
            account.entry,
            account.refcnt,
            curlwp().name(),
            Told(self, account)
        );
    }
}

/// Which reference of a holder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Which {
    /// The one that was taken first: of a timer, that of the handler which runs.
    First,
    /// The one that was taken last: of a timer, that of the schedule which is pending.
    Last,
}

/// The references, for a report.
struct Told<'a>(&'a References, Account);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told(references, account) = self;
        let timers = references.iter().filter(|r| r.holder == Holder::Timer);
        // A timer's reference that is not accounted for is older than those that are.
        let mut forgotten = timers.count().saturating_sub(account.of_timer());
        let mut in_flight = account.in_flight();
        for (index, reference) in references.iter().enumerate() {
            write!(f, "\n  {reference}: ")?;
            match reference.holder {
                Holder::Table if account.linked => f.write_str("it is linked")?,
                Holder::Table => f.write_str("LEAKED: the entry is not linked any more")?,
                Holder::Timer if forgotten > 0 => {
                    forgotten -= 1;
                    self.write_fate(f, reference, index)?;
                }
                Holder::Timer if in_flight => {
                    in_flight = false;
                    f.write_str("its handler runs")?;
                }
                Holder::Timer => f.write_str("it is pending")?,
                Holder::Other(_) => f.write_str("held")?,
            }
        }
        match references.beyond.get() {
            0 => {}
            // Among them may be what seems to be missing.
            beyond => return write!(f, "\n  and {beyond} more that were not written down"),
        }
        self.write_missing(f)
    }
}

impl Told<'_> {
    /// The holders that should have a reference, and have none.
    fn write_missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told(references, account) = self;
        let has = |holder| references.iter().filter(|r| r.holder == holder).count();
        if account.linked && has(Holder::Table) == 0 {
            f.write_str("\n  the table has none, and the entry is linked")?;
        }
        if has(Holder::Timer) < account.of_timer() {
            f.write_str("\n  the timer has none, and it is pending or its handler runs")?;
        }
        Ok(())
    }

    /// How a reference of the timer, the one at `index`, came to be forgotten.
    fn write_fate(&self, f: &mut fmt::Formatter<'_>, lost: Reference, index: usize) -> fmt::Result {
        let Told(references, account) = self;
        let mut later = references.iter().skip(index + 1);
        f.write_str("LEAKED: ")?;
        match later.find(|r| r.holder == Holder::Timer) {
            Some(next) if next.runs == lost.runs => {
                write!(
                    f,
                    "the timer was rearmed before this reference's run (in {}), so nothing will release it",
                    Taker(next)
                )
            }
            Some(next) => write!(
                f,
                "the handler returned without releasing it, because the timer had been rearmed (in {})",
                Taker(next)
            ),
            None if account.timer.runs != lost.runs => {
                f.write_str("the handler returned without releasing it")
            }
            None => f.write_str(
                "the timer was stopped before this reference's run, so nothing will release it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    const NOTHING: CalloutState = CalloutState {
        cpu: 0,
        pending: false,
        running: false,
        runs: 0,
        due: 0,
        since: 0,
    };

    fn account(timer: CalloutState, linked: bool) -> Account {
        Account {
            entry: InAddr(0x0a00_0002),
            refcnt: 0,
            linked,
            timer,
            consumed: false,
        }
    }

    /// References of these holders, each with the runs of the timer when it was taken.
    fn references(taken: &[(Holder, u32)]) -> References {
        let references = References::new();
        for (holder, runs) in taken {
            references.write_down(Reference {
                holder: *holder,
                function: "arp_update",
                lwp: Name::format(format_args!("input")),
                cpu: 1,
                at: At::caller(),
                runs: *runs,
            });
        }
        references
    }

    /// What is told of each reference, without who took it.
    fn fates(references: &References, account: Account) -> std::vec::Vec<String> {
        let text = Told(references, account).to_string();
        let fate = |line: &str| {
            let (_, rest) = line.split_once("): ").unwrap_or(("", line));
            rest.split(" (in ").next().unwrap_or("").to_string()
        };
        text.lines().skip(1).map(fate).collect()
    }

    #[test]
    fn a_pending_schedule_that_was_replaced_is_told() {
        let references = references(&[(Holder::Timer, 0), (Holder::Timer, 0)]);
        let timer = CalloutState {
            cpu: 0,
            pending: true,
            ..NOTHING
        };
        let expected = [
            "LEAKED: the timer was rearmed before this reference's run",
            "it is pending",
        ];
        assert_eq!(fates(&references, account(timer, false)), expected);
    }

    #[test]
    fn a_handler_that_returned_with_its_reference_is_told() {
        let references = references(&[(Holder::Timer, 0), (Holder::Timer, 1)]);
        let timer = CalloutState {
            cpu: 0,
            pending: true,
            runs: 1,
            ..NOTHING
        };
        let expected = [
            "LEAKED: the handler returned without releasing it, because the timer had been rearmed",
            "it is pending",
        ];
        assert_eq!(fates(&references, account(timer, false)), expected);
    }

    #[test]
    fn a_schedule_that_was_taken_off_is_told_and_so_are_the_table_and_holders() {
        let references = references(&[
            (Holder::Table, 0),
            (Holder::Timer, 0),
            (Holder::Other("arp"), 0),
        ]);
        let expected = [
            "LEAKED: the entry is not linked any more",
            "LEAKED: the timer was stopped before this reference's run, so nothing will release it",
            "held",
        ];
        assert_eq!(fates(&references, account(NOTHING, false)), expected);
    }

    #[test]
    fn a_handler_in_flight_answers_until_it_has_dropped_its_reference() {
        let timer = CalloutState {
            cpu: 0,
            pending: true,
            running: true,
            runs: 1,
            ..NOTHING
        };
        let account = account(timer, false);
        assert_eq!(account.of_timer(), 2);
        assert_eq!(
            Account {
                consumed: true,
                ..account
            }
            .of_timer(),
            1
        );
        let references = references(&[(Holder::Timer, 0), (Holder::Timer, 1)]);
        assert_eq!(
            fates(&references, account),
            ["its handler runs", "it is pending"]
        );
    }

    #[test]
    fn a_timer_whose_reference_found_no_place_is_not_counted_twice() {
        let mut taken = [(Holder::Other("arp"), 0); MOST + 1];
        taken[MOST] = (Holder::Timer, 0);
        let references = references(&taken);
        let pending = CalloutState {
            cpu: 0,
            pending: true,
            ..NOTHING
        };
        assert_eq!(references.answered_for(account(pending, false)), MOST + 1);
        let told = Told(&references, account(pending, false)).to_string();
        assert!(
            told.ends_with("\n  and 1 more that were not written down"),
            "{told}"
        );
    }

    #[test]
    fn who_should_have_one_and_has_none_is_told() {
        let timer = CalloutState {
            cpu: 0,
            pending: true,
            ..NOTHING
        };
        let text = Told(&references(&[]), account(timer, true)).to_string();
        let expected = [
            "",
            "  the table has none, and the entry is linked",
            "  the timer has none, and it is pending or its handler runs",
        ];
        assert!(text.lines().eq(expected), "{text}");
    }

    #[test]
    fn only_others_are_counted_from_what_is_written_down() {
        let references = references(&[
            (Holder::Table, 0),
            (Holder::Other("arp"), 0),
            (Holder::Timer, 0),
        ]);
        assert_eq!(references.holders.get(), 1);
    }
}
