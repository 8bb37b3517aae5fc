//! Local variables: cells that lie on the stack of a context, and that others may have the address of.
//!
//! # Overview
//!
//! A cell on a stack tells when it is dropped. From then on nobody may touch it, as if its memory had been freed. The stack of an
//! LWP that has exited is as gone as all that lay on it.
//!
//! # When the place is used again
//!
//! A later call can put another cell at the same address, and nothing tells of that: a constructor is a constant function. An
//! access to the place of a dropped cell is an error in two cases:
//!
//! 1. The CPU is not ordered after the drop. Whoever has the address of something newer is: it was published after it was made.
//! 2. The stack ends above the address. No frame is there.
//!
//! In any other case something new may have taken the place, and the access counts as one to that. So a correct program is never
//! called wrong. An access through a stale pointer is missed if it is ordered after the drop, and frames of the owner lie there by
//! then. That includes the machine's own frames, with which the owner waits for its next step: they are as deep in every run,
//! whatever is recorded and whoever chooses.

use kmod::machine::{At, Kind, Op};

use super::context::Contexts;
use super::engine::Engine;
use super::memory::{ARENA_BYTES, Wrong};
use super::side::Host;
use super::source::{self, Line, place};
use super::trace::Site;

/// What lies between the end of a scope and [`Engine::dropped`].
const BETWEEN: [&str; 6] = [
    "kmod/src/mem/atomic.rs",
    "kmod/src/mem/plain.rs",
    "kmod/src/machine/bound.rs",
    "kmod/src/machine/mod.rs",
    "hostshim/src/machine/host.rs",
    "hostshim/src/machine/locals.rs",
];

/// Frames in which the end of a scope is looked for.
const FRAMES: usize = 24;

/// The place that a call returns to, if it is in the program and none of [`BETWEEN`].
fn in_program(address: usize) -> Option<String> {
    let between = |line: &Line| BETWEEN.iter().any(|between| line.file.ends_with(between));
    let lines = source::lines_of(address.saturating_sub(1));
    let line = lines.iter().find(|line| line.is_ours() && !between(line))?;
    Some(line.place())
}

/// The return addresses of the functions that are under way, the innermost first.
fn callers() -> Vec<usize> {
    let mut returns = Vec::new();
    backtrace::trace(|frame| {
        returns.push(frame.ip().addr());
        returns.len() < FRAMES
    });
    returns
}

impl Engine {
    /// A cell of `size` bytes is dropped. Those of an allocation are told of by its free.
    pub(crate) fn dropped(&self, address: usize, size: usize) {
        if self.memory(|memory| memory.stack_of(address)).is_none() || self.failing.get() {
            return;
        }
        let Some(offset) = self.memory(|memory| memory.offset(address)) else {
            return;
        };
        let cpu = self.cpu.get();
        self.touch_range(address, size, true);
        self.memory(|memory| memory.drop_local(cpu, offset));
        if self.recording.get() {
            self.record_drop(offset, size);
        }
    }

    #[cold]
    fn record_drop(&self, offset: usize, size: usize) {
        let _host = Host::begin();
        let location = self.siting.get().then(|| self.place_of_drop());
        let cpu = self.cpu.get();
        let site = location.map(|location| Site {
            kind: Kind::Free,
            cpu,
            context: self.context_name(cpu),
            location,
            at: None,
        });
        let mut recorder = self.recorder.borrow_mut();
        recorder.drop_local(offset, size);
        if let Some(site) = site {
            recorder.freed(offset, size, site);
        }
    }

    /// Where in the program the scope of a variable is left: the innermost function that is no cell's and no library's. Without
    /// line tables, the last step before.
    fn place_of_drop(&self) -> String {
        let returns = callers();
        let last = || self.current().location().map_or_else(String::new, place);
        returns
            .into_iter()
            .find_map(in_program)
            .unwrap_or_else(last)
    }

    /// Where the program has called what has led to this file of the standard library. If that is not known, `at`.
    pub(super) fn place_of_call(&self, file: &str, at: At) -> String {
        let lines = callers()
            .into_iter()
            .map(|address| source::lines_of(address.saturating_sub(1)));
        let lines = lines.flat_map(|lines| lines.to_vec());
        let mut after = lines.skip_while(|line| line.file != file);
        let found = after.find(|line| line.is_ours() && !line.file.contains("/rumplab/src/"));
        found.map_or_else(|| place(at), |line| line.place())
    }

    /// Checks that the cell of an operation is there, if it lies on a stack.
    #[inline]
    pub(crate) fn check_local(&self, op: Op) -> Result<(), Wrong> {
        match self.memory(|memory| memory.offset(op.addr)) {
            Some(offset) if offset >= ARENA_BYTES => self.check_in_stack(op, offset),
            _ => Ok(()),
        }
    }

    fn check_in_stack(&self, op: Op, offset: usize) -> Result<(), Wrong> {
        let Some(stack) = Contexts::stack_at(offset) else {
            return Ok(());
        };
        if !self.contexts.is_alive(stack) {
            return Err(Wrong::Gone(offset));
        }
        let Some(dropped) = self.memory(|memory| memory.dropped(offset)) else {
            return Ok(());
        };
        let cpu = self.cpu.get();
        if self.is_below(stack, op.addr) || !self.memory(|memory| memory.knows_end(cpu, dropped)) {
            return Err(Wrong::Gone(offset));
        }
        self.memory(|memory| memory.replace_local(cpu, offset));
        if self.recording.get() {
            let _host = Host::begin();
            self.recorder.borrow_mut().forget_objects(offset, 1);
        }
        Ok(())
    }

    /// Whether this address is below all that the stack is in use for. Of the stack that runs it is not known: the checks use it, too.
    fn is_below(&self, stack: usize, address: usize) -> bool {
        let runs = self.stack_in_use() == Some(self.contexts.stack_range(stack));
        !runs && address < self.contexts.left_at(stack)
    }

    /// What is said of a local variable that is gone.
    pub(crate) fn words_for_gone(&self, offset: usize, object: &str) -> String {
        let Some((stack, owner)) = self.owner_of(offset) else {
            return format!("{object}, which is gone");
        };
        if !self.contexts.is_alive(stack) {
            return format!("{object}, a local variable of {owner}, which has exited");
        }
        let by_whom = match self.recorder.borrow().free_site(offset) {
            Some(site) => format!(" at {}", site.location),
            None => String::new(),
        };
        format!("{object}, a local variable of {owner}, which has left its scope{by_whom}")
    }

    /// The stack that this byte of the region lies in, and the name of the context whose stack it is or was.
    pub(crate) fn owner_of(&self, offset: usize) -> Option<(usize, String)> {
        let stack = Contexts::stack_at(offset)?;
        Some((stack, self.contexts.name(stack)))
    }
}
