//! route(4): which interface a packet leaves by, and which host it goes to first.
//!
//! # Overview
//!
//! The table is a list under an rwlock, with the longest prefix first. [`rtalloc1`] finds a route and takes a reference, and
//! [`rt_unref`] releases it. A deleted route leaves the table at once. A worker frees it after the last reference is released: the
//! thread that deletes it cannot wait, because it may hold a lock that the holder of a reference waits for.
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`rtalloc1`], [`rt_unref`] | thread, softint; not in a read section |
//! | [`rt_add`], [`rt_delete`], [`rt_purgeif`] | thread |
//! | [`rt_update`] | thread that may sleep, without a route and without `softnet_lock` |
//!
//! # Updates
//!
//! [`rt_update`] changes a route that others use. First it marks the route RTF_UPDATING, and [`rtalloc1`] does not find it any more.
//! A packet then has no route: it does not *wait* for the update, because the waiter could hold a lock that the updater needs. When
//! all references are released, the route is changed and the mark is cleared.
//!
//! # Waiting for references
//!
//! ```text
//! rt_unref                               waiter
//! rt_refcnt -= 1                         rt_waiters += 1
//! rt_waiters != 0?                       rt_refcnt is small enough? else sleep
//! yes: lock, broadcast, unlock
//! ```
//!
//! All four accesses are sequentially consistent, so at least one side sees the other. After its subtraction [`rt_unref`] does not
//! touch the route, which may have been freed.
//!
//! # Invariants
//!
//! 1. A route in the table is up. A deleted one is on the worker's list, or the worker has taken it.
//! 2. The work is enqueued only if it is not enqueued already (`rt_enqueued`).
//! 3. The router of a route changes only while the route is marked and the updater has the only reference.
//!
//! # Lock order
//!
//! `rt_update_lock`, then `rt_lock`. IFNET_LOCK comes before both. The work is enqueued under `rt_free_lock`.
//!
//! # Differences from NetBSD
//!
//! * NetBSD's [`rt_unref`] reads the flags of the route after its subtraction, when the worker may have freed it.
//! * There are no caches of routes (`rtcache`), and so no passive references to routes: there is only a count. There are no metrics,
//!   no messages on routing sockets and no cloning. Packets do not wait for a route that is being updated.
//! * A route names its interface by its index. Users of the route look the interface up.
//!
//! # Sources
//!
//! `sys/net/route.c` 1.237.

use smoltcp::wire::Ipv4Address;

use crate::kern::condvar::Kcondvar;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::{Awaited, inside, inside_for};
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::references;
use crate::kern::rwlock::{Krw, Krwlock};
use crate::kern::spl::Ipl;
use crate::kern::workqueue::{self, Work, Workers, Workqueue};
use crate::kernel::Kernel;
use crate::mem::{AtomicU32, Local, Plain, SeqCst};
use crate::net::Net;
use crate::net::inet::netmask;
use crate::note;

/// It is being changed (`RTF_UPDATING`).
const RTF_UPDATING: u32 = 1 << 0;

/// The key of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Any address of the net that it leads to.
    pub dst: Ipv4Address,
    /// Bits of it that name the net.
    pub prefix: u8,
    /// Index of the interface.
    pub ifindex: u32,
}

impl Key {
    /// Whether an address is in its net.
    pub fn holds(&self, addr: Ipv4Address) -> bool {
        (self.dst.to_bits() ^ addr.to_bits()) & netmask(self.prefix) == 0
    }

    /// Whether both lead to the same net by the same interface.
    fn is(&self, other: &Key) -> bool {
        self.prefix == other.prefix && self.ifindex == other.ifindex && self.holds(other.dst)
    }
}

/// A route (`struct rtentry`).
pub struct Rtentry {
    /// The next route: in the table under `rt_lock`, on the worker's list under `rt_free_lock`.
    rt_next: Plain<Option<&'static Rtentry>>,
    /// Protected by `rt_lock`.
    rt_flags: Plain<u32>,
    rt_refcnt: AtomicU32,
    rt_key: Key,
    /// The router; `None`: the net is directly on the interface. Only [`rt_update`] changes it.
    rt_gateway: Plain<Option<Ipv4Address>>,
    /// The address of this host that packets are sent from.
    rt_ifa: Ipv4Address,
}

crate::fields!(Rtentry {
    rt_next,
    rt_flags,
    rt_refcnt,
    rt_gateway
});

impl Rtentry {
    /// Index of the interface.
    pub fn ifindex(&self) -> u32 {
        self.rt_key.ifindex
    }

