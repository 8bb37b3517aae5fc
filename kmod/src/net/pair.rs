//! pair: two interfaces on one wire inside the kernel.
//!
//! # Overview
//!
//! `pair1` receives what `pair0` sends, and the other way round: the sender puts the frame on the input queue of the other end
//! ([`if_percpuq`](crate::net::if_percpuq)), on its own CPU. So scenarios have a wire on every machine. The stack listens at one end,
//! and the scenario at the other, with an input function of its own.
//!
//! # Contexts
//!
//! [`attach`]: thread, or boot. [`detach`]: thread that may sleep. Sending: softint up to softnet, or thread that is bound.
//!
//! # Invariants
//!
//! The sender holds a reference to the other end while it enqueues the frame. So once the references of an end have been waited
//! for, it gets no more frames.
//!
//! # Differences from NetBSD
//!
//! NetBSD has no such driver: its `shmif(4)` is a wire between processes. FreeBSD has `epair(4)`.

use crate::kern::lwp::{Arg, Name};
use crate::kern::psref::Psref;
use crate::mem::{AtomicU32, Relaxed};
use crate::net::Net;
use crate::net::ether::ether_input;
use crate::net::ifnet::{Driver, Ifnet, Spec, if_attach, if_detach, if_get_byindex, if_put};
use crate::net::mbuf::{End, Mbuf};

/// Most bytes of an IP packet.
const MTU: usize = 1500;

/// The wire: indices of the interfaces at both ends, 0 for none.
pub struct Wire {
    ends: [AtomicU32; 2],
}

crate::fields!(Wire { ends });

impl Wire {
    pub(crate) const fn new() -> Self {
        Wire {
            ends: [const { AtomicU32::new(0) }; 2],
        }
    }
}

/// The Ethernet address of an end.
pub const fn lladdr(end: usize) -> [u8; 6] {
    [0x02, 0, 0, 0, 0, end as u8]
}

/// Attaches end 0 or 1 of the wire, with `input` for what it receives ([`ether_input`] for the stack). `None`: there is no
/// memory, no index, or no room for a softint.
///
/// Nobody else attaches or detaches this end meanwhile. Context: thread that may sleep, or boot.
#[track_caller]
pub fn attach_with(
    net: &'static Net,
    end: usize,
    input: fn(&'static Ifnet, Mbuf),
) -> Option<&'static Ifnet> {
    let spec = Spec {
        lladdr: Some(lladdr(end)),
        mtu: MTU,
        driver: Driver {
            input,
            transmit,
            softc: Arg(end),
        },
    };
    let ifp = if_attach(net, Name::format(format_args!("pair{end}")), &spec)?;
    net.wire.ends[end].store(ifp.index(), Relaxed);
    Some(ifp)
}

/// [`attach_with`] for the stack.
#[track_caller]
pub fn attach(net: &'static Net, end: usize) -> Option<&'static Ifnet> {
    attach_with(net, end, ether_input)
}

/// Detaches an end. Context: as [`if_detach`].
#[track_caller]
pub fn detach(ifp: &'static Ifnet) {
    ifp.net().wire.ends[ifp.softc().0].store(0, Relaxed);
    if_detach(ifp);
}

/// Sends a frame: the other end receives it.
#[track_caller]
fn transmit(ifp: &'static Ifnet, m: Mbuf) {
    let net = ifp.net();
    let end = &net.wire.ends[1 - ifp.softc().0];
    let index = end.load(Relaxed);
    let psref = Psref::new();
    let Some(peer) = if_get_byindex(net, index, &psref) else {
        return m.free(End::IfGone);
    };
    // If the end went in between, its index may be a stranger's. Whoever has the index now keeps it: we have a reference.
    if end.load(Relaxed) == index {
        peer.if_percpuq.enqueue(m);
    } else {
        m.free(End::IfGone);
    }
    if_put(peer, &psref);
}
