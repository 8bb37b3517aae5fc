//! An interface comes and goes, and others get its index, while frames come in and threads still have the old index.

use smoltcp::wire::Ipv4Address;

use crate::kern::lwp::{Arg, Name, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::psref::Psref;
use crate::kern::synch::yield_now;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicU32, Local, Relaxed, Release};
use crate::net::ifnet::{
    Driver, Ifnet, MAX_INTERFACES, Spec, if_attach, if_get_byindex, if_put, if_transmit,
};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{self, Net, bpf, inet, pair, route, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::echo::{interface, no_memory};
use crate::scenario::net::frames::{self, Host};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

const STACK: Host = Host {
    ether: pair::lladdr(0),
    ip: Ipv4Address::new(10, 0, 0, 1),
};
const REMOTE: Host = Host {
    ether: pair::lladdr(1),
    ip: Ipv4Address::new(10, 0, 0, 2),
};
/// An address that is added to an interface that may be on its way out.
const LATE: Ipv4Address = Ipv4Address::new(10, 0, 3, 1);
const PREFIX: u8 = 24;
/// Interfaces that stay and do nothing. With the loopback interface and the other host's, all indices but two are taken.
const STAY: usize = MAX_INTERFACES - 4;

struct World {
    net: &'static Net,
    remote: Local<Option<&'static Ifnet>>,
    /// The index that the interface had when it was attached last.
    last: AtomicU32,
    /// References that are held to the interface with this index.
    holders: [AtomicU32; MAX_INTERFACES + 1],
    actors: AtomicU32,
}

crate::fields!(World {
    remote,
    last,
    holders,
    actors
});

/// What an interface leaves behind when its index goes to another.
pub static IFINDEX: Scenario = Scenario {
    name: "net-ifindex",
    summary: "an interface comes and goes while frames arrive, and others get its index",
    about: "There are two free indices, so the third interface has the index of the first. Another host sends frames, also during \
            the teardown. A thread looks the interface up by an index that it remembers, keeps it, opens a tap on it and \
            gives it an address, although it may be on its way out. When if_detach returns, nobody has a reference, and no \
            address and no route has its index: the next interface begins with nothing. The same without NET_MPSAFE.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.repeat *= 3;
        // One for each interface, besides those of the kernel and the protocols.
        config.softint_handlers += MAX_INTERFACES;
    },
    setup: |kernel| {
        let net = net::init(kernel);
        let world = share(
            "world",
            World {
                net,
                remote: Local::new(None),
                last: AtomicU32::new(0),
                holders: [const { AtomicU32::new(0) }; MAX_INTERFACES + 1],
                actors: AtomicU32::new(3),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        let drop: fn(&'static Ifnet, Mbuf) = |_, m| m.free(End::Delivered);
        world.remote.set(pair::attach_with(net, 1, drop));
        net::up(interface(world.remote.get()));
        for number in 0..STAY {
            let spec = Spec {
                lladdr: Some([2, 0, 0, 0, 1, number as u8]),
                mtu: 1500,
                driver: Driver {
                    input: drop,
                    transmit: drop,
                    softc: Arg::NONE,
                },
            };
            interface(if_attach(
                net,
                Name::format(format_args!("stay{number}")),
                &spec,
            ));
        }
        attach(world);
        actor(kernel, "remote", 0, |_| each_time(send), Arg::NONE);
        actor(kernel, "user", 1, |_| each_time(hold), Arg::NONE);
        actor(kernel, "detacher", 0, |_| each_time(detach), Arg::NONE);
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

/// Attaches the interface, with its address.
fn attach(world: &World) -> &'static Ifnet {
    let ifp = interface(pair::attach(world.net, 0));
    net::up(ifp);
    ifp.lock();
    let added = inet::ifa_insert(ifp, STACK.ip, PREFIX);
    ifp.unlock();
    if added.is_err() {
        no_memory("an address");
    }
    world.last.store(ifp.index(), Release);
    ifp
}

/// Does `part` as often as the configuration says, bound. The last actor to finish takes everything down.
fn each_time(part: fn(&'static World)) {
    let world: &World = shared(curlwp().kernel().data());
    for _ in 0..curlwp().kernel().config().repeat {
        let bound = curlwp_bind();
        part(world);
        curlwp_bindx(bound);
    }
    if world.actors.fetch_sub(1, AcqRel) == 1 {
        pair::detach(interface(world.remote.get()));
        net::fini(world.net);
    }
}

/// The other host tells its Ethernet address, and sends an echo request.
fn send(world: &'static World) {
    for frame in [
        frames::arp_reply(REMOTE, STACK),
        frames::echo_request(REMOTE, STACK, 0),
    ] {
        match frame {
            Some(m) => if_transmit(interface(world.remote.get()), m),
            None => no_memory("a frame"),
        }
    }
}

/// Uses the interface with the index that was seen last, if there is still one.
fn hold(world: &'static World) {
    let (net, psref) = (world.net, Psref::new());
    let index = world.last.load(Acquire);
    yield_now();
    let Some(ifp) = if_get_byindex(net, index, &psref) else {
        return;
    };
    let holders = &world.holders[index as usize];
    holders.fetch_add(1, Relaxed);
    if ifp.index() != index || ifp.name().as_str() != "pair0" {
        broken_promise(
            "if-index",
            format_args!("index {index} is that of {}, {}", ifp.name(), ifp.index()),
        );
    }
    let tap = bpf::bpf_open(ifp);
    // The address may exist still, or the interface may be being detached.
    let _refused = inet::in_control_add(ifp, LATE, PREFIX);
    yield_now();
    if ifp.index() != index {
        broken_promise(
            "psref-alive",
            format_args!("an interface has index {} while it is held", ifp.index()),
        );
    }
    holders.fetch_sub(1, AcqRel);
    if_put(ifp, &psref);
    if let Some(tap) = tap {
        bpf::bpf_close(net, tap);
    }
}

/// Detaches the interface, looks for what it has left behind, and attaches another.
fn detach(world: &'static World) {
    let (net, psref) = (world.net, Psref::new());
    let index = world.last.load(Acquire);
    let Some(ifp) = if_get_byindex(net, index, &psref) else {
        broken_promise(
            "if-listed",
            format_args!("no interface has index {index}, and nobody else detaches it"),
        )
    };
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
    let left = Psref::new();
    if let Some(ia) = inet::in_ifaddr_get(net, |ia| ia.ifindex() == index, &left) {
        broken_promise(
            "if-leaves-address",
            format_args!(
                "if_detach returned, and {} is an address of index {index}",
                ia.addr()
            ),
        );
    }
    for addr in [REMOTE.ip, LATE] {
        if let Some(rt) = route::rtalloc1(net, addr) {
            let leads_to = rt.ifindex();
            route::rt_unref(net, rt);
            if leads_to == index {
                broken_promise(
                    "if-leaves-route",
                    format_args!(
                        "if_detach returned, and the route to {addr} leads to index {index}"
                    ),
                );
            }
        }
    }
    attach(world);
}