    /// The host that a packet to `dst` goes to first.
    pub fn next_hop(&self, dst: Ipv4Address) -> Ipv4Address {
        self.rt_gateway.get().unwrap_or(dst)
    }

    /// Whether the net is directly on the interface, and `dst` is its broadcast address.
    pub fn is_broadcast(&self, dst: Ipv4Address) -> bool {
        self.rt_gateway.get().is_none()
            && self.rt_key.prefix < 31
            && dst == crate::net::inet::broadcast(self.rt_key.dst, self.rt_key.prefix)
    }

    /// The address of this host that packets are sent from.
    pub fn source(&self) -> Ipv4Address {
        self.rt_ifa
    }
}

/// The routes of a stack.
pub struct Routes {
    rt_lock: Krwlock,
    rt_first: Plain<Option<&'static Rtentry>>,
    /// One update at a time.
    rt_update_lock: Kmutex,
    /// Protects the list of routes to be freed, and the sleep of threads that wait for references.
    rt_free_lock: Kmutex,
    rt_free_cv: Kcondvar,
    rt_free_first: Plain<Option<&'static Rtentry>>,
    rt_enqueued: Plain<bool>,
    rt_waiters: AtomicU32,
    rt_free_work: Work,
    rt_free_wq: Local<Option<&'static Workqueue>>,
}

crate::fields!(Routes {
    rt_lock,
    rt_first,
    rt_update_lock,
    rt_free_lock,
    rt_free_first,
    rt_enqueued,
    rt_waiters,
    rt_free_work
});

impl Routes {
    pub(crate) const fn new() -> Self {
        Routes {
            rt_lock: Krwlock::new("rt_lock"),
            rt_first: Plain::new(None),
            rt_update_lock: Kmutex::new("rt_update", Ipl::None),
            rt_free_lock: Kmutex::new("rt_free", Ipl::SoftNet),
            rt_free_cv: Kcondvar::new("rtfree"),
            rt_free_first: Plain::new(None),
            rt_enqueued: Plain::new(false),
            rt_waiters: AtomicU32::new(0),
            rt_free_work: Work::new(Arg::NONE),
            rt_free_wq: Local::new(None),
        }
    }

    /// Starts the worker. `None`: there is no memory.
    #[track_caller]
    pub(crate) fn init(&'static self, kernel: &'static Kernel) -> Option<()> {
        let wq = workqueue::create(
            kernel,
            "rt_free",
            (free_work, Arg::of(self)),
            pri::KTHREAD,
            Ipl::SoftNet,
            Workers::One,
        )?;
        self.rt_free_wq.set(Some(wq));
        Some(())
    }

    /// Deletes all routes, waits until they are freed, and ends the worker. No other thread may use routes.
    ///
    /// Context: thread that may sleep.
    #[track_caller]
    pub(crate) fn fini(&self) {
        self.delete(|_| true);
        if let Some(wq) = self.rt_free_wq.get() {
            wq.destroy();
        }
    }

    /// After [`fini`](Self::fini), when nothing runs.
    pub(crate) fn destroy_at_rest(&self) {
        self.rt_free_cv.destroy();
        self.rt_free_lock.destroy();
        self.rt_update_lock.destroy();
        self.rt_lock.destroy();
    }

    /// The cell that points to the first route that fits, or the last cell. `rt_lock` is held.
    fn find(&self, fits: impl Fn(&Rtentry) -> bool) -> &Plain<Option<&'static Rtentry>> {
        let mut link = &self.rt_first;
        while let Some(rt) = link.get() {
            if fits(rt) {
                break;
            }
            link = &rt.rt_next;
        }
        link
    }

    /// Removes the routes that fit from the table. Returns how many.
    #[track_caller]
    fn delete(&self, fits: impl Fn(&Rtentry) -> bool) -> u32 {
        let mut count = 0;
        loop {
            self.rt_lock.enter(Krw::Writer);
            let link = self.find(&fits);
            let found = link.get();
            if let Some(rt) = found {
                link.set(rt.rt_next.get());
            }
            self.rt_lock.exit();
            let Some(rt) = found else { break };
            self.free(rt);
            count += 1;
        }
        count
    }

    /// Gives a route that has left the table to the worker (`rt_free`).
    #[track_caller]
    fn free(&self, rt: &'static Rtentry) {
        self.rt_free_lock.enter();
        rt.rt_next.set(self.rt_free_first.get());
        self.rt_free_first.set(Some(rt));
        if !self.rt_enqueued.get() {
            self.rt_enqueued.set(true);
            if let Some(wq) = self.rt_free_wq.get() {
                // SAFETY: the stack lives until the worker has ended.
                let work: &'static Work = unsafe { &*core::ptr::from_ref(&self.rt_free_work) };
                wq.enqueue(work, None);
            }
        }
        self.rt_free_lock.exit();
    }

    /// Waits until a route has at most so many references.
    #[track_caller]
    fn wait_for_references(&self, rt: &Rtentry, left: u32) {
        let awaited = Awaited::Count {
            of: "route",
            count: Arg::of(&rt.rt_refcnt),
            left,
            cv: Arg::of(&self.rt_free_cv),
        };
        let _inside = inside_for("rt_wait", awaited);
        self.rt_waiters.fetch_add(1, SeqCst);
        self.rt_free_lock.enter();
        while rt.rt_refcnt.load(SeqCst) > left {
            self.rt_free_cv.wait(&self.rt_free_lock);
        }
        self.rt_free_lock.exit();
        self.rt_waiters.fetch_sub(1, SeqCst);
    }
}

