//! Echo requests are answered while addresses come and go.

use smoltcp::wire::Ipv4Address;

use crate::config::{Config, Memory};
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine::{self, Stop};
use crate::mem::{AcqRel, AtomicU32, Local, Plain};
use crate::net::ifnet::{Ifnet, if_transmit};
use crate::net::mbuf::{End, Mbuf};
use crate::net::udp::{self, Socket};
use crate::net::{self, Net, inet, pair, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::net::frames::{self, Host, Seen};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

/// The address that the host always has.
const STAYS: Host = Host {
    ether: pair::lladdr(0),
    ip: Ipv4Address::new(10, 0, 0, 1),
};
/// The address that comes and goes.
const GOES: Host = Host {
    ether: pair::lladdr(0),
    ip: Ipv4Address::new(10, 0, 0, 3),
};
/// The host at the other end of the wire.
const REMOTE: Host = Host {
    ether: pair::lladdr(1),
    ip: Ipv4Address::new(10, 0, 0, 2),
};
const PREFIX: u8 = 24;
/// The UDP port of the echo server.
const ECHO_PORT: u16 = 7;
/// A port without a socket.
const CLOSED_PORT: u16 = 99;
/// Ports of the other host, each of which makes another flow.
const REMOTE_PORT: u16 = 1000;

/// How many echo requests, and how many datagrams, are sent to each address in a repetition.
const ECHOES: u32 = 1;
/// The most of each over all repetitions.
const NUMBERS: usize = 64;

/// The answers to what was sent to the address that stays.
struct Answers {
    /// How often each number was answered.
    echoes: [Plain<u8>; NUMBERS],
    datagrams: [Plain<u8>; NUMBERS],
    /// All answers, and errors.
    count: Plain<u32>,
}

crate::fields!(Answers {
    echoes,
    datagrams,
    count
});

struct World {
    net: &'static Net,
    stack: Local<Option<&'static Ifnet>>,
    remote: Local<Option<&'static Ifnet>>,
    socket: Plain<Option<&'static Socket>>,
    /// Protects what the other host has seen.
    lock: Kmutex,
    cv: Kcondvar,
    resolved: Plain<bool>,
    answers: Answers,
    /// Echo requests and datagrams that were sent to the address that goes, and answers of it.
    goes_sent: Plain<u32>,
    goes_answers: Plain<u32>,
    /// Actors that have not finished.
    actors: AtomicU32,
}

crate::fields!(World {
    stack,
    remote,
    socket,
    lock,
    resolved,
    answers,
    goes_sent,
    goes_answers,
    actors
});

/// All protocols at once on all CPUs.
pub static ECHO: Scenario = Scenario {
    name: "net-echo",
    summary: "ICMP and UDP echo over a wire inside of the kernel, while addresses come and go",
    about: "A host at the other end of a wire asks for an Ethernet address, and then sends echo requests, datagrams to \
            a server in a thread, a fragment and a datagram to a closed port, to an address that stays and to one that \
            comes and goes meanwhile. What was sent to the first is answered exactly once, what was sent to the \
            second at most once; every packet has one end, which is counted, and all is given back. The same without \
            NET_MPSAFE: the softints of IP and ARP, and who sends from a socket, take softnet_lock around all they do.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure,
    setup: |kernel| {
        let net = net::init(kernel);
        let world = share("world", World::new(net));
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        world.stack.set(pair::attach(net, 0));
        world.remote.set(pair::attach_with(net, 1, sink));
        for ifp in [world.stack(), world.remote()] {
            net::up(ifp);
        }
        actor(kernel, "remote", 0, |_| each_time(send_all), Arg::NONE);
        actor(
            kernel,
            "addresses",
            1,
            |_| each_time(come_and_go),
            Arg::NONE,
        );
        actor(kernel, "server", 1, serve, Arg::NONE);
    },
    verify,
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

/// The queues are long enough for everything that is sent, and the entry of the other host does not expire. So no packet is dropped
/// for these two reasons.
fn configure(config: &mut Config) {
    config.memory =
        Memory::Given("it waits for the answer to each request, and what answers takes memory");
    config.pcq_slots = 64;
    config.arpt_keep_ticks = 1_000_000;
}

impl World {
    const fn new(net: &'static Net) -> Self {
        World {
            net,
            stack: Local::new(None),
            remote: Local::new(None),
            socket: Plain::new(None),
            lock: Kmutex::new("remote", Ipl::SoftNet),
            cv: Kcondvar::new("answers"),
            resolved: Plain::new(false),
            answers: Answers {
                echoes: [const { Plain::new(0) }; NUMBERS],
                datagrams: [const { Plain::new(0) }; NUMBERS],
                count: Plain::new(0),
            },
            goes_sent: Plain::new(0),
            goes_answers: Plain::new(0),
            actors: AtomicU32::new(2),
        }
    }

    fn stack(&self) -> &'static Ifnet {
        interface(self.stack.get())
    }

    fn remote(&self) -> &'static Ifnet {
        interface(self.remote.get())
    }

    /// Sends a frame from the other host.
    fn send(&self, frame: Option<Mbuf>) {
        let bound = curlwp_bind();
        match frame {
            Some(m) => if_transmit(self.remote(), m),
            None => no_memory("a frame"),
        }
        curlwp_bindx(bound);
    }

    /// Waits until the other host has seen what the caller waits for.
    fn wait(&self, seen: impl Fn() -> bool) {
        self.lock.enter();
        while !seen() {
            self.cv.wait(&self.lock);
        }
        self.lock.exit();
    }
}

