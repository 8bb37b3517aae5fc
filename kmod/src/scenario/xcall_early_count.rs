//! Bug c of the talk: a cross call is counted before its function has run.

use crate::history::{Bug, History};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::kern::xcall::Priority;
use crate::kernel::Kernel;
use crate::machine;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, promise, share};

/// Two threads make a cross call each.
pub static SCENARIO: Scenario = Scenario {
    name: "xcall-early-count",
    summary: "two cross calls at once: does xc_wait return before the function has run?",
    about: "Two threads broadcast a function to all CPUs and wait for it, each with its own arguments, which it \
            frees when the wait returns. xcall(9) accepts one request at a time; if it accepts the second before \
            the functions of the first have returned, completions of the second are counted for the first. On \
            one CPU, where functions return in the order of the requests, they take a lock that another thread \
            holds while it sleeps: there a call can be counted early only while its function waits.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "xc_tailp, counted at pick-up, admits the next request too early (subr_xcall.c 1.18)",
            history: History::NONE.with(Bug::XcallTailp),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
        Variant {
            name: "as-told",
            summary: "xc_donep is counted before the function runs (as the talk tells it)",
            history: History::NONE.with(Bug::XcallDonep),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup,
    verify,
    teardown,
};

/// A lock that the functions of the calls take before they return, if there is one CPU.
struct Behind {
    lock: Kmutex,
}

crate::fields!(Behind { lock });

fn setup(kernel: &'static Kernel) {
    if let [_] = kernel.cpus() {
        let behind = share(
            "behind",
            Behind {
                lock: Kmutex::new("behind", Ipl::None),
            },
        );
        machine::label(behind, format_args!("behind"));
        kernel.set_data(Arg::of(behind));
        actor(kernel, "holder", 0, hold, Arg::of(behind));
        actor(kernel, "r1", 0, request_behind, Arg::of(behind));
        actor(kernel, "r2", 0, request_behind, Arg::of(behind));
    } else {
        actor(kernel, "r1", 0, request, Arg::NONE);
        actor(kernel, "r2", 1, request, Arg::NONE);
    }
}

fn verify(kernel: &'static Kernel) {
    if let [_] = kernel.cpus() {
        shared::<Behind>(kernel.data()).lock.destroy();
    }
}

fn teardown(kernel: &'static Kernel) {
    if let [_] = kernel.cpus() {
        free_data::<Behind>(kernel);
    }
}

fn request(_: Arg) {
    for _ in 0..curlwp().kernel().config().repeat {
        promise::broadcast_and_wait(Priority::Low);
    }
}

fn request_behind(behind: Arg) {
    let behind: &'static Behind = shared(behind);
    for _ in 0..curlwp().kernel().config().repeat {
        promise::broadcast_locking_and_wait(&behind.lock);
    }
}

fn hold(behind: Arg) {
    let behind: &'static Behind = shared(behind);
    behind.lock.enter();
    kpause("holder", 1, None);
    behind.lock.exit();
}
