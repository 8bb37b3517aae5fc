//! Accesses of foreign code: code that does not use the kernel's cells, and whose compiler announces its accesses.
//!
//! # Overview
//!
//! A foreign access has a size, and may begin anywhere. It is a step, as an access of a cell is. It is checked against
//! every [cell](super::shadow) that it covers: usually one.
//!
//! Memory outside of the machine may be read, as constants of a module are. It is not checked. A write there ends the
//! run before it is made.
//!
//! # The end of a function
//!
//! When a foreign function returns, its local variables are gone: those that were accessed are dropped, as cells of
//! Rust are ([`super::locals`]).

use kmod::machine::{At, Kind, Op};
use kmod::mem::Ordering;

use super::engine::Engine;
use super::failure::FailureKind;
use super::faults;
use super::host::current;
use super::memory::{ARENA_BYTES, STACK_BYTES, Wrong};
use super::shadow::{Birth, GRANULE};
use super::side::Host;

/// Whether this is an atomic access.
#[inline(always)]
pub(super) fn is_atomic(kind: Kind) -> bool {
    matches!(kind, Kind::Load | Kind::Store | Kind::Rmw | Kind::RmwSame)
}

/// The access, of so many bytes at its address.
#[inline(always)]
pub(super) fn of_size(op: Op, size: usize) -> Op {
    let size = if size <= size_of::<usize>() { size } else { 0 };
    Op {
        size: size as u8,
        ..op
    }
}

/// Bytes of a stack that foreign code leaves to the machine.
const RESERVE: usize = STACK_BYTES / 4;

impl Engine {
    /// Foreign code is about to make this access of `size` bytes: a step.
    #[inline(always)]
    pub(crate) fn foreign(&self, op: Op, size: usize, at: At) {
        if self.marker.is_on.get() {
            return self.foreign_marked(op, size, at);
        }
        self.announce(op, at);
        self.check_foreign(op, size, at);
    }

    /// Checks the read-modify-write that announced the step.
    #[inline(always)]
    pub(crate) fn made_foreign(&self, op: Op, size: usize, at: At) {
        match self.marker.is_on.get() {
            true => self.modified_marked(op, size, at),
            false => self.check_foreign(op, size, at),
        }
    }

    /// Checks an access of which nothing else is said.
    #[inline(always)]
    pub(super) fn check_foreign(&self, op: Op, size: usize, at: At) {
        self.touch_range(op.addr, size, op.kind.writes());
        if is_atomic(op.kind) {
            if self.memory(|memory| memory.is_cell(op.addr, size)) {
                let cpu = self.cpu.get();
                self.check_atomic(op, self.memory(|memory| memory.now(cpu)), at);
            } else {
                self.check_cells(op, size, at);
            }
        } else if self.memory(|memory| memory.is_plain_cell(op.addr, size)) {
            self.announced(op, at);
        } else {
            self.check_cells(op, size, at);
        }
    }

    /// Checks an access that may race with plain ones: its author says so.
    pub(super) fn check_meant(&self, op: Op, size: usize, at: At) {
        self.each_cell(op, size, at, |cell| {
            self.announced(cell, at);
        });
    }

    /// Checks an atomic access to a cell, against plain ones as well. It was begun `then`.
    #[inline(always)]
    fn check_atomic(&self, op: Op, then: Birth, at: At) {
        self.announced(op, at);
        // What an acquire has learned counts for the access itself.
        let cpu = self.cpu.get();
        let writes = op.kind != Kind::Load;
        let checked = self.memory(|memory| memory.atomic(cpu, op.addr, (writes, op.order), then));
        if let Err(wrong) = checked
            && self.wrong(wrong, op, at)
        {
            self.memory(|memory| {
                memory.forget_plain(cpu, op.addr, writes);
                // What is left is ordered.
                let _ = memory.atomic(cpu, op.addr, (writes, op.order), then);
            });
        }
        if self.siting.get() {
            self.record_atomic(op, at);
        }
    }

    /// Records where an atomic access was made: a plain one may race with it.
    #[cold]
    fn record_atomic(&self, op: Op, at: At) {
        let _host = Host::begin();
        if let Some(offset) = self.memory(|memory| memory.offset(op.addr)) {
            let kind = match op.kind {
                Kind::RmwSame => Kind::Rmw,
                kind => kind,
            };
            let site = self.site(kind, at);
            self.recorder.borrow_mut().touched(offset, site);
        }
    }

