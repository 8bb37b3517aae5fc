//! Two whole kernels on one wire: one asks, the other answers.

use smoltcp::wire::Ipv4Address;

use crate::config::{Config, Memory};
use crate::kern::lwp::{Arg, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::psref::Psref;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::Plain;
use crate::net::bpf::{BpfD, bpf_close, bpf_open};
use crate::net::ifnet::{if_get, if_put};
use crate::net::mbuf::{End, Mbuf};
use crate::net::udp::{self, Socket};
use crate::net::{self, Net, inet, nic, stats};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::memory::obtain;
use crate::scenario::net::frames::{self, Seen};
use crate::scenario::{FIXED, Kind, SOFTNET_LOCK, Scenario, actor, broken_promise, share};

/// Their addresses: of the kernel whose card comes first, and of the other.
const ADDRESSES: [Ipv4Address; 2] = [Ipv4Address::new(10, 0, 0, 1), Ipv4Address::new(10, 0, 0, 2)];
const PREFIX: u8 = 24;
/// The port of the kernel that asks, and of the one that answers.
pub const PORTS: [u16; 2] = [1_000, 7];
/// Echo requests, and datagrams, in a repetition.
pub const ASKED: u32 = 2;
/// The most of each over all repetitions, by number.
const NUMBERS: usize = 64;
/// How many ticks the asker waits for an answer, and the answerer for a question, before it gives up.
const ASK_TICKS: u32 = 3;
const ANSWER_TICKS: u32 = 16;

/// Echo requests or datagrams by number: how many arrived, and how many were sent.
struct Counts {
    came: [Plain<u32>; NUMBERS],
    went: [Plain<u32>; NUMBERS],
}

crate::fields!(Counts { came, went });

impl Counts {
    const fn new() -> Self {
        Counts {
            came: [const { Plain::new(0) }; NUMBERS],
            went: [const { Plain::new(0) }; NUMBERS],
        }
    }

    fn count(of: &[Plain<u32>; NUMBERS], number: u16) -> u32 {
        let Some(count) = of.get(usize::from(number)) else {
            broken_promise("net-asked", format_args!("nobody has sent number {number}"))
        };
        count.set(count.get() + 1);
        count.get()
    }
}

struct World {
    net: &'static Net,
    /// 0 asks, 1 answers.
    role: usize,
    echoes: Counts,
    datagrams: Counts,
}

crate::fields!(World { echoes, datagrams });

/// A kernel pings the other, and sends to its echo server.
pub static TWO_KERNELS: Scenario = Scenario {
    name: "net-two-kernels",
    summary: "a kernel pings another, over a wire that loses, doubles, delays and reorders",
    about: "Two kernels have a card each on one wire. The one sends echo requests and datagrams to the other's address, and \
            listens; the other answers, by its softints and by a server in a thread, until it hears nothing for a while. \
            What is answered was asked; each request and each datagram that arrives is answered once at most; every packet \
            of both kernels has one end, which is counted, and all is given back.",
    variants: &[FIXED, SOFTNET_LOCK],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config: &mut Config| {
        config.memory = Memory::Given(
            "it counts frames at a tap, which loses those for which there is no memory",
        );
        config.kernels = 2;
        config.nics = 1;
    },
    setup: |kernel| {
        let world = World {
            net: net::init(kernel),
            role: usize::from(machine::nic(0).address[5] & 1),
            echoes: Counts::new(),
            datagrams: Counts::new(),
        };
        let world = share("world", world);
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        match world.role {
            0 => actor(kernel, "asker", 0, |_| run(ask), Arg::NONE),
            _ => actor(kernel, "answerer", 0, |_| run(answer), Arg::NONE),
        }
    },
    verify: |kernel: &'static Kernel| {
        let world: &World = shared(kernel.data());
        stats::accounting(world.net, world.net.kept());
    },
    teardown: |kernel| {
        net::free(shared::<World>(kernel.data()).net);
        free_data::<World>(kernel);
    },
};

