//! The other host on the wire inside the kernel: it answers ARP, and checks what it is sent.

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol};

use crate::net::ifnet::{Ifnet, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::scenario::net::{frames, wellformed};
use crate::scenario::softnet::world::{other, own};

/// Its input function, in the softint of its end of the wire. Every frame that comes was sent by the stack.
pub(super) fn input(ifp: &'static Ifnet, m: Mbuf) {
    wellformed::assert_sent(m.bytes());
    let asked = is_asked(m.bytes());
    m.free(End::Delivered);
    if asked && let Some(reply) = frames::arp_reply(other(0, 0), own(0)) {
        if_transmit(ifp, reply);
    }
}

/// Whether a frame asks for this host's Ethernet address.
fn is_asked(frame: &[u8]) -> bool {
    let parse = || {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let packet = match frame.ethertype() {
            EthernetProtocol::Arp => ArpPacket::new_checked(frame.payload()).ok()?,
            _ => return None,
        };
        ArpRepr::parse(&packet).ok()
    };
    matches!(
        parse(),
        Some(ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            target_protocol_addr,
            ..
        }) if target_protocol_addr == other(0, 0).ip
    )
}
