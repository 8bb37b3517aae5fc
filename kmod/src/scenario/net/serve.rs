//! Servers behind the machine's own network card.

use core::fmt;

use smoltcp::wire::Ipv4Address;

use crate::kern::kthread::{self, Options};
use crate::kern::lwp::{Arg, Lwp, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::psref::Psref;
use crate::kern::synch::kpause;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::Acquire;
use crate::net::ifnet::{Ifnet, if_get, if_put};
use crate::net::mbuf::End;
use crate::net::udp::{self, Socket};
use crate::net::{self, Net, inet, nic, route, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::echo::no_memory;
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, rounds, share};

/// The address of the card; that of QEMU's own network (`-netdev user`).
const ADDRESS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const PREFIX: u8 = 24;
/// The router to all other nets.
const GATEWAY: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
/// How many ticks the actor sleeps at a time, so that it is seen to make progress.
const PAUSE_TICKS: u32 = 10;

struct World {
    net: &'static Net,
}

/// ICMP echo, UDP echo and discard, for hosts outside.
pub static SERVE: Scenario = Scenario {
    name: "net-serve",
    summary: "serves ICMP echo, UDP echo (port 7) and discard (port 9) at 10.0.2.15/24 on the first card",
    about: "The first network card has the address 10.0.2.15/24, and 10.0.2.2 is the router; threads serve UDP echo and \
            discard, the softints ICMP echo and ARP, for as long as there is time. Then everything is taken down, and \
            where each packet has gone must add up. Who sends is a program outside. Without a card it serves nobody.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Net,
    configure: |_| {},
    setup: |kernel| {
        let world = share(
            "world",
            World {
                net: net::init(kernel),
            },
        );
        kernel.set_data(Arg::of(world));
        actor(kernel, "ifconfig", 0, serve, Arg::NONE);
    },
    verify: |kernel| {
        let world: &World = shared(kernel.data());
        stats::report(world.net);
        stats::accounting(world.net, world.net.kept());
    },
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

fn net() -> &'static Net {
    shared::<World>(curlwp().kernel().data()).net
}

/// The stack of this kernel, for its servers.
fn stack() -> &'static Net {
    match crate::net::of(curlwp().kernel()).stack.load(Acquire) {
        Some(net) => net,
        None => unreachable!("servers end before their stack"),
    }
}

/// A server: its socket and its thread.
pub(super) struct Server {
    socket: &'static Socket,
    thread: &'static Lwp,
}

impl Server {
    /// The port of UDP's echo.
    pub(super) const ECHO_PORT: u16 = 7;
    pub(super) const DISCARD_PORT: u16 = 9;

    /// A server that sends back what comes.
    pub(super) fn echo(net: &'static Net) -> Server {
        Server::start(net, "echo", Server::ECHO_PORT, echo)
    }

    /// A server that discards what comes.
    pub(super) fn discard(net: &'static Net) -> Server {
        Server::start(net, "discard", Server::DISCARD_PORT, discard)
    }

    fn start(net: &'static Net, name: &str, port: u16, func: fn(Arg)) -> Server {
        let socket = obtain("a socket", || udp::bind(net, port));
        let options = Options {
            must_join: true,
            ..Options::default()
        };
        let socket_arg = Arg::of(socket);
        let thread = obtain("a thread", || {
            kthread::kthread_create(
                net.kernel,
                &options,
                func,
                socket_arg,
                format_args!("{name}"),
            )
        });
        Server { socket, thread }
    }

    /// Ends it.
    pub(super) fn stop(self, net: &'static Net) {
        udp::shutdown(net, self.socket);
        kthread::kthread_join(self.thread);
        udp::close(net, self.socket);
    }
}

/// Configures the card, serves as long as there is time, and takes everything down.
fn serve(_: Arg) {
    let net = net();
    let kernel: &'static Kernel = net.kernel;
    let servers = [Server::echo(net), Server::discard(net)];
    with_interface(net, "nic0", |ifp| configure(net, ifp));
    while rounds::time_is_left(kernel) {
        kpause("serve", PAUSE_TICKS, None);
    }
    for server in servers {
        server.stop(net);
    }
    net::fini(net);
}

/// Does something with an interface, if there is one.
fn with_interface(net: &'static Net, name: &str, part: impl FnOnce(&'static Ifnet)) {
    let bound = curlwp_bind();
    let psref = Psref::new();
    match if_get(net, name, &psref) {
        Some(ifp) => {
            part(ifp);
            if_put(ifp, &psref);
        }
        None => say(format_args!("there is no {name}: nobody is served")),
    }
    curlwp_bindx(bound);
}

/// Gives the card its address and the route to the router, and listens.
fn configure(net: &'static Net, ifp: &'static Ifnet) {
    net::up(ifp);
    if let Err(reason) = inet::in_control_add(ifp, ADDRESS, PREFIX) {
        broken_promise(
            "in-control",
            format_args!("{} is refused: {reason:?}", ADDRESS),
        );
    }
    let default = route::Key {
        dst: Ipv4Address::UNSPECIFIED,
        prefix: 0,
        ifindex: ifp.index(),
    };
    if !route::rt_add(net, &default, Some(GATEWAY), ADDRESS) {
        no_memory("a route");
    }
    // Interrupts of frames that arrived before the card had an interface had no effect.
    nic::kick();
    say(format_args!(
        "{} is {ADDRESS}/{PREFIX}, echo at port {}, discard at port {}",
        ifp.name(),
        Server::ECHO_PORT,
        Server::DISCARD_PORT
    ));
}

/// A line on the console.
fn say(text: fmt::Arguments<'_>) {
    machine::console(format_args!("# net-serve: {text}\n"));
}

/// Sends back what comes, in the same packet.
fn echo(socket: Arg) {
    let socket: &'static Socket = shared(socket);
    let net = stack();
    while let Some(datagram) = udp::recvfrom(net, socket, 0) {
        let from = (Some(datagram.dst), Server::ECHO_PORT);
        udp::sendto(net, datagram.m, from, datagram.src);
    }
}

fn discard(socket: Arg) {
    let socket: &'static Socket = shared(socket);
    while let Some(datagram) = udp::recvfrom(stack(), socket, 0) {
        datagram.m.free(End::Delivered);
    }
}
