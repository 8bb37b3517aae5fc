//! The operations of `softnet`: how each is written, and what it takes.

use crate::scenario::ops::MAX_CPUS;
use crate::scenario::ops::form::{Form, Operand, Run, operand};
use crate::scenario::ops::topic::Topic;
use crate::scenario::softnet::{
    address, frame, interface, neighbour, queue, route, socket, tap, world,
};

const INTERFACE: Operand = operand("interface", 0, world::INTERFACES as u8);
const OWN: Operand = operand("interface", 0, world::OWN as u8);
const WHO: Operand = operand("who", 0, world::WHO as u8);
const ADDRESS: Operand = operand("address", 0, world::ADDRESSES.len() as u8);
const DST: Operand = operand("destination", 0, world::DESTINATIONS.len() as u8);
const NET: Operand = operand("net", 0, route::NETS.len() as u8);
const SOCKET: Operand = operand("socket", 0, world::PORTS.len() as u8);
const TO_PORT: Operand = operand("port", 0, frame::TO_PORTS as u8);
const ARP_WRONG: Operand = operand("kind", 0, frame::ARP_WRONGS as u8);
const WRONG: Operand = operand("kind", 0, frame::WRONGS as u8);
const SEED: Operand = operand("seed", 0, 64);
const FLAG: Operand = operand("first", 0, 2);
const TICKS: Operand = operand("ticks", 1, 3);
const QUEUE: Operand = operand("queue", 0, 2);
const SLOTS: Operand = operand("slots", 2, 4);
const HASH: Operand = operand("hash", 0, MAX_CPUS as u8);

