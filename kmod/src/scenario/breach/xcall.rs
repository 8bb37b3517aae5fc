//! xcall(9).

use super::{Breach, breach, interrupt, other_cpu, softint};
use crate::kern::ipi::{self, ipi_trigger};
use crate::kern::lwp::{Arg, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::sched::lwp_migrate;
use crate::kern::spl::Ipl;
use crate::kern::synch::{kpreempt_disable, kpreempt_enable};
use crate::kern::xcall::{Priority, XcFunc, barrier, broadcast, wait};
use crate::kern::{lwp::curlwp, xcall};
use crate::scenario::share;

/// Makes a cross call to every CPU, and waits for it.
fn call(priority: Priority, func: XcFunc) {
    wait(broadcast(priority, func, (Arg::NONE, Arg::NONE)));
}

/// The interrupt of a high-priority request, without a request.
fn interrupt_without_request() {
    kpreempt_disable();
    ipi_trigger(ipi::XCALL, other_cpu());
    kpreempt_enable();
    super::pause(1);
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("xcall-context": "makes a cross call in a softint",
        || softint(Ipl::SoftNet, |_| barrier(Priority::Low), Arg::NONE)),
    breach!("xcall-context", "interrupt": "makes a cross call in a hard interrupt",
        || interrupt(|_| barrier(Priority::HIGH), Arg::NONE)),
    breach!("xcall-level": "makes a high-priority cross call at a level of hard interrupts",
        || barrier(Priority::High(Ipl::Vm))),
    breach!("xcall-func": "interrupts a CPU for a cross call before there was any", interrupt_without_request),
    breach!("xcall-count": "interrupts a CPU for a cross call that has returned", || {
        xcall::native_barrier(Ipl::SoftSerial);
        interrupt_without_request();
    }),
    breach!("xcall-cpu": "moves the thread of a CPU to another while it sleeps", || {
        if let (Some(l), _) = curlwp().kernel().cpu(1).ci_xcall.peek() {
            l.lock();
            lwp_migrate(l, curlwp().kernel().cpu(0));
        }
        barrier(Priority::Low);
    }),
    breach!("xcall-nopreempt": "returns from a cross call with preemption off",
        || call(Priority::Low, |_, _| kpreempt_disable())),
    breach!("xcall-locks": "returns from a cross call with an adaptive mutex held",
        || call(Priority::Low, |_, _| share("lock", Kmutex::new("lock", Ipl::None)).enter())),
    breach!("xcall-bound": "ends a binding in a cross call that it did not begin",
        || call(Priority::Low, |_, _| curlwp_bindx(0))),
];
