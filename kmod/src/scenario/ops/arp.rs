//! The operations of ARP: packets to neighbours, messages from them, entries that are deleted and kept.
//!
//! Lock order: outer mutexes and rwlocks, `softnet_lock`, the lock of the table, the lock of an entry. None of the last
//! three is held from one operation to the next; an entry may be kept.

use crate::net::llatbl::Llentry;
use crate::scenario::neighbour::{Link, check};
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::ops::runner::LWP_NAMES;

pub(super) const NEIGHBOURS: usize = 2;
/// Maximum number of entries that an LWP keeps.
const KEPT: usize = 2;

/// The entries that an LWP keeps.
#[derive(Default)]
pub(super) struct Kept {
    /// Each with its neighbour.
    entries: [Option<(&'static Llentry, u32)>; KEPT],
    /// Whether the LWP has used the link.
    used: bool,
}

fn link(actor: &mut Actor) -> &'static Link {
    actor.arps.used = true;
    &actor.world.link
}

pub(super) fn send(actor: &mut Actor, [neighbour, _]: [u8; 2]) {
    let _held = link(actor).send(u32::from(neighbour));
}

pub(super) fn answer(actor: &mut Actor, [neighbour, _]: [u8; 2]) {
    link(actor).hear(u32::from(neighbour), false);
}

pub(super) fn ask(actor: &mut Actor, [neighbour, _]: [u8; 2]) {
    link(actor).hear(u32::from(neighbour), true);
}

pub(super) fn set(actor: &mut Actor, [neighbour, _]: [u8; 2]) {
    link(actor).set(u32::from(neighbour));
}

pub(super) fn delete(actor: &mut Actor, [neighbour, _]: [u8; 2]) {
    link(actor).delete(u32::from(neighbour));
}

pub(super) fn purge(actor: &mut Actor, _: [u8; 2]) {
    link(actor).purge();
}

pub(super) fn keep(actor: &mut Actor, [neighbour, _]: [u8; 2]) {
    let (world, holder) = (actor.world, LWP_NAMES[actor.lwp.index]);
    let neighbour = u32::from(neighbour);
    if let Some(place) = actor.arps.entries.iter_mut().find(|place| place.is_none()) {
        let entry = world.link.keep(neighbour, holder);
        *place = entry.map(|entry| (entry, neighbour));
    }
}

pub(super) fn unref(actor: &mut Actor, _: [u8; 2]) {
    let holder = LWP_NAMES[actor.lwp.index];
    let kept = actor.arps.entries.iter_mut().rev().find_map(Option::take);
    if let Some((entry, neighbour)) = kept {
        check(entry, neighbour);
        entry.unref(holder);
    }
}

/// Releases everything. An LWP that has used the link cleans up.
pub(super) fn end(actor: &mut Actor) {
    while actor.arps.entries.iter().any(Option::is_some) {
        unref(actor, [0; 2]);
    }
    if actor.arps.used {
        actor.world.link.purge();
    }
}
