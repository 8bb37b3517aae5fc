//! Threads wait for datagrams at one socket, and it is shut down.

use crate::kern::kthread::kthread_join;
use crate::kern::lwp::{Arg, curlwp};
use crate::kernel::Kernel;
use crate::mem::Local;
use crate::net::mbuf::{End, Mbuf};
use crate::net::udp::{self, Socket};
use crate::net::{self, LOOPBACK_ADDRESS, Net, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, share, thread};

const PORT: u16 = 7;
const READERS: [&str; 2] = ["reader0", "reader1"];

struct World {
    net: &'static Net,
    /// Set before the readers begin.
    socket: Local<Option<&'static Socket>>,
}

crate::fields!(World { socket });

/// One wake-up is for all of them.
pub static SHUTDOWN: Scenario = Scenario {
    name: "net-shutdown",
    summary: "threads wait for datagrams at one socket: does each of them learn that the socket is shut down?",
    about: "Two threads receive from a socket, without a timeout. A third one sends a datagram, which wakes one of them, and shuts the socket \
            down, which must wake all that wait. Then it waits until they have ended, and closes the socket. The same without NET_MPSAFE.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let net = net::init(kernel);
        let socket = Local::new(None);
        let world = share("world", World { net, socket });
        crate::machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        actor(kernel, "owner", 0, own, Arg::NONE);
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

fn world() -> &'static World {
    shared(curlwp().kernel().data())
}

fn own(_: Arg) {
    let (world, net) = (world(), world().net);
    for _ in 0..curlwp().kernel().config().repeat {
        let socket = obtain("a socket", || udp::bind(net, PORT));
        world.socket.set(Some(socket));
        let mut number = 0;
        let readers = READERS.map(|name| {
            number += 1;
            thread(name, number, receive, Arg::NONE)
        });
        if let Some(m) = Mbuf::with(b"one") {
            let to = (LOOPBACK_ADDRESS, PORT);
            udp::sendto(net, m, (Some(LOOPBACK_ADDRESS), PORT), to);
        }
        udp::shutdown(net, socket);
        readers.into_iter().for_each(kthread_join);
        udp::close(net, socket);
    }
    net::fini(net);
}

fn receive(_: Arg) {
    let world = world();
    let Some(socket) = world.socket.get() else {
        return;
    };
    while let Some(datagram) = udp::recvfrom(world.net, socket, 0) {
        datagram.m.free(End::Delivered);
    }
}
