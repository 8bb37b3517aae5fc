//! Programs over the network stack: the language of `ops` with operations on a network stack.
//!
//! # Overview
//!
//! A program ([`ops`](super::ops)) of several LWPs drives a whole stack. Frames arrive from other hosts; interfaces are attached,
//! detached, taken up and taken down; addresses, routes and neighbours are added and removed; taps and sockets are opened, used
//! and closed; queues are flushed and resized. The stack has two network cards on the machine's wire, which loses, doubles and
//! delays frames, and where frames arrive from outside. It also has a wire inside the kernel ([`pair`](crate::net::pair)), with
//! another host at its end, which answers ARP. The machine (`nics`) decides which of them exist at first; `if_attach` adds the wire
//! inside the kernel later, too.
//!
//! | interface | at first | net | what it is |
//! |---|---|---|---|
//! | `pair0` | without cards, 10.0.0.1 | 10.0.0.0/24 | the stack's end of its own wire |
//! | `nic0` | with cards, 10.0.1.1 | 10.0.1.0/24 | a card |
//! | `nic1` | with cards, no address | 10.0.1.0/24 | the card at the other end of that wire |
//! | `pair1` | without cards | 10.0.0.0/24 | the other host's: 10.0.0.2, which has no stack |
//!
//! # What a program may do
//!
//! The interpreter keeps the rules that the kernel has for its callers. One LWP at a time attaches or detaches an end of a wire. A
//! socket is closed only when no thread receives from it. An LWP with a reference to an interface, an address or a route does not
//! wait for others to release theirs. An operation that its LWP must not perform does nothing. So every failure is a
//! fault of the stack, or of the interpreter.
//!
//! # What is checked
//!
//! - At each operation: the objects that the LWP holds are alive, and unchanged.
//! - At each frame to the other host: it is well formed ([`wellformed`](super::net::wellformed)).
//! - At the end: every packet has one end, the counters of the protocols add up ([`stats`]), and everything is freed.
//! - As in every run: contracts, data races, references, leaks, deadlocks.

use crate::config::Config;
use crate::history::Bug;
use crate::kern::lwp::Arg;
use crate::kernel::Kernel;
use crate::net::{self, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::frames::Host;
use crate::scenario::ops::runner::LWP_NAMES;
use crate::scenario::ops::{MAX_LWPS, Program, old};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, Variant, actor, share};

mod address;
mod far_end;
mod form;
mod frame;
mod interface;
mod interpreter;
mod neighbour;
mod queue;
mod route;
mod socket;
mod tap;
mod world;

pub(crate) use form::FORMS;
pub(crate) use interpreter::Actor;
use world::World;

/// This host, as others see it at its first card at the beginning.
pub const HOST: Host = world::own(world::FIRST_CARD);

/// Gives a kernel that was booted with [`SCENARIO`] its program. Context: the host, before the LWPs run.
pub(crate) fn load(kernel: &'static Kernel, program: &Program) {
    shared::<World>(kernel.data()).scripts.load(program);
}

/// The interpreter of a program over the stack; without one everything is built and taken down.
pub static SCENARIO: Scenario = Scenario {
    name: "softnet",
    summary: "a program of operations over the network stack, as a fuzzer or a replay file gives it",
    about: "Up to six LWPs send and receive, attach and detach interfaces, add and remove addresses, routes and neighbours, \
            listen on taps, flush queues, while frames of other hosts come in over a wire inside of the kernel and over \
            network cards. Every program is within the contracts; what breaks is the stack. Every packet has one end, \
            which is counted, and all is given back. The same without NET_MPSAFE.",
    variants: VARIANTS,
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config: &mut Config| {
        config.nics = 2;
        // One for each interface, one for each protocol, and one for each LWP.
        config.softint_handlers = 16 + MAX_LWPS;
    },
    setup: |kernel| {
        let world = share("world", World::new(net::init(kernel)));
        crate::machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        world.establish();
        for (index, name) in LWP_NAMES.into_iter().enumerate() {
            actor(kernel, name, index, interpreter::run, Arg(index));
        }
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

/// Today's code in both locking schemes, and the old code that a network stack can run into.
const VARIANTS: &[Variant] = &[
    FIXED,
    SOFTNET_LOCK,
    old(
        "callout-reset-leak",
        "what the scenario of that name calls historical",
        &[Bug::ArpSettimer],
    ),
    old(
        "callout-reset-leak-free",
        "what the scenario of that name calls historical-free",
        &[Bug::LlentryFree],
    ),
    old(
        "bind-vs-migration",
        "what the scenario of that name calls historical",
        &[Bug::SwitchIgnoresBound],
    ),
];
