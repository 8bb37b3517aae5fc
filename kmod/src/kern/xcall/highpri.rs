//! High-priority cross calls: run by a softint of every CPU, or carried by the low-priority box in a rump kernel.

use super::{Ticket, XcFunc, low_pri, no_function, targets};
use crate::config::Wiring;
use crate::contract;
use crate::kern::cpu::Cpu;
use crate::kern::ipi;
use crate::kern::lwp::{Arg, Lwp, curcpu, curlwp};
use crate::kern::order;
use crate::kern::softint;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch;
use crate::kernel::Kernel;
use crate::mem::Relaxed;
use crate::note;

/// The function that the low-priority box's threads run for a high-priority request.
fn rump_carry() {
    let s = spl::splsoftserial();
    intr(Arg::NONE);
    spl::splx(s);
}

/// `xc_highpri`.
#[track_caller]
pub(super) fn high_pri(
    kernel: &'static Kernel,
    wiring: Wiring,
    level: Ipl,
    func: XcFunc,
    args: (Arg, Arg),
    target: Option<&'static Cpu>,
) -> Ticket {
    contract!(
        level.is_soft(),
        "xcall-level",
        "{} makes a high-priority cross call at level {}, which is not a soft one",
        curlwp().name(),
        level.name()
    );
    let xc = &kernel.xcall.xc_high_pri;
    xc.xc_lock.enter();
    xc.will_wait();
    while xc.xc_headp.get() != xc.xc_donep.load(Relaxed) {
        xc.xc_busy.wait(&xc.xc_lock);
    }
    xc.fill(func, args);
    xc.is_requested();
    xc.xc_ipl.set(level);
    let number = xc.xc_headp.get() + targets(kernel, target).len() as u64;
    xc.xc_headp.set(number);
    for ci in targets(kernel, target) {
        xc.owed_by(ci).ask(number);
    }
    note!("high-priority call: ticket {number}");
    xc.xc_lock.exit();
    match wiring {
        Wiring::Native => {
            for ci in targets(kernel, target) {
                order::request_needs(level, ci, xc.xc_word);
            }
            interrupt_targets(kernel, level, target);
        }
        Wiring::Rump => {
            // The carrier's ticket is not waited for: the functions count for the high-priority box.
            let _carrier = low_pri(kernel, |_, _| rump_carry(), (Arg::NONE, Arg::NONE), target);
        }
    }
    order::releases(xc.resource());
    Ticket { number, high: true }
}

/// Triggers the softint of `level` on the target, or everywhere.
#[track_caller]
fn interrupt_targets(kernel: &'static Kernel, level: Ipl, target: Option<&'static Cpu>) {
    synch::kpreempt_disable();
    let here = curcpu();
    for ci in targets(kernel, target) {
        if !core::ptr::eq(ci, here) {
            ipi::ipi_trigger(ipi::XCALL, ci);
        }
    }
    if targets(kernel, target)
        .iter()
        .any(|ci| core::ptr::eq(ci, here))
    {
        schedule_highpri(kernel, level);
    }
    synch::kpreempt_enable();
}

fn schedule_highpri(kernel: &Kernel, level: Ipl) {
    let index = level as usize - Ipl::SoftClock as usize;
    if let Some(softint) = kernel.xcall.xc_sihs[index].peek() {
        softint::schedule(softint);
    }
}

/// The interrupt that tells a CPU of a high-priority request (`xc_ipi_handler`).
pub(crate) fn ipi_handler(ci: &'static Cpu) {
    // The box does not change before this CPU has run the function.
    schedule_highpri(ci.kernel(), ci.kernel().xcall.xc_high_pri.xc_ipl.get());
}

/// Whether another CPU has asked this one to run a high-priority request, and it has not queued its softint. For checks at
/// rest; without contracts it is not known.
pub(crate) fn is_asked(ci: &'static Cpu) -> bool {
    let kernel = ci.kernel();
    let xc = &kernel.xcall.xc_high_pri;
    let (head, done) = xc.peek();
    if head == done || kernel.config().xcall != Wiring::Native {
        return false;
    }
    let is_elsewhere = |l: &'static Lwp| !core::ptr::eq(l.cpu_unlocked(), ci);
    let index = xc.peek_ipl() as usize - Ipl::SoftClock as usize;
    let is_queued = |softint| softint::is_queued(ci, softint);
    xc.owed_by(ci).is_asked()
        && xc.peek_requester().is_some_and(is_elsewhere)
        && !kernel.xcall.xc_sihs[index].peek().is_some_and(is_queued)
}

/// The softint of a high-priority request (`xc__highpri_intr`). Panics: contracts `xcall-context`, `xcall-func`,
/// `xcall-count`.
pub(super) fn intr(_: Arg) {
    contract!(
        !spl::cpu_intr_p(),
        "xcall-context",
        "a high-priority cross call runs in a hard interrupt"
    );
    let kernel = curlwp().kernel();
    let xc = &kernel.xcall.xc_high_pri;
    // Without the lock: nothing of it changes before all CPUs have run it.
    let (func, arg1, arg2) = (xc.xc_func.get(), xc.xc_arg1.get(), xc.xc_arg2.get());
    xc.owed_by(curcpu()).begin();
    // In a rump kernel the low-priority box's function calls this, and has started it already.
    let on_its_own = cfg!(feature = "order") && curlwp().is_softint();
    if on_its_own {
        order::function_begins(xc.resource());
    }
    match func {
        Some(func) => func(arg1, arg2),
        None => no_function(),
    }
    if on_its_own {
        order::function_ends();
    }
    xc.xc_lock.enter();
    let done = xc.xc_donep.load(Relaxed) + 1;
    contract!(
        done <= xc.xc_headp.get(),
        "xcall-count",
        "{done} functions of high-priority cross calls have returned, and {} were asked for",
        xc.xc_headp.get()
    );
    xc.count(curcpu(), done);
    if done == xc.xc_headp.get() {
        xc.xc_busy.broadcast();
    }
    xc.xc_lock.exit();
}
