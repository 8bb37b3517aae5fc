//! ARP: how an entry of the link-level table comes by its link address, and how it loses it again.
//!
//! # Overview
//!
//! ```text
//!               arpresolve                     arp_update
//!    (no entry) ──────────► incomplete ──────────────────────► valid ◄─┐ arp_update
//!        ▲                  holds packets, asks               │    └───┘
//!        │                      │   ▲                          │
//!        └──── arptimer ────────┘   └────── arpresolve ────────┤ its time is over, and nobody has come yet
//!        └──── arptimer ───────────────────────────────────────┘
//! ```
//!
//! Whoever has a packet asks for the link address of where it is to go ([`arpresolve`]). If there is no entry it makes one,
//! which holds the packet, a few of them at most, and has a request sent; again with later packets, not more than once a
//! tick. What is heard of a neighbour ([`arp_update`]: a reply to a request, or a request of its own) sets the link address
//! and sends what was held.
//!
//! Every change of state arms the timer anew ([`arp_settimer`]): while the entry is incomplete, for `arpt_down_ticks`; when it is
//! valid, for `arpt_keep_ticks`. When the timer runs, the entry goes, and with it what it holds.
//!
//! # The timer and its reference
//!
//! A timer that is scheduled has a reference to its entry, and its handler (`arptimer`) drops it: see
//! [`llatbl`](crate::net::llatbl). Three places must get it right, and each has been wrong:
//!
//! ```text
//! re-arm                             handler                       what the old code did
//! pending: stop it, REMREF           (never runs)                  no REMREF: one leaks at each re-arm
//! not pending: it has begun          waits for the lock, runs       "pending again": returned with its reference
//! ADDREF, callout_reset
//! free: pending: stop it, REMREF     (never runs)                  no REMREF
//! ```
//!
//! In the second line the handler removes an entry whose timer was armed again a moment ago: it is gone too early, and
//! nothing leaks. So it is in NetBSD.
//!
//! # Contexts
//!
//! [`arpresolve`], [`arp_update`], [`arp_delete`], [`arp_purge`]: thread or softint, no lock of a table or an entry held; without
//! NET_MPSAFE with `softnet_lock` held, as all of the stack is. `arptimer`: softclock.
//!
//! # Differences from NetBSD
//!
//! Times are ticks. How long before its end an address is asked for again is set anew with each answer, as FreeBSD does it.
//! [`arp_update`] is the part of `in_arpinput` that is about the entry. The interface is what the table's
//! functions do ([`LltOps`](crate::net::llatbl::LltOps)). What `arpresolve` must not send it frees, or holds, as NetBSD's does, but the
//! owner of a packet is a type here: it gives the packet back with the address.
//!
//! # Sources
//!
//! arp(4); `sys/netinet/if_arp.c` 1.255 (before) and 1.271 (after), `sys/netinet/in.c` (`in_domifdetach`).

use crate::contract;
use crate::history::Bug;
use crate::kern::clock::getticks;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::rwlock::Krw;
use crate::net::llatbl::{LLE_LINKED, LLE_STATIC, LLE_VALID, Llentry, Lltable};
use crate::net::lleref::Holder;
use crate::net::mbuf::{End, Mbuf};
use crate::net::{InAddr, LlAddr, softnet_enter, softnet_exit};
use crate::note;

/// Packets that an entry holds at most (`arp_maxhold`).
pub const ARP_MAXHOLD: u32 = 1;
/// Requests after which a neighbour is taken for down (`arp_maxtries`).
pub const ARP_MAXTRIES: u32 = 5;

/// Why a packet cannot be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unresolved {
    /// It is held, and the neighbour was asked (`EWOULDBLOCK`).
    Held,
    /// It is held; the neighbour was asked [`ARP_MAXTRIES`] times and has not answered (`EHOSTDOWN`).
    HostDown,
    /// There is no entry, for want of memory or because it was removed just now: the packet is freed (`EINVAL`).
    Dropped,
}

