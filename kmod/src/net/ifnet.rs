//! ifnet(9): network interfaces.
//!
//! # Overview
//!
//! A driver gives the stack an [`Ifnet`]: a name, an index, an address, a function that sends a frame, and one that takes received
//! frames. Interfaces are on a list, and in a table by index. Both are read in read sections of pserialize(9). Code that uses an
//! interface for longer holds a passive reference ([`if_get_byindex`], [`if_put`]). A packet names the interface that it came by
//! with an index only, so a packet that waits in a queue does not keep the interface alive.
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`if_get_byindex`], [`if_get`], [`if_put`] | softint up to softnet, or thread that is bound |
//! | [`if_input`], [`if_transmit`] | softint up to softnet, or thread, with a reference to the interface |
//! | [`if_attach`] | thread, or boot |
//! | [`if_detach`], [`if_up`], [`if_down`] | thread that may sleep |
//!
//! # How an interface ends
//!
//! [`if_detach`] works in NetBSD's order, in which each step prepares the next:
//!
//! 1. The interface is *deactivated*, under IFNET_LOCK: no address and no route is added any more.
//! 2. It is removed from the table and from the list, and every read section that may have found it ends: no new references.
//! 3. It is taken down: those that still hold a reference neither send nor receive.
//! 4. The queues of the protocols handle the packets that were in them. Most packets that name the interface are gone then. Later
//!    ones name an index that no interface has.
//! 5. Its addresses, routes and neighbours are removed. Each removal waits for its own readers and references, *without
//!    `softnet_lock`*, which these may need.
//! 6. All references to the interface are released.
//! 7. Its input queue is destroyed, with the softint that could still use the interface, and so are neighbours that the last holder
//!    of a reference added.
//!
//! # Invariants
//!
//! 1. An index is not reused before all other indices have been used, nor before [`if_detach`] has removed everything that is found
//!    by that index, such as routes.
//! 2. IFF_UP changes only under IFNET_LOCK, or after the interface was deactivated.
//! 3. Every packet given to [`if_input`] or [`if_transmit`] is freed, or gets another owner.
//!
//! # Lock order
//!
//! IFNET_LOCK (`if_ioctl_lock`), then IFNET_GLOBAL_LOCK (`ifnet_mutex`). Neither is taken with `softnet_lock` held.
//!
//! # Memory order
//!
//! The list and the table publish an interface with a release, and find it with an acquire. Flags are hints, and relaxed.
//!
//! # Differences from NetBSD
//!
//! There is no link state, no watchdog, no ioctl and no `if_snd`: a driver's transmit function takes the frame at once or drops it.
//! The table of indices has a fixed size.
//!
//! # Sources
//!
//! `sys/net/if.c` 1.531.

use core::sync::atomic::{AtomicU64, Ordering as Bare};

use smoltcp::wire::{EthernetAddress, Ipv4Address};

use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::inside;
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, Name, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::spl::Ipl;
use crate::kern::xcall::{self, Priority};
use crate::mem::{AcqRel, Acquire, AtomicRef, AtomicU32, Local, Plain, Relaxed, Release};
use crate::net::bpf::{self, Bpf};
use crate::net::if_percpuq::IfPercpuq;
use crate::net::llatbl::Lltable;
use crate::net::mbuf::{End, Mbuf};
use crate::net::pktqueue::pktq_ifdetach;
use crate::net::stages::{self, Stage};
use crate::net::{Net, arp_wire, ether, inet, ip, route};
use crate::{machine, note};

/// Most interfaces at once.
pub const MAX_INTERFACES: usize = 8;

/// It may be used (`IFF_UP`).
pub const IFF_UP: u32 = 1 << 0;
/// It is the loopback interface (`IFF_LOOPBACK`).
pub const IFF_LOOPBACK: u32 = 1 << 3;

/// What a driver does for its interface.
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Takes a frame that was received (`_if_input`).
    pub input: fn(&'static Ifnet, Mbuf),
    /// Sends a frame, or ends it.
    pub transmit: fn(&'static Ifnet, Mbuf),
    /// Belongs to the driver.
    pub softc: Arg,
}

/// The arguments of [`if_attach`].
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its Ethernet address; `None`: it is the loopback interface.
    pub lladdr: Option<[u8; 6]>,
    /// Most bytes of an IP packet.
    pub mtu: usize,
    /// Its driver.
    pub driver: Driver,
}

