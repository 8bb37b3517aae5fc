//! The operations of inet(4): addresses are added, removed and held.

use crate::net::inet::{
    InIfaddr, ia_put, ifa_held, in_control_add, in_control_remove, in_ifaddr_get,
};
use crate::scenario::broken_promise;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::interpreter::Kept;
use crate::scenario::softnet::world::{ADDRESSES, PREFIX};

pub(super) type Held = Kept<InIfaddr>;

pub(super) fn addr_add(actor: &mut Actor, [index, address]: [u8; 2]) {
    if actor.holds_nothing() {
        actor.world.with(usize::from(index), |ifp| {
            // The address may exist, or the interface may be being detached.
            let _refused = in_control_add(ifp, ADDRESSES[usize::from(address)], PREFIX);
        });
    }
}

/// Gives an address to the interface that was found last and is held, which may be being detached.
///
/// That waits for IFNET_LOCK. Whoever holds it may wait for addresses and routes, but for no interface.
pub(super) fn addr_add_kept(actor: &mut Actor, [address, _]: [u8; 2]) {
    let waits = actor.addresses.is_empty() && actor.routes.iter().all(Option::is_none);
    if let Some(ifp) = actor.interfaces.iter().last()
        && waits
    {
        let _refused = in_control_add(ifp, ADDRESSES[usize::from(address)], PREFIX);
    }
}

pub(super) fn addr_remove(actor: &mut Actor, [index, address]: [u8; 2]) {
    if actor.holds_nothing() {
        actor.world.with(usize::from(index), |ifp| {
            in_control_remove(ifp, ADDRESSES[usize::from(address)]);
        });
    }
}

pub(super) fn addr_hold(actor: &mut Actor, [address, _]: [u8; 2]) {
    // Until the last reference is released the LWP stays bound.
    if actor.lwp.binds() == 0 {
        actor.lwp.bind();
    }
    let net = actor.world.net;
    let address = ADDRESSES[usize::from(address)];
    actor
        .addresses
        .take(|psref| in_ifaddr_get(net, |ia| ia.addr() == address, psref));
}

pub(super) fn addr_release(actor: &mut Actor, _: [u8; 2]) {
    let net = actor.world.net;
    actor.addresses.release(|ia, psref| ia_put(net, ia, psref));
}

/// The addresses that are held are alive, and so are their interfaces.
pub(super) fn check(actor: &Actor) {
    for ia in actor.addresses.iter() {
        let listed = ADDRESSES.contains(&ia.addr());
        if !ifa_held(actor.world.net, ia) || !listed || ia.ifindex() == 0 {
            broken_promise(
                "psref-alive",
                format_args!(
                    "the address {} is held, and ifa_held says that it is not",
                    ia.addr()
                ),
            );
        }
    }
}

/// Releases everything.
pub(super) fn end(actor: &mut Actor) {
    while actor.addresses.iter().next().is_some() {
        addr_release(actor, [0; 2]);
    }
}
