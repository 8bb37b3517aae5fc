//! Ticks, and the softint that runs the handlers that are due.

use super::{Callout, CalloutCpu, FIRED, INVOKING, PENDING};
use crate::contract;
use crate::kern::circq::Link;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::order;
use crate::kern::{sleepq, softint};
use crate::machine::{self, Mark, Occasion, Place};
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
    if cfg!(feature = "contracts") {
        cc.cc_done.store(cc.cc_ticks.peek(), Relaxed);
    }
    cc.cc_lock.spin_exit();
}

/// A callout is about to run. `cc_lock` is held. Panics: contracts `callout-early`, `callout-late`.
fn assert_in_time(ci: &Cpu, c: &Callout) {
    let cc = &ci.ci_callout;
    let (now, due, since) = (cc.cc_ticks.peek(), c.c_time.peek(), c.c_since.load(Relaxed));
    let is_before = |a: u32, b: u32| (a.wrapping_sub(b) as i32) < 0;
    contract!(
        !is_before(now, due),
        "callout-early",
        "a callout that is due at tick {due} of cpu{} runs at {now}: it was scheduled at {}",
        ci.index(),
        Place(c.scheduled())
    );
    let done = cc.cc_done.load(Relaxed);
    contract!(
        is_before(done, due) || !is_before(since, done),
        "callout-late",
        "a callout that was scheduled at tick {since} of cpu{} for {due} runs at {now}, and all that was due at {done} had run there: it \
         was scheduled at {}",
        ci.index(),
        Place(c.scheduled())
    );
}

/// Runs one handler. `cc_lock` is held before and after, but not during the call.
///
/// Panics: contracts `callout-flags`, and those of [`assert_in_time`].
fn fire(ci: &'static Cpu, c: &'static Callout) {
    let cc = &ci.ci_callout;
    assert_in_time(ci, c);
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
    ///
    /// Without those whose turn comes with the next tick because they were scheduled in this one, for 0 ticks.
    pub(crate) fn due(&self) -> Option<(&'static Callout, u32)> {
        if self.pending() == 0 {
            return None;
        }
        let lists = core::iter::once(&self.cc_todo).chain(self.cc_wheel.peek());
        lists.flat_map(Link::peek).find_map(|link| {
            let callout = Callout::at(link);
            let late = self.cc_ticks.peek().wrapping_sub(callout.c_time.peek());
            let now = callout.c_since.load(Relaxed) == self.cc_ticks.peek();
            (late as i32 >= 0 && !(cfg!(feature = "contracts") && now)).then_some((callout, late))
        })
    }
}

impl Callout {
    /// Where it was scheduled, if that is known: for reports.
    pub(crate) fn scheduled(&self) -> Option<machine::At> {
        self.c_scheduled.peek()
    }
}
