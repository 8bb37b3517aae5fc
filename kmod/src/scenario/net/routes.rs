//! A route is changed and deleted while others have references to it.

use smoltcp::wire::Ipv4Address;

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::synch::yield_now;
use crate::kernel::Kernel;
use crate::mem::{AtomicU32, Local};
use crate::net::ifnet::{Ifnet, if_detach};
use crate::net::{self, Net, route, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::echo::interface;
use crate::scenario::net::interfaces::{attach_quiet, each_time, give_address};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

const HOST: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
/// A host behind a router.
const FAR: Ipv4Address = Ipv4Address::new(192, 0, 2, 1);
const ROUTERS: [Ipv4Address; 2] = [Ipv4Address::new(10, 0, 0, 2), Ipv4Address::new(10, 0, 0, 3)];

struct World {
    net: &'static Net,
    ifp: Local<Option<&'static Ifnet>>,
    actors: AtomicU32,
}

crate::fields!(World { ifp, actors });

/// Who waits for the last reference learns of it.
pub static ROUTES: Scenario = Scenario {
    name: "net-routes",
    summary: "a route is changed and deleted while threads have references: does who waits for them go on?",
    about: "A thread finds the default route, keeps it for a moment, and gives it back. Another one changes its router, which waits until \
            nobody else has the route. A third one deletes the route, which the worker frees when nobody has it, and adds it again. A \
            route that is held keeps its router. Nobody else uses routes meanwhile: a wake-up that is lost stays lost.",
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
                ifp: Local::new(attach_quiet(net, format_args!("quiet0"))),
                actors: AtomicU32::new(3),
            },
        );
        crate::machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        let ifp = interface(world.ifp.get());
        net::up(ifp);
        give_address(ifp, HOST);
        add(world);
        actor(kernel, "user", 0, |_| each(hold), Arg::NONE);
        actor(kernel, "changer", 1, |_| each(change), Arg::NONE);
        actor(kernel, "deleter", 1, |_| each(delete), Arg::NONE);
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

fn each(part: fn(&'static World)) {
    let world: &World = shared(curlwp().kernel().data());
    each_time(
        &world.actors,
        || part(world),
        || {
            if_detach(interface(world.ifp.get()));
            net::fini(world.net);
        },
    );
}

fn key(world: &World) -> route::Key {
    route::Key {
        dst: Ipv4Address::UNSPECIFIED,
        prefix: 0,
        ifindex: interface(world.ifp.get()).index(),
    }
}

fn add(world: &World) {
    obtain("a route", || {
        route::rt_add(world.net, &key(world), Some(ROUTERS[0]), HOST).then_some(())
    });
}

fn hold(world: &'static World) {
    let Some(rt) = route::rtalloc1(world.net, FAR) else {
        // It is being changed, or was deleted.
        return yield_now();
    };
    let before = rt.next_hop(FAR);
    yield_now();
    let now = rt.next_hop(FAR);
    if now != before {
        broken_promise(
            "route-held",
            format_args!("a route that is held led to {before}, and leads to {now}"),
        );
    }
    route::rt_unref(world.net, rt);
}

fn change(world: &'static World) {
    for router in ROUTERS {
        route::rt_update(world.net, &key(world), Some(router));
    }
}

fn delete(world: &'static World) {
    route::rt_delete(world.net, &key(world), None);
    yield_now();
    add(world);
}