    /// Checks a plain access to a cell, against atomic ones as well.
    fn check_plain(&self, op: Op, at: At) {
        self.announced(op, at);
        let cpu = self.cpu.get();
        let writes = op.kind == Kind::Write;
        let checked = self.memory(|memory| memory.plain(cpu, op.addr, writes));
        if let Err(wrong) = checked
            && self.wrong(wrong, op, at)
        {
            self.memory(|memory| memory.forget_atomic(cpu, op.addr, writes));
        }
    }

    /// Foreign code is about to access `size` bytes at once: one step.
    pub(crate) fn foreign_range(&self, addr: usize, size: usize, kind: Kind, at: At) {
        if size > 0 {
            let op = Op::new(addr, kind, Ordering::Relaxed);
            if self.marker.is_on.get() {
                return self.foreign_marked(op, size, at);
            }
            self.announce(op, at);
            self.check_cells(op, size, at);
        }
    }

    /// Checks an access against each of its cells.
    #[inline(never)]
    fn check_cells(&self, op: Op, size: usize, at: At) {
        let cpu = self.cpu.get();
        let then = self.memory(|memory| memory.now(cpu));
        self.each_cell(op, size, at, |cell| match is_atomic(cell.kind) {
            true => self.check_atomic(cell, then, at),
            false => self.check_plain(cell, at),
        });
    }

    /// Calls `check` with the part of an access that each of its cells is.
    #[inline(always)]
    pub(super) fn each_cell(&self, op: Op, size: usize, at: At, mut check: impl FnMut(Op)) {
        self.touch_range(op.addr, size, op.kind.writes());
        let end = op.addr.saturating_add(size);
        let mut addr = op.addr;
        while addr < end {
            let granule_end = (addr - addr % GRANULE).saturating_add(GRANULE);
            let part = granule_end.min(end) - addr;
            // Of what is only a part of it, the machine keeps no bytes.
            let whole = if part == size { op.size } else { 0 };
            let part_op = Op {
                addr,
                size: whole,
                ..op
            };
            match self.memory(|memory| memory.offset(addr)) {
                Some(_) => self.check_part(part_op, part, &mut check),
                None => return self.check_outside(part_op, at),
            }
            addr += part;
        }
    }

    #[inline(always)]
    fn check_part(&self, op: Op, size: usize, check: &mut impl FnMut(Op)) {
        let mut copies = [(0, 0); GRANULE];
        let mut count = 0;
        let starts = self.memory(|memory| {
            memory.divide(op.addr, size, |to, from| {
                copies[count % GRANULE] = (to, from);
                count += 1;
            })
        });
        if self.siting.get() && count > 0 {
            let _host = Host::begin();
            let mut recorder = self.recorder.borrow_mut();
            for &(to, from) in &copies[..count] {
                recorder.copy_sites(from, to);
            }
        }
        let first = op.addr % GRANULE;
        let cells = (first..first + size).filter(|start| starts >> start & 1 != 0);
        let whole = match cells.clone().nth(1) {
            None => op.size,
            Some(_) => 0,
        };
        for start in cells {
            check(Op {
                addr: op.addr - first + start,
                size: whole,
                ..op
            });
        }
    }

    /// Checks an access to memory that is not the machine's.
    #[cold]
    fn check_outside(&self, op: Op, at: At) {
        let _host = Host::begin();
        let address = op.addr;
        if self.memory(|memory| memory.is_null(address)) {
            self.wrong(Wrong::Null, op, at);
        } else if op.kind.writes() && !self.failing.get() {
            let what = match self.is_in_module(address) {
                true => "a constant, or code",
                false => "memory that is not the kernel's",
            };
            self.fail(
                FailureKind::UseAfterFree,
                "wild-access",
                format!("{} of {what}", op.kind.name()),
                Some(at),
            );
        }
    }

    /// Foreign code makes a fence.
    pub(super) fn foreign_fence(&self, order: Ordering, at: At) {
        let op = Op::new(0, Kind::Fence, order);
        self.fused(op, at);
    }

    /// A foreign function has begun. The machine's own code runs on the same stack, so it must not be used up there.
    #[inline(always)]
    pub(super) fn foreign_frame(&self, at: At) {
        if self.is_low() {
            faults::overflow(self, at);
        }
    }

    /// Whether the stack that runs has no room for the machine's own code.
    #[inline(always)]
    fn is_low(&self) -> bool {
        let here = 0_u8;
        let here = std::ptr::from_ref(&here).addr();
        let offset = self.memory(|memory| memory.offset(here));
        let inside = offset.and_then(|offset| offset.checked_sub(ARENA_BYTES));
        inside.is_some_and(|inside| inside % STACK_BYTES < RESERVE)
    }

