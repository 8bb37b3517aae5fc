//! pserialize(9).

use super::{Breach, breach, interrupt, pause, softint, thread};
use crate::history::Bug;
use crate::kern::lwp::Arg;
use crate::kern::pserialize::{Pserialize, read_enter, read_exit};
use crate::kern::spl::{self, Ipl};
use crate::scenario::classics::shared;
use crate::scenario::share;

pub(super) static BREACHES: &[Breach] = &[
    breach!("psz-context": "performs in a softint",
        || softint(Ipl::SoftNet, |_| Pserialize::new().perform(), Arg::NONE)),
    breach!("psz-read-context": "begins a read section in a hard interrupt", || {
        let read = |_| {
            read_enter();
        };
        interrupt(read, Arg::NONE);
    }),
    breach!("psz-read-level": "begins a read section at the level of the scheduler", || {
        spl::splraise(Ipl::Sched);
        read_enter();
    }),
    breach!("psz-balance": "ends a read section that it did not begin", || read_exit(Ipl::None)),
    // Only the old algorithm has an owner.
    breach!("psz-owner": "destroys what another thread performs on, with the algorithm of 2018", || {
        let psz = share("psz", Pserialize::new());
        thread("performer", 0, |psz| shared::<Pserialize>(psz).perform(), Arg::of(psz));
        pause(1);
        psz.destroy();
    }, configure: |config| config.history = config.history.with(Bug::PserializeKpause)),
];
