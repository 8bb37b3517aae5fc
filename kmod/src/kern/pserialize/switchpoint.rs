//! The algorithm of pserialize until the end of 2019: waiting for context switches.
//!
//! # Overview
//!
//! A section cannot be open across a context switch. So a request waits until every CPU has passed two *switch
//! points*. The request moves from the first queue to the second when all CPUs have passed one, and to the third when
//! all have passed another. From the third queue it is removed, and its target set is emptied. `perform` pokes every
//! CPU with a cross call, round after round, until that has happened.
//!
//! Between two rounds it *sleeps a tick* ([`Bug::PserializeKpause`]): in every round up to 1.10; from 1.11 on
//! ([`Bug::PserializeLateKpause`]) only from the third round on, which few requests reach. The softclock ends a sleep
//! of a tick. So a thread that performs while it holds a lock that a callout takes may wait for itself.
//!
//! # Contexts
//!
//! `perform`: thread that may sleep; one LWP at a time for a [`Request`]. `switchpoint`: with the level at
//! IPL_SCHED or above.
//!
//! # Sources
//!
//! `sys/kern/subr_pserialize.c` 1.8 (every round), 1.11 to 1.13 (late).

use crate::contract;
use crate::history::Bug;
use crate::kern::circq::Link;
use crate::kern::cpu::Cpu;
use crate::kern::hooks::{self, Hook};
use crate::kern::lwp::{Lwp, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kern::synch::kpause;
use crate::kern::xcall::{self, Priority};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{AtomicRef, AtomicU32, Guarded, Relaxed};

/// Rounds without a sleep in 1.11.
const ROUNDS_WITHOUT_SLEEP: u32 = 2;

/// The requests of a kernel.
pub(crate) struct Switchpoints {
    /// Protects the queues and the sets of the requests on them.
    psz_lock: Kmutex,
    /// Requests for which no, one, and two rounds of switch points have been seen.
    psz_queue: [Link; 3],
    /// Number of requests on the queues. Read without the lock.
    psz_work_todo: AtomicU32,
}

crate::fields!(Switchpoints {
    psz_lock,
    psz_queue,
    psz_work_todo
});

impl Switchpoints {
    pub(crate) const fn new() -> Self {
        Switchpoints {
            psz_lock: Kmutex::new("psz_lock", Ipl::Sched),
            psz_queue: [const { Link::new() }; 3],
            psz_work_todo: AtomicU32::new(0),
        }
    }

    /// Initializes the queues in place.
    pub(crate) fn init(&self) {
        self.psz_queue.iter().for_each(Link::init);
    }
}

/// A request of an LWP that performs.
#[derive(Default)]
#[repr(C)]
pub(super) struct Request {
    psz_chain: Link,
    psz_owner: AtomicRef<Lwp>,
    /// CPUs that are still waited for, one bit each; none: done.
    psz_target: Guarded<u32>,
    /// CPUs that have passed a switch point in this round.
    psz_pass: Guarded<u32>,
}

crate::fields!(Request {
    psz_chain,
    psz_owner,
    psz_target,
    psz_pass
});

impl Request {
    pub(super) const fn new() -> Self {
        Request {
            psz_chain: Link::new(),
            psz_owner: AtomicRef::new(),
            psz_target: Guarded::new(0),
            psz_pass: Guarded::new(0),
        }
    }

    fn at(addr: usize) -> &'static Request {
        // SAFETY: (1) the link is the first field; (2) only requests are put on the queues, and `perform` does not
        // return before its request was taken off.
        unsafe { &*(addr as *const Request) }
    }

    /// Panics (contract `psz-owner`) if an LWP performs.
    #[track_caller]
    pub(super) fn assert_unowned(&self, what: &str) {
        contract!(
            self.psz_owner.peek().is_none(),
            "psz-owner",
            "{what} by {} while {} performs: one at a time",
            curlwp().name(),
            self.psz_owner.peek().map_or(curlwp().name(), Lwp::name)
        );
    }
}

