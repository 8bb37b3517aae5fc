//! softint(9).

use super::{Breach, breach, other_cpu, psref, thread};
use crate::kern::lwp::{Arg, curlwp, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::{self, Ipl};
use crate::kern::{pserialize, synch};
use crate::mem::{Acquire, AtomicU32, Release, relax};
use crate::scenario::classics::shared;
use crate::scenario::share;

fn establish() -> Softint {
    match softint::establish(Ipl::SoftNet, |_| {}, Arg::NONE) {
        Some(softint) => softint,
        None => unreachable!("there is room for a softint"),
    }
}

/// A handler that returns and leaves something behind.
fn handler(func: fn(Arg)) {
    super::softint(Ipl::SoftNet, func, Arg::NONE);
}

/// Keeps a softint of softnet waiting on the other CPU until its level falls, which it never does.
fn held_up_elsewhere() {
    let queued = share("queued", AtomicU32::new(0));
    let hold_up = |queued| {
        let softint = establish();
        spl::splhigh();
        softint::schedule(softint);
        shared::<AtomicU32>(queued).store(1, Release);
        loop {
            relax();
        }
    };
    thread("masks", 1, hold_up, Arg::of(queued));
    while queued.load(Acquire) == 0 {
        relax();
    }
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("softint-level": "establishes a softint at a level of hard interrupts", || {
        softint::establish(Ipl::Vm, |_| {}, Arg::NONE);
    }),
    breach!("softint-established": "disestablishes a softint twice", || {
        let softint = establish();
        softint::disestablish(softint);
        softint::disestablish(softint);
    }),
    breach!("softint-established", "queued": "disestablishes a softint without waiting until it has run", || {
        let softint = establish();
        let s = spl::splhigh();
        softint::schedule(softint);
        softint::disestablish_at_rest(curlwp().kernel(), softint);
        spl::splx(s);
    }),
    breach!("softint-preempt": "schedules a softint with preemption on", || softint::schedule(establish())),
    breach!("softint-preempt", "cpu": "schedules a softint on another CPU with preemption on",
        || softint::schedule_cpu(establish(), other_cpu())),
    breach!("softint-dispatch": "dispatches a level that was not triggered", || {
        let ci = curlwp().kernel().cpu(0);
        spl::splhigh();
        softint::dispatch(ci, Ipl::SoftNet);
    }),
    breach!("softint-execute": "dispatches a level of another CPU here", || {
        held_up_elsewhere();
        spl::splhigh();
        softint::dispatch(curlwp().kernel().cpu(1), Ipl::SoftNet);
    }),
    breach!("softint-spin": "returns from a softint with a spin mutex held",
        || handler(|_| Kmutex::new("spin", Ipl::Vm).enter())),
    breach!("softint-read-section": "returns from a softint in a read section",
    || handler(|_| {
        pserialize::read_enter();
    })),
    breach!("softint-spl": "returns from a softint at another level", || handler(|_| {
        spl::splraise(Ipl::Vm);
    })),
    breach!("softint-nopreempt": "returns from a softint with preemption off",
        || handler(|_| synch::kpreempt_disable())),
    breach!("softint-locks": "returns from a softint with an adaptive mutex held",
        || handler(|_| share("lock", Kmutex::new("lock", Ipl::SoftNet)).enter())),
    breach!("softint-psref": "returns from a softint with a passive reference held",
    || {
        let acquire = |world| {
            psref::acquire_for_good(shared(world));
        };
        super::softint(Ipl::SoftNet, acquire, Arg::of(psref::world(Ipl::SoftNet)));
    }),
    breach!("softint-bound": "ends a binding in a softint that it did not begin", || handler(|_| curlwp_bindx(0))),
];
