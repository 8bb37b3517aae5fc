//! Allocations that fail, although there is memory, because the schedule says so.
//!
//! The kernel asks before each allocation whose failure its caller is told of
//! ([`kmod::kern::kmem::kmem_alloc_nosleep`]). In most runs nothing is refused, and that costs one branch. In the others an
//! allocation is *named* by the context that makes it, by what it is of, and by how many of these the context has made: so
//! a replay file can say which one fails, whatever else has changed in the schedule. It fails if its name was told
//! ([`super::Machine::refuse`]), or if the strategy says so.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use kmod::machine::At;

use super::engine::Engine;
use super::side::Host;
use super::source::place;
use crate::schedule::Refusal;
use crate::strategy::Request;

/// Which allocations of a run fail.
#[derive(Default)]
pub(crate) struct Scarcity {
    /// Whether any may fail in this run.
    is_on: Cell<bool>,
    /// Whether the strategy is asked.
    asks: Cell<bool>,
    /// How many allocations of this run could have failed, so far.
    count: Cell<u64>,
    /// Those that fail, whatever the strategy says.
    told: RefCell<Vec<Refusal>>,
    /// How often a context has made an allocation of this, if any may fail.
    made: RefCell<BTreeMap<(String, &'static str), u32>>,
    /// Those that failed.
    refused: RefCell<Vec<Refusal>>,
}

impl Scarcity {
    /// Begins a run in which these allocations fail, and those that the strategy chooses, if it `asks` for that.
    pub(crate) fn begin(&self, told: &[Refusal], asks: bool) {
        self.is_on.set(asks || !told.is_empty());
        self.asks.set(asks);
        self.count.set(0);
        if self.is_on.get() {
            self.told.replace(told.to_vec());
            self.made.borrow_mut().clear();
        }
        self.refused.borrow_mut().clear();
    }

    /// How many allocations of the last run could have failed.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// Those that failed in the last run.
    pub(crate) fn take_refused(&self) -> Vec<Refusal> {
        self.refused.take()
    }
}

impl Engine {
    /// Whether the allocation of `what` that the running context is about to make fails.
    #[inline]
    pub(crate) fn refuses(&self, what: &'static str, at: At) -> bool {
        let scarcity = &self.scarcity;
        let number = scarcity.count.get();
        scarcity.count.set(number + 1);
        scarcity.is_on.get() && self.decide_on_memory(number, what, at)
    }

    #[cold]
    #[inline(never)]
    fn decide_on_memory(&self, number: u64, what: &'static str, at: At) -> bool {
        let _host = Host::begin();
        // What the host does with a kernel at rest is no part of a run.
        if self.is_on_host() || self.failing.get() {
            return false;
        }
        let scarcity = &self.scarcity;
        let context = self.context_name(self.cpu.get());
        let occurrence = {
            let mut made = scarcity.made.borrow_mut();
            let count = made.entry((context.clone(), what)).or_insert(0);
            *count += 1;
            *count
        };
        let allocation = Refusal {
            context,
            what: what.to_owned(),
            occurrence,
        };
        let told = scarcity.told.borrow().contains(&allocation);
        let fails =
            told || scarcity.asks.get() && self.ask_for_memory(Request { number, what, at });
        if fails {
            scarcity.refused.borrow_mut().push(allocation);
            if self.tracing.get() {
                self.record_refusal(what, place(at));
            }
        }
        fails
    }

    fn ask_for_memory(&self, request: Request) -> bool {
        let Some(strategy) = self.strategy.get() else {
            return false;
        };
        // SAFETY: as in `ask`: `Machine::run` borrows the strategy for the whole run and uses it only through this pointer;
        // the reference ends with the call, which cannot come back here.
        let strategy = unsafe { &mut *strategy };
        strategy.refuses(&request)
    }
}
