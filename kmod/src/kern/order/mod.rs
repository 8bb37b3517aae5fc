//! The order in which resources are taken: deadlocks that were possible in a run.
//!
//! # Overview
//!
//! The [wait-for graph](crate::kern::waits) shows who waits now. This module records, over a whole run, what each
//! thread held or occupied when it waited *or would have had to wait* for something else. Linux's lockdep does this
//! for locks; here it covers all resources of the wait-for graph. Dependencies of several threads that form a cycle,
//! and that could all happen at the same time, are a deadlock that the run avoided only by luck. No run needs to end
//! in it.
//!
//! # What is held, and what is waited for
//!
//! | resource | held by | waited for by |
//! |---|---|---|
//! | a mutex, adaptive; an rwlock | the thread that entered it | threads that enter it, contended or not; a try waits for nothing |
//! | the slot of a cross-call box | the request, on behalf of its requester, until the functions have returned | threads that make a cross call |
//! | what the requester holds | also the function of its request, because the requester waits for that | |
//! | a softint level of a CPU | the handler that runs there | a high-priority cross call |
//! | the softclock of a CPU | the handler of a callout | a timed sleep that nothing else ends (kpause) |
//! | the handler of a callout | the same | callout_halt |
//! | passive references, a localcount | the threads that acquired them | psref_target_destroy, localcount_drain |
//! | the end of a thread | the thread | kthread_join |
//! | the batch of a workqueue | its worker | workqueue_wait |
//!
//! # What is a cycle
//!
//! The threads of its dependencies are all distinct, including those for whom they run functions. None of them ends
//! before another begins (it created the other later, or joined it before). No *gate lock*, an exclusive resource, is
//! held at two of them. Readers of an rwlock do not wait for readers. An LWP that is not bound can sleep on any CPU,
//! so its kpause can wait for any softclock.
//!
//! # What is not seen
//!
//! * Spin mutexes: a holder waits for nothing but other spin mutexes.
//! * Condition variables in general, and waits that something else may end (`cv_timedwait`): the thread that would
//!   signal is not known.
//! * Readers that wait for a reader because a writer waits between them.
//! * A localcount's reference that one thread acquires and another releases: it counts as held by no thread.
//! * Where the caller waits for a cross call: it is assumed to wait where it makes the call, with what it holds
//!   there.
//! * An order of events, other than the creation and end of threads. So a cycle is a prediction until a schedule
//!   shows it.
//!
//! # Contexts
//!
//! Any but a hard interrupt. Recording adds no step: a run is the same with and without it.
//!
//! # Cost
//!
//! Without the feature `order` nothing is compiled in; without [`predict`](crate::config::Config::predict), a check
//! of one word.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::kern::callout::Callout;
use crate::kern::cpu::Cpu;
use crate::kern::kmem;
use crate::kern::lwp::{Lwp, curlwp};
use crate::kern::spl::{self, Ipl};
use crate::kernel::Kernel;
use crate::machine::{self, At};

mod cycle;
mod dependency;
mod life;
mod record;
mod tell;
#[cfg(test)]
mod tests;

pub use cycle::{Cycle, Dependencies, Edge, cycles};
pub use dependency::{Actor, Dependency, Holding, Requester, Resource, Sort, Whose};
pub use record::Lost;
pub use tell::{Line, LineBy, Witnesses};

use record::{Tables, Wait};

/// The word of the level on which softclocks run.
pub(crate) const SOFTCLOCK: &str = Ipl::SoftClock.name();

/// The recorded order in which a kernel takes resources.
pub struct Order {
    taken: AtomicBool,
    tables: UnsafeCell<Tables>,
}

// SAFETY: the tables are reached through `with` alone, one caller at a time.
unsafe impl Sync for Order {}

impl Order {
    /// Creates the tables of a kernel that predicts. Returns `None` if there is no memory.
    pub(crate) fn new() -> Option<&'static Order> {
        kmem::boot_alloc(
            "order",
            Order {
                taken: AtomicBool::new(false),
                tables: UnsafeCell::new(Tables::new()?),
            },
        )
    }

    /// Gives the caller exclusive access to the tables: no other CPU, and no interrupt of this one.
    fn with<T>(&self, f: impl FnOnce(&mut Tables) -> T) -> T {
        spl::aside(|| self.with_at_rest(f))
    }

    /// The same, where nothing on this CPU could interrupt.
    fn with_at_rest<T>(&self, f: impl FnOnce(&mut Tables) -> T) -> T {
        while self.taken.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: whoever has set `taken` has the tables alone; `f` is code of this module, which does not come back here.
        let result = f(unsafe { &mut *self.tables.get() });
        self.taken.store(false, Ordering::Release);
        result
    }
}

