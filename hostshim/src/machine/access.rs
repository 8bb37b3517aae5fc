//! Accesses: each is checked, wakes CPUs that spin on it, and is recorded if needed.

use std::alloc::Layout;

use kmod::machine::{At, Kind, Op};
use kmod::mem::Ordering;

use super::clock::Clocks;
use super::cpu::Pending;
use super::engine::Engine;
use super::failure::{FailureKind, Side, Sides};
use super::footprint::Thing;
use super::foreign::is_atomic;
use super::memory::Wrong;
use super::shadow::{self, Slot, acquires, quick_atomic, releases};
use super::side::Host;
use super::trace::{PointName, Site};
use super::words::Word;

/// What is known of an access besides its address and kind. It fits into a register.
#[derive(Clone, Copy)]
struct Manner {
    order: Ordering,
    /// As [`Op::size`].
    size: u8,
}

impl Manner {
    #[inline(always)]
    fn of(op: Op) -> Manner {
        Manner {
            order: op.order,
            size: op.size,
        }
    }

    #[inline(always)]
    fn op(self, addr: usize, kind: Kind) -> Op {
        Op {
            size: self.size,
            ..Op::new(addr, kind, self.order)
        }
    }
}

impl From<Ordering> for Manner {
    #[inline(always)]
    fn from(order: Ordering) -> Manner {
        Manner { order, size: 0 }
    }
}

impl Engine {
    /// Checks an operation that belongs to the current step. Returns the address of the cell to access ([`Engine::own`]).
    #[inline(always)]
    pub(crate) fn fused(&self, op: Op, at: At) -> usize {
        self.check::<true>(op, at)
    }

    /// Checks the operation that announced the current step. Returns the address of the cell to access.
    #[inline(always)]
    pub(crate) fn announced(&self, op: Op, at: At) -> usize {
        self.check::<false>(op, at)
    }

    /// One call for each kind, which is known where the kernel accesses the cell.
    #[inline(always)]
    fn check<const FUSED: bool>(&self, op: Op, at: At) -> usize {
        match op.kind {
            Kind::Read => self.read::<FUSED>(op.addr, at),
            Kind::Write => self.write::<FUSED>(op.addr, at),
            Kind::Load if acquires(op.order) => {
                let simple = shadow::simple_load_acquire;
                self.simple_load::<FUSED>(op.addr, op.order, at, simple)
            }
            Kind::Load => {
                let simple = shadow::simple_load_relaxed;
                self.simple_load::<FUSED>(op.addr, op.order, at, simple)
            }
            Kind::Store if releases(op.order) => {
                let simple = shadow::simple_store_release;
                self.simple_store::<FUSED>(op.addr, Manner::of(op), at, simple)
            }
            Kind::Store => {
                let simple = shadow::simple_store_relaxed;
                self.simple_store::<FUSED>(op.addr, Manner::of(op), at, simple)
            }
            Kind::Rmw => self.modify::<FUSED>(op.addr, op.order, at),
            Kind::RmwSame => self.modify_nothing::<FUSED>(op.addr, op.order, at),
            Kind::Fence => {
                self.fence(op, at);
                op.addr
            }
            kind => self.check_in_full::<FUSED>(op.addr, kind, Manner::of(op), at),
        }
    }

    /// Makes an access if it is a simple one, and returns whether it was ([`Memory::quick`]).
    #[inline(always)]
    fn quick(
        &self,
        addr: usize,
        access: impl FnOnce(&mut Clocks, usize, &mut Slot) -> bool,
    ) -> bool {
        let cpu = self.cpu.get();
        self.memory(|memory| memory.quick(cpu, addr, access))
    }

    #[inline(never)]
    fn read<const FUSED: bool>(&self, addr: usize, at: At) -> usize {
        if self.quick(addr, shadow::own_read) {
            addr
        } else {
            self.read_of_others::<FUSED>(addr, at)
        }
    }

    #[inline(never)]
    fn read_of_others<const FUSED: bool>(&self, addr: usize, at: At) -> usize {
        if self.quick(addr, shadow::quick_read) {
            addr
        } else {
            self.check_in_full::<FUSED>(addr, Kind::Read, Ordering::Relaxed.into(), at)
        }
    }

    #[inline(never)]
    fn write<const FUSED: bool>(&self, addr: usize, at: At) -> usize {
        if self.quick(addr, shadow::own_write) {
            addr
        } else {
            self.write_of_others::<FUSED>(addr, at)
        }
    }

