//! spl(9), ipi(9), devices, handlers of interrupts, and the halt that waits for one.

use super::{Breach, breach, interrupt, other_cpu, pause};
use crate::kern::idle;
use crate::kern::intr;
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
    breach!("ipi-registered": "sends an interrupt that is not registered", || {
        kpreempt_disable();
        ipi_trigger(5, other_cpu());
    }),
    breach!("intr-level": "has a device interrupt at a soft level", || {
        intr::establish(curcpu(), Ipl::SoftNet, |_| {}, Arg::NONE);
    }),
    breach!("intr-established": "raises the interrupt of a device after it was disestablished", || {
        if let Some(device) = intr::establish(other_cpu(), Ipl::Vm, |_| {}, Arg::NONE) {
            intr::disestablish(device);
            intr::raise(device);
        }
    }),
    breach!("intr-established", "twice": "disestablishes an interrupt twice", || {
        if let Some(device) = intr::establish(other_cpu(), Ipl::Vm, |_| {}, Arg::NONE) {
            intr::disestablish(device);
            intr::disestablish(device);
        }
    }),
    breach!("intr-spin", "device": "returns from the interrupt of a device with a spin mutex held", || {
        let enter = |_| Kmutex::new("device", Ipl::High).enter();
        if let Some(device) = intr::establish(curcpu(), Ipl::Vm, enter, Arg::NONE) {
            intr::raise(device);
        }
        pause(1);
    }),
    breach!("halt-spl": "halts with interrupts masked", || {
        kpreempt_disable();
        spl::splhigh();
        idle::halt();
    }),
    breach!("halt-preempt": "halts with preemption on", idle::halt),
];
