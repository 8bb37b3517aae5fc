//! Store buffers: the memory of x86-64, as x86-TSO describes it.
//!
//! # Overview
//!
//! Each CPU has a queue of atomic stores that no other CPU sees yet. A store enters the queue if the schedule
//! [delays](crate::Choice::Delay) its step, or if an earlier store of its CPU is still there. Otherwise it is visible at once, as in a
//! sequentially consistent machine. A store that leaves the queue is *drained*: every CPU sees it from then on. Stores leave in the
//! order in which they were made.
//!
//! | what | drains |
//! |---|---|
//! | a choice of the schedule ([`Choice::Drain`](crate::Choice::Drain)) | the oldest store, and those after it that nothing delays |
//! | [`LONGEST`] points after the store | the same |
//! | a read-modify-write (one that fails, too), `mutex_enter`, a store or fence that is `SeqCst` | all of the CPU |
//! | an IPI that the CPU sends, a frame that it sends, the end of an interrupt | all of the CPU |
//! | a CPU that waits or spins | all of the CPU |
//! | the end of an object that has stores in a queue | all of the CPU that made them |
//!
//! A context switch drains nothing by itself.
//!
//! # Memory shows what the running CPU sees
//!
//! While a CPU runs, its own stores are in memory, drained or not, and what the other CPUs see in their place is kept aside
//! ([`Hidden`]). When another CPU is to run, the two are exchanged. So whatever runs on a CPU (its interrupts, contracts, reads that
//! are not announced) sees its own stores, and no access has to look into a queue.
//!
//! A word's sync clock ([`super::shadow`]) belongs to the store that it holds, and is exchanged with it: who reads the older store is
//! ordered after that one only.
//!
//! # What is never delayed
//!
//! Plain stores: in a program without data races nobody can tell. Stores to a stack, whose place may be used for something else
//! that tells nobody. Stores of more than eight bytes, and those of foreign code to a part of what it has accessed as a whole.
//!
//! # Cost
//!
//! As long as nothing is delayed, nothing here runs. Otherwise accesses take the way of full checks ([`Engine::set_fine`]), and only
//! there is asked.

use std::cell::{Cell, RefCell};
use std::ptr;

use kmod::config::Config;
use kmod::machine::{At, Kind, Op};
use kmod::mem::Ordering;

use super::clock::Clock;
use super::engine::Engine;
use super::side::Host;
use crate::schedule::MemoryModel;

/// Points after which a store is drained, whoever runs. So a CPU that waits for it is never in a livelock.
pub(crate) const LONGEST: u64 = 512;
/// Stores that a CPU keeps at most, as a real one does.
const MOST: usize = 32;

/// A store that other CPUs do not see yet.
struct Delayed {
    word: Word,
    /// Its value and sync clock. Not up to date for the last store of the CPU that memory shows to a word.
    value: Content,
    at: At,
    /// The number of the point after it.
    point: u64,
    /// Whether the schedule delays it, or else it waits for those before it.
    is_chosen: bool,
}

/// Some bytes of memory, at most eight.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word {
    addr: usize,
    size: u8,
}

/// What is in a word.
#[derive(Clone, Copy, Default)]
struct Content {
    bytes: [u8; 8],
    sync: Option<Clock>,
}

/// What the other CPUs see in place of a store of the CPU that memory shows.
struct Hidden {
    word: Word,
    value: Content,
}

impl Word {
    fn overlaps(self, addr: usize, size: usize) -> bool {
        self.addr < addr + size && addr < self.addr + usize::from(self.size)
    }

    fn load(self, engine: &Engine) -> Content {
        let mut bytes = [0; 8];
        let from = ptr::with_exposed_provenance::<u8>(self.addr);
        // SAFETY: (1) a word of the machine's memory that a store has just been checked for, or that a queue has, which is
        // drained before the memory ends; (2) it has at most eight bytes.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), self.size.into()) };
        Content {
            bytes,
            sync: engine.memory(|memory| memory.sync(self.addr)),
        }
    }

    fn store(self, engine: &Engine, value: &Content) {
        let to = ptr::with_exposed_provenance_mut::<u8>(self.addr);
        // SAFETY: as in `load`; no reference to the inside of a cell is kept while another CPU runs.
        unsafe { ptr::copy_nonoverlapping(value.bytes.as_ptr(), to, self.size.into()) };
        engine.memory(|memory| memory.set_sync(self.addr, value.sync));
    }
}

