//! What the programs share: the stack, and what may be done to it at the moment.

use smoltcp::wire::Ipv4Address;

use crate::kern::lwp::{curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::psref::Psref;
use crate::kern::spl::Ipl;
use crate::mem::{AcqRel, AtomicU32, Plain};
use crate::net::ifnet::{Ifnet, if_get, if_put};
use crate::net::udp::{self, Socket};
use crate::net::{self, Net, inet, pair};
use crate::scenario::net::echo::{interface, no_memory};
use crate::scenario::net::frames::Host;
use crate::scenario::ops::MAX_LWPS;
use crate::scenario::ops::runner::Scripts;
use crate::scenario::softnet::far_end;

/// How many interfaces are attached and detached; the first three belong to the stack.
pub(super) const INTERFACES: usize = 4;
/// How many of them have addresses of the stack.
pub(super) const OWN: usize = 3;
pub(super) const NAMES: [&str; INTERFACES] = ["pair0", "nic0", "nic1", "pair1"];
/// The first of the cards.
pub(super) const FIRST_CARD: usize = 1;
pub(super) const PREFIX: u8 = 24;

/// The addresses that this host may have: the first one of each interface, and two more.
pub(super) const ADDRESSES: [Ipv4Address; 5] = [
    Ipv4Address::new(10, 0, 0, 1),
    Ipv4Address::new(10, 0, 1, 1),
    Ipv4Address::new(10, 0, 1, 2),
    Ipv4Address::new(10, 0, 0, 3),
    Ipv4Address::new(10, 0, 2, 1),
];

/// Destinations of packets: neighbours that answer or do not, this host, a host behind a router, all hosts.
pub(super) const DESTINATIONS: [Ipv4Address; 8] = [
    Ipv4Address::new(10, 0, 0, 2),
    Ipv4Address::new(10, 0, 0, 9),
    Ipv4Address::new(10, 0, 1, 2),
    Ipv4Address::new(10, 0, 1, 9),
    ADDRESSES[0],
    Ipv4Address::new(192, 0, 2, 1),
    Ipv4Address::new(10, 0, 0, 255),
    net::LOOPBACK_ADDRESS,
];

/// How many other hosts there are on the net of an interface: one at its other end, a silent one, and one that claims this host's
/// address.
pub(super) const WHO: usize = 3;

/// Ports of this host that may have a socket.
pub(super) const PORTS: [u16; 3] = [7, 9, 1000];

/// This host on the net of an interface.
pub(super) const fn own(index: usize) -> Host {
    Host {
        // The pair's end 0, or the unit of the card.
        ether: [2, 0, 0, 0, 0, (index / 2) as u8],
        ip: ADDRESSES[index],
    }
}

/// Another host on the net of an interface of the stack.
pub(super) fn other(index: usize, who: usize) -> Host {
    let net = ADDRESSES[index].octets()[2];
    let far = [2, 0, 0, 0, 0, 1 - (index / 2) as u8];
    let elsewhere = [2, 0, 0, 0, 9, index as u8];
    match (who, index) {
        (0, 2) => own(1),
        (0, _) => Host {
            ether: far,
            ip: Ipv4Address::new(10, 0, net, 2),
        },
        (1, _) => Host {
            ether: elsewhere,
            ip: Ipv4Address::new(10, 0, net, 9),
        },
        _ => Host {
            ether: elsewhere,
            ip: ADDRESSES[index],
        },
    }
}

/// Whether an object exists, for the operations that create and destroy it.
#[derive(Clone, Copy)]
pub(super) enum Place<T> {
    Absent,
    /// An LWP is creating or destroying it; others must not.
    Busy,
    Present(T),
}

/// A socket, if there is one, and how many LWPs use it.
pub(super) struct SocketPlace {
    pub(super) place: Plain<Place<&'static Socket>>,
    pub(super) users: Plain<u32>,
}

crate::fields!(SocketPlace { place, users });

/// Everything that programs share.
pub(super) struct World {
    pub(super) scripts: Scripts,
    pub(super) net: &'static Net,
    /// Protects the places. No lock is taken under it.
    pub(super) desk: Kmutex,
    pub(super) interfaces: [Plain<Place<()>>; INTERFACES],
    pub(super) sockets: [SocketPlace; PORTS.len()],
    /// LWPs that have not finished.
    running: AtomicU32,
}

crate::fields!(World {
    scripts,
    desk,
    interfaces,
    sockets,
    running
});

impl World {
    pub(super) fn new(net: &'static Net) -> Self {
        World {
            scripts: Scripts::new(),
            net,
            desk: Kmutex::new("desk", Ipl::None),
            interfaces: [const { Plain::new(Place::Absent) }; INTERFACES],
            sockets: [const {
                SocketPlace {
                    place: Plain::new(Place::Absent),
                    users: Plain::new(0),
                }
            }; PORTS.len()],
            running: AtomicU32::new(MAX_LWPS as u32),
        }
    }

    /// Brings up the interfaces that exist at first: the cards, or, without cards, the wire inside the kernel. At boot.
    pub(super) fn establish(&self) {
        let net = self.net;
        if net.kernel.config().nics == 0 {
            interface(pair::attach(net, 0));
            interface(pair::attach_with(net, 1, far_end::input));
        }
        for (index, name) in NAMES.into_iter().enumerate() {
            let Some(ifp) = net.ifs.named_at_rest(name) else {
                continue;
            };
            self.interfaces[index].set(Place::Present(()));
            net::up(ifp);
            ifp.lock();
            if index <= FIRST_CARD && inet::ifa_insert(ifp, ADDRESSES[index], PREFIX).is_err() {
                no_memory("an address");
            }
            ifp.unlock();
        }
    }

    /// Does something with an interface, if it exists, with a reference to it.
    pub(super) fn with(&self, index: usize, part: impl FnOnce(&'static Ifnet)) {
        let bound = curlwp_bind();
        let psref = Psref::new();
        if let Some(ifp) = if_get(self.net, NAMES[index], &psref) {
            part(ifp);
            if_put(ifp, &psref);
        }
        curlwp_bindx(bound);
    }

    /// An LWP has finished, and holds nothing. The last one takes everything down.
    pub(super) fn leave(&self) {
        if self.running.fetch_sub(1, AcqRel) != 1 {
            return;
        }
        for socket in &self.sockets {
            if let Place::Present(so) = socket.place.get() {
                udp::close(self.net, so);
            }
        }
        net::fini(self.net);
    }
}
