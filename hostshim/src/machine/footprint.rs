//! Footprints: what each step touches that another CPU's steps may depend on.
//!
//! # Overview
//!
//! A search that wants to try every order of steps needs to know which orders differ. Two steps of different CPUs that
//! touch nothing in common, or only read it, give the same state in either order. So while a strategy [wants
//! footprints](super::View::keep_footprints), the machine notes for each step what it reads and writes: words of memory,
//! and what is no memory of the kernel, each as a place of its own:
//!
//! | place | touched by |
//! |---|---|
//! | the allocator | each allocation: the next one gets another address |
//! | the contexts | creating and destroying one: the next one gets another stack |
//! | the wire | sending and receiving frames |
//! | a line of a CPU | whoever asserts it, and the CPU when it takes the interrupt |
//! | rest | the ticks that end a rest; every step is ordered with them |
//!
//! A free writes every word that it frees, so it is ordered with every access to them.
//!
//! # Cost
//!
//! Without a search nothing here runs. With one, accesses take the way of full checks ([`super::shadow`]), and only there
//! is asked whether footprints are kept.

use std::cell::{Cell, UnsafeCell};

use kmod::machine::{Kind, Line};
use kmod::mem::Ordering;

use super::engine::Engine;
use super::shadow::releases;
use super::side::Host;

/// Something that a step touched, and whether it wrote it. Ordered by the place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Touch(u64);

/// Where places that are memory begin. Those below are not.
const MEMORY: u64 = 1 << 16;
/// Bytes of memory that are one place. Fields that are smaller share it with their neighbours.
const WORD: usize = 4;
/// Bytes of an object up to which a free writes each word. A larger one is written at every word that was accessed.
const LARGE: usize = 64 << 10;

impl Touch {
    /// The ticks that end a rest: ordered with every step.
    pub const REST: Touch = Touch(1);

    fn new(place: u64, writes: bool) -> Touch {
        Touch(place << 1 | u64::from(writes))
    }

    /// The number of the place: the same in every machine, and in every run up to the same past.
    #[inline]
    pub fn place(self) -> u64 {
        self.0 >> 1
    }

    /// Whether the order of two steps that touch this and that matters, if different CPUs make them.
    #[inline]
    pub fn depends_on(self, other: Touch) -> bool {
        self.place() == other.place() && (self.writes() || other.writes())
            || self == Touch::REST
            || other == Touch::REST
    }

    /// Whether it was written.
    #[inline]
    pub fn writes(self) -> bool {
        self.0 & 1 != 0
    }
}

/// A mistake that a test makes on purpose, to see that it is found out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(test), allow(dead_code, reason = "only tests make mistakes"))]
pub(crate) enum Omission {
    /// Accesses besides the one that a step was announced with.
    Fused,
    /// Loads, with which a CPU that waits sees that it may go on.
    Wake,
    /// Stores, as that of a lock's owner who gives it back.
    Stores,
}

#[cfg(test)]
thread_local! {
    /// What the footprints of this thread lack.
    pub(crate) static OMITTED: Cell<Option<Omission>> = const { Cell::new(None) };
}

#[inline(always)]
#[cfg_attr(
    not(test),
    allow(unused_variables, reason = "only tests make mistakes")
)]
fn omits(omission: Omission) -> bool {
    #[cfg(test)]
    return OMITTED.get() == Some(omission);
    #[cfg(not(test))]
    false
}

/// A place that is no memory.
#[derive(Clone, Copy)]
pub(crate) enum Thing {
    /// The next address of the allocator.
    Allocator,
    /// The next context.
    Contexts,
    /// Frames between cards.
    Wire,
    /// A line of a CPU.
    Line(usize, Line),
}

impl Thing {
    fn place(self) -> u64 {
        match self {
            Thing::Allocator => 1,
            Thing::Contexts => 2,
            Thing::Wire => 3,
            Thing::Line(cpu, line) => 16 + (cpu * Line::ALL.len() + line as usize) as u64,
        }
    }
}

/// The footprint of the step under way.
#[derive(Default)]
pub(crate) struct Footprint {
    on: Cell<bool>,
    touches: UnsafeCell<Vec<Touch>>,
}

