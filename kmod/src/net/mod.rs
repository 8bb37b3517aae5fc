//! A small network stack over the primitives: what NetBSD keeps in `sys/net` and `sys/netinet`.
//!
//! # Overview
//!
//! It has Ethernet, ARP, IPv4, ICMP echo and errors, and UDP sockets enough for servers in threads: the softnet path of
//! NetBSD, with its queues, softints, locks and references where NetBSD has them.
//!
//! ```text
//! card ─ intr ─ softint ─┐                                          ┌─ icmp_input ─┐
//!                        ├ if_input ─ ether_input ═ ip_pktq ═ ip_input              ├─ ip_output ─ if_output ─ if_transmit
//! pair ─ percpuq ════════┘               ╚══════════ arp_pktq ═ arp_input           │
//!                                                                   └─ udp_input ═ socket ═ thread
//! ```
//!
//! A double line is a queue: the code behind it runs later, in another context. A packet in a queue keeps nothing alive. It names
//! the interface that it came by, and whoever takes it out checks that the interface is still there.
//!
//! # How to read it
//!
//! A packet is an [`mbuf`]. [`nic`] takes it from a network card, or [`pair`] from a wire inside the kernel. [`if_percpuq`] and
//! [`pktqueue`] bring it to the protocols: [`ether`], [`arp_wire`], [`ip`], [`icmp`], [`udp`]. The protocols look up an
//! [`ifnet`], an address ([`inet`]) and a [`route`]; each module describes how these are removed safely. [`llatbl`] is the table from
//! network addresses to link addresses, [`arp`] the protocol that fills it, and [`lleref`] records the references to its entries.
//! [`bpf`] taps an interface. A [`listener`] uses the cards without a stack. [`stats`] counts where packets went, and [`stages`]
//! marks how far one has come.
//!
//! # Contexts
//!
//! [`init`]: thread that may sleep, or boot. [`fini`]: thread that may sleep. [`free`]: when nothing runs.
//!
//! # The two schemes of locking
//!
//! With NET_MPSAFE (`net_mpsafe` of the configuration, the default) the protocols run on all CPUs at once, and only sockets
//! take `softnet_lock`. Without it, the softints of IP and ARP hold `softnet_lock` for as long as they run, and so does a thread
//! that sends from a socket: only one CPU at a time is in the protocols.
//!
//! # Lock order
//!
//! ```text
//! IFNET_LOCK ─ IFNET_GLOBAL_LOCK
//!            ├ in_ifaddr_lock
//!            └ rt_update_lock ─ rt_lock
//! softnet_lock ─ rt_lock, rt_free_lock, bd_mtx, nic_tx
//!              └ IF_AFDATA_LOCK ─ lle_lock ─ the lock of a CPU's callouts
//! ```
//!
//! `softnet_lock` and IFNET_LOCK are never held together. No thread waits for readers, references or queues with `softnet_lock`
//! held (contract `softnet-lock`): the handler that it waits for may need that lock.
//!
//! # Differences from NetBSD
//!
//! Each module lists its own. There is no KERNEL_LOCK, which NetBSD takes after `softnet_lock` without NET_MPSAFE. The stack is
//! built for a scenario, and taken down at its end.
//!
//! # Sources
//!
//! `sys/net`, `sys/netinet`, `doc/TODO.smpnet` 1.35.

use core::fmt;

use smoltcp::wire::Ipv4Address;

