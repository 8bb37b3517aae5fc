//! Taps on one interface come and go while frames are delivered to them.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::synch::yield_now;
use crate::kernel::Kernel;
use crate::mem::{AtomicU32, Local};
use crate::net::bpf::{bpf_close, bpf_open};
use crate::net::ifnet::{Ifnet, if_detach, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{self, Net, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::echo::interface;
use crate::scenario::net::interfaces::{attach_quiet, each_time};
use crate::scenario::{FIXED, Kind, Scenario, actor, share};

/// Frames that are sent in a repetition.
const FRAMES: usize = 2;

struct World {
    net: &'static Net,
    ifp: Local<Option<&'static Ifnet>>,
    actors: AtomicU32,
}

crate::fields!(World { ifp, actors });

/// A walk over the taps, which sleeps at each of them.
pub static TAPS: Scenario = Scenario {
    name: "net-taps",
    summary: "taps on one interface come and go while frames are delivered to them",
    about: "Two threads open a tap each, read from it and close it, again and again. A third one sends frames, each of which is delivered to \
            the taps that there are, one after another. A walk may sleep at a tap that is closed meanwhile, and so may the next one be. No \
            tap is used after it was closed, and no frame is lost without a count.",
    variants: &[FIXED],
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
        net::up(interface(world.ifp.get()));
        actor(kernel, "sender", 0, |_| each(send), Arg::NONE);
        actor(kernel, "listener0", 1, |_| each(listen), Arg::NONE);
        actor(kernel, "listener1", 1, |_| each(listen), Arg::NONE);
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

fn send(world: &'static World) {
    for _ in 0..FRAMES {
        if let Some(m) = Mbuf::with(&[0; 14]) {
            if_transmit(interface(world.ifp.get()), m);
        }
    }
}

fn listen(world: &'static World) {
    let tap = obtain("a tap", || bpf_open(interface(world.ifp.get())));
    yield_now();
    while let Some(m) = tap.read(0) {
        m.free(End::Delivered);
    }
    bpf_close(world.net, tap);
}
