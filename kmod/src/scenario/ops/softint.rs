//! Operations on a softint that belongs to an LWP, which establishes it, schedules it and disestablishes it.
//!
//! The entry of the table is then free for the next LWP, and the data of the handler is freed.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::mem::{Acquire, AtomicU32, Relaxed, Release};
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::ops::world::World;

/// What the handler uses. Freed when the softint has been disestablished.
struct Own {
    level: Ipl,
    runs: AtomicU32,
    /// Whether softint_disestablish has returned.
    gone: AtomicU32,
}

crate::fields!(Own { runs, gone });

/// The softint of an LWP, if it has one.
#[derive(Default)]
pub(super) struct Established(Option<(Softint, &'static Own)>);

impl Own {
    fn assert_there(&self, what: &str) {
        if self.gone.load(Acquire) != 0 {
            broken_promise(
                "softint-gone",
                format_args!(
                    "a softint {what} on cpu{} after softint_disestablish has returned",
                    curcpu().index()
                ),
            );
        }
    }
}

fn runs(own: Arg) {
    let own: &Own = shared(own);
    own.assert_there("begins");
    let level = softint::level_of(curlwp());
    if level != own.level {
        broken_promise(
            "softint-level-own",
            format_args!(
                "a softint that was established at {} runs at {}",
                own.level.name(),
                level.name()
            ),
        );
    }
    own.runs.fetch_add(1, Relaxed);
    // It has to wait there, sometimes.
    shared::<World>(curlwp().kernel().data()).leaves[1].section();
    own.assert_there("still runs");
}

pub(super) fn establish(actor: &mut Actor, [level, _]: [u8; 2]) {
    if actor.softint.0.is_some() {
        return;
    }
    let level = Ipl::from_number(level);
    let own = Own {
        level,
        runs: AtomicU32::new(0),
        gone: AtomicU32::new(0),
    };
    let Some(own) = kmem_alloc("ops softint", own) else {
        return;
    };
    match softint::establish(level, runs, Arg::of(own)) {
        Some(softint) => actor.softint.0 = Some((softint, own)),
        // The table is full.
        // SAFETY: it came from `kmem_alloc` just now, and nobody else knows it.
        None => unsafe { kmem_free(own) },
    }
}

pub(super) fn schedule(actor: &mut Actor, [cpu, _]: [u8; 2]) {
    let cpus = curlwp().kernel().cpus();
    if let Some((softint, _)) = actor.softint.0 {
        synch::kpreempt_disable();
        softint::schedule_cpu(softint, &cpus[cpu as usize % cpus.len()]);
        synch::kpreempt_enable();
    }
}

pub(super) fn disestablish(actor: &mut Actor, _: [u8; 2]) {
    if let Some((softint, own)) = actor.softint.0.take() {
        softint::disestablish(softint);
        own.gone.store(1, Release);
        // SAFETY: (1) it came from `kmem_alloc`; (2) the softint neither runs nor will run: a promise under test.
        unsafe { kmem_free(own) };
    }
}
