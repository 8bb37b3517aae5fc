//! mutex(9).

use super::{Breach, breach, interrupt};
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::{self, Kmutex};
use crate::kern::pserialize;
use crate::kern::spl::Ipl;

const fn adaptive() -> Kmutex {
    Kmutex::new("adaptive", Ipl::SoftNet)
}

const fn spin() -> Kmutex {
    Kmutex::new("spin", Ipl::Vm)
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("mutex-owned": "exits an adaptive mutex that is not owned", || adaptive().exit()),
    breach!("mutex-owned", "spin": "exits a spin mutex that is not held", || spin().exit()),
    breach!("mutex-destroy": "destroys an adaptive mutex that it owns", || {
        let mutex = adaptive();
        mutex.enter();
        mutex.destroy();
    }),
    breach!("mutex-destroy", "spin": "destroys a spin mutex that it holds", || {
        let mutex = spin();
        mutex.enter();
        mutex.destroy();
    }),
    breach!("mutex-context": "enters an adaptive mutex in a hard interrupt",
        || interrupt(|_| adaptive().enter(), Arg::NONE)),
    breach!("mutex-read-section": "enters an adaptive mutex in a read section", || {
        pserialize::read_enter();
        adaptive().enter();
    }),
    breach!("mutex-spin-held": "enters an adaptive mutex with a spin mutex held", || {
        spin().enter();
        adaptive().enter();
    }),
    breach!("mutex-recursion": "enters an adaptive mutex that it owns", || {
        let mutex = adaptive();
        mutex.enter();
        mutex.enter();
    }),
    breach!("mutex-recursion", "spin": "enters a spin mutex that it holds", || {
        let mutex = spin();
        mutex.enter();
        mutex.enter();
    }),
    breach!("preempt-off": "looks at the owner of a mutex with preemption on", || {
        mutex::lwp_oncpu(curlwp());
    }),
];
