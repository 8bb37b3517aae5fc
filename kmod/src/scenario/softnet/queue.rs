//! The operations of pktqueue(9): barriers, flushes and other lengths, on the queues of IP and ARP.

use crate::net::pktqueue::Pktqueue;
use crate::scenario::softnet::Actor;

fn queue(actor: &Actor, number: u8) -> &'static Pktqueue {
    match number {
        0 => actor.world.net.ip_pktq(),
        _ => actor.world.net.arp_pktq(),
    }
}

pub(super) fn pktq_barrier(actor: &mut Actor, [number, _]: [u8; 2]) {
    queue(actor, number).barrier();
}

pub(super) fn pktq_flush(actor: &mut Actor, [number, _]: [u8; 2]) {
    queue(actor, number).flush();
}

pub(super) fn pktq_set_maxlen(actor: &mut Actor, [number, slots]: [u8; 2]) {
    // Without memory nothing changes, which is no error.
    queue(actor, number).set_maxlen(usize::from(slots));
}