/// The store buffers of a machine.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Whether a queue is not empty, or the step under way delays its stores.
    busy: Cell<bool>,
    /// Whether that is so, or the strategy is asked at each step.
    wants_every_point: Cell<bool>,
    /// Whether stores can be delayed in this run.
    are_on: Cell<bool>,
    /// Whether the strategy is asked at each step.
    asks: Cell<bool>,
    /// Whether the step under way delays its stores.
    delays: Cell<bool>,
    /// The CPU whose stores are in memory.
    shown: Cell<usize>,
    hidden: RefCell<Vec<Hidden>>,
    queues: RefCell<[Vec<Delayed>; Config::MAXCPUS]>,
}

impl Buffers {
    /// Whether a queue is not empty, or the step under way delays its stores.
    #[inline(always)]
    pub(crate) fn are_busy(&self) -> bool {
        self.busy.get()
    }

    /// Whether stores can be delayed in this run.
    #[inline(always)]
    pub(crate) fn are_on(&self) -> bool {
        self.are_on.get()
    }

    /// Whether the strategy is asked at each step whether it delays its stores.
    #[inline(always)]
    pub(crate) fn ask(&self) -> bool {
        self.asks.get()
    }

    /// Whether something may have to be done at the next point.
    #[inline(always)]
    pub(crate) fn want_every_point(&self) -> bool {
        self.wants_every_point.get()
    }

    /// Forgets everything: a run is over, whatever was in memory.
    pub(crate) fn clear(&self) {
        self.wants_every_point.set(false);
        self.are_on.set(false);
        self.asks.set(false);
        self.delays.set(false);
        if self.busy.replace(false) {
            self.hidden.borrow_mut().clear();
            self.queues.borrow_mut().iter_mut().for_each(Vec::clear);
        }
    }

    /// Begins a run.
    pub(crate) fn begin(&self, model: MemoryModel, asks: bool) {
        self.are_on.set(model == MemoryModel::Tso);
        self.asks.set(model == MemoryModel::Tso && asks);
        self.wants_every_point.set(self.asks.get());
    }

    /// Whether this CPU has stores that others do not see.
    pub(crate) fn has(&self, cpu: usize) -> bool {
        self.busy.get() && !self.queues.borrow()[cpu].is_empty()
    }
}

impl Engine {
    fn set_busy(&self, busy: bool) {
        let buffers = &self.buffers;
        buffers.wants_every_point.set(busy || buffers.asks.get());
        if self.buffers.busy.replace(busy) != busy {
            self.set_fine(self.fine.get());
        }
    }

    /// The step that `cpu` is about to make delays its stores.
    pub(crate) fn delay_stores(&self, cpu: usize) {
        let _host = Host::begin();
        self.show(cpu);
        self.buffers.delays.set(true);
        self.set_busy(true);
    }

    /// A step has ended: it delays nothing any more, and what has waited longest is drained.
    pub(crate) fn step_ended(&self) {
        let buffers = &self.buffers;
        if !buffers.are_busy() {
            return;
        }
        buffers.delays.set(false);
        let now = self.points.get();
        let overdue = |queue: &Vec<Delayed>| {
            let oldest = queue.first();
            oldest.is_some_and(|oldest| oldest.point + LONGEST <= now)
        };
        loop {
            let cpu = buffers.queues.borrow().iter().position(overdue);
            match cpu {
                Some(cpu) => self.drain(cpu),
                None => break,
            }
        }
        self.rest_if_empty();
    }

    fn rest_if_empty(&self) {
        let empty = self.buffers.queues.borrow().iter().all(Vec::is_empty);
        self.set_busy(self.buffers.delays.get() || !empty);
    }

    /// The running CPU is about to make this access. Returns whether it is a store that others do not see yet.
    pub(crate) fn buffer(&self, op: Op, at: At) -> bool {
        if self.failing.get() || self.is_on_host() {
            return false;
        }
        match op.kind {
            Kind::Store if op.order != Ordering::SeqCst => self.keep(op, at),
            Kind::Store | Kind::Rmw | Kind::RmwSame => {
                self.drain_own();
                false
            }
            Kind::Load => {
                self.looks(op, at);
                false
            }
            _ => false,
        }
    }