/// A network interface (`struct ifnet`).
#[repr(C)]
pub struct Ifnet {
    if_pslist_entry: PslistEntry,
    if_psref: PsrefTarget,
    /// IFNET_LOCK: serializes changes.
    if_ioctl_lock: Kmutex,
    if_flags: AtomicU32,
    /// Whether it is being detached. Protected by IFNET_LOCK.
    if_deactivated: Plain<bool>,
    /// Set before the interface is published.
    if_index: Local<u32>,
    pub(crate) if_percpuq: IfPercpuq,
    pub(crate) if_bpf: Bpf,
    /// Its neighbours.
    pub(crate) if_llt: Lltable,
    if_xname: Name,
    if_net: &'static Net,
    if_spec: Spec,
    if_ipackets: AtomicU64,
    if_opackets: AtomicU64,
}

crate::fields!(Ifnet as Kernel {
    if_pslist_entry,
    if_psref,
    if_ioctl_lock,
    if_flags,
    if_deactivated,
    if_index,
    if_bpf,
    if_llt
});

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for Ifnet {
    fn entry(&self) -> &PslistEntry {
        &self.if_pslist_entry
    }
}

impl Ifnet {
    /// Its name.
    pub fn name(&self) -> Name {
        self.if_xname
    }

    /// Its index.
    pub fn index(&self) -> u32 {
        self.if_index.get()
    }

    /// The stack that it belongs to.
    pub fn net(&self) -> &'static Net {
        self.if_net
    }

    /// Its Ethernet address; zeroes for the loopback interface.
    pub fn lladdr(&self) -> EthernetAddress {
        EthernetAddress(self.if_spec.lladdr.unwrap_or([0; 6]))
    }

    /// Most bytes of an IP packet.
    pub fn mtu(&self) -> usize {
        self.if_spec.mtu
    }

    /// Belongs to the driver.
    pub fn softc(&self) -> Arg {
        self.if_spec.driver.softc
    }

    /// Whether it may be used. A hint, unless IFNET_LOCK is held.
    pub fn is_up(&self) -> bool {
        self.if_flags.load(Relaxed) & IFF_UP != 0
    }

    /// Whether it is the loopback interface.
    pub fn is_loopback(&self) -> bool {
        self.if_spec.lladdr.is_none()
    }

    /// Frames that were received and sent: exact at rest.
    pub fn packets(&self) -> (u64, u64) {
        (
            self.if_ipackets.load(Bare::Relaxed),
            self.if_opackets.load(Bare::Relaxed),
        )
    }

    /// IFNET_LOCK. Context: thread; `softnet_lock` not held.
    #[track_caller]
    pub fn lock(&self) {
        self.if_ioctl_lock.enter();
    }

    /// IFNET_UNLOCK.
    #[track_caller]
    pub fn unlock(&self) {
        self.if_ioctl_lock.exit();
    }

    /// Whether the caller may change it: it has IFNET_LOCK.
    ///
    /// Panics (contract `ifnet-lock`) if not.
    #[track_caller]
    pub(crate) fn assert_locked(&self, what: &str) {
        contract!(
            self.if_ioctl_lock.owned(),
            "ifnet-lock",
            "{what}({}) by {}, which does not hold IFNET_LOCK",
            self.if_xname,
            curlwp().name()
        );
    }

    /// Whether it is being detached (`if_is_deactivated`). IFNET_LOCK is held.
    #[track_caller]
    pub(crate) fn is_deactivated(&self) -> bool {
        self.if_deactivated.get()
    }
}

/// The interfaces of a stack.
pub struct Interfaces {
    ifnet_list: PslistHead<Ifnet>,
    ifindex2ifnet: [AtomicRef<Ifnet>; MAX_INTERFACES],
    /// The index that is tried next. Protected by IFNET_GLOBAL_LOCK.
    if_index_next: Plain<usize>,
    /// The indices that interfaces have, one bit each, also those of interfaces on their way out. Protected by IFNET_GLOBAL_LOCK.
    if_index_used: Plain<u32>,
    /// IFNET_GLOBAL_LOCK: held by whoever changes the list and the table.
    ifnet_mutex: Kmutex,
    ifnet_psz: Pserialize,
    ifnet_psref_class: PsrefClass,
}

