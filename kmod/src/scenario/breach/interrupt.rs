//! spl(9), ipi(9), and handlers of interrupts.

use super::{Breach, breach, interrupt, other_cpu};
use crate::kern::ipi::ipi_trigger;
use crate::kern::lwp::{Arg, curcpu};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch::kpreempt_disable;

pub(super) static BREACHES: &[Breach] = &[
    breach!("splx-lowers": "raises its level with splx", || spl::splx(Ipl::Vm)),
    breach!("spl-raises": "raises its level to none", || {
        spl::splraise(Ipl::None);
    }),
    breach!("intr-spin": "returns from a hard interrupt with a spin mutex held",
        || interrupt(|_| Kmutex::new("device", Ipl::High).enter(), Arg::NONE)),
    breach!("intr-spl": "lowers the level in a hard interrupt and returns",
        || interrupt(|_| spl::splx(Ipl::Sched), Arg::NONE)),
    breach!("intr-nopreempt": "returns from a hard interrupt with preemption off",
        || interrupt(|_| kpreempt_disable(), Arg::NONE)),
    breach!("ipi-preempt": "interrupts another CPU with preemption on", || ipi_trigger(0, other_cpu())),
    breach!("ipi-self": "interrupts its own CPU", || {
        kpreempt_disable();
        ipi_trigger(0, curcpu());
    }),
    breach!("ipi-registered": "sends an interrupt that nobody has registered", || {
        kpreempt_disable();
        ipi_trigger(5, other_cpu());
    }),
];
