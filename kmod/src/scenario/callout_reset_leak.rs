//! Bug e of the talk: a timer that is armed again has two references, and releases only one.

use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::synch::kpause;
use crate::kernel::Kernel;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::neighbour::{Link, Stack, check, share_stack};
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor};

/// The neighbour in this scenario.
const NEIGHBOUR: u32 = 0;

/// Packets are sent to a neighbour that keeps answering, until the link goes down.
pub static SCENARIO: Scenario = Scenario {
    name: "callout-reset-leak",
    summary: "an ARP entry's timer is armed again while it is pending or running: is every reference released?",
    about: "Packets to a neighbour create an entry of the ARP table, each message from the neighbour arms its \
            timer again, the timer expires, and arp -d deletes the entry while another thread keeps it. The \
            timer has a reference each time that it is scheduled, which its handler releases. But a run that \
            callout_reset replaces or callout_stop cancels never happens, and a handler that finds its timer \
            pending again is not the one that will run next. Whenever the lock of an entry is released, its \
            count must equal the references of the table, the timer and its holders.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "arp_settimer arms a pending timer and keeps both references (if_arp.c 1.255)",
            history: History::NONE.with(Bug::ArpSettimer),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "historical-inflight",
            summary: "arptimer finds its timer armed again, and returns without releasing its reference (if_arp.c 1.255)",
            history: History::NONE.with(Bug::ArptimerPending),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "historical-free",
            summary: "deleting an entry keeps the reference of its pending timer (if_llatbl.c 1.22)",
            history: History::NONE.with(Bug::LlentryFree),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "fixed-softnet",
            summary: "the current code without NET_MPSAFE: the handler enters softnet_lock",
            net_mpsafe: Some(false),
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |config| {
        // So that timers expire while the actors run, on the booted machine too.
        config.arpt_keep_ticks = 2;
        config.arpt_down_ticks = 1;
    },
    setup,
    verify: |kernel| shared::<Stack>(kernel.data()).link.fini(kernel),
    teardown: free_data::<Stack>,
};

fn setup(kernel: &'static Kernel) {
    let stack = share_stack(kernel);
    let parts: [(_, _, fn(Arg)); 3] = [
        ("output", 0, |stack| each_time(stack, output)),
        ("input", 1, |stack| each_time(stack, input)),
        ("arp", 1, |stack| each_time(stack, arp)),
    ];
    for (name, cpu, part) in parts {
        stack.link.join();
        actor(kernel, name, cpu, part, Arg::of(stack));
    }
}

/// Runs `part` as often as the configuration says, and leaves.
fn each_time(stack: Arg, part: fn(&'static Link)) {
    let link = &shared::<Stack>(stack).link;
    for _ in 0..curlwp().kernel().config().repeat {
        part(link);
    }
    link.leave();
}

/// Sends packets.
fn output(link: &'static Link) {
    for _ in 0..2 {
        let _held = link.send(NEIGHBOUR);
    }
}

/// The neighbour sends a request to us, and later a reply.
fn input(link: &'static Link) {
    link.hear(NEIGHBOUR, true);
    kpause("input", 1, None);
    link.hear(NEIGHBOUR, false);
}

/// Keeps the entry while it is deleted.
fn arp(link: &'static Link) {
    let kept = link.keep(NEIGHBOUR, "arp");
    link.delete(NEIGHBOUR);
    if let Some(lle) = kept {
        check(lle, NEIGHBOUR);
        lle.unref("arp");
    }
}