/// The tables of the kernel of `l`, if it predicts.
#[inline(always)]
fn order(l: &Lwp) -> Option<&'static Order> {
    match cfg!(feature = "order") {
        true => l.kernel().order(),
        false => None,
    }
}

fn address<T>(of: &T) -> usize {
    core::ptr::from_ref(of) as usize
}

/// A lock, identified by its address.
#[inline(always)]
pub(crate) fn lock<T>(sort: Sort, of: &T, name: &'static str) -> Resource {
    Resource::new(sort, address(of), name)
}

fn softint(level: Ipl, ci: &Cpu) -> Resource {
    let key = (level as usize) << 8 | ci.index();
    Resource::new(Sort::Softint, key, level.name())
}

fn softclock(ci: &Cpu) -> Resource {
    Resource::new(Sort::Softclock, ci.index(), "softclock")
}

fn handler(callout: usize) -> Resource {
    Resource::new(Sort::Callout, callout, "callout")
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) |$order:ident, $l:ident, $at:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[track_caller]
        pub(crate) fn $name($($arg: $type),*) {
            let l = curlwp();
            if let Some(order) = order(l) {
                #[cold]
                fn recorded($order: &Order, $l: &'static Lwp, $at: At, $($arg: $type),*) {
                    $body;
                }
                recorded(order, l, At::caller().lasting(), $($arg),*);
            }
        }
    )*};
}

hooks! {
    /// The caller is about to enter a lock, shared or exclusively, and waits for it if necessary.
    wants(resource: Resource, shared: bool) |order, l, at| {
        let wait = Wait { shared, ..Wait::new(resource, at) };
        order.with(|tables| tables.wait(l, l.cpu_unlocked().index(), &wait));
    };
    /// It waits for something, and releases `without` during the wait.
    wants_without(resource: Resource, without: Option<Resource>) |order, l, at| {
        let wait = Wait { without, ..Wait::new(resource, at) };
        order.with(|tables| tables.wait(l, l.cpu_unlocked().index(), &wait));
    };
    /// It waits for something, and sleeps in that function repeatedly.
    sleeps(resource: Resource, sleep: &'static str) |order, l, at| {
        let wait = Wait { sleep: Some(sleep), ..Wait::new(resource, at) };
        order.with(|tables| tables.wait(l, l.cpu_unlocked().index(), &wait));
    };
    /// The caller now holds it.
    holds(resource: Resource, shared: bool) |order, l, at| {
        order.with(|tables| tables.hold(l, resource, shared, at));
    };
    /// It now holds it shared, or no longer shared.
    changes(resource: Resource, shared: bool) |order, l, at| {
        order.with(|tables| tables.change(l, &resource, shared, at));
    };
    /// It no longer holds it.
    releases(resource: Resource) |order, l, _at| {
        order.with(|tables| tables.release(l, &resource));
    };
    /// A reference is released, by the thread that acquired it or by another.
    returns(resource: Resource) |order, l, _at| {
        order.with(|tables| {
            if !tables.release(l, &resource) {
                tables.release_of_any(&resource);
            }
        });
    };
    /// It sleeps until its timeout, which a softclock ends.
    pauses(sleep: &'static str, without: Option<Resource>) |order, l, at| {
        let ci = l.cpu_unlocked();
        let wait = Wait { sleep: Some(sleep), without, ..Wait::new(softclock(ci), at) };
        order.with(|tables| tables.wait(l, ci.index(), &wait));
    };
    /// A softint handler starts.
    handler_begins(level: Ipl) |order, l, at| {
        let level = softint(level, l.cpu_unlocked());
        order.with(|tables| tables.hold(l, level, false, at));
    };
    /// It has returned.
    handler_ends(level: Ipl) |order, l, _at| {
        let level = softint(level, l.cpu_unlocked());
        order.with(|tables| tables.release(l, &level));
    };
    /// The handler of a callout starts.
    callout_begins(callout: usize) |order, l, at| {
        let softclock = softclock(l.cpu_unlocked());
        order.with(|tables| {
            tables.hold(l, softclock, false, at);
            tables.hold(l, handler(callout), false, at);
        });
    };
    /// It has returned, and the callout may be gone.
    callout_ends(callout: usize) |order, l, _at| {
        let softclock = softclock(l.cpu_unlocked());
        order.with(|tables| {
            tables.release(l, &handler(callout));
            tables.release(l, &softclock);
        });
    };
    /// The caller waits for the handler of a callout, if that runs, and releases `interlock`; unless it is that
    /// handler.
    halts(callout: &Callout, interlock: Option<Resource>) |order, l, at| {
        let wants = handler(address(callout));
        let wait = Wait { without: interlock, ..Wait::new(wants, at) };
        order.with(|tables| {
            if !tables.holds(l, &wants) {
                tables.wait(l, l.cpu_unlocked().index(), &wait);
            }
        });
    };
    /// The caller has put a request into a box, and waits for its functions to return, without holding `lock`.
    requests(resource: Resource, lock: Resource) |order, l, at| {
        order.with(|tables| tables.request(l, resource, &lock, at));
    };
    /// A request waits for the level at which its functions run on `ci`; its box is called `word`.
    request_needs(level: Ipl, ci: &Cpu, word: &'static str) |order, l, at| {
        let wait = Wait { via: Some(word), ..Wait::new(softint(level, ci), at) };
        order.with(|tables| tables.wait(l, l.cpu_unlocked().index(), &wait));
    };
    /// The function of the request in a box starts.
    function_begins(resource: Resource) |order, l, _at| {
        order.with(|tables| tables.begin(l, &resource));
    };
    /// It has returned.
    function_ends() |order, l, _at| {
        order.with(|tables| tables.end(l));
    };
    /// The caller has created a thread.
    creates(created: &Lwp) |order, l, _at| {
        order.with(|tables| tables.born(created, l));
    };
    /// A thread has started, and others may wait for its end.
    thread_begins() |order, l, at| {
        order.with(|tables| tables.hold(l, record::end_of(l), false, at));
    };
    /// It ends.
    thread_ends() |order, l, _at| {
        order.with(|tables| tables.release(l, &record::end_of(l)));
    };
    /// The caller waits for the end of a thread.
    joins(other: &Lwp) |order, l, at| {
        let wait = Wait::new(record::end_of(other), at);
        order.with(|tables| tables.wait(l, l.cpu_unlocked().index(), &wait));
    };
    /// It has ended.
    joined(other: &Lwp) |order, l, _at| {
        order.with(|tables| tables.joined(other, l));
    };
    /// Memory is freed.
    forgets(from: usize, size: usize) |order, _l, _at| {
        order.with(|tables| tables.forget(from, size));
    };
}

