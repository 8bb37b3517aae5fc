//! ARP: how an entry of the link-level table gets its link address, and how it loses it.
//!
//! # Overview
//!
//! ```text
//!               arpresolve                     arp_update
//!    (no entry) ──────────► incomplete ──────────────────────► valid ◄─┐ arp_update
//!        ▲                  holds packets, asks               │    └───┘
//!        │                      │   ▲                          │
//!        └──── arptimer ────────┘   └────── arpresolve ────────┤ it has expired, and the timer has not run yet
//!        └──── arptimer ───────────────────────────────────────┘
//! ```
//!
//! To send a packet, the stack asks for the link address of its next hop ([`arpresolve`]). If there is no entry, [`arpresolve`]
//! creates one, which holds the packet (a few packets at most), and sends a request. Later packets send further requests, at most one
//! per tick. A reply of the neighbour, or a request of its own, sets the link address and sends the held packets
//! ([`arp_update`]).
//!
//! Every change of state arms the timer again ([`arp_settimer`]): for `arpt_down_ticks` while the entry is incomplete, and for
//! `arpt_keep_ticks` when it is valid. When the timer runs, it removes the entry and drops the packets that the entry holds.
//!
//! # The timer and its reference
//!
//! A scheduled timer has a reference to its entry, and its handler (`arptimer`) drops that reference: see
//! [`llatbl`](crate::net::llatbl). Three places must keep this rule, and each has broken it once:
//!
//! ```text
//! re-arm                             handler                       what the old code did
//! pending: stop it, REMREF           (never runs)                  no REMREF: a reference leaks at each re-arm
//! not pending: it has begun          waits for the lock, runs       "pending again": returned with its reference
//! ADDREF, callout_reset
//! free: pending: stop it, REMREF     (never runs)                  no REMREF
//! ```
//!
//! In the second line the handler removes an entry whose timer was armed again a moment ago. The entry is removed too early, but
//! nothing leaks. NetBSD does the same.
//!
//! # Contexts
//!
//! [`arpresolve`], [`arp_update`], [`arp_delete`], [`arp_purge`]: thread or softint, without the lock of a table or an entry. Without
//! NET_MPSAFE the caller holds `softnet_lock`, as everywhere in the stack. `arptimer`: softclock.
//!
//! # Differences from NetBSD
//!
//! Times are in ticks. Each answer sets again how long before its expiry an address is requested again, as in FreeBSD. A packet for an
//! address that expires soon takes the entry's lock to write, and requests the address again; in NetBSD it finds the address with the lock
//! to read, and returns before it looks at that, so an address that is in use expires (the scenario `arp-renewed` found that).
//! [`arp_update`] is the part of `in_arpinput` that changes the entry. The table uses its interface through the functions of
//! [`LltOps`](crate::net::llatbl::LltOps). Like NetBSD's, `arpresolve` frees or holds a packet that cannot be sent; otherwise it
//! returns the packet together with the address, because a packet has one owner.
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

/// Most packets that an entry holds (`arp_maxhold`).
pub const ARP_MAXHOLD: u32 = 1;
/// After so many requests without an answer, a neighbour is considered down (`arp_maxtries`).
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

/// The link address of `dst`, together with the packet for it; if it is not known, the packet is held or freed.
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
    // One that is to be requested again takes the lock to write.
    if let Some(la) = found
        && let Some(lladdr) = usable(la)
        && !expires_soon(la)
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

/// The entry for `dst`, with its lock held to write: the entry that was found to read, or a new one.
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

/// The link address of an entry, if it is known and has not expired. The entry's lock is held.
fn usable(la: &Llentry) -> Option<LlAddr> {
    let flags = la.la_flags.get();
    let good = flags & LLE_VALID != 0 && (flags & LLE_STATIC != 0 || ticks_left(la) > 0);
    good.then(|| la.ll_addr.get())
}

/// Ticks until the link address expires.
fn ticks_left(la: &Llentry) -> i32 {
    let now = getticks(curlwp().kernel());
    la.la_expire.get().wrapping_sub(now) as i32
}

/// Whether a link address that is known should be requested again because it expires soon. The entry's lock is held.
fn expires_soon(la: &Llentry) -> bool {
    la.la_flags.get() & LLE_STATIC == 0 && ticks_left(la) < la.la_preempt.get() as i32
}

/// Whether it should be requested again now. Further requests come nearer to the expiry, one less each time. The lock is held to write.
fn wants_renewal(la: &Llentry) -> bool {
    let near = expires_soon(la);
    if near {
        la.la_preempt.set(la.la_preempt.get() - 1);
    }
    near
}

/// Holds a packet until the link address is known, and requests the address, unless that was done in this tick. The lock is held to
/// write, and released.
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

/// Sets the link address that a neighbour has told, and sends the held packets.
///
/// With `create`, creates an entry if there is none: the neighbour has asked for an address of this host, and will be answered.
/// Returns whether there is now an entry with this link address. Context: see the header.
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
    // Unlocked: sending looks the address up again.
    la.wunlock();
    for m in held {
        kernel.counters.arp_sent.incr();
        llt.output(m, addr);
    }
    true
}

/// Sets an entry by hand, which stays until it is deleted (`arp -s`). False: there is no memory.
///
/// Context: see the header.
pub fn arp_set_static(llt: &'static Lltable, addr: InAddr, lladdr: LlAddr) -> bool {
    llt.afdata_enter(Krw::Writer);
    // A learned entry is not overwritten, but removed together with its timer.
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

/// Deletes an entry (`arp -d`). False: there was none. Context: see the header.
pub fn arp_delete(llt: &'static Lltable, addr: InAddr) -> bool {
    llt.afdata_enter(Krw::Writer);
    let deleted = llt.delete(addr);
    llt.afdata_exit();
    deleted
}

/// Deletes every entry, because the interface is detached (`in_domifdetach`). Context: see the header.
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

/// The handler of an entry's timer: removes the entry, which has expired.
///
/// Context: softclock.
fn arptimer(la: Arg) {
    // SAFETY: `arp_settimer` gave the entry, with a reference for this function to drop.
    let la: &'static Llentry = unsafe { la.get() };
    // The entry may have been freed when this function ends.
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
    // It was deleted meanwhile, and the table may have been freed.
    if la.la_flags.get() & LLE_LINKED == 0 {
        la.remref_in_handler();
        return la.free_locked();
    }
    let llt = la.table();
    llt.handler_comes();
    // The table's lock comes before the entry's. The timer's reference keeps the entry alive.
    la.wunlock();
    llt.afdata_enter(Krw::Writer);
    la.wlock();
    // Another thread may have deleted it in between.
    la.remref_in_handler();
    if la.la_flags.get() & LLE_LINKED == 0 {
        la.free_locked();
    } else {
        la.free();
    }
    llt.afdata_exit();
}