/// The link address for a packet to `dst`: with it, the packet; else it is held or freed.
///
/// Context: see the header.
pub fn arpresolve(
    llt: &'static Lltable,
    m: Mbuf,
    dst: InAddr,
) -> Result<(Mbuf, LlAddr), Unresolved> {
    llt.afdata_enter(Krw::Reader);
    let found = llt.lookup(dst, Krw::Reader);
    llt.afdata_exit();
    if let Some(la) = found
        && let Some(lladdr) = usable(la)
    {
        la.runlock();
        return Ok((m, lladdr));
    }
    let Some(la) = for_writing(llt, found, dst) else {
        curlwp().kernel().counters.arp_failed.incr();
        m.free(End::Unresolved);
        return Err(Unresolved::Dropped);
    };
    if let Some(lladdr) = usable(la) {
        let renew = wants_renewal(la);
        la.wunlock();
        if renew {
            llt.request(dst);
        }
        return Ok((m, lladdr));
    }
    Err(hold_and_ask(llt, la, m, dst))
}

/// The entry for `dst`, its lock held to write: what was found to read, or a new one.
fn for_writing(
    llt: &'static Lltable,
    found: Option<&'static Llentry>,
    dst: InAddr,
) -> Option<&'static Llentry> {
    let Some(la) = found else {
        llt.afdata_enter(Krw::Writer);
        let la = llt.create(dst);
        llt.afdata_exit();
        return la;
    };
    if la.lle_lock.tryupgrade() {
        return Some(la);
    }
    la.runlock();
    llt.afdata_enter(Krw::Reader);
    let la = llt.lookup(dst, Krw::Writer);
    llt.afdata_exit();
    la
}

/// The link address of an entry, if it is known and good. The entry's lock is held.
fn usable(la: &Llentry) -> Option<LlAddr> {
    let flags = la.la_flags.get();
    let good = flags & LLE_VALID != 0 && (flags & LLE_STATIC != 0 || ticks_left(la) > 0);
    good.then(|| la.ll_addr.get())
}

/// Ticks until the link address ceases to be good.
fn ticks_left(la: &Llentry) -> i32 {
    let now = getticks(curlwp().kernel());
    la.la_expire.get().wrapping_sub(now) as i32
}

/// Whether a good link address is to be asked for all the same, because its end is near. The lock is held to write.
fn wants_renewal(la: &Llentry) -> bool {
    let preempt = la.la_preempt.get();
    let near = la.la_flags.get() & LLE_STATIC == 0 && ticks_left(la) < preempt as i32;
    if near {
        la.la_preempt.set(preempt - 1);
    }
    near
}

/// Holds a packet until the link address is known, and asks for that, if nobody has in this tick. The lock is held to
/// write, and left.
fn hold_and_ask(llt: &'static Lltable, la: &Llentry, m: Mbuf, dst: InAddr) -> Unresolved {
    let kernel = curlwp().kernel();
    let asked = la.la_asked.get();
    let renew = asked == 0 || ticks_left(la) != 0;
    let dropped = la.hold(m, ARP_MAXHOLD);
    kernel.counters.arp_dropped.add(dropped);
    let outcome = if asked < ARP_MAXTRIES {
        Unresolved::Held
    } else {
        Unresolved::HostDown
    };
    if !renew {
        la.downgrade();
        la.runlock();
        return outcome;
    }
    la.la_expire.set(getticks(kernel));
    arp_settimer(la, kernel.config().arpt_down_ticks, "arpresolve");
    la.la_asked.set(asked + 1);
    la.wunlock();
    llt.request(dst);
    outcome
}

/// A neighbour has told its link address: the entry has it from now on, and sends what it holds.
///
/// With `create`, makes an entry if there is none: the neighbour has asked for one of our addresses, and will be answered.
/// Whether there is an entry now that has this link address. Context: see the header.
pub fn arp_update(llt: &'static Lltable, addr: InAddr, lladdr: LlAddr, create: bool) -> bool {
    llt.afdata_enter(Krw::Reader);
    let found = llt.lookup(addr, Krw::Writer);
    llt.afdata_exit();
    let found = match found {
        None if create => {
            llt.afdata_enter(Krw::Writer);
            let la = llt.create(addr);
            llt.afdata_exit();
            la
        }
        found => found,
    };
    let Some(la) = found else { return false };
    let flags = la.la_flags.get();
    if flags & LLE_STATIC != 0 {
        let same = la.ll_addr.get() == lladdr;
        la.wunlock();
        return same;
    }
    la.ll_addr.set(lladdr);
    la.la_flags.set(flags | LLE_VALID);
    let kernel = curlwp().kernel();
    let keep_ticks = kernel.config().arpt_keep_ticks;
    la.la_expire.set(getticks(kernel).wrapping_add(keep_ticks));
    arp_settimer(la, keep_ticks, "arp_update");
    la.la_asked.set(0);
    la.la_preempt.set(ARP_MAXTRIES);
    let held = la.take_held();
    // Unlocked: who sends looks the address up again.
    la.wunlock();
    for m in held {
        kernel.counters.arp_sent.incr();
        llt.output(m, addr);
    }
    true
}