use crate::contract;
use crate::kern::kmem::{boot_alloc, kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, Name, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine::{self, Line};
use crate::mem::{AtomicRef, Local, Release};

use listener::Listener;
use mbuf::Mbufs;

pub mod arp;
pub mod arp_wire;
pub mod bpf;
pub mod ether;
#[cfg(test)]
mod garbage;
pub mod icmp;
pub mod if_percpuq;
pub mod ifnet;
pub mod in_cksum;
pub mod inet;
pub mod ip;
pub mod listener;
pub mod llatbl;
pub mod lleref;
pub mod mbuf;
pub mod nic;
pub mod pair;
pub mod pktqueue;
mod rest;
pub mod route;
pub mod stages;
pub mod stats;
pub mod udp;

use ifnet::{Ifnet, Interfaces, Spec};
use pktqueue::Pktqueue;

/// An IPv4 address (`struct in_addr`), in host order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InAddr(pub u32);

impl fmt::Display for InAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.to_be_bytes();
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

impl From<Ipv4Address> for InAddr {
    fn from(address: Ipv4Address) -> InAddr {
        InAddr(address.to_bits())
    }
}

impl From<InAddr> for Ipv4Address {
    fn from(address: InAddr) -> Ipv4Address {
        Ipv4Address::from_bits(address.0)
    }
}

/// A link address.
pub type LlAddr = [u8; 6];

/// Enters `softnet_lock`, in a kernel without NET_MPSAFE.
///
/// Context: thread or softint, no lock held that comes later in the order.
#[track_caller]
pub fn softnet_enter(softnet_lock: &Kmutex) {
    if !curlwp().kernel().config().net_mpsafe {
        softnet_lock.enter();
    }
}

/// Leaves it, if [`softnet_enter`] entered it.
///
/// Context: as the caller of that.
#[track_caller]
pub fn softnet_exit(softnet_lock: &Kmutex) {
    if !curlwp().kernel().config().net_mpsafe {
        softnet_lock.exit();
    }
}

/// Most bytes of a packet that leads back.
const LOOPBACK_MTU: usize = 1500;

/// A network stack.
pub struct Net {
    /// The kernel that it belongs to.
    pub kernel: &'static Kernel,
    pub(crate) ifs: Interfaces,
    pub(crate) inet: inet::Inet,
    pub(crate) routes: route::Routes,
    pub(crate) taps: bpf::Taps,
    pub(crate) udp: udp::Udp,
    pub(crate) wire: pair::Wire,
    pub(crate) nics: nic::Cards,
    /// The lock of sockets, and without NET_MPSAFE of all protocols.
    pub(crate) softnet_lock: Kmutex,
    /// What the protocols count.
    pub stats: stats::Stats,
    pub(crate) mpsafe: bool,
    /// These are set before anybody else knows the stack.
    ip_pktq: Local<Option<&'static Pktqueue>>,
    arp_pktq: Local<Option<&'static Pktqueue>>,
    lo0: Local<u32>,
}

crate::fields!(Net as Kernel {
    ifs,
    inet,
    routes,
    taps,
    udp,
    wire,
    nics,
    softnet_lock,
    ip_pktq,
    arp_pktq,
    lo0
});

impl Net {
    #[track_caller]
    fn create(kernel: &'static Kernel) -> Option<&'static Net> {
        let net = Net {
            kernel,
            ifs: Interfaces::create()?,
            inet: inet::Inet::create()?,
            routes: route::Routes::new(),
            taps: bpf::Taps::create()?,
            udp: udp::Udp::new(),
            wire: pair::Wire::new(),
            nics: nic::Cards::new(),
            softnet_lock: Kmutex::new("softnet_lock", Ipl::None),
            stats: stats::Stats::new(),
            mpsafe: kernel.config().net_mpsafe,
            ip_pktq: Local::new(None),
            arp_pktq: Local::new(None),
            lo0: Local::new(0),
        };
        let net = kmem_alloc_nosleep("net", net)?;
        machine::label(net, format_args!("net"));
        net.routes.init(kernel)?;
        net.ip_pktq.set(Some(ip::create_queue(net)?));
        net.arp_pktq.set(Some(arp_wire::create_queue(net)?));
        let spec = Spec {
            lladdr: None,
            mtu: LOOPBACK_MTU,
            driver: ifnet::LOOPBACK,
        };
        let lo0 = ifnet::if_attach(net, Name::format(format_args!("lo0")), &spec)?;
        net.lo0.set(lo0.index());
        up(lo0);
        inet::in_control_add(lo0, LOOPBACK_ADDRESS, LOOPBACK_PREFIX).ok()?;
        nic::attach(net)?;
        Some(net)
    }

    /// The queue of IP.
    pub fn ip_pktq(&self) -> &'static Pktqueue {
        match self.ip_pktq.get() {
            Some(pq) => pq,
            None => unreachable!("`create` has created it"),
        }
    }

    /// The queue of ARP.
    pub fn arp_pktq(&self) -> &'static Pktqueue {
        match self.arp_pktq.get() {
            Some(pq) => pq,
            None => unreachable!("`create` has created it"),
        }
    }

    /// The queues of all protocols.
    pub(crate) fn pktqueues(&self) -> impl Iterator<Item = &'static Pktqueue> {
        [self.ip_pktq(), self.arp_pktq()].into_iter()
    }

    /// Index of the interface that leads back to this host.
    pub fn loopback(&self) -> u32 {
        self.lo0.get()
    }

    /// The caller does not have `softnet_lock`, which those that it waits for may want.
    ///
    /// Panics (contract `softnet-lock`) if it does.
    #[track_caller]
    pub(crate) fn assert_no_softnet_lock(&self, what: &str) {
        contract!(
            !self.softnet_lock.owned(),
            "softnet-lock",
            "{what} by {} with softnet_lock held: it may wait for a thread that needs it",
            curlwp().name()
        );
    }

    /// Packets that queues, sockets and hosts that do not answer keep. At rest.
    pub fn kept(&self) -> u64 {
        let queued: u64 = self.pktqueues().map(Pktqueue::queued).sum();
        queued + self.udp.kept() + self.ifs.held()
    }
}

