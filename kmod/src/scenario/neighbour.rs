//! A link with neighbours: a table of link addresses, outgoing packets, and received messages.
//!
//! # Overview
//!
//! The link is what an interface is to [`net::arp`](crate::net::arp): it sends resolved packets and requests. A user
//! of the link joins it ([`Link::join`]) and leaves it ([`Link::leave`]). The last one takes it down, so that no
//! entry and no timer is left. Every packet that is made must be sent or be counted as dropped.
//!
//! # Lock order
//!
//! As in [`net`](crate::net). Without NET_MPSAFE each use takes `softnet_lock`, as the stack does.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{AcqRel, AtomicU32, Local, Relaxed};
use crate::net::arp::{Unresolved, arp_delete, arp_purge, arp_set_static, arp_update, arpresolve};
use crate::net::llatbl::{Llentry, LltOps, Lltable};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{InAddr, LlAddr, softnet_enter, softnet_exit};
use crate::scenario::classics::shared;
use crate::scenario::{broken_promise, share};

/// The network of the link; its neighbours are counted from here.
const NETWORK: u32 = 0x0a00_0002;

/// The address of neighbour number `neighbour`.
pub const fn address(neighbour: u32) -> InAddr {
    InAddr(NETWORK + neighbour)
}

/// The link address of neighbour number `neighbour`.
const fn link_address(neighbour: u32) -> LlAddr {
    [0x02, 0, 0, 0, 0, neighbour as u8]
}

/// A link.
pub struct Link {
    table: Lltable,
    softnet_lock: Local<Option<&'static Kmutex>>,
    users: AtomicU32,
    /// Number of packets that were made, and of those that were sent.
    made: AtomicU32,
    sent: AtomicU32,
    /// Number of requests sent to the neighbours.
    asked: AtomicU32,
    /// The kernel's count of dropped packets when the link was made.
    dropped_before: Local<u64>,
}

crate::fields!(Link {
    table,
    softnet_lock,
    users,
    made,
    sent,
    asked,
    dropped_before
});

