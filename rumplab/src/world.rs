//! What a program consists of, in memory of the machine: every run begins with what the setup has put here.
//!
//! The machine does not see accesses to this. CPUs take turns, and none of the functions here contains a step, so each is atomic.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kmod::kern::lwp::{Arg, curlwp};
use kmod::kernel::Kernel;

use crate::thread::Thread;

/// Something to be called once, when nothing runs any more.
type AtRest = Box<dyn FnOnce(&'static Kernel)>;

/// The world of a kernel.
pub(crate) struct World {
    /// What must hold at the end.
    pub(crate) checks: RefCell<Vec<Box<dyn FnOnce()>>>,
    /// What is to be given back then, the last first.
    pub(crate) leftovers: RefCell<Vec<AtRest>>,
    /// How many threads were placed on a CPU.
    placed: Cell<usize>,
    /// How many objects have a name of this beginning.
    names: RefCell<Vec<(String, usize)>>,
    /// The counts of each `Arc` that is a raw pointer now, by that pointer.
    raw_arcs: RefCell<BTreeMap<usize, usize>>,
    /// The threads that asked for themselves or were spawned, by the address of the LWP.
    threads: RefCell<BTreeMap<usize, Thread>>,
    /// How many numbers of threads were given out.
    thread_ids: Cell<usize>,
    /// How many threads were spawned and have not ended.
    spawned: Cell<usize>,
    /// The most of them at once, in any run: outside of the machine's memory.
    most: &'static AtomicUsize,
}

impl World {
    /// Makes the world of a kernel, in its setup. `most` becomes the most threads that were spawned and had not ended.
    pub(crate) fn create(kernel: &'static Kernel, most: &'static AtomicUsize) -> &'static World {
        let world: &'static World = Box::leak(Box::new(World {
            checks: RefCell::default(),
            leftovers: RefCell::default(),
            placed: Cell::default(),
            names: RefCell::default(),
            raw_arcs: RefCell::default(),
            threads: RefCell::default(),
            thread_ids: Cell::default(),
            spawned: Cell::default(),
            most,
        }));
        kernel.set_data(Arg::of(world));
        world
    }

    /// The world of a kernel.
    pub(crate) fn of(kernel: &'static Kernel) -> &'static World {
        // SAFETY: `create` has put it there before anything else could run.
        unsafe { kernel.data().get() }
    }

    /// The world of the kernel that runs.
    pub(crate) fn current() -> &'static World {
        World::of(curlwp().kernel())
    }

    /// The CPU for the next thread that does not care: one after another, so that as many as possible overlap.
    pub(crate) fn next_cpu(&self) -> usize {
        self.placed.replace(self.placed.get() + 1)
    }

    /// The name, with a number if it is not the first of its kind: `mailbox`, `mailbox2`.
    pub(crate) fn name(&self, stem: &str) -> String {
        let mut names = self.names.borrow_mut();
        if let Some((_, count)) = names.iter_mut().find(|(known, _)| known == stem) {
            *count += 1;
            return format!("{stem}{count}");
        }
        names.push((stem.to_owned(), 1));
        stem.to_owned()
    }

    /// Remembers where the counts of the `Arc` with the value at `at` are.
    pub(crate) fn remember(&self, at: usize, counts: usize) {
        self.raw_arcs.borrow_mut().insert(at, counts);
    }

    /// What was remembered of the `Arc` with the value at `at`.
    pub(crate) fn recall(&self, at: usize) -> Option<usize> {
        self.raw_arcs.borrow().get(&at).copied()
    }

    /// The number of a new thread.
    pub(crate) fn next_thread(&self) -> usize {
        self.thread_ids.replace(self.thread_ids.get() + 1)
    }

    /// A thread is spawned.
    pub(crate) fn spawns(&self) {
        let spawned = self.spawned.get() + 1;
        self.spawned.set(spawned);
        self.most.fetch_max(spawned, Relaxed);
    }

    /// A thread that was spawned ends.
    pub(crate) fn ends(&self) {
        self.spawned.set(self.spawned.get() - 1);
    }

    /// The thread of the LWP at this address.
    pub(crate) fn thread(&self, lwp: usize) -> Option<Thread> {
        self.threads.borrow().get(&lwp).cloned()
    }

    /// The LWP at this address is that thread.
    pub(crate) fn know(&self, lwp: usize, thread: Thread) {
        self.threads.borrow_mut().insert(lwp, thread);
    }

    /// The LWP at this address ends.
    pub(crate) fn forget(&self, lwp: usize) -> Option<Thread> {
        self.threads.borrow_mut().remove(&lwp)
    }
}