/// An interface that `setup` made.
pub(in crate::scenario) fn interface(ifp: Option<&'static Ifnet>) -> &'static Ifnet {
    match ifp {
        Some(ifp) => ifp,
        None => no_memory("an interface"),
    }
}

/// Panics: contract `scenario-memory`.
pub(in crate::scenario) fn no_memory(what: &str) -> ! {
    machine::stop(
        Stop::Contract("scenario-memory"),
        format_args!("no memory for {what}"),
    )
}

fn world() -> &'static World {
    shared(curlwp().kernel().data())
}

/// Does `part` as often as the configuration says. The last actor to finish lets the server end.
fn each_time(part: fn(&'static World, u32)) {
    let world = world();
    for time in 0..curlwp().kernel().config().repeat {
        part(world, time);
    }
    if world.actors.fetch_sub(1, AcqRel) == 1 {
        // The server closes the socket after it has answered the datagrams in it.
        world.wait(|| world.socket.get().is_some());
        if let Some(socket) = world.socket.get() {
            udp::shutdown(world.net, socket);
        }
    }
}

/// The other host sends everything to both addresses, and waits for the answers that must come.
fn send_all(world: &'static World, time: u32) {
    if time == 0 {
        // Wait for the server and the address before sending, so that nothing is lost.
        world.wait(|| world.socket.get().is_some());
        world.send(frames::arp_request(REMOTE, STAYS.ip));
        world.wait(|| world.resolved.get());
    }
    let first = time * ECHOES;
    for number in first..first + ECHOES {
        let number = number as u16;
        let port = REMOTE_PORT + number;
        for to in [STAYS, GOES] {
            world.send(frames::echo_request(REMOTE, to, number));
            world.send(frames::datagram((REMOTE, port), (to, ECHO_PORT), number));
        }
        world.lock.enter();
        world.goes_sent.set(world.goes_sent.get() + 2);
        world.lock.exit();
    }
    world.send(frames::fragment(REMOTE, STAYS, time.is_multiple_of(2)));
    world.send(frames::datagram(
        (REMOTE, REMOTE_PORT),
        (STAYS, CLOSED_PORT),
        0,
    ));
    let answers = (time + 1) * (2 * ECHOES + 1);
    world.wait(|| world.answers.count.get() == answers);
}

/// An address comes and goes.
fn come_and_go(world: &'static World, _: u32) {
    if inet::in_control_add(world.stack(), GOES.ip, PREFIX).is_err() {
        no_memory("an address");
    }
    if !inet::in_control_remove(world.stack(), GOES.ip) {
        broken_promise(
            "in-control",
            format_args!("{} was added and is not there", GOES.ip),
        );
    }
}

/// The echo server. When its socket is shut down, it takes everything down.
fn serve(_: Arg) {
    let world = world();
    let net = world.net;
    if inet::in_control_add(world.stack(), STAYS.ip, PREFIX).is_err() {
        no_memory("an address");
    }
    let Some(socket) = udp::bind(net, ECHO_PORT) else {
        no_memory("a socket")
    };
    world.lock.enter();
    world.socket.set(Some(socket));
    world.cv.broadcast();
    world.lock.exit();
    while let Some(datagram) = udp::recvfrom(net, socket, 0) {
        let from = (Some(datagram.dst), ECHO_PORT);
        udp::sendto(net, datagram.m, from, datagram.src);
    }
    udp::close(net, socket);
    net::fini(net);
}

/// What the other host receives. In the softint of its end of the wire.
fn sink(_: &'static Ifnet, m: Mbuf) {
    let world = world();
    let seen = frames::look(m.bytes());
    m.free(End::Delivered);
    world.lock.enter();
    match seen {
        Seen::ArpReply(_) => world.resolved.set(true),
        Seen::EchoReply(from, number) if from == STAYS.ip => {
            answer(&world.answers, &world.answers.echoes, number);
        }
        Seen::Datagram(from, ECHO_PORT, number) if from == STAYS.ip => {
            answer(&world.answers, &world.answers.datagrams, number);
        }
        Seen::PortUnreachable(from) if from == STAYS.ip => {
            world.answers.count.set(world.answers.count.get() + 1);
        }
        Seen::EchoReply(from, _) | Seen::Datagram(from, ECHO_PORT, _) if from == GOES.ip => {
            world.goes_answers.set(world.goes_answers.get() + 1);
        }
        Seen::ArpRequest(..) | Seen::Other => {}
        odd => broken_promise(
            "net-answer",
            format_args!("the other host was sent what it did not ask for: {odd:?}"),
        ),
    }
    world.cv.broadcast();
    world.lock.exit();
}

/// An answer has come.
fn answer(answers: &Answers, numbers: &[Plain<u8>; NUMBERS], number: u16) {
    let count = &numbers[usize::from(number) % NUMBERS];
    count.set(count.get() + 1);
    if count.get() != 1 {
        broken_promise(
            "net-once",
            format_args!("number {number} was answered {} times", count.get()),
        );
    }
    answers.count.set(answers.count.get() + 1);
}

fn verify(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    stats::accounting(world.net, world.net.kept());
    let (sent, answers) = (world.goes_sent.peek(), world.goes_answers.peek());
    if answers > sent {
        broken_promise(
            "net-once",
            format_args!("{sent} were sent to an address that goes, and {answers} came back"),
        );
    }
    let fragments = crate::net::of(kernel).mbufs.ended(End::Fragment);
    let repeat = u64::from(kernel.config().repeat);
    if !fragments.is_multiple_of(repeat) || fragments == 0 {
        broken_promise(
            "net-fragments",
            format_args!("{fragments} fragments were dropped, and {repeat} are sent in a round"),
        );
    }
}
