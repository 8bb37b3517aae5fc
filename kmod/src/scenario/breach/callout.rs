//! callout(9).

use super::{Breach, breach, interrupt, pause};
use crate::kern::callout::Callout;
use crate::kern::lwp::{Arg, curcpu};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::scenario::classics::shared;
use crate::scenario::share;

fn callout() -> &'static Callout {
    let callout = share("callout", Callout::new());
    callout.init(curcpu());
    callout
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("callout-init": "stops a callout that was never initialized", || {
        Callout::new().stop();
    }),
    breach!("callout-init", "destroyed": "schedules a callout after it has destroyed it", || {
        let callout = callout();
        callout.setfunc(|_| {}, Arg::NONE);
        callout.destroy();
        callout.schedule(1);
    }),
    breach!("callout-func": "schedules a callout that has no function", || callout().schedule(1)),
    breach!("callout-ticks": "schedules a callout in more ticks than half the clock",
        || callout().reset(0x8000_0000, |_| {}, Arg::NONE)),
    breach!("callout-flags": "initializes a callout anew while it is pending", || {
        let callout = callout();
        callout.reset(1, |_| {}, Arg::NONE);
        callout.init(curcpu());
        pause(2);
    }),
    breach!("callout-context": "halts a callout in a hard interrupt", || {
        let halt = |callout| {
            shared::<Callout>(callout).halt(None);
        };
        interrupt(halt, Arg::of(callout()));
    }),
    breach!("callout-context", "barrier": "waits for the handler of a callout in a hard interrupt", || {
        let barrier = |callout| {
            shared::<Callout>(callout).barrier();
        };
        interrupt(barrier, Arg::of(callout()));
    }),
    breach!("callout-interlock": "halts a callout with an interlock that it has not entered", || {
        callout().halt(Some(&Kmutex::new("sc_lock", Ipl::None)));
    }),
    breach!("callout-destroy": "destroys a callout that is pending", || {
        let callout = callout();
        callout.reset(1, |_| {}, Arg::NONE);
        callout.destroy();
    }),
];
