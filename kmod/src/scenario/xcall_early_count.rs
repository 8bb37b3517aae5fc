//! Bug c of the talk: a cross call is counted before its function has run.

use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::xcall::Priority;
use crate::kernel::Kernel;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, promise};

/// Two threads make a cross call each.
pub static SCENARIO: Scenario = Scenario {
    name: "xcall-early-count",
    summary: "two cross calls at once: does xc_wait return before the function has run?",
    about: "Two threads broadcast a function to all CPUs and wait for it, each with arguments of its own that it \
            frees when the wait returns. xcall(9) takes one request at a time; if it lets the second in before the \
            functions of the first have returned, the second's completions are counted for the first.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "xc_tailp, counted at pick-up, lets the next request in (subr_xcall.c 1.18)",
            history: History::NONE.with(Bug::XcallTailp),
            xcall: None,
            net_mpsafe: None,
            fails: true,
        },
        Variant {
            name: "as-told",
            summary: "xc_donep is counted before the function runs (the talk)",
            history: History::NONE.with(Bug::XcallDonep),
            xcall: None,
            net_mpsafe: None,
            fails: true,
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup,
    verify: |_| {},
    teardown: |_| {},
};

fn setup(kernel: &'static Kernel) {
    actor(kernel, "r1", 0, request, Arg::NONE);
    actor(kernel, "r2", 1, request, Arg::NONE);
}

fn request(_: Arg) {
    for _ in 0..curlwp().kernel().config().repeat {
        promise::broadcast_and_wait(Priority::Low);
    }
}