/// Calls `visit` with each dependency of this run. Returns what did not fit into the tables.
///
/// Context: outside all contexts, when every CPU is idle or the kernel has stopped.
pub fn dependencies(kernel: &'static Kernel, visit: &mut dyn FnMut(&Dependency)) -> Lost {
    let Some(order) = kernel.order() else {
        return Lost::default();
    };
    order.with_at_rest(|tables| {
        tables.settle();
        tables.dependencies().iter().flatten().for_each(visit);
        tables.lost()
    })
}

/// Ends a round of the booted machine: prints its predictions, and forgets its dependencies.
///
/// Context: thread; nothing of the round runs any more.
pub(crate) fn round_ends(kernel: &'static Kernel, number: u64) {
    let Some(order) = kernel.order() else { return };
    order.with(|tables| {
        tables.look(&mut |cycle| machine::console(format_args!("{}", Comment(number, cycle))));
        tables.clear();
    });
}

/// How many kinds of deadlocks the rounds so far predict, and what was not recorded; `None` if the kernel does not
/// predict.
///
/// Context: outside all contexts, or in a thread.
pub fn predicted(kernel: &'static Kernel) -> Option<(usize, Lost)> {
    let order = kernel.order()?;
    Some(order.with_at_rest(|tables| (tables.kinds(), tables.lost())))
}

/// A prediction in the output of a booted machine: lines that begin with `#`.
struct Comment<'a>(u64, Cycle<'a>);

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comment(number, cycle) = *self;
        writeln!(f, "# predicted in round {}: {}", number + 1, Line(cycle))?;
        writeln!(f, "#   by: {}", LineBy(cycle))?;
        write!(tell::Commented::new(f), "{}", Witnesses(cycle))
    }
}

/// The cycles of a round that has not ended, as text, one of each kind.
pub struct Unfinished(pub &'static Kernel);

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(order) = self.0.order() else {
            return f.write_str("nothing was recorded\n");
        };
        let mut result = Ok(());
        order.with_at_rest(|tables| {
            tables.look(&mut |cycle| {
                result = result.and_then(|()| {
                    writeln!(f, "{}\n  by: {}", Line(cycle), LineBy(cycle))?;
                    write!(f, "{}", Witnesses(cycle))
                });
            });
        });
        result
    }
}