/// Runs the old algorithm if it is switched on. Returns whether it is.
#[track_caller]
pub(super) fn perform(kernel: &'static Kernel, request: &Request) -> bool {
    let history = kernel.config().history;
    // subr_pserialize.c 1.8: xcall, then kpause, round after round.
    if history.has(Bug::PserializeKpause) {
        rounds(kernel, request, |_| false, |_| true);
        return true;
    }
    // subr_pserialize.c 1.11 (2018-04-16): kpause, then xcall, and the first rounds without.
    if history.has(Bug::PserializeLateKpause) {
        rounds(
            kernel,
            request,
            |round| round >= ROUNDS_WITHOUT_SLEEP,
            |_| false,
        );
        return true;
    }
    false
}

/// Rounds of pokes, until the request is off the queues. `before` and `after` say in which rounds it sleeps a tick
/// before and after the cross call.
#[track_caller]
fn rounds(
    kernel: &'static Kernel,
    request: &Request,
    before: fn(u32) -> bool,
    after: fn(u32) -> bool,
) {
    let psz = &kernel.switchpoints;
    request.assert_unowned("pserialize_perform");
    request.psz_owner.store_fused(Some(curlwp()), Relaxed);
    psz.psz_lock.spin_enter();
    request.psz_target.set((1 << kernel.cpus().len()) - 1);
    request.psz_pass.set(0);
    psz.psz_queue[0].append(&request.psz_chain);
    psz.count(1);
    let mut round = 0;
    loop {
        psz.psz_lock.spin_exit();
        if before(round) {
            kpause("psrlz", 1, None);
        }
        // Some context switch on every CPU, as the CPU may be idle.
        xcall::barrier(Priority::HIGH);
        if after(round) {
            kpause("psrlz", 1, None);
        }
        round += 1;
        psz.psz_lock.spin_enter();
        if request.psz_target.get() == 0 {
            break;
        }
    }
    psz.psz_lock.spin_exit();
    request.psz_owner.store_fused(None, Relaxed);
}

/// Tells every request that this CPU is in no read section (`pserialize_switchpoint`).
///
/// Context: in `mi_switch`, in the start of an LWP, at the end of a softint; level IPL_SCHED at least.
#[inline]
pub(crate) fn switchpoint(ci: &'static Cpu) {
    hooks::call(ci, Hook::Switchpoint);
    let psz = &ci.kernel().switchpoints;
    // Without the lock: a request that is missed now gets its cross call.
    if cfg!(feature = "history") {
        machine::unchecked(&psz.psz_work_todo, false);
    }
    if cfg!(feature = "history") && psz.psz_work_todo.bare().load(Relaxed) != 0 {
        psz.pass(ci);
    }
}

impl Switchpoints {
    /// Adds to the number of requests on the queues. `psz_lock` is held.
    fn count(&self, change: i32) {
        let todo = self.psz_work_todo.load_fused(Relaxed);
        self.psz_work_todo
            .store_fused(todo.wrapping_add_signed(change), Relaxed);
    }

    #[cold]
    fn pass(&self, ci: &'static Cpu) {
        self.psz_lock.spin_enter();
        // The second queue first, so that no request passes twice at one switch point.
        self.pass_queue(1, ci);
        self.pass_queue(0, ci);
        while let Some(first) = self.psz_queue[2].first() {
            let request = Request::at(first);
            request.psz_chain.remove();
            self.count(-1);
            // Last: from here on its owner may free it.
            request.psz_target.set(0);
        }
        self.psz_lock.spin_exit();
    }

    /// Counts this CPU for the requests on a queue, and moves on those that have seen all of their CPUs.
    fn pass_queue(&self, number: usize, ci: &'static Cpu) {
        let (queue, next) = (&self.psz_queue[number], &self.psz_queue[number + 1]);
        let mut link = queue.first();
        while let Some(at) = link {
            link = queue.after(at);
            let request = Request::at(at);
            request
                .psz_pass
                .set(request.psz_pass.get() | 1 << ci.index());
            if request.psz_pass.get() == request.psz_target.get() {
                request.psz_pass.set(0);
                request.psz_chain.remove();
                next.append(&request.psz_chain);
            }
        }
    }
}