    /// Puts a store into the queue of the running CPU, if it is delayed or others are before it.
    fn keep(&self, op: Op, at: At) -> bool {
        let _host = Host::begin();
        let cpu = self.cpu.get();
        let buffers = &self.buffers;
        let is_chosen = buffers.delays.get();
        if !is_chosen && !buffers.has(cpu) {
            return false;
        }
        let word = Word {
            addr: op.addr,
            size: op.size,
        };
        let in_arena = self.memory(|memory| {
            memory.offset(op.addr).is_some() && memory.stack_of(op.addr).is_none()
        });
        let differs = |store: &Delayed| {
            store.word != word && store.word.overlaps(op.addr, usize::from(op.size).max(1))
        };
        if op.size == 0 || !in_arena || buffers.queues.borrow()[cpu].iter().any(differs) {
            self.drain_own();
            return false;
        }
        if buffers.queues.borrow()[cpu].len() == MOST {
            self.drain(cpu);
        }
        if !is_chosen && !buffers.has(cpu) {
            return false;
        }
        let content = word.load(self);
        let queue = &mut buffers.queues.borrow_mut()[cpu];
        match queue.iter_mut().rev().find(|store| store.word == word) {
            Some(earlier) => earlier.value = content,
            None => buffers.hidden.borrow_mut().push(Hidden {
                word,
                value: content,
            }),
        }
        queue.push(Delayed {
            word,
            value: Content::default(),
            at,
            point: self.points.get(),
            is_chosen,
        });
        true
    }

    /// Memory shows what `cpu` sees from now on.
    #[cold]
    pub(crate) fn show(&self, cpu: usize) {
        if self.buffers.shown.get() != cpu {
            self.hide();
            self.buffers.shown.set(cpu);
            self.reveal();
        }
    }

    /// Memory shows what no CPU's queue has.
    fn hide(&self) {
        let buffers = &self.buffers;
        let queue = &mut buffers.queues.borrow_mut()[buffers.shown.get()];
        for hidden in buffers.hidden.borrow_mut().drain(..) {
            if let Some(last) = queue.iter_mut().rev().find(|last| last.word == hidden.word) {
                last.value = hidden.word.load(self);
            }
            hidden.word.store(self, &hidden.value);
        }
    }

    /// Undoes [`Engine::hide`] for the CPU that memory shows.
    fn reveal(&self) {
        let buffers = &self.buffers;
        let mut hidden = buffers.hidden.borrow_mut();
        for store in &buffers.queues.borrow()[buffers.shown.get()] {
            let word = store.word;
            if !hidden.iter().any(|hidden| hidden.word == word) {
                let value = word.load(self);
                hidden.push(Hidden { word, value });
            }
            word.store(self, &store.value);
        }
    }

    /// The oldest store of `cpu` becomes visible, and those after it that nothing delays.
    pub(crate) fn drain(&self, cpu: usize) {
        let _host = Host::begin();
        self.hide();
        let mut first = true;
        loop {
            let store = {
                let queue = &mut self.buffers.queues.borrow_mut()[cpu];
                match queue.first() {
                    Some(store) if first || !store.is_chosen => queue.remove(0),
                    _ => break,
                }
            };
            first = false;
            store.word.store(self, &store.value);
            self.drained(cpu, &store);
        }
        self.reveal();
        self.rest_if_empty();
    }

    /// All stores of the running CPU become visible.
    #[inline]
    pub(crate) fn drain_own(&self) {
        if self.buffers.are_busy() && !self.failing.get() {
            self.drain_all(self.cpu.get());
        }
    }

    #[cold]
    fn drain_all(&self, cpu: usize) {
        while self.buffers.has(cpu) {
            self.drain(cpu);
        }
    }

    /// What is at these addresses is about to end.
    #[cold]
    pub(crate) fn drain_range(&self, addr: usize, size: usize) {
        for cpu in 0..self.ncpu.get() {
            let touches = |store: &Delayed| store.word.overlaps(addr, size);
            let has = self.buffers.queues.borrow()[cpu].iter().any(touches);
            if has {
                self.drain_all(cpu);
            }
        }
    }

    /// This store of `cpu` is in memory for all.
    fn drained(&self, cpu: usize, store: &Delayed) {
        self.written(store.word.addr);
        if self.tracing.get() {
            let op = Op::new(store.word.addr, Kind::Store, Ordering::Relaxed);
            self.record_visible(cpu, op, store.at);
        }
    }

    /// The running CPU is about to load a word. If the queue of another CPU has a store to it, that is told.
    fn looks(&self, op: Op, at: At) {
        if !self.tracing.get() {
            return;
        }
        let _host = Host::begin();
        for cpu in (0..self.ncpu.get()).filter(|cpu| *cpu != self.cpu.get()) {
            let missed = {
                let queues = self.buffers.queues.borrow();
                let store = queues[cpu].iter().rev();
                let mut stores = store.filter(|store| store.word.overlaps(op.addr, 1));
                stores.next().map(|store| store.at)
            };
            if let Some(stored_at) = missed {
                self.record_missed(cpu, op, stored_at, at);
            }
        }
    }
}