/// Sets an entry by hand: it stays until it is deleted (`arp -s`). Whether there was memory.
///
/// Context: see the header.
pub fn arp_set_static(llt: &'static Lltable, addr: InAddr, lladdr: LlAddr) -> bool {
    llt.afdata_enter(Krw::Writer);
    // An entry that was learned is not written over: it goes, with its timer.
    llt.delete(addr);
    let la = llt.create(addr);
    if let Some(la) = la {
        la.ll_addr.set(lladdr);
        la.la_flags.set(la.la_flags.get() | LLE_VALID | LLE_STATIC);
        la.wunlock();
    }
    llt.afdata_exit();
    la.is_some()
}

/// Deletes an entry (`arp -d`). Whether there was one. Context: see the header.
pub fn arp_delete(llt: &'static Lltable, addr: InAddr) -> bool {
    llt.afdata_enter(Krw::Writer);
    let deleted = llt.delete(addr);
    llt.afdata_exit();
    deleted
}

/// Deletes every entry: the interface goes (`in_domifdetach`). Context: see the header.
pub fn arp_purge(llt: &'static Lltable) {
    llt.purge_entries();
}

/// Arms the timer of an entry, pending or not, for `function`.
///
/// Context: the entry's lock held to write. Panics: contracts `llentry-write-held`, `llentry-static` if the entry was set by
/// hand.
#[track_caller]
pub fn arp_settimer(la: &Llentry, ticks: u32, function: &'static str) {
    la.assert_write_held("arp_settimer");
    contract!(
        la.la_flags.get() & LLE_STATIC == 0,
        "llentry-static",
        "arp_settimer by {} of the entry {}, which was set by hand and has no timer",
        curlwp().name(),
        la.addr()
    );
    note!("{function} arms {}'s timer", la.addr());
    la.stop_timer(Bug::ArpSettimer);
    la.addref(Holder::Timer, function);
    la.la_timer.reset(ticks, arptimer, Arg::of(la));
}

/// The handler of an entry's timer: its time is over, and it goes.
///
/// Context: softclock.
fn arptimer(la: Arg) {
    // SAFETY: `arp_settimer` gave the entry, with a reference for this function to drop.
    let la: &'static Llentry = unsafe { la.get() };
    // The entry may be gone at the end.
    let (softnet_lock, addr) = (la.softnet_lock(), la.addr());
    note!("arptimer begins for {addr}");
    softnet_enter(softnet_lock);
    expire(la);
    softnet_exit(softnet_lock);
    note!("arptimer returns for {addr}");
}

fn expire(la: &'static Llentry) {
    la.wlock();
    // if_arp.c 1.255: armed again, so "our reference would have been removed". It was not: callout_reset removes none.
    let history = curlwp().kernel().config().history;
    if history.has(Bug::ArptimerPending) && la.la_timer.pending() {
        return la.wunlock();
    }
    // It was deleted meanwhile: the table may be gone.
    if la.la_flags.get() & LLE_LINKED == 0 {
        la.remref_in_handler();
        return la.free_locked();
    }
    let llt = la.table();
    // The table comes before the entry in the order of locks. Our reference keeps the entry.
    la.wunlock();
    llt.afdata_enter(Krw::Writer);
    la.wlock();
    // Somebody else may have deleted it in between.
    la.remref_in_handler();
    if la.la_flags.get() & LLE_LINKED == 0 {
        la.free_locked();
    } else {
        la.free();
    }
    llt.afdata_exit();
}