    #[inline(never)]
    fn write_of_others<const FUSED: bool>(&self, addr: usize, at: At) -> usize {
        if self.quick(addr, shadow::quick_write) {
            addr
        } else {
            self.check_in_full::<FUSED>(addr, Kind::Write, Ordering::Relaxed.into(), at)
        }
    }

    // Most loads and stores are simple. These functions call none, so that they save no registers.

    #[inline(never)]
    fn simple_load<const FUSED: bool>(
        &self,
        addr: usize,
        order: Ordering,
        at: At,
        simple: impl FnOnce(&mut Clocks, usize, &mut Slot) -> bool,
    ) -> usize {
        if !self.quick(addr, simple) {
            self.load::<FUSED>(addr, order, at)
        } else if self.note_load(addr) {
            self.suspect()
        } else {
            addr
        }
    }

    #[inline(never)]
    fn simple_store<const FUSED: bool>(
        &self,
        addr: usize,
        manner: Manner,
        at: At,
        simple: impl FnOnce(&mut Clocks, usize, &mut Slot) -> bool,
    ) -> usize {
        if self.listeners.get() == 0 && self.quick(addr, simple) {
            self.writes.set(self.writes.get() + 1);
            addr
        } else {
            self.store::<FUSED>(addr, manner, at)
        }
    }

    #[inline(never)]
    fn load<const FUSED: bool>(&self, addr: usize, order: Ordering, at: At) -> usize {
        let load = quick_atomic(|clocks, cpu, slot| shadow::load(clocks, cpu, slot, order));
        if self.quick(addr, load) {
            self.loaded(addr);
            addr
        } else {
            self.check_in_full::<FUSED>(addr, Kind::Load, order.into(), at)
        }
    }

    #[inline(never)]
    fn store<const FUSED: bool>(&self, addr: usize, manner: Manner, at: At) -> usize {
        let order = manner.order;
        let store = quick_atomic(|clocks, cpu, slot| shadow::store(clocks, cpu, slot, order));
        if self.quick(addr, store) {
            self.written(addr);
            addr
        } else {
            self.check_in_full::<FUSED>(addr, Kind::Store, manner, at)
        }
    }

    #[inline(never)]
    fn modify<const FUSED: bool>(&self, addr: usize, order: Ordering, at: At) -> usize {
        let modify = quick_atomic(|clocks, cpu, slot| shadow::modify(clocks, cpu, slot, order));
        if self.quick(addr, modify) {
            self.written(addr);
            addr
        } else {
            self.check_in_full::<FUSED>(addr, Kind::Rmw, order.into(), at)
        }
    }

    /// A read-modify-write that stored the value it found: no spinning CPU waits for that.
    #[inline(never)]
    fn modify_nothing<const FUSED: bool>(&self, addr: usize, order: Ordering, at: At) -> usize {
        let modify = quick_atomic(|clocks, cpu, slot| shadow::modify(clocks, cpu, slot, order));
        if self.quick(addr, modify) {
            self.loaded(addr);
            addr
        } else {
            self.check_in_full::<FUSED>(addr, Kind::RmwSame, order.into(), at)
        }
    }

    #[inline(never)]
    fn fence(&self, op: Op, at: At) {
        let cpu = self.cpu.get();
        self.memory(|memory| memory.fence(cpu, op.order));
        if op.order == Ordering::SeqCst {
            self.drain_own();
        }
        if self.tracing.get() {
            self.record_fused(op, at);
        }
    }

    #[inline(always)]
    fn loaded(&self, address: usize) {
        if self.note_load(address) {
            self.suspect();
        }
    }

    /// Records a load of the running CPU. Returns whether [`Engine::suspect`] must be called.
    #[inline(always)]
    fn note_load(&self, address: usize) -> bool {
        self.current().watch.note(address)
    }

    /// Checks whether the running CPU spins, as far as its loads tell: then it is held back before its next step. Returns the
    /// address of its last load.
    #[inline(never)]
    fn suspect(&self) -> usize {
        let watch = &self.current().watch;
        let address = watch.last();
        // What the host loads while the CPUs are at rest is no loop of theirs.
        // Where spinning is exact, it must have been reported.
        if self.is_on_host() || self.exact.get() {
            watch.put_off();
        } else if watch.check(address, self.writes.get()) {
            self.attention.set(0);
        }
        address
    }

    #[inline(always)]
    pub(super) fn written(&self, address: usize) {
        self.writes.set(self.writes.get() + 1);
        if self.listeners.get() != 0 {
            self.wake(address);
        }
    }