/// Frees the deleted routes, each after its last reference is released (`rt_free_work`).
fn free_work(_: &'static Work, routes: Arg) {
    // SAFETY: `init` gave the routes, and `fini` ends the worker before the stack is freed.
    let routes: &'static Routes = unsafe { routes.get() };
    loop {
        routes.rt_free_lock.enter();
        let first = routes.rt_free_first.get();
        match first {
            Some(rt) => routes.rt_free_first.set(rt.rt_next.get()),
            None => routes.rt_enqueued.set(false),
        }
        routes.rt_free_lock.exit();
        let Some(rt) = first else { break };
        routes.wait_for_references(rt, 0);
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) it is out of the table, and nobody has it.
        unsafe { kmem_free(rt) };
    }
}

/// Adds a route (`rtrequest`, RTM_ADD). `source` is the address that packets are sent from. False: there is a route with this key,
/// or no memory.
///
/// Context: thread.
#[track_caller]
pub fn rt_add(
    net: &'static Net,
    key: &Key,
    gateway: Option<Ipv4Address>,
    source: Ipv4Address,
) -> bool {
    match rt_alloc(key, gateway, source) {
        Some(rt) => rt_insert(net, rt),
        None => false,
    }
}

/// A route that is in no table yet, for [`rt_insert`] or [`rt_discard`]. `None`: there is no memory.
#[track_caller]
pub(super) fn rt_alloc(
    key: &Key,
    gateway: Option<Ipv4Address>,
    source: Ipv4Address,
) -> Option<&'static Rtentry> {
    let rt = Rtentry {
        rt_next: Plain::new(None),
        rt_flags: Plain::new(0),
        rt_refcnt: AtomicU32::new(0),
        rt_key: *key,
        rt_gateway: Plain::new(gateway),
        rt_ifa: source,
    };
    kmem_alloc_nosleep("rtentry", rt)
}

/// Frees a route of [`rt_alloc`].
#[track_caller]
pub(super) fn rt_discard(rt: &'static Rtentry) {
    // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
    unsafe { kmem_free(rt) };
}

/// Puts a route of [`rt_alloc`] into the table. If there is one with its key and source, frees it and returns false.
#[track_caller]
pub(super) fn rt_insert(net: &'static Net, rt: &'static Rtentry) -> bool {
    let (routes, key, source) = (&net.routes, &rt.rt_key, rt.rt_ifa);
    routes.rt_lock.enter(Krw::Writer);
    let exists = routes
        .find(|other| other.rt_key.is(key) && other.rt_ifa == source)
        .get()
        .is_some();
    if !exists {
        let link = routes.find(|other| other.rt_key.prefix <= key.prefix);
        rt.rt_next.set(link.get());
        link.set(Some(rt));
    }
    routes.rt_lock.exit();
    if exists {
        rt_discard(rt);
    }
    !exists
}

/// Deletes the route with this key, and with this source if one is given (RTM_DELETE). False: there is none.
///
/// Context: thread.
#[track_caller]
pub fn rt_delete(net: &'static Net, key: &Key, source: Option<Ipv4Address>) -> bool {
    let fits = |rt: &Rtentry| rt.rt_key.is(key) && source.is_none_or(|source| rt.rt_ifa == source);
    net.routes.delete(fits) != 0
}

/// Deletes all routes by an interface (`if_delroute`).
///
/// Context: thread.
#[track_caller]
pub fn rt_purgeif(net: &'static Net, ifindex: u32) {
    net.routes.delete(|rt| rt.rt_key.ifindex == ifindex);
}

