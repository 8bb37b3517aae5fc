//! Memory that is freed with a pending callout in it.

use super::{Callout, CalloutCpu};
use crate::kern::circq::Link;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{curcpu, curlwp};
use crate::machine::{self, Place};

/// Asserts that no callout is pending in the `size` bytes at `at`, which are about to be freed.
///
/// Panics (contract `callout-freed`) if one is: softclock would access freed memory.
#[inline(always)]
#[track_caller]
pub(crate) fn assert_none_pending(at: usize, size: usize, what: &'static str) {
    if cfg!(feature = "contracts") && size >= size_of::<Callout>() {
        let kernel = curcpu().kernel();
        for ci in kernel
            .cpus()
            .iter()
            .filter(|ci| ci.ci_callout.pending() > 0)
        {
            assert_none_pending_on(ci, at, size, what);
        }
    }
}

#[track_caller]
fn assert_none_pending_on(ci: &'static Cpu, at: usize, size: usize, what: &'static str) {
    let cc = &ci.ci_callout;
    // If CPUs take turns, the lists are consistent while nobody holds the lock, and taking it would order accesses that it must
    // not order. While somebody does, nothing is asserted.
    let locks = !machine::takes_turns();
    if locks {
        cc.cc_lock.spin_enter();
    } else if cc.cc_lock.owner().is_some() {
        return;
    }
    if let Some(callout) = cc.pending_in(at, size) {
        let what = what.rsplit("::").next().unwrap_or(what);
        machine::stop(
            machine::Stop::Contract("callout-freed"),
            format_args!(
                "{} frees a {what} with a pending callout: scheduled at {}, on cpu{}, due in {} of its ticks",
                curlwp().name(),
                Place(callout.c_scheduled.peek()),
                ci.index(),
                callout.c_time.peek().wrapping_sub(cc.cc_ticks.peek())
            ),
        );
    }
    if locks {
        cc.cc_lock.spin_exit();
    }
}

impl CalloutCpu {
    /// The first pending callout in the `size` bytes at `at`.
    fn pending_in(&self, at: usize, size: usize) -> Option<&'static Callout> {
        let lists = core::iter::once(&self.cc_todo).chain(self.cc_wheel.peek());
        lists.flat_map(Link::peek).find_map(|link| {
            let inside = (at..at + size).contains(&link);
            inside.then(|| Callout::at(link))
        })
    }
}
