//! epoch_call: deferred free. An object is freed when no reader can see it any more, and no thread waits for that.
//!
//! # Overview
//!
//! Readers are read sections of [`pserialize`](crate::kern::pserialize). A writer that removes an object from a list does not wait for them,
//! and need not be able to sleep: it passes the object to [`Epoch::call`], with the function that frees it. That
//! function runs in a thread, when every section that could have seen the object has ended.
//!
//! ```text
//! writer                      worker
//! remove(object)
//! call(object, free)   ─────► takes all that were handed over
//! goes on                     pserialize_perform
//!                             free(object), and the others
//! ```
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::epoch::{Epoch, EpochContext};
//! use kmod::kern::kmem::{kmem_alloc, kmem_free};
//! use kmod::kern::lwp::{Arg, curlwp};
//! use kmod::scenario::classics::shared;
//!
//! struct Route {
//!     context: EpochContext,
//! }
//!
//! fn free(route: Arg) {
//!     // SAFETY: it came from `kmem_alloc`, and no reader can see it any more.
//!     unsafe { kmem_free(shared::<Route>(route)) };
//! }
//!
//! run(|| {
//!     let epoch = Epoch::create(curlwp().kernel(), "routes").expect("memory");
//!     let route = kmem_alloc("route", Route { context: EpochContext::new() }).expect("memory");
//!     // ... the route was in a list, and has just been removed from it ...
//!     epoch.call(&route.context, free, Arg::of(route)); // does not wait
//!     epoch.free(); // waits for all calls
//! });
//! ```
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`Epoch::create`] | thread, or boot |
//! | [`Epoch::call`] | any, at most at IPL_VM; also in a read section |
//! | [`Epoch::wait`], [`Epoch::drain_callbacks`], [`Epoch::free`] | thread that may sleep, outside any read section |
//! | the function | thread that may sleep |
//!
//! # Invariants
//!
//! 1. A function runs after the end of each section that was open at its call.
//! 2. Functions run one after another, in the order of their calls.
//! 3. The worker does not touch a context once it has called its function, which may free it.
//!
//! # When to use something else
//!
//! For a writer that can sleep and frees one object: [`Pserialize::perform`]. For a reader that sleeps with the
//! object: [`psref`](crate::kern::psref), [`localcount`](crate::kern::localcount).
//!
//! # Differences from NetBSD
//!
//! NetBSD has none. The calls are those of FreeBSD's epoch(9); Linux's `call_rcu` and `rcu_barrier` are similar. Here
//! they use pserialize(9) and workqueue(9). Each epoch has one worker; FreeBSD has one per CPU, which polls. No
//! preemptible epochs.
//!
//! # Sources
//!
//! epoch(9) of FreeBSD; `sys/kern/subr_epoch.c`.

use crate::kern::kmem::{kmem_alloc_nosleep, kmem_free};
use crate::kern::lwp::{Arg, pri};
use crate::kern::mutex::Kmutex;
use crate::kern::pserialize::Pserialize;
use crate::kern::spl::Ipl;
use crate::kern::workqueue::{self, Work, Workers, Workqueue};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Guarded, Local};

/// The part of an object that is needed for a call (`struct epoch_context`).
pub struct EpochContext {
    ec_next: Guarded<Option<&'static EpochContext>>,
    ec_func: Guarded<Option<fn(Arg)>>,
    ec_arg: Guarded<Arg>,
}

crate::fields!(EpochContext {
    ec_next,
    ec_func,
    ec_arg
});

impl EpochContext {
    /// A context that was not used in a call.
    pub const fn new() -> Self {
        EpochContext {
            ec_next: Guarded::new(None),
            ec_func: Guarded::new(None),
            ec_arg: Guarded::new(Arg::NONE),
        }
    }
}

impl Default for EpochContext {
    fn default() -> Self {
        Self::new()
    }
}

/// The calls that the worker has not taken, in order. Protected by `ep_lock`.
struct List {
    first: Guarded<Option<&'static EpochContext>>,
    last: Guarded<Option<&'static EpochContext>>,
}

crate::fields!(List { first, last });

/// Objects that wait for the same readers (`epoch_t`).
pub struct Epoch {
    ep_lock: Kmutex,
    ep_calls: List,
    ep_psz: Pserialize,
    /// Enqueued while there are calls that the worker has not taken.
    ep_work: Work,
    /// Set before the epoch is known to others.
    ep_wq: Local<Option<&'static Workqueue>>,
}

crate::fields!(Epoch as Kernel {
    ep_lock,
    ep_calls,
    ep_psz,
    ep_work,
    ep_wq
});

