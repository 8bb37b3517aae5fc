//! The network stack.

use smoltcp::wire::Ipv4Address;

use super::{Breach, breach, pause, thread};
use crate::kern::lwp::{Arg, curlwp, curlwp_bind};
use crate::kern::psref::Psref;
use crate::kern::spl::{self, Ipl};
use crate::mem::Acquire;
use crate::net::ifnet::{Ifnet, if_detach, if_get_byindex, if_put, if_up};
use crate::net::mbuf::{End, Mbuf};
use crate::net::pktqueue::Pktqueue;
use crate::net::udp::Socket;
use crate::net::{self, Net, inet, pair, route, udp};
use crate::scenario::classics::shared;

const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const PORT: u16 = 7;

fn stack() -> &'static Net {
    net::init(curlwp().kernel())
}

/// An interface of a stack.
fn interface() -> &'static Ifnet {
    match pair::attach(stack(), 0) {
        Some(ifp) => ifp,
        None => unreachable!("there is room for an interface"),
    }
}

fn queue() -> &'static Pktqueue {
    let kernel = curlwp().kernel();
    match Pktqueue::create(kernel, "pq", 2, |_| {}, Arg::NONE) {
        Some(pq) => pq,
        None => unreachable!("there is room for a queue"),
    }
}

fn socket(net: &'static Net) -> &'static Socket {
    match udp::bind(net, PORT) {
        Some(socket) => socket,
        None => unreachable!("nobody has the port"),
    }
}

fn packet() -> Mbuf {
    match Mbuf::get() {
        Some(m) => m,
        None => unreachable!("there is memory for a packet"),
    }
}

/// Detaches an interface while another thread detaches it and waits for a reference.
fn detach_again() {
    let ifp = interface();
    curlwp_bind();
    let psref = Psref::new();
    if_get_byindex(ifp.net(), ifp.index(), &psref);
    thread("detacher", 1, |ifp| if_detach(shared(ifp)), Arg::of(ifp));
    pause(4);
    if_detach(ifp);
}

/// Adds a route by an interface while another thread detaches it and waits for a reference.
fn add_late() {
    let ifp = interface();
    curlwp_bind();
    let psref = Psref::new();
    if_get_byindex(ifp.net(), ifp.index(), &psref);
    thread("detacher", 1, |ifp| if_detach(shared(ifp)), Arg::of(ifp));
    pause(4);
    let key = route::Key {
        dst: ADDRESS,
        prefix: 24,
        ifindex: ifp.index(),
    };
    route::rt_add(ifp.net(), &key, None, ADDRESS);
    if_put(ifp, &psref);
    pause(4);
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("net-memory": "builds network stacks until there is no room", || loop {
        stack();
    }),
    breach!("net-busy": "ends a network stack that has a socket", || {
        let net = stack();
        socket(net);
        net::fini(net);
    }),
    breach!("softnet-lock": "detaches an interface with softnet_lock held", || {
        let ifp = interface();
        ifp.net().softnet_lock.enter();
        if_detach(ifp);
    }),
    breach!("softnet-lock", "send": "sends a datagram with softnet_lock held", || {
        let net = stack();
        net.softnet_lock.enter();
        udp::sendto(net, packet(), (None, PORT), (ADDRESS, PORT));
    }),
    breach!("ifnet-lock": "changes an interface without its lock", || if_up(interface())),
    breach!("ifnet-lock", "address": "gives an interface an address without its lock", || {
        let _refused = inet::ifa_insert(interface(), ADDRESS, 24);
    }),
    breach!("if-detach-twice": "detaches an interface while another thread detaches it", detach_again),
    breach!("if-late": "adds a route by an interface that is being detached", add_late),
    breach!("socket-readers": "closes a socket while another thread receives from it", || {
        let net = stack();
        let socket = socket(net);
        let receive = |socket| {
            let net = crate::net::of(curlwp().kernel()).stack.load(Acquire);
            let datagram = net.and_then(|net| udp::recvfrom(net, shared(socket), 0));
            if let Some(datagram) = datagram {
                datagram.m.free(End::Delivered);
            }
        };
        thread("reader", 0, receive, Arg::of(socket));
        pause(1);
        udp::close(net, socket);
    }),
    breach!("pktq-level": "puts a packet into a queue at a level of hard interrupts", || {
        let pq = queue();
        spl::splraise(Ipl::Vm);
        pq.enqueue(packet(), 0);
    }),
    breach!("pktq-dequeue": "takes a packet out of a queue in a thread", || {
        if let Some(m) = queue().dequeue() {
            m.free(End::Delivered);
        }
    }),
];
