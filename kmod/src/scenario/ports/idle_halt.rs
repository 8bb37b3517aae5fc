//! Asterinas issue 2052: an idle loop looks for work, then halts; the wake-up comes in between.

use super::{OLD, historical};
use crate::kern::idle;
use crate::kern::kthread::Options;
use crate::kern::lwp::Arg;
use crate::kern::spl::{Ipl, splhigh, splx};
use crate::kern::synch::{kpreempt_disable, kpreempt_enable};
use crate::machine;
use crate::mem::{Acquire, AtomicU32, Release};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Device;
use crate::scenario::{FIXED, PORTED, Scenario, actor_options, actor_with, runs, share};

struct Processor {
    work: AtomicU32,
    device: Device,
}

crate::fields!(Processor { work, device });

/// The program.
pub static SCENARIO: Scenario = Scenario {
    name: "idle-halt",
    summary: "a scenario's own idle loop halts until an interrupt brings work",
    about: "A thread looks for work with interrupts masked. If there is none it unmasks them and halts its CPU; \
            the handler of a device brings the work.",
    variants: &[
        FIXED,
        historical("the halt is an instruction of its own: the interrupt can come before it"),
    ],
    min_cpus: 2,
    setup: |kernel| {
        let processor = share(
            "processor",
            Processor {
                work: AtomicU32::new(0),
                device: Device::new(),
            },
        );
        machine::label(processor, format_args!("processor"));
        let arg = Arg::of(processor);
        kernel.set_data(arg);
        processor.device.establish(kernel, 0, Ipl::Vm, bring, arg);
        let on = |cpu| Options {
            cpu: Some(cpu),
            ..actor_options()
        };
        actor_with(kernel, "idler", on(0), idle, arg);
        actor_with(kernel, "sender", on(1), send, arg);
    },
    teardown: |kernel| {
        shared::<Processor>(kernel.data())
            .device
            .disestablish(kernel);
        free_data::<Processor>(kernel);
    },
    ..PORTED
};

fn idle(processor: Arg) {
    let processor: &Processor = shared(processor);
    kpreempt_disable();
    loop {
        let s = splhigh();
        let found = processor.work.load(Acquire) != 0;
        splx(s);
        if found {
            break;
        }
        if runs(OLD) {
            idle::halt();
        } else {
            idle::halt_unless(&processor.work);
        }
    }
    kpreempt_enable();
}

fn bring(processor: Arg) {
    shared::<Processor>(processor).work.store(1, Release);
}

fn send(processor: Arg) {
    shared::<Processor>(processor).device.raise();
}