/// Whether there is a route by an interface, without a step. For checks, on a machine on which CPUs take turns.
pub(crate) fn is_used(net: &'static Net, ifindex: u32) -> bool {
    let mut routes = core::iter::successors(net.routes.rt_first.peek(), |rt| rt.rt_next.peek());
    routes.any(|rt| rt.rt_key.ifindex == ifindex)
}

/// The best route to a host, with a reference (`rtalloc1`). `None`: there is none, or it is being changed.
///
/// Context: thread, softint; not in a read section.
#[track_caller]
pub fn rtalloc1(net: &'static Net, dst: Ipv4Address) -> Option<&'static Rtentry> {
    rtalloc_in(net, dst, "rtalloc1")
}

/// [`rtalloc1`] for this function, whose name reports tell.
#[track_caller]
pub(super) fn rtalloc_in(
    net: &'static Net,
    dst: Ipv4Address,
    function: &'static str,
) -> Option<&'static Rtentry> {
    let routes = &net.routes;
    routes.rt_lock.enter(Krw::Reader);
    let found = routes.find(|rt| rt.rt_key.holds(dst)).get();
    let usable = found.filter(|rt| rt.rt_flags.get() & RTF_UPDATING == 0);
    if let Some(rt) = usable {
        rt.rt_refcnt.fetch_add(1, SeqCst);
        references::taken(&rt.rt_refcnt, "", function);
    }
    routes.rt_lock.exit();
    usable
}

/// Releases a reference (`rt_unref`).
///
/// Context: thread, softint; not in a read section.
#[track_caller]
pub fn rt_unref(net: &'static Net, rt: &'static Rtentry) {
    let routes = &net.routes;
    references::given(&rt.rt_refcnt, "");
    rt.rt_refcnt.fetch_sub(1, SeqCst);
    if routes.rt_waiters.load(SeqCst) != 0 {
        routes.rt_free_lock.enter();
        routes.rt_free_cv.broadcast();
        routes.rt_free_lock.exit();
    }
}

/// Changes the router of a route that others may be using (`rt_update_prepare`, RTM_CHANGE). False: there is none with this
/// key.
///
/// Context: thread that may sleep, without a route and without `softnet_lock`. Panics: contracts `sleepable`,
/// `softnet-lock`.
#[track_caller]
pub fn rt_update(net: &'static Net, key: &Key, gateway: Option<Ipv4Address>) -> bool {
    assert_sleepable("rt_update");
    net.assert_no_softnet_lock("rt_update");
    let _inside = inside("rt_update");
    let routes = &net.routes;
    routes.rt_update_lock.enter();
    routes.rt_lock.enter(Krw::Writer);
    let found = routes.find(|rt| rt.rt_key.is(key)).get();
    if let Some(rt) = found {
        rt.rt_flags.set(rt.rt_flags.get() | RTF_UPDATING);
        rt.rt_refcnt.fetch_add(1, SeqCst);
        references::taken(&rt.rt_refcnt, "", "rt_update");
    }
    routes.rt_lock.exit();
    if let Some(rt) = found {
        routes.wait_for_references(rt, 1);
        note!("a route is changed");
        rt.rt_gateway.set(gateway);
        routes.rt_lock.enter(Krw::Writer);
        rt.rt_flags.set(rt.rt_flags.get() & !RTF_UPDATING);
        routes.rt_lock.exit();
        rt_unref(net, rt);
    }
    routes.rt_update_lock.exit();
    found.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(dst: [u8; 4], prefix: u8) -> Key {
        Key {
            dst: Ipv4Address::from(dst),
            prefix,
            ifindex: 1,
        }
    }

    #[test]
    fn a_net_holds_its_hosts() {
        let net = key([10, 0, 2, 15], 24);
        assert!(net.holds(Ipv4Address::new(10, 0, 2, 2)));
        assert!(!net.holds(Ipv4Address::new(10, 0, 3, 2)));
        assert!(key([0; 4], 0).holds(Ipv4Address::new(255, 1, 2, 3)));
        assert!(!key([10, 0, 0, 1], 32).holds(Ipv4Address::new(10, 0, 0, 2)));
    }

    #[test]
    fn a_key_is_its_net_prefix_and_interface() {
        assert!(key([10, 0, 2, 15], 24).is(&key([10, 0, 2, 1], 24)));
        assert!(!key([10, 0, 2, 15], 24).is(&key([10, 0, 2, 15], 25)));
        assert!(!key([10, 0, 2, 15], 24).is(&Key {
            ifindex: 2,
            ..key([10, 0, 2, 15], 24)
        }));
    }
}
