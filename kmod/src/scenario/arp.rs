//! Tests of ARP entries: what is held, requested, sent and dropped, and that they expire.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::synch::kpause;
use crate::kernel::Kernel;
use crate::net::arp::{ARP_MAXTRIES, Unresolved};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::neighbour::{Link, Stack, share_stack};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise};

/// More ticks than any run lasts.
const NEVER: u32 = 1_000_000;

/// An entry goes through its states, without expiring.
pub static STATES: Scenario = Scenario {
    name: "arp-states",
    summary: "an ARP entry is incomplete, valid, static, deleted: are packets held, sent and dropped correctly?",
    about: "One thread sends packets to a neighbour that has not answered, receives its reply, sends again, \
            makes the entry static and deletes it. No timer expires meanwhile, so at each step it is known which \
            packets were held, sent and dropped, and which requests were sent. Another thread does the same with \
            another neighbour of the same table.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.arpt_keep_ticks = NEVER;
        config.arpt_down_ticks = NEVER;
    },
    setup: |kernel| {
        let stack = share_stack(kernel);
        start(kernel, "states", 0, |stack| each_time(stack, states), stack);
        start(kernel, "other", 1, |stack| each_time(stack, other), stack);
    },
    verify: |kernel| shared::<Stack>(kernel.data()).link.fini(kernel),
    teardown: free_data::<Stack>,
};

/// Entries expire.
pub static EXPIRY: Scenario = Scenario {
    name: "arp-expiry",
    summary: "ARP entries expire: is each removed, in either state, with the packets that it holds?",
    about: "One neighbour replies once and then is silent; another is sent a packet and never answers. Both \
            entries must be removed by their timers, and the packet with the second.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.arpt_keep_ticks = 3;
        config.arpt_down_ticks = 2;
    },
    setup: |kernel| {
        let stack = share_stack(kernel);
        start(kernel, "silent", 0, |stack| each_time(stack, silent), stack);
        start(kernel, "never", 1, |stack| each_time(stack, never), stack);
    },
    verify: |kernel| shared::<Stack>(kernel.data()).link.fini(kernel),
    teardown: free_data::<Stack>,
};

fn start(kernel: &'static Kernel, name: &str, cpu: usize, func: fn(Arg), stack: &'static Stack) {
    stack.link.join();
    actor(kernel, name, cpu, func, Arg::of(stack));
}

fn each_time(stack: Arg, part: fn(&'static Link)) {
    let link = &shared::<Stack>(stack).link;
    for _ in 0..curlwp().kernel().config().repeat {
        part(link);
    }
    link.leave();
}

/// Fails the assertion unless it `holds`.
#[track_caller]
fn promise(what: &str, holds: bool) {
    if !holds {
        broken_promise(
            "arp-state",
            format_args!("{} finds that it is not so: {what}", curlwp().name()),
        );
    }
}

/// The only actor that sends packets and causes requests.
fn states(link: &'static Link) {
    let before = link.counts();
    let since = || {
        let now = link.counts();
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    };
    promise("no answer makes an entry", !link.hear(0, false));
    for packet in 1..=ARP_MAXTRIES + 1 {
        let asked = since().1;
        let outcome = if asked < ARP_MAXTRIES {
            Unresolved::Held
        } else {
            Unresolved::HostDown
        };
        promise(
            "a packet is held, and its sender told when the neighbour seems to be down",
            link.send(0) == Some(outcome),
        );
        promise(
            "a neighbour is asked at once, and once a packet at most",
            (1..=packet).contains(&since().1),
        );
    }
    let (sent, _, dropped) = since();
    promise(
        "one packet is held, and each further one takes its place",
        (sent, dropped) == (0, u64::from(ARP_MAXTRIES)),
    );
    promise("an answer finds the entry", link.hear(0, false));
    promise("it sends what was held", since().0 == 1);
    promise(
        "a packet is sent at once",
        link.send(0).is_none() && since().0 == 2,
    );
    link.set(0);
    promise("an answer leaves what was set by hand", link.hear(0, false));
    promise(
        "a packet is sent there",
        link.send(0).is_none() && since().0 == 3,
    );
    promise("an entry can be deleted", link.delete(0));
    promise("an entry can be deleted once", !link.delete(0));
    promise("nothing else was dropped", since().2 == dropped);
}

/// Neither sends packets nor causes requests.
fn other(link: &'static Link) {
    promise("who asks has an entry", link.hear(1, true));
    promise("it stays until it is deleted", link.hear(1, false));
    promise("an entry can be deleted", link.delete(1));
}

fn silent(link: &'static Link) {
    promise("who asks has an entry", link.hear(0, true));
    while let Some(lle) = link.keep(0, "silent") {
        lle.unref("silent");
        kpause("silent", 1, None);
    }
}

fn never(link: &'static Link) {
    let outcome = link.send(1);
    promise("a packet is held", outcome == Some(Unresolved::Held));
    while let Some(lle) = link.keep(1, "never") {
        lle.unref("never");
        kpause("never", 1, None);
    }
    promise("it goes with its entry", link.counts().2 > 0);
}
