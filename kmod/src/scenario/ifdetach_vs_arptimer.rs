//! Bug a of the talk where it was first seen: an interface is destroyed while the timer of one of its ARP entries
//! expires.

use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp};
use crate::kernel::Kernel;
use crate::machine;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::inet::Inet;
use crate::scenario::neighbour::Link;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, share};

/// The neighbour that sends.
const NEIGHBOUR: u32 = 0;

const OLD_USE: History = History::NONE.with(Bug::PurgeHoldsSoftnetLock);
const OLD_PERFORM: History = History::NONE.with(Bug::PserializeKpause);

/// An interface with an address and a neighbour is destroyed.
pub static SCENARIO: Scenario = Scenario {
    name: "ifdetach-vs-arptimer",
    summary: "an interface is destroyed while one of its ARP entries expires: does pserialize_perform return?",
    about: "ifconfig gives an interface an address and destroys it again: the address is purged, and then the \
            ARP table. A neighbour sends messages and receives packets, so that there is an entry whose timer \
            expires. Without NET_MPSAFE the timer's handler enters softnet_lock. If the purge holds that lock \
            across a pserialize_perform that sleeps a tick, the handler waits for the lock in the softclock that \
            must end the sleep.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "softnet_lock held across the purge, and taken by arptimer; perform sleeps (pserialize 1.10)",
            history: OLD_USE.union(OLD_PERFORM),
            xcall: None,
            net_mpsafe: Some(false),
            fails: true,
            ..FIXED
        },
        Variant {
            name: "fixed-use",
            summary: "the old pserialize; arptimer takes softnet_lock, which the purge releases (2016-11-18)",
            history: OLD_PERFORM,
            xcall: None,
            net_mpsafe: Some(false),
            fails: false,
            ..FIXED
        },
        Variant {
            name: "net-mpsafe",
            summary: "the old purge and the old pserialize, but NET_MPSAFE: arptimer takes no softnet_lock",
            history: OLD_USE.union(OLD_PERFORM),
            xcall: None,
            net_mpsafe: Some(true),
            fails: false,
            ..FIXED
        },
        Variant {
            name: "fixed-perform",
            summary: "the old purge without NET_MPSAFE, and the current pserialize, which does not sleep (2019-12)",
            history: OLD_USE,
            xcall: None,
            net_mpsafe: Some(false),
            fails: false,
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.arpt_keep_ticks = 2;
        config.arpt_down_ticks = 1;
    },
    setup,
    verify: |kernel| {
        let interface: &Interface = shared(kernel.data());
        interface.inet.verify();
        interface.link.fini(kernel);
    },
    teardown: free_data::<Interface>,
};

/// An interface: its addresses, and its neighbours.
struct Interface {
    inet: Inet,
    link: Link,
}

crate::fields!(Interface { inet, link });

fn setup(kernel: &'static Kernel) {
    let interface = share(
        "interface",
        Interface {
            inet: Inet::new(),
            link: Link::new(),
        },
    );
    machine::label(interface, format_args!("interface"));
    interface.inet.init(kernel);
    interface.link.init(kernel, interface.inet.softnet_lock());
    kernel.set_data(Arg::of(interface));
    actor(kernel, "ifconfig", 0, ifconfig, Arg::of(interface));
    actor(kernel, "input", 1, input, Arg::of(interface));
    (0..2).for_each(|_| interface.link.join());
}

fn ifconfig(interface: Arg) {
    let interface: &'static Interface = shared(interface);
    for _ in 0..curlwp().kernel().config().repeat {
        interface.inet.insert_address();
        let _held = interface.link.send(NEIGHBOUR);
        // `if_detach`: the addresses of each protocol, then its tables.
        interface.inet.detach();
        interface.link.purge();
    }
    interface.link.leave();
}

/// The part of the protocol's input: handles received messages, and packets for the address.
fn input(interface: Arg) {
    let interface: &'static Interface = shared(interface);
    for _ in 0..curlwp().kernel().config().repeat {
        interface.link.hear(NEIGHBOUR, true);
        interface.inet.lookup();
    }
    interface.link.leave();
}