crate::fields!(Interfaces {
    ifnet_list,
    ifindex2ifnet,
    if_index_next,
    if_index_used,
    ifnet_mutex,
    ifnet_psz
});

impl Interfaces {
    /// `None`: there is no memory.
    #[track_caller]
    pub(crate) fn create() -> Option<Interfaces> {
        let class = PsrefClass::create("ifnet", Ipl::SoftNet)?;
        Some(Interfaces {
            ifnet_list: PslistHead::new(),
            ifindex2ifnet: [const { AtomicRef::new() }; MAX_INTERFACES],
            if_index_next: Plain::new(0),
            if_index_used: Plain::new(0),
            ifnet_mutex: Kmutex::new("ifnet_mutex", Ipl::None),
            ifnet_psz: Pserialize::new(),
            ifnet_psref_class: class,
        })
    }

    /// Any interface. For the caller that detaches all of them, while no other thread detaches any.
    pub(crate) fn any(&self) -> Option<&'static Ifnet> {
        self.ifnet_list.first()
    }

    /// The interface with this name. When nothing runs, or at boot.
    pub(crate) fn named_at_rest(&self, name: &str) -> Option<&'static Ifnet> {
        self.ifnet_list
            .iter()
            .find(|ifp| ifp.if_xname.as_str() == name)
    }

    /// Packets that wait for a neighbour's Ethernet address. When nothing runs.
    pub(crate) fn held(&self) -> u64 {
        let held = self.ifnet_list.iter().map(|ifp| ifp.if_llt.held());
        held.sum()
    }

    /// Destroys the table, which is empty. When nothing runs.
    pub(crate) fn destroy_at_rest(&self) {
        self.ifnet_list.destroy();
        self.ifnet_psz.destroy();
        self.ifnet_mutex.destroy();
        // SAFETY: (1) `create` created it; (2) there are no interfaces, and nobody looks for any.
        unsafe { self.ifnet_psref_class.destroy_at_rest() };
    }
}

