//! The operations of localcount(9), psref(9) and pserialize(9) together, as in netipsec: entries of a table are
//! found, kept, used and destroyed.
//!
//! # Who may destroy
//!
//! An LWP that holds nothing that other LWPs wait for, as with [`localcount`](super::localcount).

use crate::kern::synch::yield_now;
use crate::scenario::key::Sa;
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::promise::Bound;

/// Maximum number of references that an LWP keeps.
const HELD: usize = 2;

/// The references of an LWP.
pub(super) struct Held {
    entries: [Option<&'static Sa>; HELD],
}

impl Held {
    pub(super) const fn new() -> Self {
        Held {
            entries: [None; HELD],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.iter().all(Option::is_none)
    }

    /// Checks that the held entries are alive.
    pub(super) fn check(&self) {
        self.entries.iter().flatten().for_each(|sa| sa.touch());
    }
}

pub(super) fn add(actor: &mut Actor, _: [u8; 2]) {
    // Without memory there is no entry; this is not an error.
    let _added = actor.world.sad.add();
}

pub(super) fn destroy(actor: &mut Actor, _: [u8; 2]) {
    if actor.holds_nothing() {
        actor.world.sad.destroy();
    }
}

pub(super) fn lookup(actor: &mut Actor, _: [u8; 2]) {
    let world = actor.world;
    if let Some(place) = actor.sas.entries.iter_mut().find(|place| place.is_none()) {
        *place = world.sad.lookup();
    }
}

pub(super) fn unref(actor: &mut Actor, _: [u8; 2]) {
    let held = actor.sas.entries.iter_mut().rev().find_map(Option::take);
    if let Some(sa) = held {
        actor.world.sad.unref(sa);
    }
}

pub(super) fn packet(actor: &mut Actor, _: [u8; 2]) {
    let bound = Bound::begin();
    actor.world.sad.with_packet(|sa| {
        yield_now();
        sa.touch();
        bound.check();
    });
    bound.end();
}

/// Releases everything.
pub(super) fn end(actor: &mut Actor) {
    while !actor.sas.is_empty() {
        unref(actor, [0; 2]);
    }
}
