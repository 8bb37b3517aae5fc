//! Test of the length of sleeps: kpause(9), cv_timedwait(9) and sema_timedwait(9) sleep for as many ticks as they are asked to, no fewer and no
//! more.
//!
//! A sleep ends with the callout of its LWP, which keeps the tick at which it was scheduled and the one at which it was due. The sleeper
//! compares both with the clock. That a callout runs at the tick at which it is due is checked by the kernel (`callout-early`,
//! `callout-late`, and `callout-due` when every CPU idles).

use crate::config::Config;
use crate::kern::callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::sema::Sema;
use crate::kern::sleepq::Woken;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::machine;
use crate::scenario::classics::{free_data, shared};
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

struct World {
    interlock: Kmutex,
    /// Nobody signals it.
    never: Kcondvar,
    /// Nobody posts a unit.
    empty: Sema,
}

crate::fields!(World { interlock, never });

/// Threads that sleep for a number of ticks.
pub static SCENARIO: Scenario = Scenario {
    name: "sleep-ticks",
    summary: "threads sleep for a number of ticks: is each sleep as long as that?",
    about: "Two threads sleep for 1, 2 and 6 ticks: with kpause, with and without an interlock, in cv_timedwait and in sema_timedwait, where \
            nobody wakes them. The callout that ends a sleep must be due as many ticks after it was scheduled as the sleep is to last, and \
            the sleep must not end before that.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = share(
            "world",
            World {
                interlock: Kmutex::new("interlock", Ipl::None),
                never: Kcondvar::new("never"),
                empty: Sema::new("empty", 0, Ipl::None),
            },
        );
        machine::label(world, format_args!("world"));
        kernel.set_data(Arg::of(world));
        actor(kernel, "sleeper0", 0, sleep, Arg::of(world));
        actor(kernel, "sleeper1", 1, sleep, Arg::of(world));
    },
    verify: |_| {},
    teardown: free_data::<World>,
};

/// Sleeps with `how`, for `ticks`, and checks how long that was.
fn measure(what: &str, ticks: u32, how: impl FnOnce()) {
    let l = curlwp();
    let cpus = l.kernel().cpus();
    let mut before = [0; Config::MAXCPUS];
    for (tick, ci) in before.iter_mut().zip(cpus) {
        *tick = callout::ticks(ci);
    }
    how();
    // Nobody else schedules it.
    let timeout = l.l_timeout_ch.state();
    let (before, now) = (before[timeout.cpu], callout::ticks(&cpus[timeout.cpu]));
    let begins = timeout.due.wrapping_sub(ticks);
    let comes = |earlier: u32, later: u32| later.wrapping_sub(earlier) as i32 >= 0;
    let counted = !cfg!(feature = "contracts") || begins == timeout.since;
    if !counted || !comes(before, begins) || !comes(timeout.due, now) {
        broken_promise(
            "sleep-ticks",
            format_args!(
                "{what} of {} for {ticks} ticks, begun at tick {before} of cpu{} or later, was scheduled at {} to end at {}, and is over \
                 at {now}",
                l.name(),
                timeout.cpu,
                timeout.since,
                timeout.due
            ),
        );
    }
}

fn sleep(world: Arg) {
    let world: &World = shared(world);
    let asleep = |what: &str, woken: bool| {
        if woken {
            broken_promise(
                "sleep-woken",
                format_args!(
                    "{what} of {} says that it was woken, and nobody wakes it",
                    curlwp().name()
                ),
            );
        }
    };
    for _ in 0..curlwp().kernel().config().repeat {
        for ticks in [1, 2, 6] {
            measure("kpause", ticks, || kpause("pause", ticks, None));
            world.interlock.enter();
            measure("kpause with an interlock", ticks, || {
                kpause("pause", ticks, Some(&world.interlock));
            });
            measure("cv_timedwait", ticks, || {
                let woken = world.never.timedwait(&world.interlock, ticks);
                asleep("cv_timedwait", woken == Woken::Wakeup);
            });
            world.interlock.exit();
            measure("sema_timedwait", ticks, || {
                asleep("sema_timedwait", world.empty.timedwait(ticks));
            });
        }
    }
}