    #[inline(never)]
    fn check_in_full<const FUSED: bool>(
        &self,
        addr: usize,
        kind: Kind,
        manner: Manner,
        at: At,
    ) -> usize {
        if self.fine.get() {
            return self.check_finely::<FUSED>(addr, kind, manner, at);
        }
        let addr = self.own(addr);
        self.touch_by(FUSED, kind, manner.order, addr);
        let op = manner.op(addr, kind);
        if FUSED && self.tracing.get() {
            self.record_fused(op, at);
        }
        let stays = self.buffers.are_busy() && self.buffer(op, at);
        self.access(op, stays, at);
        op.addr
    }

    /// Every access is a point. What was announced has had its own; here it is checked.
    #[cold]
    fn check_finely<const FUSED: bool>(
        &self,
        addr: usize,
        kind: Kind,
        manner: Manner,
        at: At,
    ) -> usize {
        let op = manner.op(addr, kind);
        if FUSED {
            self.announce(op, at);
        }
        self.as_announced(op, at)
    }

    /// A point: the strategy decides who goes on, and the point has its name.
    #[inline(always)]
    pub(crate) fn announce(&self, op: Op, at: At) {
        self.decide(op, at);
        if self.recording.get() {
            self.record_op(op.addr, op.kind, op.order, at);
        }
    }

    /// Checks an operation that was announced, while every access is a point.
    fn as_announced(&self, op: Op, at: At) -> usize {
        self.set_fine(false);
        let addr = self.announced(op, at);
        self.set_fine(true);
        addr
    }

    /// Checks an operation that was made in the current step.
    #[inline(always)]
    pub(crate) fn accessed(&self, op: Op, at: At) {
        if self.fine.get() {
            self.as_announced(op, at);
        } else {
            self.fused(op, at);
        }
    }

    /// Checks an operation in full that is about to be made, or was made in the current step. `stays`: a store that no other CPU
    /// sees yet.
    #[inline(always)]
    fn access(&self, op: Op, stays: bool, at: At) {
        let cpu = self.cpu.get();
        let checked = self.check_local(op);
        let checked = checked
            .and_then(|()| self.memory(|memory| memory.access(cpu, op.addr, op.kind, op.order)));
        if let Err(wrong) = checked
            && self.wrong(wrong, op, at)
        {
            self.memory(|memory| memory.overtake(cpu, op.addr, op.kind));
        }
        match op.kind {
            // No CPU can wait for a plain write: that would be a race.
            Kind::Load | Kind::RmwSame => self.loaded(op.addr),
            Kind::Store | Kind::Rmw if !stays => self.written(op.addr),
            _ => {}
        }
        if self.siting.get() {
            self.record_site(op, at);
        }
    }

    /// Allocates memory.
    pub(crate) fn alloc(&self, layout: Layout, what: &'static str, at: At) -> *mut u8 {
        let cpu = self.cpu.get();
        self.touch_thing(Thing::Allocator);
        let memory = self.memory(|memory| memory.alloc(cpu, layout, what));
        if self.recording.get() {
            self.record_alloc(memory as usize, layout.size(), at);
        }
        memory
    }

    /// Frees memory.
    pub(crate) fn free(&self, address: usize) {
        let cpu = self.cpu.get();
        let at = self.location_of_free();
        let Some(offset) = self.memory(|memory| memory.offset(address)) else {
            self.fail(
                FailureKind::UseAfterFree,
                "invalid-free",
                "memory is freed that is not from the allocator".to_owned(),
                at,
            )
        };
        self.touch_freed(address, offset);
        if self.buffers.are_busy() {
            let size = self.memory(|memory| memory.extent(offset));
            self.drain_range(address, size.unwrap_or(0));
        }
        let result = self.memory(|memory| memory.free(cpu, address));
        if let Err(wrong) = result {
            self.wrong_free(wrong, at);
        }
        if self.recording.get() {
            self.record_free(offset, at);
        }
    }

    /// Something is wrong with an access: the run ends. Returns whether it goes on past a race instead.
    #[cold]
    #[inline(never)]
    pub(super) fn wrong(&self, wrong: Wrong, op: Op, at: At) -> bool {
        let _host = Host::begin();
        if !self.failing.get() {
            if self.passes(wrong, op, at) {
                return true;
            }
            // The stack is abandoned: nothing on it may need to be dropped.
            let (kind, rule, message) = self.words_for(wrong, op);
            let sides = self.sides(wrong, op.kind, self.object(op));
            self.fail_between(kind, rule, message, Some(at), sides);
        }
        // Otherwise the kernel is being called for the text of its failure, and has failed already.
        false
    }

