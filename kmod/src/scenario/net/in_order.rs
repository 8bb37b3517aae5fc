//! Test of the order of datagrams: those of one flow stay in order, from the thread that sends them to the one that receives them.

use crate::config::Memory;
use crate::kern::lwp::{Arg, curlwp};
use crate::machine;
use crate::mem::{AcqRel, AtomicU32, Plain};
use crate::net::mbuf::{End, Mbuf};
use crate::net::udp::{self, Socket};
use crate::net::{self, LOOPBACK_ADDRESS, Net, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

/// The port of the receiver, and that of the first sender.
const PORT: u16 = 9;
const FROM: u16 = 1000;
const SENDERS: usize = 2;
/// How many datagrams each sends.
const DATAGRAMS: u16 = 3;

struct World {
    net: &'static Net,
    /// Set when the receiver has it.
    socket: Plain<Option<&'static Socket>>,
    /// Senders that have not ended.
    left: AtomicU32,
}

crate::fields!(World { socket, left });

/// Two flows to one socket.
pub static IN_ORDER: Scenario = Scenario {
    name: "net-in-order",
    summary: "two threads send numbered datagrams to a socket of this host: do those of each arrive in order?",
    about: "The datagrams go through the interface that leads back, the queue of IP on the CPU of their flow, and the queue of the socket. \
            Some may find no room; those that arrive do so in the order in which they were sent.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.memory = Memory::Given("its datagrams are what is tested"),
    setup: |kernel| {
        let net = net::init(kernel);
        let world = share(
            "world",
            World {
                net,
                socket: Plain::new(None),
                left: AtomicU32::new(SENDERS as u32),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        actor(kernel, "receiver", 0, receive, Arg::NONE);
    },
    verify: |kernel| {
        let net = shared::<World>(kernel.data()).net;
        stats::accounting(net, net.kept());
    },
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

fn world() -> &'static World {
    shared(curlwp().kernel().data())
}

/// Starts the senders, and receives until the socket is shut down.
fn receive(_: Arg) {
    let world = world();
    let socket = obtain("a socket", || udp::bind(world.net, PORT));
    world.socket.set(Some(socket));
    let senders: [_; SENDERS] = core::array::from_fn(|number| {
        crate::scenario::thread(["sender0", "sender1"][number], number, send, Arg(number))
    });
    let mut last = [None; SENDERS];
    while let Some(datagram) = udp::recvfrom(world.net, socket, 0) {
        let number = datagram
            .m
            .bytes()
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes));
        let sender = usize::from(datagram.src.1 - FROM);
        datagram.m.free(End::Delivered);
        if number <= last[sender] {
            broken_promise(
                "net-in-order",
                format_args!(
                    "datagram {number:?} of sender{sender} is received after {:?}",
                    last[sender]
                ),
            );
        }
        last[sender] = number;
    }
    for sender in senders {
        crate::kern::kthread::kthread_join(sender);
    }
    udp::close(world.net, socket);
    net::fini(world.net);
}

fn send(number: Arg) {
    let world = world();
    for datagram in 1..=DATAGRAMS {
        if let Some(m) = Mbuf::with(&datagram.to_be_bytes()) {
            let from = (Some(LOOPBACK_ADDRESS), FROM + number.0 as u16);
            udp::sendto(world.net, m, from, (LOOPBACK_ADDRESS, PORT));
        }
    }
    if world.left.fetch_sub(1, AcqRel) == 1
        && let Some(socket) = world.socket.get()
    {
        // What is still in the queue of IP arrives before that.
        for pq in world.net.pktqueues() {
            pq.barrier();
        }
        udp::shutdown(world.net, socket);
    }
}
