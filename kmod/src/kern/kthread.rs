//! kthread(9): threads of the kernel.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::kthread::{Options, kthread_create, kthread_join};
//! use kmod::kern::lwp::{Arg, curlwp};
//! use kmod::mem::Plain;
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let answer = Plain::new(0);
//!     let options = Options { must_join: true, ..Options::default() };
//!     let compute = |answer| shared::<Plain<u32>>(answer).set(42);
//!     let kernel = curlwp().kernel();
//!     let worker = kthread_create(kernel, &options, compute, Arg::of(&answer), format_args!("worker"))
//!         .expect("memory");
//!     kthread_join(worker);
//!     assert_eq!(answer.get(), 42);
//! });
//! ```
//!
//! # Contexts
//!
//! Every function: thread that may sleep; [`kthread_create`] also while the kernel boots.
//!
//! # Differences from NetBSD
//!
//! A thread can be created at rest, and started later: scenarios let their actors start together.
//!
//! # Sources
//!
//! kthread(9); `sys/kern/kern_kthread.c`.

use core::fmt;
use core::sync::atomic::Ordering::Relaxed as Bare;

use crate::contract;
use crate::kern::contract::assert_sleepable;
use crate::kern::inside::inside;
use crate::kern::lwp::{self, Arg, LP_BOUND, Lwp, Name, Spec, Stat, curcpu, curlwp, pri};
use crate::kern::order;
use crate::kern::spl::{self, Ipl};
use crate::kern::{sched, synch};
use crate::kernel::Kernel;
use crate::machine;

/// The options of a new thread.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Its priority: a number of [`pri`].
    pub priority: u8,
    /// The CPU that it is bound to.
    pub cpu: Option<usize>,
    /// The CPU that it starts on, if it is not bound.
    pub begin_on: usize,
    /// Whether another thread will [`kthread_join`] it.
    pub must_join: bool,
    /// Whether it waits for `setrunnable` before it runs.
    pub at_rest: bool,
    /// Whether it is an actor of the scenario.
    pub actor: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            priority: pri::KTHREAD,
            cpu: None,
            begin_on: 0,
            must_join: false,
            at_rest: false,
            actor: false,
        }
    }
}

/// Creates a thread that runs `func(arg)` (`kthread_create`). Returns `None` if there is no memory.
#[track_caller]
pub fn kthread_create(
    kernel: &'static Kernel,
    options: &Options,
    func: fn(Arg),
    arg: Arg,
    name: fmt::Arguments<'_>,
) -> Option<&'static Lwp> {
    let spec = Spec {
        name: Name::format(name),
        cpu: kernel.cpu(options.cpu.unwrap_or(options.begin_on) % kernel.cpus().len()),
        priority: options.priority,
        pflag: if options.cpu.is_some() { LP_BOUND } else { 0 },
        func,
        arg,
        joinable: options.must_join,
        actor: options.actor,
    };
    let l = lwp::lwp_create(kernel, &spec, lwp::lwp_trampoline)?;
    order::creates(l);
    if !options.at_rest {
        l.lock();
        sched::setrunnable(l);
    }
    Some(l)
}

/// Ends the current thread (`kthread_exit`).
///
/// Panics: contracts `exit-nopreempt` if preemption is off, `exit-spl` if the level is raised, `exit-locks` if it holds
/// adaptive locks, `exit-psref` if it holds passive references; `exit-final` if it is made to run again.
#[track_caller]
pub fn kthread_exit() -> ! {
    let l = curlwp();
    assert_may_exit(l);
    order::thread_ends();
    if l.l_joinable.get_fused() {
        let lock = &l.kernel().lwp_lock;
        lock.enter();
        l.l_exited.set(true);
        l.kernel().unjoined.fetch_add(1, Bare);
        l.l_exitcv.broadcast();
        // Until it was joined, its LWP must not be reused.
        while l.l_joinable.get() {
            l.l_exitcv.wait(lock);
        }
        l.kernel().unjoined.fetch_sub(1, Bare);
        lock.exit();
    }
    l.lock();
    l.l_stat.set(Stat::Zomb);
    l.cpu_unlocked().ci_schedstate.spc_mutex.spin_enter();
    synch::mi_switch(l);
    machine::stop(
        machine::Stop::Contract("exit-final"),
        format_args!("{} has exited and runs again", l.name()),
    )
}

/// Checks that an exiting LWP holds nothing.
#[track_caller]
fn assert_may_exit(l: &Lwp) {
    contract!(
        l.l_nopreempt.get() == 0,
        "exit-nopreempt",
        "{} exits with preemption off: {} kpreempt_enable are missing",
        l.name(),
        l.l_nopreempt.get()
    );
    contract!(
        spl::ilevel() == Ipl::None,
        "exit-spl",
        "{} exits at level {}, with {} spin mutexes held and {} read sections open",
        l.name(),
        spl::ilevel().name(),
        -curcpu().ci_mtx_count.look(),
        curcpu().ci_psz_read_depth.look()
    );
    contract!(
        l.l_locks.get() == 0,
        "exit-locks",
        "{} exits with {} adaptive locks held",
        l.name(),
        l.l_locks.get()
    );
    contract!(
        l.l_psrefs.get() == 0,
        "exit-psref",
        "{} exits with {} passive references held",
        l.name(),
        l.l_psrefs.get()
    );
}

/// Waits until a thread has ended (`kthread_join`).
///
/// Panics: contracts `sleepable`, `join-joinable`.
#[track_caller]
pub fn kthread_join(l: &'static Lwp) {
    assert_sleepable("kthread_join");
    let _inside = inside("kthread_join");
    order::joins(l);
    let lock = &l.kernel().lwp_lock;
    lock.enter();
    contract!(
        l.l_joinable.get(),
        "join-joinable",
        "kthread_join({}), which was not created to be joined, or was joined already",
        l.name()
    );
    while !l.l_exited.get() {
        l.l_exitcv.wait(lock);
    }
    l.l_joinable.set(false);
    l.l_exitcv.broadcast();
    order::joined(l);
    lock.exit();
}