    /// The two sides of what is wrong, as far as they are known. The earlier one is known when the run is recorded.
    pub(super) fn sides(&self, wrong: Wrong, later: Kind, object: String) -> Option<Box<Sides>> {
        let recorder = self.recorder.borrow();
        let (earlier, what) = match wrong {
            Wrong::Null | Wrong::Never(_) => return None,
            Wrong::Freed(offset) => (recorder.free_site(offset), Kind::Free.name()),
            Wrong::Gone(offset) => (recorder.free_site(offset), "end of scope"),
            Wrong::Race {
                offset,
                cpu,
                wrote,
                mixed,
            } => match recorder.site(offset, cpu, wrote, mixed && !is_atomic(later)) {
                Some(site) => (Some(site), site.kind.name()),
                None => (recorder.birth(offset).filter(|_| wrote), "allocation"),
            },
        };
        earlier.map(|site| {
            Box::new(Sides {
                object,
                later: later.name(),
                earlier: Side {
                    what,
                    cpu: site.cpu,
                    context: site.context.clone(),
                    location: site.location.clone(),
                },
            })
        })
    }

    /// The place in the code of the earlier access of a race, if the run is recorded.
    pub(super) fn earlier_at(&self, wrong: Wrong, later: Kind) -> Option<At> {
        let Wrong::Race {
            offset,
            cpu,
            wrote,
            mixed,
        } = wrong
        else {
            return None;
        };
        let recorder = self.recorder.borrow();
        recorder
            .site(offset, cpu, wrote, mixed && !is_atomic(later))?
            .at
    }

