//! workqueue(9): defers work to a thread.
//!
//! # Overview
//!
//! Code that must not sleep, or does not want to, *enqueues* a [`Work`]; a worker thread calls the queue's function
//! for it. A queue has one worker, or one bound to each CPU. A worker takes all pending work at once, a *batch*, and
//! calls the function for each work in the order of arrival.
//!
//! A [`Work`] is a link in a list, so nothing is allocated. It belongs to the queue from the enqueue until its
//! function is called. The function may free it, or enqueue it again.
//!
//! # Examples
//!
//! ```
//! use hostshim::example::run;
//! use kmod::kern::kmem::{kmem_alloc, kmem_free};
//! use kmod::kern::lwp::{Arg, curlwp, pri};
//! use kmod::kern::spl::Ipl;
//! use kmod::kern::workqueue::{self, Work, Workers};
//! use kmod::mem::{AtomicU32, Relaxed};
//! use kmod::scenario::classics::shared;
//!
//! run(|| {
//!     let done = AtomicU32::new(0);
//!     let work = |work: &'static Work, _| { shared::<AtomicU32>(work.arg()).fetch_add(1, Relaxed); };
//!     let kernel = curlwp().kernel();
//!     let queue = workqueue::create(kernel, "example", (work, Arg::NONE), pri::KTHREAD, Ipl::None, Workers::One)
//!         .expect("memory");
//!     let work = kmem_alloc("work", Work::new(Arg::of(&done))).expect("memory");
//!     queue.enqueue(work, None);
//!     queue.wait(work);
//!     assert_eq!(done.load(Relaxed), 1);
//!     queue.destroy();
//!     // SAFETY: it came from `kmem_alloc`, and its queue is gone.
//!     unsafe { kmem_free(work) };
//! });
//! ```
//!
//! # Contexts
//!
//! | call | context |
//! |---|---|
//! | [`create`] | thread, or boot |
//! | [`Workqueue::enqueue`] | any, at most at the level given to `create` |
//! | [`Workqueue::wait`], [`Workqueue::destroy`] | thread that may sleep |
//! | the function | a thread that may sleep |
//!
//! # Waiting for a work
//!
//! Only the worker may read the list of the batch that runs, because a work may be freed as soon as its function is
//! called. But the queue has a *generation*, which is odd while a batch runs and incremented when it ends.
//! [`Workqueue::wait`] looks for the work among the pending, and sleeps as long as it is there. After that, if a
//! batch runs, the work may be in it, so `wait` sleeps until the generation changes:
//!
//! ```text
//! worker                              waiter
//! take the pending, gen |= 1 (1)
//!   f(a)                              c is pending: sleep
//!   f(b)
//! gen += 1 (2), broadcast
//! take the pending, gen |= 1 (3)      c is not pending, gen is 3: sleep until it is not 3
//!   f(c)
//! gen += 1 (4), broadcast             returns
//! ```
//!
//! It may wait longer than necessary: for the rest of a batch that does not contain the work, or no longer does.
//!
//! # Invariants
//!
//! 1. The generation is odd exactly while the worker calls functions.
//! 2. A work is on at most one list. (The same work enqueued twice would join two lists.)
//! 3. The worker does not touch a work once it has called its function.
//!
//! # When to use something else
//!
//! Work that must run soon and does not sleep: softint(9). Work that must run at a certain time: callout(9).
//!
//! # Differences from NetBSD
//!
//! A work carries an argument; in NetBSD it is the first member of its container. Enqueueing a work twice is always
//! detected, even while it waits in a batch. [`Workqueue::destroy`] finishes the pending work; NetBSD's asserts that
//! there is none. No floating point.
//!
//! # Sources
//!
//! workqueue(9); `sys/kern/subr_workqueue.c` 1.48.

