//! Everything at once: a flood of packets, while all that they pass through is removed and added again.

mod churn;
mod flood;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed as Bare}; // not watched: counts for the report, and nothing is decided by them

use smoltcp::wire::Ipv4Address;

use crate::config::Config;
use crate::kern::condvar::Kcondvar;
use crate::kern::kthread::Options;
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::yield_now;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::Plain;
use crate::net::{self, Net, nic, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::serve::Server;
use crate::scenario::{
    FIXED, Kind, SOFTNET_LOCK, Scenario, actor_options, actor_with, rounds, share,
};

/// An interface of the stack with what it has while it is there.
#[derive(Clone, Copy, Debug)]
struct Link {
    name: &'static str,
    /// The address that it comes with.
    stays: Ipv4Address,
    /// The address that comes and goes.
    goes: Ipv4Address,
    /// The router of its default route.
    router: Ipv4Address,
}

const PREFIX: u8 = 24;

/// The stack's end of the wire inside the kernel.
const PAIR: Link = Link {
    name: "pair0",
    stays: Ipv4Address::new(10, 0, 0, 1),
    goes: Ipv4Address::new(10, 0, 0, 2),
    router: Ipv4Address::new(10, 0, 0, 16),
};
/// The first network card, if there is one.
const CARD: Link = Link {
    name: "nic0",
    stays: Ipv4Address::new(10, 0, 2, 15),
    goes: Ipv4Address::new(10, 0, 2, 16),
    router: Ipv4Address::new(10, 0, 2, 2),
};

/// What comes and goes.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Change {
    Interface,
    Flag,
    Address,
    Route,
    Neighbour,
    Tap,
    Queue,
}

/// The text after a number of changes.
const CHANGES: [(Change, &str); 7] = [
    (Change::Interface, "interfaces attached or detached"),
    (Change::Flag, "interfaces taken down or up"),
    (Change::Address, "addresses added or removed"),
    (Change::Route, "routes added, changed or deleted"),
    (Change::Neighbour, "ARP entries set or deleted"),
    (Change::Tap, "taps opened or closed"),
    (Change::Queue, "queues flushed or made longer or shorter"),
];

struct World {
    net: &'static Net,
    /// Protects the number of actors that have not finished.
    lock: Kmutex,
    ended: Kcondvar,
    actors: Plain<usize>,
    /// As evcnt(9): an addition belongs to the current step.
    changes: [AtomicU64; CHANGES.len()],
    heard: flood::Heard,
}

crate::fields!(World { lock, actors });

/// What an actor does in a repetition, by its number.
type Part = fn(&'static World, u32);

/// The actors: their name, the CPU where they begin, and what they do. The first CPU has the card's interrupts.
const PARTS: &[(&str, usize, Part)] = &[
    ("flood", 2, flood::from_outside),
    ("talk", 1, flood::from_inside),
    ("ifconfig", 3, churn::ifconfig),
    ("wire", 2, churn::wire),
    ("addresses", 1, churn::addresses),
    ("tables", 0, churn::tables),
    ("taps", 3, churn::taps),
];

/// A flood of ARP, ICMP and UDP, while everything that it passes through is removed and added again.
pub static STORM: Scenario = Scenario {
    name: "net-storm",
    summary: "a flood of ARP, ICMP and UDP while interfaces, addresses, routes, neighbours and taps come and go",
    about: "Another host, at a wire inside of the kernel, floods the stack with requests, datagrams, fragments and what is \
            damaged, in the name of several; threads of this one send to hosts that answer and to some that do not; and the \
            interfaces of both, addresses, routes, entries of ARP, taps and queues come and go, with ARP's timers as short \
            as they can be. A booted machine with a network card has the same at 10.0.2.15/24, for a host outside. When the \
            time is over everything is taken down: each packet has one end, which is counted, and all is given back.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config: &mut Config| {
        config.arpt_keep_ticks = 1;
        config.arpt_down_ticks = 1;
    },
    setup,
    verify,
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

fn setup(kernel: &'static Kernel) {
    let net = net::init(kernel);
    churn::attach_wire(net);
    let world = World {
        net,
        lock: Kmutex::new("storm", Ipl::None),
        ended: Kcondvar::new("storm"),
        actors: Plain::new(PARTS.len()),
        changes: [const { AtomicU64::new(0) }; CHANGES.len()],
        heard: flood::Heard::new(),
    };
    let world = share("world", world);
    machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    for (part, &(name, cpu, _)) in PARTS.iter().enumerate() {
        let options = Options {
            begin_on: cpu,
            ..actor_options()
        };
        actor_with(kernel, name, options, run, Arg(part));
    }
    let options = Options {
        begin_on: 1,
        ..actor_options()
    };
    actor_with(kernel, "server", options, serve, Arg::NONE);
}

fn world() -> &'static World {
    shared(curlwp().kernel().data())
}

/// Does a part as often as the configuration says, and on a booted machine for as long as there is time.
fn run(part: Arg) {
    let (_, _, part) = PARTS[part.0];
    let (world, kernel) = (world(), curlwp().kernel());
    let mut time = 0;
    while time < kernel.config().repeat || rounds::time_is_left(kernel) {
        // It holds references to interfaces.
        let bound = curlwp_bind();
        part(world, time);
        curlwp_bindx(bound);
        time = time.wrapping_add(1);
        yield_now();
    }
    world.lock.enter();
    world.actors.set(world.actors.get() - 1);
    world.ended.broadcast();
    world.lock.exit();
}

/// Serves UDP until the storm is over, and takes everything down.
fn serve(_: Arg) {
    let world = world();
    let net = world.net;
    let servers = [Server::echo(net), Server::discard(net)];
    // Interrupts of frames that arrived before the card had an interface had no effect.
    nic::kick();
    world.lock.enter();
    while world.actors.get() != 0 {
        world.ended.wait(&world.lock);
    }
    world.lock.exit();
    for server in servers {
        server.stop(net);
    }
    net::fini(net);
}

impl World {
    fn changed(&self, what: Change) {
        self.changes[what as usize].fetch_add(1, Bare);
    }
}

fn verify(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    if rounds::are_repeated(kernel) {
        for (change, text) in CHANGES {
            let count = world.changes[change as usize].load(Bare);
            say(format_args!("{count} {text}"));
        }
        stats::report(world.net);
    }
    world.heard.verify(world.net);
    stats::accounting(world.net, world.net.kept());
}

/// A line on the console.
fn say(text: fmt::Arguments<'_>) {
    machine::console(format_args!("# {text}\n"));
}
