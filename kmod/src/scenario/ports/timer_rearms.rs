//! Linux, net/rose, 2026: a timer that arms itself again is deleted and waited for, and its owner is freed.

use super::{OLD, historical};
use crate::kern::callout::Callout;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::kthread::kthread_join;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::machine;
use crate::mem::Plain;
use crate::scenario::classics::shared;
use crate::scenario::{FIXED, PORTED, Scenario, actor, runs, thread};

struct Neighbour {
    timer: Callout,
    lock: Kmutex,
    asked: Plain<u32>,
}

crate::fields!(Neighbour { timer, lock, asked });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "timer-rearms",
    summary: "a neighbour is freed whose timer arms itself again",
    about: "The timer of a neighbour sends a request, and arms itself again. A separate thread closes the \
            neighbour: it cancels the timer, waits for the handler, and frees the neighbour. Meanwhile the \
            thread that has opened it continues.",
    variants: &[
        FIXED,
        historical("nothing keeps the handler that is waited for from arming the timer again"),
    ],
    setup: |kernel| actor(kernel, "opener", 0, open, Arg::NONE),
    ..PORTED
};

fn expire(neighbour: Arg) {
    let neighbour: &Neighbour = shared(neighbour);
    neighbour.lock.enter();
    neighbour.asked.set(neighbour.asked.get() + 1);
    neighbour.lock.exit();
    neighbour.timer.schedule(1);
}

fn open(_: Arg) {
    let new = Neighbour {
        timer: Callout::new(),
        lock: Kmutex::new("neighbour", Ipl::SoftClock),
        asked: Plain::new(0),
    };
    let Some(neighbour) = kmem_alloc("neighbour", new) else {
        return;
    };
    machine::label(neighbour, format_args!("neighbour"));
    let arg = Arg::of(neighbour);
    neighbour.timer.init(curlwp().kernel().cpu(0));
    neighbour.timer.reset(1, expire, arg);
    let closer = thread("closer", 1, close, arg);
    kpause("open", 2, None);
    kthread_join(closer);
}

fn close(neighbour: Arg) {
    let neighbour: &'static Neighbour = shared(neighbour);
    if runs(OLD) {
        // timer_delete_sync: the timer is taken off the wheel, then its handler is waited for.
        neighbour.timer.stop();
        neighbour.timer.barrier();
    } else {
        // timer_shutdown_sync: what the handler arms meanwhile is taken off as well.
        neighbour.timer.halt(None);
        neighbour.timer.destroy();
    }
    // SAFETY: it came from `kmem_alloc`; that it is no longer in use is what this scenario tests.
    unsafe { kmem_free(neighbour) };
}