use crate::contract;
use crate::kern::condvar::Kcondvar;
use crate::kern::contract::assert_sleepable;
use crate::kern::cpu::Cpu;
use crate::kern::inside::{Awaited, inside_for};
use crate::kern::kmem::{kmem_alloc_nosleep, kmem_alloc_slice_nosleep, kmem_free, kmem_free_slice};
use crate::kern::kthread::{self, Options};
use crate::kern::lwp::{Arg, Lwp, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::order::{self, Resource, Sort};
use crate::kern::sched;
use crate::kern::spl::{self, Ipl};
use crate::kernel::Kernel;
use crate::machine::{self, Described, Field};
use crate::mem::{AtomicBool, Local, Plain, Relaxed};
use crate::note;

/// A piece of work (`struct work`): a link of a queue, and an argument.
pub struct Work {
    wk_next: Plain<Option<&'static Work>>,
    /// Whether it belongs to a queue. Only for contracts, so it orders nothing.
    wk_enqueued: AtomicBool,
    wk_arg: Arg,
}

crate::fields!(Work {
    wk_next,
    wk_enqueued
});

impl Work {
    /// Creates a work with the argument `arg`, on no queue.
    pub const fn new(arg: Arg) -> Self {
        Work {
            wk_next: Plain::new(None),
            wk_enqueued: AtomicBool::new(false),
            wk_arg: arg,
        }
    }

    /// Its argument.
    pub fn arg(&self) -> Arg {
        self.wk_arg
    }

    /// Marks it as belonging to the queue.
    #[track_caller]
    fn claim(&self, queue: &str) {
        if cfg!(feature = "contracts") {
            let free = self
                .wk_enqueued
                .compare_exchange_fused(false, true, Relaxed, Relaxed);
            contract!(
                free.is_ok(),
                "workqueue-twice",
                "workqueue_enqueue({queue}) of a work that is on a queue already"
            );
        }
    }

    /// Marks it as belonging to its function.
    #[track_caller]
    fn give(&self) {
        if cfg!(feature = "contracts") {
            self.wk_enqueued.store_fused(false, Relaxed);
        }
    }
}

/// The function of a queue.
pub type WorkFunc = fn(&'static Work, Arg);

/// A worker and its work (`struct workqueue_queue`).
pub struct Queue {
    q_mutex: Kmutex,
    /// Work has arrived, or a batch has ended.
    q_cv: Kcondvar,
    q_first: Plain<Option<&'static Work>>,
    q_last: Plain<Option<&'static Work>>,
    /// Odd while a batch runs.
    q_gen: Plain<u64>,
    q_exiting: Plain<bool>,
    /// These two are set before the queue is known to others.
    q_worker: Local<Option<&'static Lwp>>,
    q_wq: Local<Option<&'static Workqueue>>,
}

crate::fields!(Queue as Kernel {
    q_mutex,
    q_first,
    q_last,
    q_gen,
    q_exiting,
    q_worker,
    q_wq
});

/// A queue of work (`struct workqueue`).
pub struct Workqueue {
    wq_name: &'static str,
    wq_func: WorkFunc,
    wq_arg: Arg,
    wq_ipl: Ipl,
    wq_percpu: bool,
    /// One, or one per CPU.
    wq_queues: &'static [Queue],
}

impl Described for Workqueue {
    const FIELDS: &'static [Field] = &[];
}

/// The number of workers of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workers {
    /// One thread, not bound to a CPU.
    One,
    /// A thread on each CPU (`WQ_PERCPU`).
    PerCpu,
}

/// Creates a queue whose workers call `func(work, arg)` at `priority` (`workqueue_create`).
///
/// `ipl` is the highest level at which work is enqueued. Returns `None` if there is no memory.
/// Context: thread that may sleep, or boot. Panics (contract `workqueue-create-ipl`) if the level is above IPL_SCHED,
/// where no thread can be woken.
#[track_caller]
pub fn create(
    kernel: &'static Kernel,
    name: &'static str,
    (func, arg): (WorkFunc, Arg),
    priority: u8,
    ipl: Ipl,
    workers: Workers,
) -> Option<&'static Workqueue> {
    contract!(
        ipl <= Ipl::Sched,
        "workqueue-create-ipl",
        "workqueue_create({name}) for level {}: above sched no thread can be woken",
        ipl.name()
    );
    let percpu = workers == Workers::PerCpu;
    let count = if percpu { kernel.cpus().len() } else { 1 };
    let queues = kmem_alloc_slice_nosleep("workqueue queues", count, |_| Queue::new(name, ipl))?;
    let wq = Workqueue {
        wq_name: name,
        wq_func: func,
        wq_arg: arg,
        wq_ipl: ipl,
        wq_percpu: percpu,
        wq_queues: queues,
    };
    let Some(wq) = kmem_alloc_nosleep("workqueue", wq) else {
        // SAFETY: (1) they came from `kmem_alloc_slice_nosleep`; (2) nobody else knows them.
        unsafe { kmem_free_slice(queues) };
        return None;
    };
    let complete = queues
        .iter()
        .enumerate()
        .all(|(index, queue)| queue.start(kernel, wq, index, priority));
    if !complete {
        wq.destroy();
        return None;
    }
    Some(wq)
}