impl Footprint {
    /// Whether footprints are kept.
    #[inline(always)]
    pub(crate) fn is_kept(&self) -> bool {
        self.on.get()
    }

    /// Begins a run.
    pub(crate) fn begin(&self) {
        self.on.set(false);
        self.with(Vec::clear);
    }

    /// Gives `f` the list. `f` must not call the machine.
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut Vec<Touch>) -> R) -> R {
        // SAFETY: one thread; what is done inside is a method of the list, so this reference is the only one, and it does not outlive
        // the call. The allocator of the host knows nothing of the list.
        f(unsafe { &mut *self.touches.get() })
    }

    #[inline(always)]
    fn add(&self, touch: Touch) {
        if self.with(|list| list.len() == list.capacity()) {
            // That is no allocation of the guest.
            let _host = Host::begin();
            self.with(|list| list.reserve(64));
        }
        self.with(|list| list.push(touch));
    }
}

impl Engine {
    /// Keeps footprints from the next step of this run on.
    pub(crate) fn keep_footprints(&self) {
        self.footprint.on.set(true);
        self.set_fine(self.fine.get());
    }

    /// Moves what the step that has ended touched to `into`.
    pub(crate) fn take_footprint(&self, into: &mut Vec<Touch>) {
        self.footprint.with(|list| into.append(list));
    }

    /// Whether the running code is a step whose footprint is kept.
    #[inline(always)]
    fn leaves_footprints(&self) -> bool {
        self.footprint.is_kept() && !self.failing.get() && !self.is_on_host()
    }

    fn memory_touch(&self, address: usize, writes: bool) -> Touch {
        let offset = self.memory(|memory| memory.offset(address));
        let place = match offset {
            Some(offset) => MEMORY + (offset / WORD) as u64,
            // Memory of the host that is no machine's: the address itself, which is above every offset.
            None => MEMORY + (address / WORD) as u64,
        };
        Touch::new(place, writes)
    }

    /// The step touches this word.
    #[inline(always)]
    pub(crate) fn touch(&self, address: usize, writes: bool) {
        if self.leaves_footprints() {
            self.footprint.add(self.memory_touch(address, writes));
        }
    }

    /// The step makes this access, which was checked in full. `fused`: besides the one that was announced.
    #[inline(always)]
    pub(crate) fn touch_by(&self, fused: bool, kind: Kind, order: Ordering, address: usize) {
        if fused && omits(Omission::Fused) {
            return;
        }
        match kind {
            Kind::Load if omits(Omission::Wake) => {}
            Kind::Read | Kind::Load => self.touch(address, false),
            Kind::Store if omits(Omission::Stores) => {}
            // It changes no value, but whoever acquires it later is ordered after it.
            Kind::RmwSame => self.touch(address, releases(order)),
            Kind::Write | Kind::Store | Kind::Rmw => self.touch(address, true),
            _ => {}
        }
    }

    /// The step touches these bytes.
    #[cold]
    pub(crate) fn touch_range(&self, address: usize, size: usize, writes: bool) {
        if self.leaves_footprints() {
            let first = address - address % WORD;
            for word in (first..address + size.min(LARGE)).step_by(WORD) {
                self.footprint.add(self.memory_touch(word, writes));
            }
        }
    }

    /// The step frees this object of the allocator.
    pub(crate) fn touch_freed(&self, address: usize, offset: usize) {
        if self.leaves_footprints() {
            let size = self.memory(|memory| memory.extent(offset));
            self.touch_range(address, size.unwrap_or(0), true);
        }
    }

    /// The step changes something that is no memory.
    #[inline(always)]
    pub(crate) fn touch_thing(&self, thing: Thing) {
        if self.leaves_footprints() {
            self.footprint.add(Touch::new(thing.place(), true));
        }
    }

    /// The same for what the host does between two steps.
    pub(crate) fn touch_between(&self, thing: Thing) {
        if self.footprint.is_kept() {
            self.footprint.add(Touch::new(thing.place(), true));
        }
    }

    /// The machine was at rest, and its clocks tick.
    pub(crate) fn touch_rest(&self) {
        if self.footprint.is_kept() {
            self.footprint.add(Touch::REST);
        }
    }
}
