//! inet(4): the IPv4 addresses of the interfaces.
//!
//! # Overview
//!
//! Addresses are on one list. The packet path reads it in read sections of pserialize(9), and holds a passive reference to an
//! address that it uses for longer. Adding an address adds a route to its net; removing it removes the route.
//!
//! # Contexts
//!
//! [`in_ifaddr_get`], [`in_is_local`]: softint up to softnet, or thread (that is bound, for a reference). [`in_control_add`],
//! [`in_control_remove`]: thread that may sleep, without IFNET_LOCK and `softnet_lock`. [`ifa_insert`], [`ifa_remove`],
//! [`in_purgeif`]: the same; the first two under IFNET_LOCK.
//!
//! # Invariants
//!
//! 1. An address belongs to one interface from its insertion to its removal, and is removed before the interface is.
//! 2. No two addresses of a host are the same.
//! 3. A removed address is freed after all read sections that may have found it have ended, and all references are released.
//!
//! # Lock order
//!
//! IFNET_LOCK, then `in_ifaddr_lock`, then the lock of the routes. A thread waits for references and readers with IFNET_LOCK
//! held, and *never with `softnet_lock`*: a handler that holds a reference may wait for that lock (as `tcp_purgeif` once did, see
//! [the talk](crate::scenario::perform_vs_callout)).
//!
//! # Differences from NetBSD
//!
//! There is one list, instead of a list for each interface, a list of all and a hash table. Duplicate addresses are noticed
//! ([`arp_wire`]), but not probed for before an address is used.
//!
//! # Sources
//!
//! `sys/netinet/in.c` (`in_control`, `in_purgeif`), `sys/net/if.c` 1.531 (`ifa_insert`, `ifa_remove`).

use smoltcp::wire::Ipv4Address;

use crate::kern::contract::assert_sleepable;
use crate::kern::inside::inside;
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::pslist::{Listed, PslistEntry, PslistHead};
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::spl::Ipl;
use crate::net::ifnet::Ifnet;
use crate::net::{Net, arp_wire, route};
use crate::{machine, note};

/// An address of an interface (`struct in_ifaddr`).
#[repr(C)]
pub struct InIfaddr {
    ia_entry: PslistEntry,
    ia_psref: PsrefTarget,
    ia_addr: Ipv4Address,
    ia_prefix: u8,
    ia_ifp: &'static Ifnet,
}

crate::fields!(InIfaddr as Kernel { ia_entry, ia_psref });

// SAFETY: `repr(C)`, and the entry is the first field.
unsafe impl Listed for InIfaddr {
    fn entry(&self) -> &PslistEntry {
        &self.ia_entry
    }
}

impl InIfaddr {
    /// The address.
    pub fn addr(&self) -> Ipv4Address {
        self.ia_addr
    }

    /// Whether `addr` means every host of its net.
    pub fn is_broadcast(&self, addr: Ipv4Address) -> bool {
        self.ia_prefix < 31 && addr == broadcast(self.ia_addr, self.ia_prefix)
    }

    /// Index of its interface.
    pub fn ifindex(&self) -> u32 {
        self.ia_ifp.index()
    }
}

/// The bits of an address that name its net.
pub(crate) const fn netmask(prefix: u8) -> u32 {
    match prefix {
        0 => 0,
        _ => u32::MAX << (32 - prefix as u32),
    }
}

/// The address that means every host of a net.
pub(crate) fn broadcast(addr: Ipv4Address, prefix: u8) -> Ipv4Address {
    Ipv4Address::from_bits(addr.to_bits() | !netmask(prefix))
}

/// The addresses of a stack.
pub struct Inet {
    in_ifaddrhead: PslistHead<InIfaddr>,
    /// Held by whoever changes the list.
    in_ifaddr_lock: Kmutex,
    ifa_psz: Pserialize,
    ifa_psref_class: PsrefClass,
}

crate::fields!(Inet {
    in_ifaddrhead,
    in_ifaddr_lock,
    ifa_psz
});

/// Why an address was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The host has it already (`EEXIST`).
    Exists,
    /// The interface is being detached (`ENXIO`).
    Gone,
    /// There is no memory (`ENOMEM`).
    NoMemory,
    /// Not an address of a host, or a prefix of more than 32 bits (`EINVAL`).
    Invalid,
}

impl Inet {
    /// `None`: there is no memory.
    #[track_caller]
    pub(crate) fn create() -> Option<Inet> {
        let class = PsrefClass::create("ifaddr", Ipl::SoftNet)?;
        Some(Inet {
            in_ifaddrhead: PslistHead::new(),
            in_ifaddr_lock: Kmutex::new("in_ifaddr_lock", Ipl::None),
            ifa_psz: Pserialize::new(),
            ifa_psref_class: class,
        })
    }

