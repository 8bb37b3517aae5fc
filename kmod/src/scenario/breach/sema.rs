//! sema(9).

use super::{Breach, breach, pause, thread};
use crate::kern::lwp::Arg;
use crate::kern::sema::Sema;
use crate::kern::spl::Ipl;
use crate::scenario::classics::shared;
use crate::scenario::share;

pub(super) static BREACHES: &[Breach] = &[
    breach!("sema-waiters": "destroys a semaphore that a thread waits for", || {
        let sema = share("sema", Sema::new("units", 0, Ipl::None));
        thread("waiter", 0, |sema| shared::<Sema>(sema).wait(), Arg::of(sema));
        pause(1);
        sema.destroy();
    }),
];