/// Every operation, besides those on the LWP itself. A replay file names them by word, so their order may change.
pub(crate) static FORMS: &[Form] = &[
    Form {
        word: "frame_arp_ask",
        topic: Topic::Frames,
        help: "another host asks for an Ethernet address of this one",
        operands: &[OWN, WHO],
        run: Run::Softnet(frame::frame_arp_ask),
    },
    Form {
        word: "frame_arp_answer",
        topic: Topic::Frames,
        help: "another host tells its Ethernet address",
        operands: &[OWN, WHO],
        run: Run::Softnet(frame::frame_arp_answer),
    },
    Form {
        word: "frame_arp_wrong",
        topic: Topic::Frames,
        help: "an ARP packet that is none comes",
        operands: &[OWN, ARP_WRONG],
        run: Run::Softnet(frame::frame_arp_wrong),
    },
    Form {
        word: "frame_echo",
        topic: Topic::Frames,
        help: "another host sends an echo request",
        operands: &[OWN, WHO],
        run: Run::Softnet(frame::frame_echo),
    },
    Form {
        word: "frame_udp",
        topic: Topic::Frames,
        help: "another host sends a datagram, to a port that may be open",
        operands: &[OWN, TO_PORT],
        run: Run::Softnet(frame::frame_udp),
    },
    Form {
        word: "frame_fragment",
        topic: Topic::Frames,
        help: "a fragment comes: a later one (0) or the first (1)",
        operands: &[OWN, FLAG],
        run: Run::Softnet(frame::frame_fragment),
    },
    Form {
        word: "frame_wrong",
        topic: Topic::Frames,
        help: "a packet with something wrong comes",
        operands: &[OWN, WRONG],
        run: Run::Softnet(frame::frame_wrong),
    },
    Form {
        word: "frame_raw",
        topic: Topic::Frames,
        help: "an echo request comes with one byte changed",
        operands: &[OWN, SEED],
        run: Run::Softnet(frame::frame_raw),
    },
    Form {
        word: "if_attach",
        topic: Topic::Interfaces,
        help: "attach an interface that is not there, and bring it up",
        operands: &[INTERFACE],
        run: Run::Softnet(interface::if_attach),
    },
    Form {
        word: "if_detach",
        topic: Topic::Interfaces,
        help: "detach an interface, if nothing is held",
        operands: &[INTERFACE],
        run: Run::Softnet(interface::if_detach),
    },
    Form {
        word: "if_up",
        topic: Topic::Interfaces,
        help: "bring an interface up",
        operands: &[INTERFACE],
        run: Run::Softnet(interface::if_up),
    },
    Form {
        word: "if_down",
        topic: Topic::Interfaces,
        help: "take an interface down",
        operands: &[INTERFACE],
        run: Run::Softnet(interface::if_down),
    },
    Form {
        word: "if_hold",
        topic: Topic::Interfaces,
        help: "find an interface and keep it; stay on this CPU",
        operands: &[INTERFACE],
        run: Run::Softnet(interface::if_hold),
    },
    Form {
        word: "if_release",
        topic: Topic::Interfaces,
        help: "give the interface back that was found last",
        operands: &[],
        run: Run::Softnet(interface::if_release),
    },
    Form {
        word: "addr_add",
        topic: Topic::Addresses,
        help: "give an interface an address",
        operands: &[OWN, ADDRESS],
        run: Run::Softnet(address::addr_add),
    },
    Form {
        word: "addr_remove",
        topic: Topic::Addresses,
        help: "take an address away from an interface, if nothing is held",
        operands: &[OWN, ADDRESS],
        run: Run::Softnet(address::addr_remove),
    },
    Form {
        word: "addr_add_kept",
        topic: Topic::Addresses,
        help: "give an address to the interface that was found last and is kept, which may be on its way out",
        operands: &[ADDRESS],
        run: Run::Softnet(address::addr_add_kept),
    },
    Form {
        word: "addr_hold",
        topic: Topic::Addresses,
        help: "find an address and keep it; stay on this CPU",
        operands: &[ADDRESS],
        run: Run::Softnet(address::addr_hold),
    },
    Form {
        word: "addr_release",
        topic: Topic::Addresses,
        help: "give the address back that was found last",
        operands: &[],
        run: Run::Softnet(address::addr_release),
    },
    Form {
        word: "route_add",
        topic: Topic::Routes,
        help: "add a route by an interface",
        operands: &[OWN, NET],
        run: Run::Softnet(route::route_add),
    },
    Form {
        word: "route_delete",
        topic: Topic::Routes,
        help: "delete a route by an interface",
        operands: &[OWN, NET],
        run: Run::Softnet(route::route_delete),
    },
    Form {
        word: "route_change",
        topic: Topic::Routes,
        help: "change the router of the default route by an interface, if nothing is held",
        operands: &[OWN, WHO],
        run: Run::Softnet(route::route_change),
    },
    Form {
        word: "route_hold",
        topic: Topic::Routes,
        help: "find the route to a host and keep it",
        operands: &[DST],
        run: Run::Softnet(route::route_hold),
    },
    Form {
        word: "route_release",
        topic: Topic::Routes,
        help: "give the route back that was found last",
        operands: &[],
        run: Run::Softnet(route::route_release),
    },
    Form {
        word: "arp_set",
        topic: Topic::Neighbours,
        help: "set the entry of a neighbour by hand: it does not expire",
        operands: &[OWN, WHO],
        run: Run::Softnet(neighbour::arp_set),
    },
    Form {
        word: "arp_delete",
        topic: Topic::Neighbours,
        help: "delete the entry of a neighbour",
        operands: &[OWN, WHO],
        run: Run::Softnet(neighbour::arp_delete),
    },
    Form {
        word: "arp_flush",
        topic: Topic::Neighbours,
        help: "delete the entries of all neighbours",
        operands: &[OWN],
        run: Run::Softnet(neighbour::arp_flush),
    },
    Form {
        word: "arp_ask",
        topic: Topic::Neighbours,
        help: "ask for the Ethernet address of a neighbour",
        operands: &[OWN, WHO],
        run: Run::Softnet(neighbour::arp_ask),
    },
    Form {
        word: "arp_announce",
        topic: Topic::Neighbours,
        help: "tell everybody of an address, of this host or not",
        operands: &[OWN, WHO],
        run: Run::Softnet(neighbour::arp_announce),
    },
    Form {
        word: "arp_keep",
        topic: Topic::Neighbours,
        help: "find the entry of a neighbour and keep it",
        operands: &[OWN, WHO],
        run: Run::Softnet(neighbour::arp_keep),
    },
    Form {
        word: "arp_unref",
        topic: Topic::Neighbours,
        help: "release the entry that was found last",
        operands: &[],
        run: Run::Softnet(neighbour::arp_unref),
    },
    Form {
        word: "so_open",
        topic: Topic::Sockets,
        help: "open a socket",
        operands: &[SOCKET],
        run: Run::Softnet(socket::so_open),
    },
    Form {
        word: "so_close",
        topic: Topic::Sockets,
        help: "close a socket that nobody uses",
        operands: &[SOCKET],
        run: Run::Softnet(socket::so_close),
    },
    Form {
        word: "so_shutdown",
        topic: Topic::Sockets,
        help: "let nobody receive from a socket any more",
        operands: &[SOCKET],
        run: Run::Softnet(socket::so_shutdown),
    },
    Form {
        word: "so_receive",
        topic: Topic::Sockets,
        help: "receive a datagram; wait a while for one",
        operands: &[SOCKET, TICKS],
        run: Run::Softnet(socket::so_receive),
    },
    Form {
        word: "so_echo",
        topic: Topic::Sockets,
        help: "receive a datagram, and send it back",
        operands: &[SOCKET, TICKS],
        run: Run::Softnet(socket::so_echo),
    },
    Form {
        word: "so_send",
        topic: Topic::Sockets,
        help: "send a datagram",
        operands: &[SOCKET, DST],
        run: Run::Softnet(socket::so_send),
    },
    Form {
        word: "so_send_large",
        topic: Topic::Sockets,
        help: "send more than fits into a packet",
        operands: &[SOCKET, DST],
        run: Run::Softnet(socket::so_send_large),
    },
    Form {
        word: "ping",
        topic: Topic::Sockets,
        help: "send an echo request",
        operands: &[DST],
        run: Run::Softnet(socket::ping),
    },
    Form {
        word: "tap_open",
        topic: Topic::Taps,
        help: "listen on an interface",
        operands: &[INTERFACE],
        run: Run::Softnet(tap::tap_open),
    },
    Form {
        word: "tap_open_kept",
        topic: Topic::Taps,
        help: "listen on the interface that was found last and is kept",
        operands: &[],
        run: Run::Softnet(tap::tap_open_kept),
    },
    Form {
        word: "tap_read",
        topic: Topic::Taps,
        help: "take a frame that the tap opened last has heard; wait a while for one",
        operands: &[TICKS],
        run: Run::Softnet(tap::tap_read),
    },
    Form {
        word: "tap_close",
        topic: Topic::Taps,
        help: "close the tap opened last",
        operands: &[],
        run: Run::Softnet(tap::tap_close),
    },
    Form {
        word: "pktq_barrier",
        topic: Topic::Queues,
        help: "wait until a queue has been emptied of what is in it",
        operands: &[QUEUE],
        run: Run::Softnet(queue::pktq_barrier),
    },
    Form {
        word: "pktq_flush",
        topic: Topic::Queues,
        help: "throw away what is in a queue",
        operands: &[QUEUE],
        run: Run::Softnet(queue::pktq_flush),
    },
    Form {
        word: "pktq_set_maxlen",
        topic: Topic::Queues,
        help: "give a queue other rings",
        operands: &[QUEUE, SLOTS],
        run: Run::Softnet(queue::pktq_set_maxlen),
    },
    Form {
        word: "pktq_create",
        topic: Topic::Queues,
        help: "create a queue of the LWP's own, unless it has one",
        operands: &[SLOTS],
        run: Run::Softnet(queue::pktq_create),
    },
    Form {
        word: "pktq_enqueue",
        topic: Topic::Queues,
        help: "put a packet on the LWP's own queue",
        operands: &[HASH],
        run: Run::Softnet(queue::pktq_enqueue),
    },
    Form {
        word: "pktq_destroy",
        topic: Topic::Queues,
        help: "destroy the LWP's own queue, with what is in it",
        operands: &[],
        run: Run::Softnet(queue::pktq_destroy),
    },
];
