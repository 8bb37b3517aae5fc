//! Bug a of the talk: pserialize_perform with a lock held that a callout takes.

use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp};
use crate::machine;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::inet::Inet;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, share};

const OLD_USE: History = History::NONE.with(Bug::PurgeHoldsSoftnetLock);

/// An interface gets an address and is destroyed, while packets and sockets use the stack.
pub static SCENARIO: Scenario = Scenario {
    name: "perform-vs-callout",
    summary: "addresses are purged while their timer fires: does pserialize_perform return?",
    about: "ifconfig gives an interface an address, which starts a timer, and then destroys the interface: the \
            address is unlinked, pserialize_perform waits for readers, and the address is freed. The timer's \
            handler takes softnet_lock; so does a thread that creates sockets. If the purge holds softnet_lock \
            across a pserialize_perform that sleeps a tick, the handler waits for the lock, the tick waits \
            behind the handler in the softclock of that CPU, and the lock waits for the tick.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "softnet_lock held, and perform sleeps a tick each round (pserialize 1.10)",
            history: OLD_USE.with(Bug::PserializeKpause),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "historical-1.13",
            summary: "softnet_lock held, and perform sleeps from the third round on (pserialize 1.11 to 1.13)",
            history: OLD_USE.with(Bug::PserializeLateKpause),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "fixed-use",
            summary: "the old pserialize, but softnet_lock is released around the purge (2016-11-18)",
            history: History::NONE.with(Bug::PserializeKpause),
            xcall: None,
            net_mpsafe: None,
            fails: false,
            ..FIXED
        },
        Variant {
            name: "fixed-perform",
            summary: "softnet_lock held, and the current pserialize, which does not sleep a tick (2019-12)",
            history: OLD_USE,
            xcall: None,
            net_mpsafe: None,
            fails: false,
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let inet = share("inet", Inet::new());
        machine::label(inet, format_args!("inet"));
        inet.init(kernel);
        kernel.set_data(Arg::of(inet));
        actor(kernel, "ifconfig", 0, ifconfig, Arg::of(inet));
        actor(kernel, "socket", 1, socket, Arg::of(inet));
    },
    verify: |kernel| shared::<Inet>(kernel.data()).verify(),
    teardown: free_data::<Inet>,
};

fn ifconfig(inet: Arg) {
    let inet: &'static Inet = shared(inet);
    for _ in 0..curlwp().kernel().config().repeat {
        inet.add_address();
        inet.detach();
    }
    inet.stop_timer();
}

fn socket(inet: Arg) {
    let inet: &'static Inet = shared(inet);
    for _ in 0..curlwp().kernel().config().repeat {
        inet.create_socket();
        inet.lookup();
    }
}