impl Epoch {
    /// Creates an epoch with its worker (`epoch_alloc`). `name` is for reports. Returns `None` if there is no memory.
    ///
    /// Context: thread that may sleep, or boot.
    #[track_caller]
    pub fn create(kernel: &'static Kernel, name: &'static str) -> Option<&'static Epoch> {
        let epoch = kmem_alloc_nosleep(
            "epoch",
            Epoch {
                ep_lock: Kmutex::new(name, Ipl::Vm),
                ep_calls: List {
                    first: Guarded::new(None),
                    last: Guarded::new(None),
                },
                ep_psz: Pserialize::new(),
                ep_work: Work::new(Arg::NONE),
                ep_wq: Local::new(None),
            },
        )?;
        machine::label(epoch, format_args!("{name}"));
        let func = (run as workqueue::WorkFunc, Arg::of(epoch));
        let wq = workqueue::create(kernel, name, func, pri::KTHREAD, Ipl::Vm, Workers::One);
        if wq.is_none() {
            // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) nobody else knows it.
            unsafe { kmem_free(epoch) };
            return None;
        }
        epoch.ep_wq.set(wq);
        Some(epoch)
    }

    fn wq(&self) -> &'static Workqueue {
        match self.ep_wq.get() {
            Some(wq) => wq,
            None => unreachable!("an epoch has a workqueue before it is known"),
        }
    }

    /// Runs `func(arg)` when every read section that is open now has ended (`epoch_call`).
    ///
    /// `ctx` belongs to the epoch until then: it is part of the object that `func` frees.
    /// Context: any, at most at IPL_VM. Panics (contract `workqueue-ipl`) above that.
    /// [`crate::scenario::epoch`] has an example.
    #[track_caller]
    pub fn call(&self, ctx: &'static EpochContext, func: fn(Arg), arg: Arg) {
        self.ep_lock.spin_enter();
        ctx.ec_next.set(None);
        ctx.ec_func.set(Some(func));
        ctx.ec_arg.set(arg);
        match self.ep_calls.last.get() {
            Some(last) => last.ec_next.set(Some(ctx)),
            None => {
                self.ep_calls.first.set(Some(ctx));
                self.wq().enqueue(self.work(), None);
            }
        }
        self.ep_calls.last.set(Some(ctx));
        self.ep_lock.spin_exit();
    }

    fn work(&self) -> &'static Work {
        // SAFETY: an epoch is only made by `create`, and lives until `free`, which waits for the work.
        unsafe { &*core::ptr::from_ref(&self.ep_work) }
    }

    /// Waits until every read section that is open now has ended (`epoch_wait`).
    ///
    /// Context: thread that may sleep. Panics: as [`Pserialize::perform`].
    #[track_caller]
    pub fn wait(&self) {
        self.ep_psz.perform();
    }

    /// Waits until the functions of all calls have run (`epoch_drain_callbacks`).
    ///
    /// Context: thread that may sleep, but not such a function; no further calls are made. Panics: contract
    /// `sleepable`.
    #[track_caller]
    pub fn drain_callbacks(&self) {
        self.wq().wait(&self.ep_work);
    }

    /// Destroys an epoch when the functions of all calls have run (`epoch_free`).
    ///
    /// Context: thread that may sleep, but not such a function; no other thread uses the epoch. Panics: as
    /// [`Workqueue::destroy`].
    #[track_caller]
    pub fn free(&'static self) {
        self.wq().destroy();
        self.ep_psz.destroy();
        self.ep_lock.destroy();
        // SAFETY: (1) it came from `kmem_alloc_nosleep`; (2) its worker has ended, and nobody else uses it.
        unsafe { kmem_free(self) };
    }

    /// Takes all calls.
    fn take(&self) -> Option<&'static EpochContext> {
        self.ep_lock.spin_enter();
        let first = self.ep_calls.first.get();
        self.ep_calls.first.set(None);
        self.ep_calls.last.set(None);
        self.ep_lock.spin_exit();
        first
    }
}

/// The work: waits for the readers, and runs the functions of the earlier calls.
fn run(_: &'static Work, epoch: Arg) {
    // SAFETY: `free` waits for the worker, whose argument it is.
    let epoch: &'static Epoch = unsafe { epoch.get() };
    let first = epoch.take();
    epoch.ep_psz.perform();
    let mut next = first;
    while let Some(ctx) = next {
        next = ctx.ec_next.get();
        let (func, arg) = (ctx.ec_func.get(), ctx.ec_arg.get());
        if let Some(func) = func {
            func(arg);
        }
    }
}
