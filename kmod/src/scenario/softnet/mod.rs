//! Programs over the network stack: `ops`' language of operations with other topics and another world.
//!
//! # Overview
//!
//! A program ([`ops`](super::ops)) of several LWPs drives a whole stack: frames of other hosts come to it, interfaces are
//! attached and detached, brought up and taken down, addresses, routes and neighbours come and go, taps and sockets
//! are opened, used and closed, queues are flushed and changed. It has two network cards on the machine's wire, which
//! loses, doubles and delays frames, and on which frames come from outside; and a wire of its own
//! ([`pair`](crate::net::pair)) with another host at its end, which answers ARP. What is there at first depends on the
//! machine (`nics`); the wire inside of the kernel comes with `if_attach`, too.
//!
//! | interface | at first | net | what it is |
//! |---|---|---|---|
//! | `pair0` | without cards, 10.0.0.1 | 10.0.0.0/24 | the stack's end of its own wire |
//! | `nic0` | with cards, 10.0.1.1 | 10.0.1.0/24 | a card |
//! | `nic1` | with cards, no address | 10.0.1.0/24 | the card at the other end of that wire |
//! | `pair1` | without cards | 10.0.0.0/24 | the other host's: 10.0.0.2, which has no stack |
//!
//! # Who may do what
//!
//! What the kernel asks of a caller is kept by this world: an end of a wire is attached and detached by one LWP at a time, a
//! socket is closed when nobody receives from it, and who holds a reference to an interface, an address or a route does
//! not wait for others to give theirs back. An operation that its LWP must not make does nothing. So whatever breaks
//! is the stack, or this interpreter.
//!
//! # What is checked
//!
//! At each operation: that what is held is alive and is what it was. Of each frame that comes to the other host: that it is
//! well formed. At the end: that every packet has one end, that each count of the protocols adds up
//! ([`stats`]), and that all is given back. And what is checked of every run: contracts, data races, references, leaks,
//! deadlocks.

use crate::config::Config;
use crate::history::Bug;
use crate::kern::lwp::Arg;
use crate::kernel::Kernel;
use crate::net::{self, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::frames::Host;
use crate::scenario::ops::runner::LWP_NAMES;
use crate::scenario::ops::{Program, old};
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

/// This host as others see it that speak to its first card, at first.
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
        // One for each interface, and for each protocol.
        config.softint_handlers = 16;
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

/// Today's code in both schemes of locking, and the old code that a stack meets.
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