static OPS: LltOps = LltOps {
    output: |link, m, dst| {
        let _held = shared::<Link>(link).output(m, dst);
    },
    request: |link, _| {
        shared::<Link>(link).asked.fetch_add(1, Relaxed);
    },
};

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link, which must be initialized ([`init`](Self::init)) before use.
    pub const fn new() -> Self {
        Link {
            table: Lltable::new(),
            softnet_lock: Local::new(None),
            users: AtomicU32::new(0),
            made: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            dropped_before: Local::new(0),
        }
    }

    /// Initializes the link; `softnet_lock` is that of its stack. For `setup`.
    pub fn init(&'static self, kernel: &'static Kernel, softnet_lock: &'static Kmutex) {
        self.dropped_before.set(dropped(kernel));
        self.softnet_lock.set(Some(softnet_lock));
        if !self.table.init(softnet_lock, &OPS, Arg::of(self)) {
            machine::stop(
                Stop::Contract("scenario-memory"),
                format_args!("no memory for a link-level table"),
            );
        }
    }

    /// Adds a user. For `setup`, or called by a user.
    pub fn join(&self) {
        self.users.fetch_add(1, Relaxed);
    }

    /// The caller no longer uses the link. The last user takes it down.
    ///
    /// Context: thread, no lock held.
    pub fn leave(&'static self) {
        if self.users.fetch_sub(1, AcqRel) == 1 {
            self.purge();
        }
    }

    /// Sends a packet to a neighbour, or holds it until its address is known. Returns the reason if it was not sent.
    ///
    /// Context: thread or softint, no lock of the stack held.
    pub fn send(&'static self, neighbour: u32) -> Option<Unresolved> {
        let m = Mbuf::get()?;
        self.made.fetch_add(1, Relaxed);
        self.in_stack(|_| self.output(m, address(neighbour)))
    }

    /// Runs `part` as the stack does: with `softnet_lock`, unless it is NET_MPSAFE.
    fn in_stack<R>(&'static self, part: impl FnOnce(&'static Lltable) -> R) -> R {
        let Some(softnet_lock) = self.softnet_lock.get() else {
            unreachable!("init has set it")
        };
        softnet_enter(softnet_lock);
        let result = part(&self.table);
        softnet_exit(softnet_lock);
        result
    }

    fn output(&'static self, m: Mbuf, dst: InAddr) -> Option<Unresolved> {
        match arpresolve(&self.table, m, dst) {
            Ok((m, lladdr)) => {
                check_address(dst, lladdr);
                self.sent.fetch_add(1, Relaxed);
                m.free(End::Delivered);
                None
            }
            Err(unresolved) => Some(unresolved),
        }
    }

    /// Packets sent, requests sent, and packets dropped, so far.
    pub fn counts(&self) -> (u32, u32, u64) {
        let dropped = dropped(curlwp().kernel()) - self.dropped_before.get();
        (self.sent.load(Relaxed), self.asked.load(Relaxed), dropped)
    }

    /// A neighbour's message arrives: a reply, or with `asks` a request. Returns whether it has an entry now.
    ///
    /// Context: thread or softint, no lock of the stack held.
    pub fn hear(&'static self, neighbour: u32, asks: bool) -> bool {
        let (addr, lladdr) = (address(neighbour), link_address(neighbour));
        self.in_stack(|table| arp_update(table, addr, lladdr, asks))
    }

    /// Adds an entry by hand (`arp -s`). Context: thread, no lock of the stack held.
    pub fn set(&'static self, neighbour: u32) {
        let (addr, lladdr) = (address(neighbour), link_address(neighbour));
        self.in_stack(|table| {
            let _set = arp_set_static(table, addr, lladdr);
        });
    }

    /// Deletes an entry (`arp -d`). Returns whether there was one. Context: thread, no lock of the stack held.
    pub fn delete(&'static self, neighbour: u32) -> bool {
        self.in_stack(|table| arp_delete(table, address(neighbour)))
    }

    /// Deletes all entries. Context: thread, no lock of the stack held.
    pub fn purge(&'static self) {
        self.in_stack(arp_purge);
    }

    /// Keeps the entry of a neighbour, if there is one, as `holder`.
    ///
    /// Context: thread or softint, no lock of the stack held.
    pub fn keep(&self, neighbour: u32, holder: &'static str) -> Option<&'static Llentry> {
        self.table.lookup_hold(address(neighbour), holder)
    }

    /// Checks what must hold at rest, and frees the table.
    pub fn fini(&self, kernel: &'static Kernel) {
        self.table.fini();
        let (made, sent) = (self.made.peek(), self.sent.peek());
        let dropped = dropped(kernel) - self.dropped_before.peek();
        if u64::from(made) != u64::from(sent) + dropped {
            broken_promise(
                "arp-packets",
                format_args!("{made} packets were made, {sent} sent, and {dropped} dropped"),
            );
        }
    }
}

/// A stack that consists of a link only.
pub struct Stack {
    softnet_lock: Kmutex,
    /// The link.
    pub link: Link,
}

crate::fields!(Stack { softnet_lock, link });

/// Shares a stack with its link. For `setup`.
pub fn share_stack(kernel: &'static Kernel) -> &'static Stack {
    let stack = share(
        "stack",
        Stack {
            softnet_lock: Kmutex::new("softnet_lock", Ipl::None),
            link: Link::new(),
        },
    );
    machine::label(stack, format_args!("stack"));
    stack.link.init(kernel, &stack.softnet_lock);
    kernel.set_data(Arg::of(stack));
    stack
}

/// Checks that a packet goes to the link address of its neighbour.
fn check_address(dst: InAddr, lladdr: LlAddr) {
    if lladdr != link_address(dst.0.wrapping_sub(NETWORK)) {
        broken_promise(
            "arp-address",
            format_args!("a packet to {dst} goes to the link address {lladdr:02x?}"),
        );
    }
}

fn dropped(kernel: &Kernel) -> u64 {
    let counters = kernel.counters();
    counters.arp_dropped.count() + counters.arp_failed.count()
}

/// Done by a holder of an entry: checks that it exists and belongs to the neighbour.
pub fn check(lle: &'static Llentry, neighbour: u32) {
    if lle.addr() != address(neighbour) {
        broken_promise(
            "llentry-alive",
            format_args!(
                "{} holds the entry of {} but found that of {}",
                curlwp().name(),
                address(neighbour),
                lle.addr()
            ),
        );
    }
    lle.look();
}