impl Workqueue {
    /// Enqueues `wk`, so that the worker of CPU `ci` calls the queue's function for it (`workqueue_enqueue`).
    ///
    /// Without a CPU: the worker of the current CPU, or the only one.
    /// Context: any, at most at the level given to [`create`]. Panics: contracts `workqueue-ipl`, `workqueue-cpu`,
    /// `workqueue-twice`, `workqueue-dying`.
    #[track_caller]
    pub fn enqueue(&'static self, wk: &'static Work, ci: Option<&'static Cpu>) {
        contract!(
            spl::ilevel() <= self.wq_ipl,
            "workqueue-ipl",
            "workqueue_enqueue({}) at level {}, and it was created for {} at most",
            self.wq_name,
            spl::ilevel().name(),
            self.wq_ipl.name()
        );
        contract!(
            self.wq_percpu || ci.is_none(),
            "workqueue-cpu",
            "workqueue_enqueue({}) for a CPU, and it has one worker for all",
            self.wq_name
        );
        let queue = self.queue_of(ci);
        queue.q_mutex.enter();
        contract!(
            !queue.q_exiting.get(),
            "workqueue-dying",
            "workqueue_enqueue({}) while it is destroyed",
            self.wq_name
        );
        wk.claim(self.wq_name);
        queue.append(wk);
        queue.q_cv.broadcast();
        queue.q_mutex.exit();
    }

    /// Waits until the function of `wk`, if it was enqueued, has returned (`workqueue_wait`).
    ///
    /// The caller makes sure that `wk` is not enqueued during the wait. If called by a worker, it does not wait for
    /// the work of that same worker. `wk` is compared but not accessed: it may already be freed.
    /// Context: thread that may sleep. Panics: contract `sleepable`.
    #[track_caller]
    pub fn wait(&self, wk: &Work) {
        assert_sleepable("workqueue_wait");
        for queue in self.wq_queues {
            let _inside = inside_for("workqueue_wait", Awaited::Work(Arg::of(queue)));
            order::wants(queue.resource(self.wq_name), false);
            if queue.wait(wk) {
                break;
            }
        }
    }

    /// Destroys a queue when all its work is done (`workqueue_destroy`).
    ///
    /// Context: thread that may sleep, not a worker of this queue; nothing is enqueued any more. Panics: contracts
    /// `sleepable`, `workqueue-self-destroy`, `cv-waiters` if a thread waits for work of it.
    #[track_caller]
    pub fn destroy(&'static self) {
        assert_sleepable("workqueue_destroy");
        for queue in self.wq_queues {
            contract!(
                !queue.is_own(),
                "workqueue-self-destroy",
                "workqueue_destroy({}) by its own worker {}",
                self.wq_name,
                curlwp().name()
            );
            queue.q_mutex.enter();
            queue.q_exiting.set(true);
            queue.q_cv.broadcast();
            queue.q_mutex.exit();
        }
        for queue in self.wq_queues {
            if let Some(worker) = queue.q_worker.get() {
                kthread::kthread_join(worker);
            }
            queue.q_cv.destroy();
        }
        note!("the workqueue {} is gone", self.wq_name);
        let queues = self.wq_queues;
        // SAFETY: (1) it came from `kmem_alloc_slice_nosleep`; (2) the workers have ended, and nobody else enqueues or waits.
        unsafe { kmem_free_slice(queues) };
        // SAFETY: likewise, from `kmem_alloc_nosleep`.
        unsafe { kmem_free(self) };
    }

