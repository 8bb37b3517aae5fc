//! Echo over network cards, on a wire that loses, doubles and delays frames.

use smoltcp::wire::Ipv4Address;

use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::psref::Psref;
use crate::kern::sleepq::Woken;
use crate::kern::spl::Ipl;
use crate::machine;
use crate::mem::{AcqRel, AtomicU32, Plain};
use crate::net::ether::ether_input;
use crate::net::ifnet::{Ifnet, if_get, if_put, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::{self, Net, inet, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::echo::no_memory;
use crate::scenario::net::frames::{self, Host, Seen};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

const STACK: Ipv4Address = Ipv4Address::new(10, 0, 0, 1);
const REMOTE: Ipv4Address = Ipv4Address::new(10, 0, 0, 2);
const PREFIX: u8 = 24;
/// Echo requests in a repetition.
const ECHOES: u16 = 2;
/// Ticks for which the other host waits for an answer.
const PATIENCE_TICKS: u32 = 2;

struct World {
    net: &'static Net,
    /// Protects what the other host has seen.
    lock: Kmutex,
    cv: Kcondvar,
    resolved: Plain<bool>,
    answers: Plain<u32>,
    actors: AtomicU32,
}

crate::fields!(World {
    lock,
    resolved,
    answers,
    actors
});

/// Interrupts, claims of queues, and frames that go astray.
pub static CARDS: Scenario = Scenario {
    name: "net-cards",
    summary: "ICMP echo between two network cards, on a wire that loses, doubles and delays frames",
    about: "The stack has the first card, and another host the second, which asks for the stack's Ethernet address and sends \
            echo requests. Frames arrive when they like, on any CPU, and some do not, or twice; meanwhile the stack gets its \
            address, and at the end it is taken down with frames on the wire. No answer comes that was not asked for; every \
            packet has one end, which is counted, and all is given back. A machine without cards does nothing here.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| config.nics = 2,
    setup: |kernel| {
        let input = |unit| -> fn(&'static Ifnet, Mbuf) {
            match unit {
                1 => sink,
                _ => ether_input,
            }
        };
        let world = share(
            "world",
            World {
                net: net::init_with(kernel, input),
                lock: Kmutex::new("remote", Ipl::SoftNet),
                cv: Kcondvar::new("answers"),
                resolved: Plain::new(false),
                answers: Plain::new(0),
                actors: AtomicU32::new(2),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        actor(kernel, "remote", 1, |_| run("nic1", send), Arg::NONE);
        actor(kernel, "ifconfig", 0, |_| run("nic0", configure), Arg::NONE);
    },
    verify: |kernel| {
        let world: &World = shared(kernel.data());
        stats::accounting(world.net, world.net.kept());
    },
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

/// Does `part` with an interface, if there is one. Who is the last to end takes everything down.
fn run(name: &str, part: fn(&'static World, &'static Ifnet)) {
    let world: &World = shared(curlwp().kernel().data());
    let bound = curlwp_bind();
    let psref = Psref::new();
    if let Some(ifp) = if_get(world.net, name, &psref) {
        net::up(ifp);
        part(world, ifp);
        if_put(ifp, &psref);
    }
    curlwp_bindx(bound);
    if world.actors.fetch_sub(1, AcqRel) == 1 {
        net::fini(world.net);
    }
}

/// The stack gets its address.
fn configure(_: &'static World, ifp: &'static Ifnet) {
    if inet::in_control_add(ifp, STACK, PREFIX).is_err() {
        no_memory("an address");
    }
    net::nic::kick();
}

/// The other host asks for an Ethernet address and sends, and does not wait for ever.
fn send(world: &'static World, ifp: &'static Ifnet) {
    let from = Host {
        ether: ifp.lladdr().0,
        ip: REMOTE,
    };
    let to = Host {
        ether: machine::nic(0).address,
        ip: STACK,
    };
    for time in 0..curlwp().kernel().config().repeat {
        transmit(ifp, frames::arp_request(from, STACK));
        wait(world, || world.resolved.get());
        for number in 0..ECHOES {
            transmit(ifp, frames::echo_request(from, to, number));
        }
        let answers = (time + 1) * u32::from(ECHOES);
        wait(world, || world.answers.get() >= answers);
    }
}

fn transmit(ifp: &'static Ifnet, frame: Option<Mbuf>) {
    match frame {
        Some(m) => if_transmit(ifp, m),
        None => no_memory("a frame"),
    }
}

/// Waits for what the other host is to see, but not for ever: it may be lost.
fn wait(world: &World, seen: impl Fn() -> bool) {
    world.lock.enter();
    while !seen() {
        if world.cv.timedwait(&world.lock, PATIENCE_TICKS) == Woken::Timeout {
            break;
        }
    }
    world.lock.exit();
}

/// What the other host receives. In the softint of the cards.
fn sink(_: &'static Ifnet, m: Mbuf) {
    let world: &World = shared(curlwp().kernel().data());
    let seen = frames::look(m.bytes());
    m.free(End::Delivered);
    world.lock.enter();
    match seen {
        Seen::ArpReply(STACK) => world.resolved.set(true),
        Seen::EchoReply(STACK, number) if number < ECHOES => {
            world.answers.set(world.answers.get() + 1);
        }
        Seen::Other => {}
        odd => broken_promise(
            "net-answer",
            format_args!("the other host was sent what it did not ask for: {odd:?}"),
        ),
    }
    world.cv.broadcast();
    world.lock.exit();
}
