//! Echo requests, one after another: once there are enough buffers, nothing is allocated.
//!
//! The cost kernel counts the instructions of the same echoes, so the parts of the scenario can be called one by one.

use smoltcp::wire::Ipv4Address;

use crate::config::Memory;
use crate::kern::condvar::Kcondvar;
use crate::kern::kmem;
use crate::kern::kthread::Options;
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Local, Plain};
use crate::net::ifnet::{Ifnet, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::stages::{self, Stage};
use crate::net::{self, Net, inet, pair, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::echo::{interface, no_memory};
use crate::scenario::net::frames::{self, Host, Seen};
use crate::scenario::{
    FIXED, Kind, SOFTNET_LOCK, Scenario, actor_options, actor_with, broken_promise, share,
};

/// The host that has the stack.
const STACK: Host = Host {
    ether: pair::lladdr(0),
    ip: Ipv4Address::new(10, 0, 0, 1),
};
/// The host at the other end of the wire.
const REMOTE: Host = Host {
    ether: pair::lladdr(1),
    ip: Ipv4Address::new(10, 0, 0, 2),
};
const PREFIX: u8 = 24;

/// How many free buffers a CPU keeps.
const CACHE: usize = 2;
/// After so many echoes there are enough buffers: one packet is under way, and each CPU where it ends keeps some.
const FIRST: u16 = 2 * CACHE as u16 + 2;
/// How many echoes must then need no more.
const THEN: u16 = 6;

struct World {
    net: &'static Net,
    stack: Local<Option<&'static Ifnet>>,
    remote: Local<Option<&'static Ifnet>>,
    /// Protects what the other host has seen.
    lock: Kmutex,
    cv: Kcondvar,
    resolved: Plain<bool>,
    /// The number of the last reply, plus 1.
    replied: Plain<u32>,
}

crate::fields!(World {
    stack,
    remote,
    lock,
    resolved,
    replied
});

/// The receive path of an echo, which allocates nothing.
pub static STEADY: Scenario = Scenario {
    name: "net-steady",
    summary: "ICMP echoes one after another allocate nothing, once there are buffers",
    about: "A host at the other end of a wire inside of the kernel sends an echo request, waits for its reply, and sends the \
            next. CPUs keep a few free buffers. When there have been some echoes, the next ones allocate nothing from \
            kmem(9), on whichever CPU they end: the buffers come back through the depot.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.memory = Memory::Given("it waits for each reply, and counts what is allocated");
        config.mbuf_cache = CACHE;
        config.arpt_keep_ticks = 1_000_000;
    },
    setup: |kernel| {
        setup(kernel);
        // On one CPU, so that buffers take only one path.
        let options = Options {
            cpu: Some(0),
            ..actor_options()
        };
        actor_with(kernel, "remote", options, run, Arg::NONE);
    },
    verify,
    teardown,
};

/// Builds the stack and lays the wire.
pub fn setup(kernel: &'static Kernel) {
    let net = net::init(kernel);
    let world = World {
        net,
        stack: Local::new(None),
        remote: Local::new(None),
        lock: Kmutex::new("remote", Ipl::SoftNet),
        cv: Kcondvar::new("answers"),
        resolved: Plain::new(false),
        replied: Plain::new(0),
    };
    let world = share("world", world);
    machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    world.stack.set(pair::attach(net, 0));
    world.remote.set(pair::attach_with(net, 1, sink));
    for ifp in [world.stack.get(), world.remote.get()] {
        net::up(interface(ifp));
    }
}

/// Checks that every packet had an end. At rest.
pub fn verify(kernel: &'static Kernel) {
    let net = shared::<World>(kernel.data()).net;
    stats::accounting(net, net.kept());
}

/// Frees everything. When nothing runs.
pub fn teardown(kernel: &'static Kernel) {
    net::free(shared::<World>(kernel.data()).net);
    free_data::<World>(kernel);
}

fn world() -> &'static World {
    shared(curlwp().kernel().data())
}

fn run(_: Arg) {
    let kernel = curlwp().kernel();
    open();
    (0..FIRST).for_each(echo);
    let before = kmem::allocated(kernel);
    (FIRST..FIRST + THEN).for_each(echo);
    let allocated = kmem::allocated(kernel) - before;
    if allocated != 0 {
        broken_promise(
            "net-steady",
            format_args!(
                "{THEN} echoes allocated {allocated} objects, when there had been {FIRST}"
            ),
        );
    }
    close();
}

/// Gives the stack its address, and tells each host the other's Ethernet address. Context: thread.
pub fn open() {
    let world = world();
    if inet::in_control_add(interface(world.stack.get()), STACK.ip, PREFIX).is_err() {
        no_memory("an address");
    }
    send(world, frames::arp_request(REMOTE, STACK.ip));
    wait(world, || world.resolved.get());
}

/// Sends an echo request of 64 bytes and waits for its reply. Context: thread.
pub fn echo(number: u16) {
    let world = world();
    send(
        world,
        frames::echo_request_of(REMOTE, STACK, number, frames::ECHO_DATA.len()),
    );
    wait(world, || world.replied.get() == u32::from(number) + 1);
}

/// Takes the stack down. Context: thread.
pub fn close() {
    net::fini(world().net);
}

fn send(world: &World, frame: Option<Mbuf>) {
    let bound = curlwp_bind();
    match frame {
        Some(m) => if_transmit(interface(world.remote.get()), m),
        None => no_memory("a frame"),
    }
    curlwp_bindx(bound);
}

/// Waits until the other host has seen what it waits for.
fn wait(world: &World, seen: impl Fn() -> bool) {
    world.lock.enter();
    while !seen() {
        world.cv.wait(&world.lock);
    }
    world.lock.exit();
}

/// What the other host receives. In the softint of its end of the wire.
fn sink(_: &'static Ifnet, m: Mbuf) {
    stages::reached(Stage::Delivered);
    let world = world();
    let seen = frames::look(m.bytes());
    m.free(End::Delivered);
    world.lock.enter();
    match seen {
        Seen::ArpReply(_) => world.resolved.set(true),
        Seen::EchoReply(from, number) if from == STACK.ip => {
            world.replied.set(u32::from(number) + 1);
        }
        // The stack announces its address.
        Seen::ArpRequest(..) => {}
        odd => broken_promise(
            "net-answer",
            format_args!("the other host was sent what it did not ask for: {odd:?}"),
        ),
    }
    world.cv.broadcast();
    world.lock.exit();
}