    /// The name given to it.
    pub fn name(&self) -> &'static str {
        self.wq_name
    }

    /// Whether it has a worker per CPU.
    pub fn is_percpu(&self) -> bool {
        self.wq_percpu
    }

    fn queue_of(&self, ci: Option<&'static Cpu>) -> &'static Queue {
        let index = match ci {
            _ if !self.wq_percpu => 0,
            Some(ci) => ci.index(),
            None => curlwp().of_cpu(Cpu::index),
        };
        &self.wq_queues[index]
    }
}

impl Queue {
    fn new(name: &'static str, ipl: Ipl) -> Self {
        Queue {
            q_mutex: Kmutex::new(name, ipl),
            q_cv: Kcondvar::new(name),
            q_first: Plain::new(None),
            q_last: Plain::new(None),
            q_gen: Plain::new(0),
            q_exiting: Plain::new(false),
            q_worker: Local::new(None),
            q_wq: Local::new(None),
        }
    }

    /// Creates the worker. Returns false if there is no memory for it.
    fn start(
        &'static self,
        kernel: &'static Kernel,
        wq: &'static Workqueue,
        index: usize,
        priority: u8,
    ) -> bool {
        self.q_wq.set(Some(wq));
        machine::label(self, format_args!("{}/{index}.queue", wq.wq_name));
        let options = Options {
            priority,
            cpu: wq.wq_percpu.then_some(index),
            must_join: true,
            at_rest: true,
            ..Options::default()
        };
        let arg = Arg::of(self);
        let worker = if wq.wq_percpu {
            let name = format_args!("{}/{index}", wq.wq_name);
            kthread::kthread_create(kernel, &options, run_worker, arg, name)
        } else {
            let name = format_args!("{}", wq.wq_name);
            kthread::kthread_create(kernel, &options, run_worker, arg, name)
        };
        self.q_worker.set(worker);
        // It starts only now, so that it finds itself here.
        worker.is_some_and(|worker| {
            worker.lock();
            sched::setrunnable(worker);
            true
        })
    }

    /// The resource that threads wait for while a batch runs.
    #[inline(always)]
    fn resource(&self, name: &'static str) -> Resource {
        order::lock(Sort::Work, self, name)
    }

    fn is_own(&self) -> bool {
        self.q_worker
            .get()
            .is_some_and(|worker| core::ptr::eq(worker, curlwp()))
    }

    /// Waits for a work that may be on this queue (`workqueue_q_wait`). Returns whether it was found here.
    #[track_caller]
    fn wait(&self, wk: &Work) -> bool {
        self.q_mutex.enter();
        if self.is_own() {
            self.q_mutex.exit();
            return false;
        }
        let mut found = false;
        while self.is_pending(wk) {
            found = true;
            self.sleep();
        }
        // It may be in the batch that runs, whose list only the worker may read.
        let generation = self.q_gen.get();
        if generation & 1 != 0 {
            while self.q_gen.get() == generation {
                self.sleep();
            }
        }
        self.q_mutex.exit();
        found
    }