    pub(super) fn words_for(&self, wrong: Wrong, op: Op) -> (FailureKind, &'static str, String) {
        let (kind, object) = (op.kind.name(), self.object(op));
        match wrong {
            Wrong::Null => (
                FailureKind::UseAfterFree,
                "wild-access",
                format!("{kind} through a null pointer"),
            ),
            Wrong::Never(_) => (
                FailureKind::UseAfterFree,
                "wild-access",
                format!("{kind} of memory that was never allocated"),
            ),
            Wrong::Freed(offset) => (
                FailureKind::UseAfterFree,
                "use-after-free",
                format!(
                    "{kind} of {object}, which was freed{}",
                    self.by_whom_freed(offset)
                ),
            ),
            Wrong::Gone(offset) => (
                FailureKind::UseAfterFree,
                "use-after-return",
                format!("{kind} of {}", self.words_for_gone(offset, &object)),
            ),
            Wrong::Race {
                offset,
                cpu,
                wrote,
                mixed,
            } => {
                let is_later_atomic = is_atomic(op.kind);
                let earlier = self.earlier(offset, cpu, wrote, mixed && !is_later_atomic);
                let sorts = match (mixed, is_later_atomic) {
                    (false, _) => "",
                    (true, true) => " (this access is atomic, the earlier one is plain)",
                    (true, false) => " (this access is plain, the earlier one is atomic)",
                };
                (
                    FailureKind::DataRace,
                    "data-race",
                    format!("{kind} of {object} is not ordered after {earlier}{sorts}"),
                )
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn wrong_free(&self, wrong: Wrong, at: Option<At>) -> ! {
        let (kind, rule, message, object) = self.words_for_free(wrong);
        let sides = self.sides(wrong, Kind::Free, object);
        self.fail_between(kind, rule, message, at, sides)
    }

    fn words_for_free(&self, wrong: Wrong) -> (FailureKind, &'static str, String, String) {
        match wrong {
            Wrong::Null | Wrong::Never(_) | Wrong::Gone(_) => (
                FailureKind::UseAfterFree,
                "invalid-free",
                "memory is freed that was not allocated".to_owned(),
                String::new(),
            ),
            Wrong::Freed(offset) => {
                let object = self.object_at(offset, Kind::Free);
                let by_whom = self.by_whom_freed(offset);
                let message = format!("{object} is freed a second time; it was freed{by_whom}");
                (FailureKind::DoubleFree, "double-free", message, object)
            }
            Wrong::Race {
                offset, cpu, wrote, ..
            } => {
                let object = self.object_at(offset, Kind::Read);
                let earlier = self.earlier(offset, cpu, wrote, false);
                let message =
                    format!("free of the memory of {object} is not ordered after {earlier}");
                (FailureKind::DataRace, "data-race", message, object)
            }
        }
    }

    fn earlier(&self, offset: usize, cpu: usize, wrote: bool, atomic: bool) -> String {
        let recorder = self.recorder.borrow();
        let made = || recorder.birth(offset).filter(|_| wrote);
        match (recorder.site(offset, cpu, wrote, atomic), made()) {
            (Some(site), _) => by(site),
            (None, Some(site)) => format!(
                "its memory was allocated by {} on cpu{} at {}",
                site.context, site.cpu, site.location
            ),
            // Known when the run is repeated with recording on.
            (None, None) => format!(
                "an earlier {} on cpu{cpu}",
                if wrote { "write" } else { "read" }
            ),
        }
    }

    fn by_whom_freed(&self, offset: usize) -> String {
        match self.recorder.borrow().free_site(offset) {
            Some(site) => format!(
                " by {} on cpu{} at {}",
                site.context, site.cpu, site.location
            ),
            None => String::new(),
        }
    }

    /// A name for the object of an operation.
    pub(crate) fn object(&self, op: Op) -> String {
        match self.memory(|memory| memory.offset(op.addr)) {
            Some(offset) => self.object_at(offset, op.kind),
            None => "memory of the host".to_owned(),
        }
    }

    /// A name for the lock at this address, or for another object without parts.
    pub(crate) fn object_of(&self, addr: usize) -> String {
        self.object(Op::new(addr, Kind::MutexEnter, Ordering::Relaxed))
    }

    /// A name for the structure at this address, without the first of its fields.
    pub(crate) fn structure_of(&self, addr: usize) -> String {
        let mut name = self.object_of(addr);
        for first in [".next", ".c_link", ".prt_class", ".lc_totalp"] {
            if let Some(whole) = name.strip_suffix(first) {
                name.truncate(whole.len());
            }
        }
        name
    }

    fn object_at(&self, offset: usize, kind: Kind) -> String {
        let buried = || self.recorder.borrow().buried(offset, kind);
        buried()
            .or_else(|| self.lasting_object_at(offset, kind))
            .or_else(|| {
                let (_, owner) = self.owner_of(offset)?;
                Some(format!("stack({owner})"))
            })
            .unwrap_or_else(|| "unallocated memory".to_owned())
    }

    /// The name that stays valid as long as the labels do.
    fn lasting_object_at(&self, offset: usize, kind: Kind) -> Option<String> {
        let gone = self.memory(|memory| memory.dropped(offset).is_some());
        let labelled = self.recorder.borrow().labels.resolve(offset, kind, gone);
        labelled
            .or_else(|| self.describe_structure(offset))
            .or_else(|| self.memory(|memory| memory.describe(offset)))
    }

    /// A name for the object of an operation, as a word.
    pub(super) fn object_word(&self, op: Op) -> Word {
        let offset = self.memory(|memory| memory.offset(op.addr));
        let known = |offset| self.recorder.borrow().known_object(offset, op.kind);
        if let Some(word) = offset.and_then(known) {
            return word;
        }
        let lasting = offset.and_then(|offset| {
            let name = self.lasting_object_at(offset, op.kind)?;
            Some((offset, name))
        });
        match lasting {
            Some((offset, name)) => {
                let mut recorder = self.recorder.borrow_mut();
                let word = recorder.words.word(&name);
                recorder.know_object(offset, op.kind, word);
                word
            }
            None => {
                let name = self.object(op);
                self.recorder.borrow_mut().words.word(&name)
            }
        }
    }

    /// The name of the context on that CPU, as a word.
    pub(super) fn context_word(&self, cpu: usize) -> Word {
        let context = self.cpus[cpu].context.get();
        let words = &mut self.recorder.borrow_mut().words;
        self.contexts.word(context, words)
    }

    /// The word for a text, in names of points.
    pub(crate) fn word(&self, text: &str) -> Word {
        self.recorder.borrow_mut().words.word(text)
    }

    /// The text of a word.
    pub(crate) fn text(&self, word: Word) -> String {
        self.recorder.borrow().words.text(word).to_owned()
    }

    /// The name of the point at which that CPU is.
    pub(crate) fn name_point(&self, cpu: usize) -> PointName {
        let (what, object) = match self.cpus[cpu].pending.get() {
            Pending::Op(op, _) => (Word::of(op.kind), self.object_word(op)),
            Pending::Spin(_) => (Word::SPIN, Word::NOTHING),
            Pending::Wait => (Word::WAIT, Word::NOTHING),
            Pending::Start => (Word::START, Word::NOTHING),
        };
        let context = self.context_word(cpu);
        self.recorder.borrow().name_point(context, what, object)
    }
}

fn by(site: &Site) -> String {
    format!(
        "the {} by {} on cpu{} at {}",
        site.kind.name(),
        site.context,
        site.cpu,
        site.location
    )
}
