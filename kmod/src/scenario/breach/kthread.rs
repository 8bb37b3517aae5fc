//! kthread(9).

use super::{Breach, breach, pause, psref, thread};
use crate::kern::kthread::{kthread_exit, kthread_join};
use crate::kern::lwp::{Arg, curlwp, curlwp_bind};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::{self, Ipl};
use crate::kern::{pserialize, sched, synch};
use crate::scenario::share;

pub(super) static BREACHES: &[Breach] = &[
    breach!("exit-nopreempt": "exits with preemption off", || {
        synch::kpreempt_disable();
        kthread_exit();
    }),
    breach!("exit-spl": "exits at a raised level", || {
        spl::splhigh();
        kthread_exit();
    }),
    breach!("exit-spl", "spin": "exits with a spin mutex held", || {
        share("lock", Kmutex::new("lock", Ipl::Sched)).enter();
        kthread_exit();
    }),
    breach!("exit-spl", "read-section": "exits in a read section", || {
        pserialize::read_enter();
        kthread_exit();
    }),
    breach!("exit-locks": "exits with an adaptive mutex held", || {
        share("lock", Kmutex::new("lock", Ipl::None)).enter();
        kthread_exit();
    }),
    breach!("exit-psref": "exits with a passive reference held", || {
        curlwp_bind();
        psref::acquire_for_good(psref::world(Ipl::SoftNet));
        kthread_exit();
    }),
    breach!("exit-final": "makes an LWP run that has exited", || {
        let l = thread("zombie", 0, |_| kthread_exit(), Arg::NONE);
        pause(1);
        let lock = l.lock();
        sched::make_runnable(l, curlwp().kernel().cpu(0));
        lock.spin_exit();
    }),
    breach!("join-joinable": "joins a thread that was not created to be joined",
        || kthread_join(thread("daemon", 0, |_| pause(9), Arg::NONE))),
];