    /// A foreign function is about to return, whose frame has these bytes. Its local variables are gone.
    fn frame_ends(&self, begin: usize, end: usize, at: At) {
        if self.failing.get() || begin >= end {
            return;
        }
        let (Some(stack), Some(offset)) = (
            self.memory(|memory| memory.stack_of(begin)),
            self.memory(|memory| memory.offset(begin)),
        ) else {
            return;
        };
        // A frame that reaches into another stack is none.
        if !self.contexts.stack_range(stack).contains(&(end - 1)) {
            return;
        }
        let size = end - begin;
        self.touch_range(begin, size, true);
        let cpu = self.cpu.get();
        let is_used = self.memory(|memory| memory.drop_frame(cpu, offset, size));
        if is_used && self.recording.get() {
            self.record_frame_end(offset, size, at);
        }
    }

    #[cold]
    fn record_frame_end(&self, offset: usize, size: usize, at: At) {
        let _host = Host::begin();
        let site = self.siting.get().then(|| self.site(Kind::Free, at));
        let mut recorder = self.recorder.borrow_mut();
        recorder.forget_objects(offset, size);
        if let Some(site) = site {
            recorder.freed(offset, size, site);
        }
    }
}

/// Calls `f`, which is what foreign code has called of the kernel. The call returns to `caller`: what the kernel does in it is at
/// that place of the source.
#[inline(always)]
pub(crate) fn placed<R>(caller: usize, f: impl FnOnce() -> R) -> R {
    let Some(slot) = current().and_then(Engine::slot_in_use) else {
        return f();
    };
    let before = slot.caller().replace(caller);
    let result = f();
    slot.caller().set(before);
    result
}

/// The place of the call of the kernel that the running context is in, if foreign code has made one.
pub(super) fn caller() -> Option<At> {
    let caller = current()?.slot_in_use()?.caller().get();
    (caller != 0).then(|| At::code(caller - 1))
}

/// A kind of foreign code: what its hooks do.
pub(crate) trait Code {
    /// It is about to make this access of `size` bytes: a step.
    fn access(op: Op, size: usize, at: At);
    /// It is about to access `size` bytes at once: a step.
    fn range(addr: usize, size: usize, kind: Kind, at: At);
    /// It makes a read-modify-write of `size` bytes: a step. `modify` makes it, and returns its outcome and the operation that it
    /// was.
    fn modify<R>(op: Op, size: usize, at: At, modify: impl FnOnce() -> (R, Op)) -> R;
    /// It makes a fence.
    fn fence(order: Ordering, at: At);
    /// A function has begun.
    fn frame_begins(at: At);
    /// A function is about to return, whose frame has these bytes, if it has a frame pointer.
    fn frame_ends(begin: usize, end: usize, at: At);
}

/// Whether this address is on the stack of a context, or outside of the machine.
#[inline(always)]
pub(crate) fn is_on_stack(addr: usize) -> bool {
    current().is_none_or(|engine| {
        let offset = engine.memory(|memory| memory.offset(addr));
        offset.is_none_or(|offset| offset >= ARENA_BYTES)
    })
}

/// Code of a module. What it accesses is memory of its kernel, or a constant.
pub(crate) struct Module;

impl Code for Module {
    #[inline(always)]
    fn access(op: Op, size: usize, at: At) {
        if let Some(engine) = current() {
            engine.foreign(of_size(op, size), size, at);
        }
    }

    fn range(addr: usize, size: usize, kind: Kind, at: At) {
        if let Some(engine) = current() {
            engine.foreign_range(addr, size, kind, at);
        }
    }

    #[inline(always)]
    fn modify<R>(op: Op, size: usize, at: At, modify: impl FnOnce() -> (R, Op)) -> R {
        let Some(engine) = current() else {
            return modify().0;
        };
        engine.announce(op, at);
        if engine.memory(|memory| memory.offset(op.addr)).is_none() {
            // This ends the run, unless it is over.
            engine.check_outside(op, at);
        }
        let (outcome, made) = modify();
        engine.made_foreign(made, size, at);
        outcome
    }

    fn fence(order: Ordering, at: At) {
        if let Some(engine) = current() {
            engine.foreign_fence(order, at);
        }
    }

    #[inline(always)]
    fn frame_begins(at: At) {
        if let Some(engine) = current() {
            engine.foreign_frame(at);
        }
    }

    fn frame_ends(begin: usize, end: usize, at: At) {
        if let Some(engine) = current() {
            if engine.marker.is_on.get() {
                engine.function_ends(at);
            }
            engine.frame_ends(begin, end, at);
        }
    }
}
