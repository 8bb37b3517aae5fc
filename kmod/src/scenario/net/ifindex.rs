//! An interface comes and goes, and others get its index, while frames come in and threads still have the old index.

use smoltcp::wire::Ipv4Address;

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::psref::Psref;
use crate::kern::synch::{kpause, yield_now};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AcqRel, Acquire, AtomicU32, Local, Relaxed, Release};
use crate::net::ifnet::{Ifnet, MAX_INTERFACES, if_detach, if_get_byindex, if_put, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{self, Net, bpf, inet, pair, route, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::echo::interface;
use crate::scenario::net::frames::{self, Host};
use crate::scenario::net::interfaces::{PREFIX, attach_quiet, each_time, give_address};
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
/// Another interface that comes and goes, which nobody sends to.
const OTHER: Ipv4Address = Ipv4Address::new(10, 0, 4, 1);
const OTHER_NEIGHBOUR: Ipv4Address = Ipv4Address::new(10, 0, 4, 2);
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
    about: "Two interfaces come and go, and there are two indices for them, so that they have each other's. Another host sends frames, also during \
            the teardown. A thread looks the interface up by an index that it remembers, keeps it, opens a tap on it, \
            gives it an address and takes it up, although it may be on its way out. When if_detach returns, nobody has a reference, and no \
            address and no route of it is left. An interface has its own routes as long as it is there, and no neighbours that it has \
            not heard of. The same without NET_MPSAFE.",
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
                actors: AtomicU32::new(4),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        let drop: fn(&'static Ifnet, Mbuf) = |_, m| m.free(End::Delivered);
        world.remote.set(pair::attach_with(net, 1, drop));
        net::up(interface(world.remote.get()));
        for number in 0..STAY {
            interface(attach_quiet(net, format_args!("quiet{number}")));
        }
        attach(world);
        actor(kernel, "other", 1, |_| each(come_and_go), Arg::NONE);
        actor(kernel, "remote", 0, |_| each(send), Arg::NONE);
        actor(kernel, "user", 1, |_| each(hold), Arg::NONE);
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

/// Another interface comes, has a route to its net, and goes.
fn come_and_go(world: &'static World) {
    let net = world.net;
    let ifp = obtain("an interface", || {
        attach_quiet(net, format_args!("quiet{STAY}"))
    });
    give_address(ifp, OTHER);
    yield_now();
    // Nobody changes this route, or removes it.
    match route::rtalloc1(net, OTHER_NEIGHBOUR) {
        Some(rt) => route::rt_unref(net, rt),
        None => broken_promise(
            "if-route-lost",
            format_args!(
                "{} has the address {OTHER}, and there is no route to its net",
                ifp.name()
            ),
        ),
    }
    // It stays, because no other actor detaches it.
    if_detach(ifp);
}

/// Attaches the interface, with its address.
fn attach(world: &World) -> &'static Ifnet {
    let ifp = obtain("an interface", || pair::attach(world.net, 0));
    net::up(ifp);
    give_address(ifp, STACK.ip);
    world.last.store(ifp.index(), Release);
    ifp
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

/// The other host asks for our Ethernet address, which tells its own, and sends an echo request.
fn send(world: &'static World) {
    let request = frames::arp_request(REMOTE, STACK.ip);
    let echo = frames::echo_request(REMOTE, STACK, 0);
    for m in [request, echo].into_iter().flatten() {
        if_transmit(interface(world.remote.get()), m);
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
    if ifp.name().as_str() != "pair0" {
        // The other interface has the index now.
        return if_put(ifp, &psref);
    }
    let holders = &world.holders[index as usize];
    holders.fetch_add(1, Relaxed);
    // The address may exist still, or the interface may be being detached.
    let added = inet::in_control_add(ifp, LATE, PREFIX);
    if added.is_ok() && index.is_multiple_of(2) {
        take_away(ifp);
    }
    yield_now();
    let tap = bpf::bpf_open(ifp);
    yield_now();
    // By now it may have lost its addresses. It does not get another one then, and stays down.
    kpause("late", 1, None);
    net::up(ifp);
    let _late = inet::in_control_add(ifp, LATE, PREFIX);
    if ifp.index() != index {
        broken_promise(
            "psref-alive",
            format_args!("an interface has index {} while it is held", ifp.index()),
        );
    }
    holders.fetch_sub(1, AcqRel);
    if_put(ifp, &psref);
    if let Some(tap) = tap {
        let mut read = 0;
        while let Some(m) = tap.read(0) {
            m.free(End::Delivered);
            read += 1;
        }
        let (captured, _) = tap.stats();
        if captured < read {
            broken_promise(
                "bpf-stats",
                format_args!("{read} frames were read from a tap that has captured {captured}"),
            );
        }
        bpf::bpf_close(net, tap);
    }
}

/// Takes the late address away: it and its route are gone then.
fn take_away(ifp: &'static Ifnet) {
    let net = ifp.net();
    if !inet::in_control_remove(ifp, LATE) {
        // The interface was detached meanwhile.
        return;
    }
    if let Some(rt) = route::rtalloc1(net, LATE) {
        route::rt_unref(net, rt);
        broken_promise(
            "address-leaves-route",
            format_args!("{LATE} was taken away, and there is a route to its net"),
        );
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
    let neighbour = ifp.if_llt.lookup_hold(REMOTE.ip.into(), "detacher");
    if let Some(neighbour) = neighbour {
        neighbour.unref("detacher");
    }
    if neighbour.is_some() && ifp.packets().0 == 0 {
        broken_promise(
            "if-stranger",
            format_args!(
                "{} has received nothing, and knows the neighbour {}",
                ifp.name(),
                REMOTE.ip
            ),
        );
    }
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
    // By now another interface may have the index, but not these addresses.
    for addr in [STACK.ip, LATE] {
        if inet::in_is_local(net, addr) {
            broken_promise(
                "if-leaves-address",
                format_args!("if_detach returned, and {addr} is an address of this host"),
            );
        }
    }
    for addr in [REMOTE.ip, LATE] {
        if let Some(rt) = route::rtalloc1(net, addr) {
            route::rt_unref(net, rt);
            broken_promise(
                "if-leaves-route",
                format_args!("if_detach returned, and there is a route to {addr}"),
            );
        }
    }
    attach(world);
}