    /// There are no addresses, and nothing runs.
    pub(crate) fn destroy_at_rest(&self) {
        self.in_ifaddrhead.destroy();
        self.ifa_psz.destroy();
        self.in_ifaddr_lock.destroy();
        // SAFETY: (1) `create` created it; (2) there are no addresses.
        unsafe { self.ifa_psref_class.destroy_at_rest() };
    }

    /// The first address that `fits` accepts. Call it in a read section, or with `in_ifaddr_lock` held.
    fn find(&self, fits: impl Fn(&InIfaddr) -> bool) -> Option<&'static InIfaddr> {
        self.in_ifaddrhead.iter().find(|ia| fits(ia))
    }
}

/// Gives an interface an address, and the stack a route to its net (`in_control`, SIOCAIFADDR).
///
/// Context: thread that may sleep, the interface is kept, neither IFNET_LOCK nor `softnet_lock` held.
#[track_caller]
pub fn in_control_add(ifp: &'static Ifnet, addr: Ipv4Address, prefix: u8) -> Result<(), Refused> {
    if prefix > 32 || addr.is_unspecified() || addr.is_multicast() || addr.is_broadcast() {
        return Err(Refused::Invalid);
    }
    ifp.lock();
    let result = ifa_insert(ifp, addr, prefix);
    ifp.unlock();
    if result.is_ok() && !ifp.is_loopback() {
        // Another host with this address answers; hosts that know it with another Ethernet address learn the new one.
        let bound = curlwp_bind();
        arp_wire::arpannounce(ifp, addr);
        curlwp_bindx(bound);
    }
    result
}

/// Removes an address from an interface (SIOCDIFADDR). False: the interface does not have it.
///
/// Context, panics: as [`in_control_add`], and as [`ifa_remove`].
#[track_caller]
pub fn in_control_remove(ifp: &'static Ifnet, addr: Ipv4Address) -> bool {
    let inet = &ifp.net().inet;
    ifp.lock();
    inet.in_ifaddr_lock.enter();
    let ia = inet.find(|ia| ia.ia_addr == addr && core::ptr::eq(ia.ia_ifp, ifp));
    inet.in_ifaddr_lock.exit();
    // No other thread removes it: IFNET_LOCK is held.
    if let Some(ia) = ia {
        ifa_remove(ifp, ia);
    }
    ifp.unlock();
    ia.is_some()
}

/// Adds an address to the list (`ifa_insert`). IFNET_LOCK is held.
///
/// Panics: contract `ifnet-lock`.
#[track_caller]
pub fn ifa_insert(ifp: &'static Ifnet, addr: Ipv4Address, prefix: u8) -> Result<(), Refused> {
    ifp.assert_locked("ifa_insert");
    if ifp.is_deactivated() {
        return Err(Refused::Gone);
    }
    let net = ifp.net();
    let ia = kmem_alloc_nosleep(
        "ifaddr",
        InIfaddr {
            ia_entry: PslistEntry::new(),
            ia_psref: PsrefTarget::new(),
            ia_addr: addr,
            ia_prefix: prefix,
            ia_ifp: ifp,
        },
    )
    .ok_or(Refused::NoMemory)?;
    let key = route::Key {
        dst: addr,
        prefix,
        ifindex: ifp.index(),
    };
    // Before anybody sees the address: without its route nobody on its net could be answered.
    let Some(rt) = route::rt_alloc(&key, None, addr) else {
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
        unsafe { kmem_free(ia) };
        return Err(Refused::NoMemory);
    };
    machine::label(ia, format_args!("ifaddr {addr}"));
    ia.ia_psref.init(net.inet.ifa_psref_class);
    let inet = &net.inet;
    inet.in_ifaddr_lock.enter();
    let exists = inet.find(|other| other.ia_addr == addr).is_some();
    if !exists {
        inet.in_ifaddrhead.insert_head(ia);
    }
    inet.in_ifaddr_lock.exit();
    if exists {
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
        unsafe { kmem_free(ia) };
        route::rt_discard(rt);
        return Err(Refused::Exists);
    }
    // Another one from this address would be left from an address that is gone, and those go with their routes.
    let _added = route::rt_insert(net, rt);
    note!("{} has {addr}/{prefix}", ifp.name());
    Ok(())
}