/// Establishes a softint, at boot too.
#[track_caller]
pub(crate) fn establish(
    kernel: &'static Kernel,
    level: Ipl,
    func: fn(Arg),
    arg: Arg,
) -> Option<Softint> {
    match kernel.mp_online() {
        true => softint::establish(level, func, arg),
        false => softint::establish_at_boot(kernel.cpus(), level, func, arg),
    }
}

/// Lets an interface be used.
#[track_caller]
pub fn up(ifp: &Ifnet) {
    ifp.lock();
    ifnet::if_up(ifp);
    ifp.unlock();
}

/// What the network has of a kernel, whether there is a stack or not.
pub(crate) struct Network {
    pub(crate) mbufs: Mbufs,
    pub(crate) listener: Listener,
    /// The stack, while a scenario has one.
    pub(crate) stack: AtomicRef<Net>,
    /// What stacks were told of.
    pub(crate) told: rest::Told,
}

crate::fields!(Network { mbufs, stack });

/// Attaches the network to a kernel, at boot: the buffers, and the handler of the cards' interrupts. `None`: there is no
/// memory.
pub(crate) fn attach(kernel: &'static Kernel) -> Option<()> {
    let network = boot_alloc(
        "network",
        Network {
            mbufs: Mbufs::new(),
            listener: Listener::new(),
            stack: AtomicRef::new(),
            told: rest::Told::new(),
        },
    )?;
    machine::label(network, format_args!("network"));
    kernel.attach_network(Arg::of(network));
    kernel.handle(Line::Net, nic::intr);
    kernel.check_at_rest(rest::assert_none_left);
    Some(())
}

/// What the network has of this kernel.
#[inline]
pub(crate) fn of(kernel: &Kernel) -> &'static Network {
    // SAFETY: `attach` stored it at boot, and it lives as long as the kernel.
    unsafe { kernel.network().get() }
}

/// Builds the stack of a kernel: the interface that leads back, with 127.0.0.1, and one for each network card, which is
/// down.
///
/// Context: thread that may sleep, or boot. Panics (contract `net-memory`) if there is no memory.
#[track_caller]
pub fn init(kernel: &'static Kernel) -> &'static Net {
    let Some(net) = Net::create(kernel) else {
        machine::stop(
            machine::Stop::Contract("net-memory"),
            format_args!("no memory for a network stack, or no room for its softints"),
        )
    };
    of(kernel).stack.store(Some(net), Release);
    if kernel.mp_online() {
        // Nobody was told of what has come before.
        nic::kick();
    }
    net
}

/// The address of the interface that leads back.
pub const LOOPBACK_ADDRESS: Ipv4Address = Ipv4Address::new(127, 0, 0, 1);
const LOOPBACK_PREFIX: u8 = 8;

/// Ends everything that a stack has: what remains is to be read ([`stats::accounting`]) and then freed ([`free`]).
///
/// Sockets and taps are closed, and nobody sends any more. Context: thread that may sleep. Panics: contracts `sleepable`,
/// `net-busy`.
#[track_caller]
pub fn fini(net: &'static Net) {
    contract!(
        net.udp.is_empty(),
        "net-busy",
        "the network stack is ended by {} while there are sockets",
        curlwp().name()
    );
    while let Some(ifp) = net.ifs.any() {
        nic::stop(net, ifp);
        ifnet::if_detach(ifp);
    }
    of(net.kernel).stack.store(None, Release);
    net.nics.fini(net);
    net.routes.fini();
    for pq in net.pktqueues() {
        pq.retire();
    }
}

/// Gives back what [`fini`] left. When nothing runs.
pub fn free(net: &'static Net) {
    for pq in net.pktqueues() {
        pq.free();
    }
    net.routes.destroy_at_rest();
    net.inet.destroy_at_rest();
    net.ifs.destroy_at_rest();
    net.taps.destroy_at_rest();
    net.softnet_lock.destroy();
    // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nothing runs that knows it.
    unsafe { kmem_free(net) };
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::InAddr;
    use std::string::ToString;

    #[test]
    fn an_address_is_written_with_dots() {
        assert_eq!(InAddr(0x0a00_0002).to_string(), "10.0.0.2");
    }
}
