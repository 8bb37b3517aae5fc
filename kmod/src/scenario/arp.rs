//! Tests of ARP entries: what is held, requested, sent and dropped, and that they expire.

use crate::config::Memory;
use crate::kern::clock::getticks;
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
        config.memory = MEMORY;
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
            entries must be removed by their timers, and the packet with the second. A third thread holds the entries across \
            ticks, so that the last reference may go while the timer's handler is about to return.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.memory = MEMORY;
        config.arpt_keep_ticks = 3;
        config.arpt_down_ticks = 2;
    },
    setup: |kernel| {
        let stack = share_stack(kernel);
        start(kernel, "silent", 0, |stack| each_time(stack, silent), stack);
        start(kernel, "never", 1, |stack| each_time(stack, never), stack);
        start(kernel, "holder", 0, |stack| each_time(stack, holder), stack);
    },
    verify: |kernel| shared::<Stack>(kernel.data()).link.fini(kernel),
    teardown: free_data::<Stack>,
};

/// An entry that is used is renewed before it expires, each time.
pub static RENEWED: Scenario = Scenario {
    name: "arp-renewed",
    summary: "a neighbour answers each request: is its address requested again each time, before it expires?",
    about: "A thread sends packets to a neighbour that answers, tick after tick. Shortly before the link address expires, a packet must cause a \
            request, and the answer gives the address its full time again. So it goes on, more often than requests are made for a neighbour \
            that is silent.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        config.memory = MEMORY;
        config.arpt_keep_ticks = KEEP_TICKS;
        config.arpt_down_ticks = NEVER;
    },
    setup: |kernel| {
        let stack = share_stack(kernel);
        start(kernel, "renews", 0, |stack| each_time(stack, renews), stack);
    },
    verify: |kernel| shared::<Stack>(kernel.data()).link.fini(kernel),
    teardown: free_data::<Stack>,
};

/// So long is the address of [`RENEWED`] good: it is requested again when fewer than [`ARP_MAXTRIES`] ticks are left.
const KEEP_TICKS: u32 = ARP_MAXTRIES + 2;

/// What each call does is checked, and a call that has no memory does nothing.
const MEMORY: Memory =
    Memory::Given("it checks what each call does with an entry, which takes memory");

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
            format_args!("{} found that this does not hold: {what}", curlwp().name()),
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
    promise(
        "a reply that was not requested creates no entry",
        !link.hear(0, false),
    );
    for packet in 1..=ARP_MAXTRIES + 1 {
        let asked = since().1;
        let outcome = if asked < ARP_MAXTRIES {
            Unresolved::Held
        } else {
            Unresolved::HostDown
        };
        promise(
            "a packet is held, and its sender learns when the neighbour seems to be down",
            link.send(0) == Some(outcome),
        );
        promise(
            "a request is sent at once, and at most one per packet",
            (1..=packet).contains(&since().1),
        );
    }
    let (sent, _, dropped) = since();
    promise(
        "one packet is held, and each further one replaces it",
        (sent, dropped) == (0, u64::from(ARP_MAXTRIES)),
    );
    promise("a reply finds the entry", link.hear(0, false));
    promise("the reply sends the held packet", since().0 == 1);
    promise(
        "a packet is sent at once",
        link.send(0).is_none() && since().0 == 2,
    );
    link.set(0);
    promise(
        "a reply does not change a static entry",
        link.hear(0, false),
    );
    promise(
        "a packet is sent to the static address",
        link.send(0).is_none() && since().0 == 3,
    );
    promise("an entry can be deleted", link.delete(0));
    promise("an entry can be deleted only once", !link.delete(0));
    promise("nothing else was dropped", since().2 == dropped);
}

/// Neither sends packets nor causes requests.
fn other(link: &'static Link) {
    promise(
        "a request creates an entry for its sender",
        link.hear(1, true),
    );
    promise("the entry stays until it is deleted", link.hear(1, false));
    promise("an entry can be deleted", link.delete(1));
}

fn silent(link: &'static Link) {
    promise(
        "a request creates an entry for its sender",
        link.hear(0, true),
    );
    while let Some(lle) = link.keep(0, "silent") {
        lle.unref("silent");
        kpause("silent", 1, None);
    }
}

fn renews(link: &'static Link) {
    let kernel = curlwp().kernel();
    for _ in 0..=ARP_MAXTRIES {
        let requests = link.counts().1;
        promise(
            "a request creates an entry for its sender, and an answer finds it",
            link.hear(0, true),
        );
        let answered = getticks(kernel);
        // The timer counts the ticks of another clock: it may have removed the entry, which is then requested at once.
        while link.counts().1 == requests {
            let since = getticks(kernel).wrapping_sub(answered);
            link.send(0);
            promise(
                "an address that expires soon is requested again when it is used",
                since <= KEEP_TICKS - ARP_MAXTRIES || link.counts().1 > requests,
            );
            kpause("renews", 1, None);
        }
    }
}

/// Holds what entries there are from one tick to the next.
fn holder(link: &'static Link) {
    for _ in 0..4 {
        let held = [0, 1].map(|neighbour| link.keep(neighbour, "holder"));
        kpause("holder", 1, None);
        for lle in held.into_iter().flatten() {
            lle.unref("holder");
        }
    }
}

fn never(link: &'static Link) {
    let outcome = link.send(1);
    promise("a packet is held", outcome == Some(Unresolved::Held));
    while let Some(lle) = link.keep(1, "never") {
        lle.unref("never");
        kpause("never", 1, None);
    }
    promise(
        "the held packet is dropped with its entry",
        link.counts().2 > 0,
    );
}
