//! An interface is detached while packets that name it are in queues, and references to it are held.

use smoltcp::wire::Ipv4Address;

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::psref::Psref;
use crate::kern::synch::yield_now;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicU32, Local, Relaxed};
use crate::net::ifnet::{Ifnet, MAX_INTERFACES, if_get, if_put, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{self, Net, bpf, inet, pair, route, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::echo::interface;
use crate::scenario::net::frames::{self, Host};
use crate::scenario::net::interfaces::{each_time, give_address};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

const STACK: Host = Host {
    ether: pair::lladdr(0),
    ip: Ipv4Address::new(10, 0, 0, 1),
};
const REMOTE: Host = Host {
    ether: pair::lladdr(1),
    ip: Ipv4Address::new(10, 0, 0, 2),
};
/// Frames that the other host sends in a repetition.
const FRAMES: u16 = 3;
/// Where the default route leads.
const ROUTERS: [Ipv4Address; 2] = [REMOTE.ip, Ipv4Address::new(10, 0, 0, 9)];

struct World {
    net: &'static Net,
    remote: Local<Option<&'static Ifnet>>,
    /// References that are held to the interface with this index.
    holders: [AtomicU32; MAX_INTERFACES + 1],
    actors: AtomicU32,
}

crate::fields!(World {
    remote,
    holders,
    actors
});

/// Everything that if_detach waits for, at the same time.
pub static IFDETACH: Scenario = Scenario {
    name: "net-ifdetach",
    summary: "an interface is detached while packets are in queues and references are held",
    about: "Another host sends echo requests, whose answers ask for its Ethernet address and wait; a thread looks the \
            interface up, holds references to it and its address, listens on it and changes its default route; another \
            detaches it and attaches it anew. When if_detach returns nobody has a reference; what was in queues and \
            what waited has an end that is counted; all is given back. The same without NET_MPSAFE.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let net = net::init(kernel);
        let world = share(
            "world",
            World {
                net,
                remote: Local::new(None),
                holders: [const { AtomicU32::new(0) }; MAX_INTERFACES + 1],
                actors: AtomicU32::new(3),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        let drain = |_: &'static Ifnet, m: Mbuf| m.free(End::Delivered);
        world.remote.set(pair::attach_with(net, 1, drain));
        net::up(interface(world.remote.get()));
        attach(net);
        actor(kernel, "remote", 0, |_| each(send), Arg::NONE);
        actor(kernel, "holder", 1, |_| each(hold), Arg::NONE);
        actor(kernel, "detacher", 0, |_| each(detach), Arg::NONE);
    },
    verify: |kernel| {
        let world: &World = shared(kernel.data());
        stats::accounting(world.net, world.net.kept());
    },
    teardown: |kernel: &'static Kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

/// Attaches the interface, with its address and a default route.
fn attach(net: &'static Net) {
    let ifp = obtain("an interface", || pair::attach(net, 0));
    net::up(ifp);
    give_address(ifp, STACK.ip);
    obtain("a route", || {
        route::rt_add(net, &default_route(ifp), Some(ROUTERS[0]), STACK.ip).then_some(())
    });
}

fn default_route(ifp: &Ifnet) -> route::Key {
    route::Key {
        dst: Ipv4Address::UNSPECIFIED,
        prefix: 0,
        ifindex: ifp.index(),
    }
}

fn each(part: fn(&'static World)) {
    let world: &World = shared(curlwp().kernel().data());
    each_time(
        &world.actors,
        || part(world),
        || {
            pair::detach(interface(world.remote.get()));
            net::fini(world.net);
        },
    );
}

/// The other host sends, and does not answer.
fn send(world: &'static World) {
    for number in 0..FRAMES {
        // From one host on the net, and from one beyond the router.
        let from = match number % 2 {
            0 => REMOTE,
            _ => Host {
                ip: Ipv4Address::new(192, 0, 2, 1),
                ..REMOTE
            },
        };
        if let Some(m) = frames::echo_request(from, STACK, number) {
            if_transmit(interface(world.remote.get()), m);
        }
    }
}

/// Uses the interface, if there is one.
fn hold(world: &'static World) {
    let (ifp_ref, ia_ref) = (Psref::new(), Psref::new());
    let net = world.net;
    let Some(ifp) = if_get(net, "pair0", &ifp_ref) else {
        return;
    };
    let holders = &world.holders[ifp.index() as usize];
    holders.fetch_add(1, Relaxed);
    let tap = bpf::bpf_open(ifp);
    let ia = inet::in_ifaddr_get(net, |ia| ia.addr() == STACK.ip, &ia_ref);
    yield_now();
    if let Some(ia) = ia {
        if ia.addr() != STACK.ip {
            broken_promise(
                "psref-alive",
                format_args!("an address is {} while it is held", ia.addr()),
            );
        }
        inet::ia_put(net, ia, &ia_ref);
    }
    let key = default_route(ifp);
    if ifp.name().as_str() != "pair0" {
        broken_promise("psref-alive", format_args!("{} is held", ifp.name()));
    }
    holders.fetch_sub(1, AcqRel);
    if_put(ifp, &ifp_ref);
    // Whether or not it is still there.
    route::rt_update(net, &key, Some(ROUTERS[1]));
    if let Some(tap) = tap {
        bpf::bpf_close(net, tap);
    }
}

/// Detaches the interface and attaches another.
fn detach(world: &'static World) {
    let psref = Psref::new();
    let Some(ifp) = if_get(world.net, "pair0", &psref) else {
        broken_promise(
            "if-listed",
            format_args!("pair0 is not there, and nobody else detaches it"),
        )
    };
    let index = ifp.index();
    if_put(ifp, &psref);
    // It stays, because no other actor detaches it.
    pair::detach(ifp);
    let holders = world.holders[index as usize].load(Acquire);
    if holders != 0 {
        broken_promise(
            "if-drained",
            format_args!("if_detach returned while there were {holders} references"),
        );
    }
    attach(world.net);
}
