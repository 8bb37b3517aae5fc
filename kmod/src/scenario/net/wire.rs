//! The whole path from a network card through the stack and back, over the wire of the simulated machine.

use smoltcp::wire::Ipv4Address;

use crate::config::Config;
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::psref::Psref;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::Plain;
use crate::net::bpf::{BpfD, bpf_close, bpf_open};
use crate::net::ifnet::{Ifnet, if_get, if_put, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::stats::{self, Count};
use crate::net::{self, Net, inet, nic};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::frames::{self, Host, Seen};
use crate::scenario::net::serve::Server;
use crate::scenario::net::wellformed;
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

/// The Ethernet address of a card of the simulated machine.
const fn card(unit: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, unit]
}

/// The host that has the stack, at card 0.
pub const STACK: Host = Host {
    ether: card(0),
    ip: Ipv4Address::new(10, 0, 2, 15),
};
/// The host at card 1, which sends and listens.
pub const REMOTE: Host = Host {
    ether: card(1),
    ip: Ipv4Address::new(10, 0, 2, 2),
};
const PREFIX: u8 = 24;
const CLOSED_PORT: u16 = 99;
const REMOTE_PORT: u16 = 1000;
/// How many ticks the other host waits for the next frame before it gives up.
const LISTEN_TICKS: u32 = 2;

struct World {
    net: &'static Net,
    /// Echo replies and datagrams that the other host has seen.
    echoes: Plain<u64>,
    datagrams: Plain<u64>,
}

crate::fields!(World { echoes, datagrams });

/// Two cards, and a wire that loses, doubles and reorders.
pub static WIRE: Scenario = Scenario {
    name: "net-wire",
    summary: "echo over network cards and a wire that loses, doubles and reorders; frames from outside come between",
    about: "Card 0 has the address 10.0.2.15/24 and servers for UDP echo and discard behind it. At card 1 another host asks \
            for its Ethernet address, sends echo requests, datagrams, fragments and a datagram to a closed port, and \
            looks at each frame that comes. Whatever happens on the wire, and whatever frames come from outside: \
            each frame that the stack sends is well formed, none comes that it did not send, each packet has one end, which is counted, and all is given back.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config: &mut Config| config.nics = 2,
    setup: |kernel| {
        let world = World {
            net: net::init(kernel),
            echoes: Plain::new(0),
            datagrams: Plain::new(0),
        };
        let world = share("world", world);
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        actor(kernel, "remote", 1, run, Arg::NONE);
    },
    verify: |kernel: &'static Kernel| {
        let world: &World = shared(kernel.data());
        stats::accounting(world.net, world.net.kept());
        let stats = &world.net.stats;
        arrived(
            "echo replies",
            world.echoes.peek(),
            stats.get(Count::EchoReplies),
        );
        arrived(
            "datagrams",
            world.datagrams.peek(),
            stats.get(Count::UdpOut),
        );
    },
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

fn run(_: Arg) {
    let world: &'static World = shared(curlwp().kernel().data());
    let net = world.net;
    let servers = [Server::echo(net), Server::discard(net)];
    // Bound for the whole time, because it holds references to the interfaces.
    let bound = curlwp_bind();
    let psrefs = [const { Psref::new() }; 2];
    let stack = interface(net, "nic0", &psrefs[0]);
    let remote = interface(net, "nic1", &psrefs[1]);
    net::up(stack);
    net::up(remote);
    obtain("an address", || {
        inet::in_control_add(stack, STACK.ip, PREFIX).ok()
    });
    let tap = obtain("a tap", || bpf_open(remote));
    // Interrupts of frames that arrived before the cards had an interface had no effect.
    nic::kick();
    for time in 0..curlwp().kernel().config().repeat {
        ask(remote, time as u16);
        listen(world, tap);
    }
    bpf_close(net, tap);
    if_put(remote, &psrefs[1]);
    if_put(stack, &psrefs[0]);
    curlwp_bindx(bound);
    for server in servers {
        server.stop(net);
    }
    net::fini(net);
}

fn interface(net: &'static Net, name: &str, psref: &Psref) -> &'static Ifnet {
    match if_get(net, name, psref) {
        Some(ifp) => ifp,
        None => broken_promise(
            "net-cards",
            format_args!("there is no {name}: this scenario needs two cards on one wire"),
        ),
    }
}

/// Sends one frame of each kind.
fn ask(remote: &'static Ifnet, number: u16) {
    let send = |frame: Option<Mbuf>| {
        if let Some(m) = frame {
            if_transmit(remote, m);
        }
    };
    let from = (REMOTE, REMOTE_PORT + number);
    send(frames::arp_request(REMOTE, STACK.ip));
    send(frames::echo_request(REMOTE, STACK, number));
    send(frames::datagram(from, (STACK, Server::ECHO_PORT), number));
    send(frames::fragment(REMOTE, STACK, true));
    send(frames::datagram(from, (STACK, CLOSED_PORT), number));
}

/// Looks at the frames that arrive, until no more do.
fn listen(world: &World, tap: &'static BpfD) {
    while let Some(m) = tap.read(LISTEN_TICKS) {
        look(world, m.bytes());
        m.free(End::Delivered);
    }
}

/// Checks a frame at card 1, if the stack behind card 0 has sent it.
fn look(world: &World, frame: &[u8]) {
    if frame.get(6..12) != Some(&STACK.ether) {
        return;
    }
    wellformed::assert_sent(frame);
    let count = match frames::look(frame) {
        Seen::EchoReply(..) => &world.echoes,
        Seen::Datagram(_, Server::ECHO_PORT, _) => &world.datagrams,
        _ => return,
    };
    count.set(count.get() + 1);
}

/// The wire may double a frame, but does not invent any.
fn arrived(what: &str, seen: u64, sent: u64) {
    if seen > 2 * sent {
        broken_promise(
            "net-made-up",
            format_args!("the stack has sent {sent} {what}, and {seen} have come"),
        );
    }
}
