//! Scheduler, context switches, preemption, binding.

use super::{Breach, breach, create, other_cpu};
use crate::kern::kthread::Options;
use crate::kern::lwp::{Arg, curcpu, curlwp, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::sched::{lwp_migrate, sched_enqueue, setrunnable};
use crate::kern::sleepq::{self, SyncObj};
use crate::kern::spl::{self, Ipl};
use crate::kern::{pserialize, synch};

pub(super) static BREACHES: &[Breach] = &[
    breach!("bind-balance": "ends a binding that it did not begin", || curlwp_bindx(0)),
    breach!("preempt-balance": "enables preemption that is already enabled", synch::kpreempt_enable),
    breach!("preempt-late": "has a preemption pending that the scheduler does not know of, and enables preemption", || {
        synch::kpreempt_disable();
        spl::want_kpreempt(curcpu());
        synch::kpreempt_enable();
    }),
    breach!("kpause-ticks": "pauses for 0 ticks", || synch::kpause("nothing", 0, None)),
    breach!("setrunnable-stat": "makes an LWP runnable that runs", || {
        curlwp().lock();
        setrunnable(curlwp());
    }),
    breach!("lwp-locked", "migrate": "moves an LWP that it has not locked",
        || lwp_migrate(curlwp(), other_cpu())),
    breach!("lwp-locked", "sleep": "goes to sleep without locking itself",
        || sleepq::enqueue(None, 1, "nothing", SyncObj::Kpause)),
    breach!("lwp-locked", "wake": "wakes an LWP that it has not locked", || sleepq::remove(curlwp())),
    breach!("lwp-locked", "enqueue": "puts an LWP on a run queue whose lock it does not hold", || {
        curlwp().lock();
        sched_enqueue(curlwp());
    }),
    breach!("lwp-locked", "yield": "yields with another lock than its CPU's", || {
        let (l, lock) = (curlwp(), crate::scenario::share("lock", Kmutex::new("lock", Ipl::Sched)));
        l.lock();
        lock.enter();
        l.unlock_to(lock);
        curcpu().ci_schedstate.spc_mutex.enter();
        synch::mi_switch(l);
    }),
    breach!("sleep-state": "goes to sleep twice", || {
        curlwp().lock();
        sleepq::enqueue(None, 1, "first", SyncObj::Kpause);
        sleepq::enqueue(None, 1, "second", SyncObj::Kpause);
    }),
    breach!("sleep-state", "wake": "wakes an LWP that does not sleep", || {
        curlwp().lock();
        sleepq::remove(curlwp());
    }),
    breach!("switch-locks": "switches away without the lock of the run queue", || {
        curlwp().lock();
        synch::mi_switch(curlwp());
    }),
    breach!("switch-preempt": "lowers the level with the scheduler's locks held, and switches away", || {
        curlwp().lock();
        curcpu().ci_schedstate.spc_mutex.enter();
        spl::splx(Ipl::None);
        synch::mi_switch(curlwp());
    }),
    breach!("switch-spin": "yields with a spin mutex held", || {
        Kmutex::new("device", Ipl::Vm).enter();
        synch::yield_now();
    }),
    breach!("switch-curlwp": "switches to an LWP and says that another CPU does", || {
        let rests = Options { at_rest: true, ..Options::default() };
        let l = create("next", &rests, |_| {}, Arg::NONE);
        spl::splhigh();
        synch::switch_context(other_cpu(), curlwp(), l);
    }),
    breach!("psz-switch": "yields in a read section", || {
        pserialize::read_enter();
        synch::yield_now();
    }),
];