/// Removes an address, and waits until no reader and no reference is left (`ifa_remove`). IFNET_LOCK is held.
///
/// Context: thread that may sleep, without a reference to it and without `softnet_lock`. Panics: contracts `ifnet-lock`,
/// `softnet-lock`, `sleepable`.
#[track_caller]
pub fn ifa_remove(ifp: &'static Ifnet, ia: &'static InIfaddr) {
    assert_sleepable("ifa_remove");
    ifp.assert_locked("ifa_remove");
    let net = ifp.net();
    net.assert_no_softnet_lock("ifa_remove");
    let _inside = inside("ifa_remove");
    let inet = &net.inet;
    route::rt_delete(
        net,
        &route::Key {
            dst: ia.ia_addr,
            prefix: ia.ia_prefix,
            ifindex: ifp.index(),
        },
        Some(ia.ia_addr),
    );
    inet.in_ifaddr_lock.enter();
    ia.ia_entry.remove();
    inet.ifa_psz.perform();
    inet.in_ifaddr_lock.exit();
    ia.ia_psref.destroy(inet.ifa_psref_class);
    ia.ia_entry.assert_waited_for("ifa_remove");
    ia.ia_entry.destroy();
    note!("{} has {} no more", ifp.name(), ia.ia_addr);
    // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) it is on no list, and readers and references are gone.
    unsafe { kmem_free(ia) };
}

/// Removes all addresses of an interface (`in_purgeif`). `softnet_lock` is not held.
///
/// Context, panics: as [`ifa_remove`]; takes IFNET_LOCK.
#[track_caller]
pub fn in_purgeif(ifp: &'static Ifnet) {
    let inet = &ifp.net().inet;
    ifp.lock();
    loop {
        inet.in_ifaddr_lock.enter();
        let ia = inet.find(|ia| core::ptr::eq(ia.ia_ifp, ifp));
        inet.in_ifaddr_lock.exit();
        let Some(ia) = ia else { break };
        ifa_remove(ifp, ia);
    }
    ifp.unlock();
}

/// Whether an interface has an address, without a step. For checks, on a machine on which CPUs take turns.
pub(crate) fn has_any(ifp: &'static Ifnet) -> bool {
    let mut addresses = ifp.net().inet.in_ifaddrhead.peek();
    addresses.any(|ia| core::ptr::eq(ia.ia_ifp, ifp))
}

/// Finds the first address that `fits` accepts, and takes a reference (`in_get_ia_psref`).
///
/// Context: softint up to softnet, or thread that is bound, until [`ia_put`]. Panics: contracts `psref-context`,
/// `psref-unbound`, `psref-twice`.
#[track_caller]
pub fn in_ifaddr_get(
    net: &'static Net,
    fits: impl Fn(&InIfaddr) -> bool,
    psref: &Psref,
) -> Option<&'static InIfaddr> {
    let s = read_enter();
    let ia = net.inet.find(fits);
    if let Some(ia) = ia {
        psref.acquire(&ia.ia_psref, net.inet.ifa_psref_class);
    }
    read_exit(s);
    ia
}

/// Releases a reference (`ia4_release`). Context: as [`Psref::release`].
#[track_caller]
pub fn ia_put(net: &'static Net, ia: &'static InIfaddr, psref: &Psref) {
    psref.release(&ia.ia_psref, net.inet.ifa_psref_class);
}

/// Whether the caller holds a reference (`ifa_held`). For assertions.
///
/// Context: as [`ia_put`].
#[track_caller]
pub fn ifa_held(net: &'static Net, ia: &'static InIfaddr) -> bool {
    ia.ia_psref.held(net.inet.ifa_psref_class)
}

/// Whether an address is this host's, now.
///
/// Context: thread, softint up to softserial.
#[track_caller]
pub fn in_is_local(net: &'static Net, addr: Ipv4Address) -> bool {
    let s = read_enter();
    let found = net.inet.find(|ia| ia.ia_addr == addr).is_some();
    read_exit(s);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_mask() {
        assert_eq!(netmask(0), 0);
        assert_eq!(netmask(8), 0xff00_0000);
        assert_eq!(netmask(32), u32::MAX);
    }

    #[test]
    fn a_net_has_a_broadcast_address() {
        let addr = Ipv4Address::new(10, 0, 2, 15);
        assert_eq!(broadcast(addr, 24), Ipv4Address::new(10, 0, 2, 255));
        assert_eq!(broadcast(addr, 30), Ipv4Address::new(10, 0, 2, 15));
        assert_eq!(broadcast(addr, 0), Ipv4Address::new(255, 255, 255, 255));
    }
}
