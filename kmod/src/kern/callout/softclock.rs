//! Ticks, and the softint that runs the handlers that are due.

use super::{Callout, CalloutCpu, FIRED, INVOKING, PENDING};
use crate::contract;
use crate::kern::circq::Link;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::order;
use crate::kern::{sleepq, softint};
use crate::machine::{self, Mark, Occasion};
use crate::mem::Relaxed;

/// Handles a tick: turns the wheel, and schedules softclock if a callout is due. Called from the clock interrupt.
pub(crate) fn hardclock(ci: &'static Cpu) {
    let cc = &ci.ci_callout;
    cc.cc_lock.spin_enter();
    let ticks = cc.cc_ticks.get().wrapping_add(1);
    cc.cc_ticks.set(ticks);
    for level in 0..cc.cc_levels {
        cc.cc_todo
            .append_all(cc.bucket(level, ticks >> (cc.cc_bits * level as u32)));
        let slots = 1u64 << (cc.cc_bits * (level as u32 + 1));
        if u64::from(ticks) & (slots - 1) != 0 {
            break;
        }
    }
    let due = !cc.cc_todo.is_empty();
    cc.cc_lock.spin_exit();
    if let Some(softclock) = cc.cc_softint.get().filter(|_| due) {
        softint::schedule(softclock);
    }
}

/// The softint: runs due callouts, one after another.
pub(super) fn softclock(_: Arg) {
    let ci = curcpu();
    let cc = &ci.ci_callout;
    let l = curlwp();
    cc.cc_lock.spin_enter();
    cc.cc_lwp.set(Some(l));
    while let Some(first) = cc.cc_todo.first() {
        let c = Callout::at(first);
        c.c_link.remove();
        // The unsigned difference comes first, so that the result is right when the ticks wrap.
        let delta = c.c_time.get().wrapping_sub(cc.cc_ticks.get()) as i32;
        if delta > 0 {
            cc.place(c.c_time.get()).append(&c.c_link);
            continue;
        }
        fire(ci, c);
    }
    cc.cc_lwp.set(None);
    cc.cc_lock.spin_exit();
}

/// Runs one handler. `cc_lock` is held before and after, but not during the call. Panics: contract `callout-flags`.
fn fire(ci: &'static Cpu, c: &'static Callout) {
    let cc = &ci.ci_callout;
    let flags = c.c_flags.get();
    contract!(
        flags & PENDING != 0 && flags & FIRED == 0,
        "callout-flags",
        "softclock on cpu{} found a callout on its list that is {} and {}: it was initialized while it was pending",
        ci.index(),
        if flags & PENDING == 0 {
            "not pending"
        } else {
            "pending"
        },
        if flags & FIRED == 0 {
            "has not fired"
        } else {
            "has fired"
        }
    );
    c.c_flags.set((flags & !PENDING) | FIRED | INVOKING);
    c.c_runs.set(c.c_runs.get().wrapping_add(1));
    cc.cc_npending
        .store_fused(cc.cc_npending.load_fused(Relaxed) - 1, Relaxed);
    let addr = c.addr();
    cc.cc_active.set(addr);
    let (func, arg) = (c.c_func.get(), c.c_arg.get());
    let scheduled = c.c_scheduled.get();
    cc.cc_scheduled.set(scheduled);
    cc.cc_lock.spin_exit();
    ci.kernel().counters.callouts.incr();
    machine::mark(Mark::Fires(addr, scheduled));
    order::callout_begins(addr);
    machine::happened(Occasion::HandlerBegins(addr, softint::is_on_top()));
    match func {
        Some(func) => func(arg),
        None => unreachable!("schedule asserted that the callout has a function"),
    }
    machine::happened(Occasion::HandlerEnds(addr));
    order::callout_ends(addr);
    cc.cc_lock.spin_enter();
    // The handler may have freed the callout, so it is not touched any more.
    cc.cc_active.set(0);
    if cc.cc_nwait.get() > 0 {
        cc.cc_nwait.set(0);
        while let Some(waiter) = cc.cc_sleepq.first() {
            sleepq::remove(waiter);
        }
    }
}

impl CalloutCpu {
    /// The first callout that is due and has not run, and since how many ticks. For checks at rest.
    pub(crate) fn due(&self) -> Option<(&'static Callout, u32)> {
        let lists = core::iter::once(&self.cc_todo).chain(self.cc_wheel.peek());
        lists.flat_map(Link::peek).find_map(|link| {
            let callout = Callout::at(link);
            let late = self.cc_ticks.peek().wrapping_sub(callout.c_time.peek());
            (late as i32 >= 0).then_some((callout, late))
        })
    }
}

impl Callout {
    /// Where it was scheduled, if that is known: for reports.
    pub(crate) fn scheduled(&self) -> Option<machine::At> {
        self.c_scheduled.peek()
    }
}
