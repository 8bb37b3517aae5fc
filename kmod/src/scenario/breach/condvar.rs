//! condvar(9), and where sleeping is allowed.

use super::{Breach, breach, interrupt, pause, softint, thread};
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::Arg;
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize;
use crate::kern::spl::Ipl;
use crate::scenario::classics::shared;
use crate::scenario::share;

struct World {
    mutex: Kmutex,
    cv: Kcondvar,
}

fn world(ipl: Ipl) -> &'static World {
    let (mutex, cv) = (Kmutex::new("sc_lock", ipl), Kcondvar::new("event"));
    share("world", World { mutex, cv })
}

/// Enters the mutex and waits.
fn wait(world: Arg) {
    let world = shared::<World>(world);
    world.mutex.enter();
    world.cv.wait(&world.mutex);
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("cv-waiters": "destroys a condition variable that a thread waits on", || {
        let world = world(Ipl::None);
        thread("waiter", 0, wait, Arg::of(world));
        pause(1);
        world.cv.destroy();
    }),
    breach!("cv-context": "waits on a condition variable in a hard interrupt",
        || interrupt(wait, Arg::of(world(Ipl::High)))),
    breach!("cv-softint": "waits on a condition variable in a softint",
        || softint(Ipl::SoftNet, wait, Arg::of(world(Ipl::SoftNet)))),
    breach!("cv-interlock": "waits on a condition variable without the interlock", || {
        let world = world(Ipl::None);
        world.cv.wait(&world.mutex);
    }),
    breach!("sleepable", "interrupt": "sleeps in a hard interrupt", || interrupt(|_| pause(1), Arg::NONE)),
    breach!("sleepable", "softint": "sleeps in a softint",
        || softint(Ipl::SoftClock, |_| pause(1), Arg::NONE)),
    breach!("sleepable", "read-section": "sleeps in a read section", || {
        pserialize::read_enter();
        pause(1);
    }),
    breach!("sleepable", "spin": "sleeps with a spin mutex held", || {
        Kmutex::new("spin", Ipl::Vm).enter();
        pause(1);
    }),
];