/// Configures the card, does `part` with a socket and a tap, and takes everything down.
fn run(part: fn(&'static World, &'static Socket, &'static BpfD)) {
    let world: &'static World = shared(curlwp().kernel().data());
    let net = world.net;
    // Bound for the whole time, because it holds a reference to the interface.
    let bound = curlwp_bind();
    let psref = Psref::new();
    let Some(ifp) = if_get(net, "nic0", &psref) else {
        broken_promise(
            "net-cards",
            format_args!("there is no nic0: this scenario needs a card on a wire"),
        )
    };
    let tap = obtain("a tap", || bpf_open(ifp));
    let socket = obtain("a socket", || udp::bind(net, PORTS[world.role]));
    net::up(ifp);
    obtain("an address", || {
        inet::in_control_add(ifp, ADDRESSES[world.role], PREFIX).ok()
    });
    // Interrupts of frames that arrived before the card had an interface had no effect.
    nic::kick();
    part(world, socket, tap);
    udp::close(net, socket);
    bpf_close(net, tap);
    if_put(ifp, &psref);
    curlwp_bindx(bound);
    net::fini(net);
}

/// Asks, and checks the answers.
fn ask(world: &'static World, socket: &'static Socket, tap: &'static BpfD) {
    let net = world.net;
    for number in 0..ASKED * curlwp().kernel().config().repeat {
        let number = number as u16;
        Counts::count(&world.datagrams.went, number);
        if let Some(m) = Mbuf::with(&number.to_be_bytes()) {
            udp::sendto(net, m, (None, PORTS[0]), (ADDRESSES[1], PORTS[1]));
        }
        while let Some(datagram) = udp::recvfrom(net, socket, ASK_TICKS) {
            let bytes = datagram.m.bytes().first_chunk().copied();
            datagram.m.free(End::Delivered);
            let number = bytes.map_or(u16::MAX, u16::from_be_bytes);
            answered(&world.datagrams, "datagram", number);
        }
        Counts::count(&world.echoes.went, number);
        frames::ping(net, ADDRESSES[1], number);
        while let Some(m) = tap.read(ASK_TICKS) {
            let seen = frames::look(m.bytes());
            m.free(End::Delivered);
            if let Seen::EchoReply(from, number) = seen
                && from == ADDRESSES[1]
            {
                answered(&world.echoes, "echo request", number);
            }
        }
    }
}

/// An answer has come: its question must have been asked.
fn answered(counts: &Counts, what: &str, number: u16) {
    Counts::count(&counts.came, number);
    if counts.went[usize::from(number)].get() == 0 {
        broken_promise(
            "net-asked",
            format_args!("{what} {number} is answered, and nobody has sent it"),
        );
    }
}

/// Answers datagrams until none has come for a while, and checks what has come and gone.
fn answer(world: &'static World, socket: &'static Socket, tap: &'static BpfD) {
    let net = world.net;
    while let Some(datagram) = udp::recvfrom(net, socket, ANSWER_TICKS) {
        let from = (Some(datagram.dst), PORTS[1]);
        udp::sendto(net, datagram.m, from, datagram.src);
    }
    while let Some(m) = tap.read(0) {
        let seen = frames::look(m.bytes());
        m.free(End::Delivered);
        match seen {
            Seen::EchoRequest(_, number) => {
                Counts::count(&world.echoes.came, number);
            }
            Seen::EchoReply(_, number) => goes(&world.echoes, "echo request", number),
            Seen::Datagram(_, port, number) if port == PORTS[0] => {
                Counts::count(&world.datagrams.came, number);
            }
            Seen::Datagram(_, _, number) => goes(&world.datagrams, "datagram", number),
            _ => {}
        }
    }
}

/// An answer is sent: not more often than its question has come. A tap sees both in their order.
fn goes(counts: &Counts, what: &str, number: u16) {
    let went = Counts::count(&counts.went, number);
    let came = counts.came[usize::from(number)].get();
    if went > came {
        broken_promise(
            "net-once",
            format_args!("{what} {number} has come {came} times, and is answered {went} times"),
        );
    }
}
