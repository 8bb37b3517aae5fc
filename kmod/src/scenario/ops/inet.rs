//! The operations of pserialize(9) and pslist(9), as in a network stack: addresses are added, looked up and purged,
//! while their timer fires.
//!
//! Lock order: outer mutexes, `ifnet_lock`, `softnet_lock`. `softnet_lock` is not held from one operation to the next.

use crate::kern::pserialize::{read_enter, read_exit};
use crate::kern::synch::preempt_point;
use crate::scenario::inet::Inet;
use crate::scenario::ops::interpreter::Actor;

/// What the world has.
pub(super) type Interface = Inet;

pub(super) fn address_add(actor: &mut Actor, _: [u8; 2]) {
    actor.configured = true;
    actor.world.interface.add_address();
}

pub(super) fn detach(actor: &mut Actor, _: [u8; 2]) {
    actor.world.interface.detach();
}

pub(super) fn lookup(actor: &mut Actor, _: [u8; 2]) {
    actor.world.interface.lookup();
}

/// A section inside of a section, and a place to be preempted that must not be one.
pub(super) fn read_section(actor: &mut Actor, _: [u8; 2]) {
    let s = read_enter();
    actor.world.interface.lookup();
    preempt_point();
    read_exit(s);
}

pub(super) fn socket(actor: &mut Actor, _: [u8; 2]) {
    actor.world.interface.create_socket();
}

pub(super) fn timer_start(actor: &mut Actor, _: [u8; 2]) {
    actor.configured = true;
    actor.world.interface.start_timer();
}

pub(super) fn timer_stop(actor: &mut Actor, _: [u8; 2]) {
    actor.world.interface.stop_timer();
}

/// The LWP that has configured the interface cleans up.
pub(super) fn end(actor: &mut Actor) {
    if actor.configured {
        actor.world.interface.detach();
        actor.world.interface.stop_timer();
    }
}
