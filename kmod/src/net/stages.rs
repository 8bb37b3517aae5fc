//! Stages: marks on the path of a packet, to measure what each part of the path costs.
//!
//! # Overview
//!
//! The path of an ICMP echo through the stack has marks ([`reached`]). With the feature `stages` each mark tells the host
//! (`machine::stage`); without it, marks compile to nothing. The cost kernel counts the instructions between marks.
//!
//! # Contexts
//!
//! Any.

#[cfg(feature = "stages")]
use crate::machine;

/// A mark on the path of an echo, in the order of the path. An echo passes the marks of an interface twice, because the reply goes
/// over a wire too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Stage {
    /// The driver is given a frame.
    Transmit,
    /// The frame is on the queue of an interface and a CPU.
    Queued,
    /// The softint of the interface has it.
    Received,
    /// It is an IP packet.
    Demultiplexed,
    /// It is on the queue of IP.
    Enqueued,
    /// The softint of IP has it.
    Ip,
    /// It is an ICMP message for this host.
    Icmp,
    /// It has become the reply.
    Output,
    /// The route of the reply is known.
    Routed,
    /// It has its IP header.
    Resolve,
    /// The Ethernet address of the next hop is known.
    Resolved,
    /// The driver has returned.
    Transmitted,
    /// The softint of IP looks for the next packet.
    Done,
    /// The other host has the reply.
    Delivered,
}

/// Notes that a packet has come this far.
#[inline(always)]
#[cfg_attr(not(feature = "stages"), allow(unused_variables))]
pub fn reached(stage: Stage) {
    #[cfg(feature = "stages")]
    machine::stage(stage as usize);
}
