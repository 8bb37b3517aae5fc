//! The operations of ifnet(9): interfaces are attached, detached, taken up, taken down and held.

use crate::net::ifnet::{Ifnet, if_down as down, if_get, if_held, if_put};
use crate::net::{self, nic, pair};
use crate::scenario::broken_promise;
use crate::scenario::softnet::Actor;
use crate::scenario::softnet::far_end;
use crate::scenario::softnet::interpreter::Kept;
use crate::scenario::softnet::world::{FIRST_CARD, NAMES, Place, World};

pub(super) type Held = Kept<Ifnet>;

/// Takes the place of an interface, to create or destroy it, if it is in the wanted state.
fn claim(world: &World, index: usize, present: bool) -> bool {
    world.desk.enter();
    let place = &world.interfaces[index];
    let found = match place.get() {
        Place::Present(()) => present,
        Place::Absent => !present,
        Place::Busy => false,
    };
    if found {
        place.set(Place::Busy);
    }
    world.desk.exit();
    found
}

fn give(world: &World, index: usize, present: bool) {
    world.desk.enter();
    world.interfaces[index].set(match present {
        true => Place::Present(()),
        false => Place::Absent,
    });
    world.desk.exit();
}

pub(super) fn if_attach(actor: &mut Actor, [index, _]: [u8; 2]) {
    let (world, index) = (actor.world, usize::from(index));
    let cards = world.net.kernel.config().nics;
    if (FIRST_CARD..3).contains(&index) && index - FIRST_CARD >= cards {
        return;
    }
    // It enters IFNET_LOCK to bring the interface up.
    if !actor.holds_nothing() || !claim(world, index, false) {
        return;
    }
    let attached = match index {
        0 => pair::attach(world.net, 0),
        3 => pair::attach_with(world.net, 1, far_end::input),
        card => nic::attach_unit(world.net, card - FIRST_CARD),
    };
    // It stays, because no other LWP detaches it.
    if let Some(ifp) = attached {
        net::up(ifp);
    }
    give(world, index, attached.is_some());
}

pub(super) fn if_detach(actor: &mut Actor, [index, _]: [u8; 2]) {
    let (world, index) = (actor.world, usize::from(index));
    if !actor.holds_nothing() || !claim(world, index, true) {
        return;
    }
    let mut found = None;
    world.with(index, |ifp| found = Some(ifp));
    let Some(ifp) = found else {
        broken_promise(
            "if-listed",
            format_args!("{} is not found, and nobody has detached it", NAMES[index]),
        )
    };
    // It stays, because no other LWP detaches it.
    if index == 0 || index == 3 {
        pair::detach(ifp);
    } else {
        nic::detach(ifp);
    }
    give(world, index, false);
}

pub(super) fn if_up(actor: &mut Actor, [index, _]: [u8; 2]) {
    if actor.holds_nothing() {
        actor.world.with(usize::from(index), |ifp| net::up(ifp));
    }
}

pub(super) fn if_down(actor: &mut Actor, [index, _]: [u8; 2]) {
    if actor.holds_nothing() {
        actor.world.with(usize::from(index), |ifp| {
            ifp.lock();
            down(ifp);
            ifp.unlock();
        });
    }
}

pub(super) fn if_hold(actor: &mut Actor, [index, _]: [u8; 2]) {
    // Until the last reference is released the LWP stays bound.
    if actor.lwp.binds() == 0 {
        actor.lwp.bind();
    }
    let net = actor.world.net;
    let name = NAMES[usize::from(index)];
    actor.interfaces.take(|psref| if_get(net, name, psref));
}

pub(super) fn if_release(actor: &mut Actor, _: [u8; 2]) {
    actor.interfaces.release(if_put);
}

/// Checks that the interfaces that are held are alive.
pub(super) fn check(actor: &Actor) {
    for ifp in actor.interfaces.iter() {
        if !if_held(ifp) || !NAMES.contains(&ifp.name().as_str()) {
            broken_promise(
                "psref-alive",
                format_args!("{} is held, and if_held says that it is not", ifp.name()),
            );
        }
    }
}

/// Releases everything.
pub(super) fn end(actor: &mut Actor) {
    while actor.interfaces.iter().next().is_some() {
        if_release(actor, [0; 2]);
    }
}