/// Creates an interface and publishes it (`if_attach`). It is down. `None`: there is no memory, or no index.
///
/// Context: thread that may sleep, or boot. Panics: contract `sleepable`.
#[track_caller]
pub fn if_attach(net: &'static Net, name: Name, spec: &Spec) -> Option<&'static Ifnet> {
    let ifp = kmem_alloc_nosleep(
        "ifnet",
        Ifnet {
            if_pslist_entry: PslistEntry::new(),
            if_psref: PsrefTarget::new(),
            if_ioctl_lock: Kmutex::new("ifnet_lock", Ipl::None),
            if_flags: AtomicU32::new(match spec.lladdr {
                Some(_) => 0,
                None => IFF_LOOPBACK,
            }),
            if_deactivated: Plain::new(false),
            if_index: Local::new(0),
            if_percpuq: IfPercpuq::new(),
            if_bpf: Bpf::new(),
            if_llt: Lltable::new(),
            if_xname: name,
            if_net: net,
            if_spec: *spec,
            if_ipackets: AtomicU64::new(0),
            if_opackets: AtomicU64::new(0),
        },
    )?;
    machine::label(ifp, format_args!("{name}"));
    ifp.if_psref.init(net.ifs.ifnet_psref_class);
    let complete = ifp
        .if_llt
        .init(&net.softnet_lock, &arp_wire::LLT_OPS, Arg::of(ifp))
        && ifp.if_percpuq.init(net.kernel, ifp).is_some();
    if !complete {
        ifp.if_llt.fini();
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
        unsafe { kmem_free(ifp) };
        return None;
    }
    if insert(&net.ifs, ifp).is_none() {
        destroy(ifp);
        return None;
    }
    Some(ifp)
}

/// Gives an interface an index and publishes it. `None`: there is no index.
#[track_caller]
fn insert(ifs: &'static Interfaces, ifp: &'static Ifnet) -> Option<()> {
    ifs.ifnet_mutex.enter();
    let next = ifs.if_index_next.get();
    let slots = (next..MAX_INTERFACES).chain(0..next);
    let used = ifs.if_index_used.get();
    let free = slots.into_iter().find(|&slot| used & 1 << slot == 0);
    if let Some(slot) = free {
        ifs.if_index_used.set(used | 1 << slot);
        ifs.if_index_next.set((slot + 1) % MAX_INTERFACES);
        ifp.if_index.set(slot as u32 + 1);
        ifs.ifnet_list.insert_head(ifp);
        ifs.ifindex2ifnet[slot].store(Some(ifp), Release);
    }
    ifs.ifnet_mutex.exit();
    free.map(|_| ())
}

/// Detaches and frees an interface: see the header of this module (`if_detach`).
///
/// Its driver must give it no more frames. Context: thread that may sleep, without a reference to it, without
/// IFNET_LOCK and `softnet_lock`. Panics: contracts `sleepable`, `softnet-lock`, `if-detach-twice`, `if-late`.
#[track_caller]
pub fn if_detach(ifp: &'static Ifnet) {
    assert_sleepable("if_detach");
    let net = ifp.if_net;
    let _inside = inside("if_detach");
    net.assert_no_softnet_lock("if_detach");
    note!("{} is detached", ifp.if_xname);
    ifp.lock();
    contract!(
        !ifp.if_deactivated.get(),
        "if-detach-twice",
        "if_detach({}) by {} while it is being detached",
        ifp.if_xname,
        curlwp().name()
    );
    ifp.if_deactivated.set(true);
    ifp.unlock();

    let ifs = &net.ifs;
    ifs.ifnet_mutex.enter();
    ifs.ifindex2ifnet[ifp.index() as usize - 1].store(None, Release);
    ifp.if_pslist_entry.remove();
    ifs.ifnet_psz.perform();
    ifs.ifnet_mutex.exit();

    ifp.if_flags.fetch_and(!IFF_UP, AcqRel);
    pktq_ifdetach(net.pktqueues());
    xcall::barrier(Priority::Low);

    inet::in_purgeif(ifp);
    route::rt_purgeif(net, ifp.index());
    arp_wire::purge(ifp);
    bpf::bpf_detach_if(ifp);
    // After everything that holds references while it is removed.
    ifp.if_psref.destroy(ifs.ifnet_psref_class);
    arp_wire::purge(ifp);
    // A handler of a neighbour's timer that had begun may still be on its way to the table.
    xcall::native_barrier(Ipl::SoftClock);
    assert_nothing_came(ifp);
    ifp.if_pslist_entry.assert_waited_for("if_detach");
    ifp.if_pslist_entry.destroy();
    let index = ifp.index();
    destroy(ifp);
    // Last: routes are removed by the index, and packets in queues have only that.
    ifs.ifnet_mutex.enter();
    let used = ifs.if_index_used.get();
    ifs.if_index_used.set(used & !(1 << (index - 1)));
    ifs.ifnet_mutex.exit();
}

/// An interface that was deactivated was not brought up, and has not been given an address or a route, since these were taken away.
///
/// Panics (contract `if-late`) if it was. The lists are looked at on a machine on which CPUs take turns: locks that the check took would order
/// what nothing else does.
#[track_caller]
fn assert_nothing_came(ifp: &'static Ifnet) {
    let came = if !cfg!(feature = "contracts") {
        None
    } else if ifp.if_flags.peek() & IFF_UP != 0 {
        Some("is up")
    } else if !machine::takes_turns() {
        None
    } else if inet::has_any(ifp) {
        Some("has an address")
    } else if route::is_used(ifp.net(), ifp.index()) {
        Some("has a route")
    } else {
        None
    };
    contract!(
        came.is_none(),
        "if-late",
        "{} is about to be freed by {} and {}: that came after it was deactivated",
        ifp.if_xname,
        curlwp().name(),
        came.unwrap_or_default()
    );
}

/// Frees an interface that can no longer be found and has no references.
#[track_caller]
fn destroy(ifp: &'static Ifnet) {
    ifp.if_percpuq.destroy();
    ifp.if_llt.fini();
    ifp.if_bpf.destroy();
    ifp.if_ioctl_lock.destroy();
    // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody finds it, references are gone, and so is its softint.
    unsafe { kmem_free(ifp) };
}

/// Takes an interface up (`if_up`). IFNET_LOCK is held. Panics: contract `ifnet-lock`.
#[track_caller]
pub fn if_up(ifp: &Ifnet) {
    ifp.assert_locked("if_up");
    if !ifp.is_deactivated() {
        ifp.if_flags.fetch_or(IFF_UP, AcqRel);
    }
}

/// Takes an interface down (`if_down`). IFNET_LOCK is held. Panics: contract `ifnet-lock`.
#[track_caller]
pub fn if_down(ifp: &Ifnet) {
    ifp.assert_locked("if_down");
    ifp.if_flags.fetch_and(!IFF_UP, AcqRel);
}

/// Finds an interface by its index and takes a reference (`if_get_byindex`).
///
/// Context: softint up to softnet, or thread that is bound, until [`if_put`]. Panics: contracts `psref-context`,
/// `psref-unbound`, `psref-twice`.
#[track_caller]
pub fn if_get_byindex(net: &'static Net, index: u32, psref: &Psref) -> Option<&'static Ifnet> {
    let slot = index.checked_sub(1)? as usize;
    let place = net.ifs.ifindex2ifnet.get(slot)?;
    let s = read_enter();
    let ifp = place.load(Acquire);
    if let Some(ifp) = ifp {
        psref.acquire(&ifp.if_psref, net.ifs.ifnet_psref_class);
    }
    read_exit(s);
    ifp
}

/// Finds an interface by its name and takes a reference (`if_get`).
///
/// Context, panics: as [`if_get_byindex`].
#[track_caller]
pub fn if_get(net: &'static Net, name: &str, psref: &Psref) -> Option<&'static Ifnet> {
    let s = read_enter();
    let mut list = net.ifs.ifnet_list.iter();
    let ifp = list.find(|ifp| ifp.if_xname.as_str() == name);
    if let Some(ifp) = ifp {
        psref.acquire(&ifp.if_psref, net.ifs.ifnet_psref_class);
    }
    read_exit(s);
    ifp
}

/// Releases a reference (`if_put`). Context: as [`Psref::release`].
#[track_caller]
pub fn if_put(ifp: &'static Ifnet, psref: &Psref) {
    psref.release(&ifp.if_psref, ifp.if_net.ifs.ifnet_psref_class);
}

/// Whether the caller holds a reference (`if_held`). For assertions.
///
/// Context: as [`if_put`].
#[track_caller]
pub fn if_held(ifp: &'static Ifnet) -> bool {
    ifp.if_psref.held(ifp.if_net.ifs.ifnet_psref_class)
}

/// Hands a received frame to the input function of the interface (`if_input`).
///
/// Context: softint up to softnet, or thread, with a reference to the interface.
#[track_caller]
pub fn if_input(ifp: &'static Ifnet, mut m: Mbuf) {
    if !ifp.is_up() {
        return m.free(End::IfDown);
    }
    ifp.if_ipackets.fetch_add(1, Bare::Relaxed);
    m.set_rcvif(ifp.index());
    bpf::bpf_mtap(ifp, m.bytes());
    (ifp.if_spec.driver.input)(ifp, m);
}

/// Sends a frame as it is (`if_transmit`). Context: as [`if_input`].
#[track_caller]
pub fn if_transmit(ifp: &'static Ifnet, m: Mbuf) {
    if !ifp.is_up() {
        return m.free(End::IfDown);
    }
    ifp.if_opackets.fetch_add(1, Bare::Relaxed);
    bpf::bpf_mtap(ifp, m.bytes());
    stages::reached(Stage::Transmit);
    (ifp.if_spec.driver.transmit)(ifp, m);
    stages::reached(Stage::Transmitted);
}

/// Sends an IP packet to the next hop `dst` (`if_output`): with an Ethernet header, or back to this host.
///
/// Context: softint up to softnet, or thread that is bound, with a reference to the interface.
#[track_caller]
pub fn if_output(ifp: &'static Ifnet, m: Mbuf, dst: Ipv4Address) {
    if ifp.is_loopback() {
        if_transmit(ifp, m);
    } else {
        ether::ether_output(ifp, m, dst);
    }
}

/// The driver of the loopback interface: a packet that is sent goes to the queue of IP (`looutput`).
pub(crate) const LOOPBACK: Driver = Driver {
    input: |_, m| m.free(End::NoEthertype),
    transmit: |ifp, mut m| {
        m.set_rcvif(ifp.index());
        ip::enqueue(ifp.if_net, m);
    },
    softc: Arg::NONE,
};