    /// The name of the workqueue: for reports.
    pub(crate) fn name(&self) -> &'static str {
        self.q_mutex.name()
    }

    /// Whether threads that wait for its work sleep on `wchan`. For reports.
    pub(crate) fn is_wchan(&self, wchan: usize) -> bool {
        self.q_cv.is_wchan(wchan)
    }

    /// Its worker. For reports.
    pub(crate) fn worker(&self) -> Option<&'static Lwp> {
        self.q_worker.peek()
    }

    #[track_caller]
    fn sleep(&self) {
        curlwp().kernel().counters.wq_waits.incr();
        self.q_cv.wait(&self.q_mutex);
    }

    /// Appends a work to the pending ones. The mutex is held.
    fn append(&self, wk: &'static Work) {
        wk.wk_next.set(None);
        match self.q_last.get() {
            Some(last) => last.wk_next.set(Some(wk)),
            None => self.q_first.set(Some(wk)),
        }
        self.q_last.set(Some(wk));
    }

    /// Takes all pending work as a batch. The mutex is held.
    fn take(&self) -> Option<&'static Work> {
        let batch = self.q_first.replace(None);
        self.q_last.set(None);
        batch
    }

    /// Whether a work is pending. The mutex is held.
    fn is_pending(&self, wk: &Work) -> bool {
        let mut pending = self.q_first.get();
        while let Some(other) = pending {
            if core::ptr::eq(other, wk) {
                return true;
            }
            pending = other.wk_next.get();
        }
        false
    }

    /// The loop of the worker: batch after batch, until the queue is destroyed and nothing is pending.
    ///
    /// Panics: contract `workqueue-generation`.
    fn work(&self, wq: &Workqueue) {
        self.q_mutex.enter();
        loop {
            while self.q_first.get().is_none() {
                if self.q_exiting.get() {
                    self.q_mutex.exit();
                    return;
                }
                self.q_cv.wait(&self.q_mutex);
            }
            let batch = self.take();
            self.q_gen.set(self.q_gen.get() | 1);
            self.q_mutex.exit();
            curlwp().kernel().counters.wq_batches.incr();

            order::holds(self.resource(wq.wq_name), false);
            wq.run(batch);
            order::releases(self.resource(wq.wq_name));

            self.q_mutex.enter();
            let generation = self.q_gen.get();
            contract!(
                generation & 1 != 0,
                "workqueue-generation",
                "a batch of {} ends in generation {generation}, in which none runs",
                wq.wq_name
            );
            self.q_gen.set(generation + 1);
            self.q_cv.broadcast();
        }
    }
}

impl Workqueue {
    /// Calls the function for each work of a batch (`workqueue_runlist`).
    fn run(&self, batch: Option<&'static Work>) {
        let mut rest = batch;
        while let Some(wk) = rest {
            // First, because the work may be freed or enqueued again once its function has been called.
            rest = wk.wk_next.get();
            wk.give();
            (self.wq_func)(wk, self.wq_arg);
        }
    }
}

fn run_worker(queue: Arg) {
    // SAFETY: the queue gave itself to the worker, and is not freed before the worker was joined.
    let queue: &'static Queue = unsafe { queue.get() };
    if let Some(wq) = queue.q_wq.get() {
        queue.work(wq);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::vec::Vec;

    fn works(count: usize) -> Vec<&'static Work> {
        let make = |number| &*Box::leak(Box::new(Work::new(Arg(number))));
        (0..count).map(make).collect()
    }

    fn batch(queue: &Queue) -> Vec<usize> {
        core::iter::successors(queue.take(), |wk| wk.wk_next.get())
            .map(|wk| wk.arg().0)
            .collect()
    }

    #[test]
    fn a_batch_is_all_that_was_pending_in_order() {
        let queue = Queue::new("test", Ipl::None);
        let works = works(3);
        works.iter().for_each(|wk| queue.append(wk));
        assert_eq!(batch(&queue), [0, 1, 2]);
        assert!(batch(&queue).is_empty());
    }

    #[test]
    fn what_comes_after_a_batch_was_taken_is_not_in_it() {
        let queue = Queue::new("test", Ipl::None);
        let works = works(3);
        queue.append(works[0]);
        queue.append(works[1]);
        let first = queue.take();
        queue.append(works[2]);
        let first = core::iter::successors(first, |wk| wk.wk_next.get());
        assert_eq!(first.map(|wk| wk.arg().0).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(batch(&queue), [2]);
    }

    #[test]
    fn only_the_pending_are_found() {
        let queue = Queue::new("test", Ipl::None);
        let works = works(3);
        queue.append(works[0]);
        queue.append(works[1]);
        assert!(queue.is_pending(works[0]) && queue.is_pending(works[1]));
        assert!(!queue.is_pending(works[2]));
        queue.take();
        assert!(works.iter().all(|wk| !queue.is_pending(wk)));
    }

    #[test]
    #[cfg(feature = "contracts")]
    fn a_work_is_one_queues_until_its_function_is_called() {
        let work = works(1)[0];
        work.claim("test");
        let claim = std::panic::AssertUnwindSafe(|| work.claim("test"));
        let again = std::panic::catch_unwind(claim);
        assert!(again.is_err());
        work.give();
        work.claim("test");
    }
}
