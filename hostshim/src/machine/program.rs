//! Crates of this program whose accesses are steps: those that `cargo rumplab test` has instrumented.
//!
//! # Overview
//!
//! The compiler calls a hook before each access of such a crate. What is generic or inlined is compiled in the crate that uses it,
//! so hooks are also called by code that is none of the crate's:
//!
//! * The machine's own code, as far as it is compiled into the program under test. Its accesses are not the program's. They are told
//!   by the place of the hook ([`super::sites`]).
//! * Any code on a thread of the host that runs no machine, or outside of the guest ([`super::side`]). Nothing is announced.
//!
//! # What is watched
//!
//! * Memory of the machine: its arena, from which Rust's heap comes, and the stacks.
//! * Static variables. They are accessed where they are, and checked as if they were at their [copy](super::globals). Each run
//!   begins with their initial values ([`super::statics`]).
//! * Thread-local variables are private, and not checked. Each thread of a run has its own ([`super::statics`]).
//! * Any other memory is the host's. An access there is no step.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use kmod::machine::{At, Kind, Op};
use kmod::mem::Ordering;

use super::engine::Engine;
use super::failure::FailureKind;
use super::foreign::{Code, is_atomic, of_size};
use super::host::current;
use super::shadow::acquires;
use super::side::{Host, in_guest};
use super::sites::Whose;
use super::{sites, statics};

/// Code of a crate of this program.
pub(crate) struct Program;

/// The program was loaded, and nothing of it has run.
pub(crate) fn loaded() {
    statics::remember();
}

/// The machine that watches what is at this place, if one does, and whose that is.
#[inline(always)]
fn watching(at: At) -> Option<(&'static Engine, Whose)> {
    if !in_guest() {
        return None;
    }
    let engine = current()?;
    let whose = sites::whose(at);
    (whose != Whose::Machine).then_some((engine, whose))
}

/// An access that is watched.
struct Watched {
    engine: &'static Engine,
    whose: Whose,
    /// The address at which it is checked.
    addr: usize,
}

#[inline(always)]
fn watching_at(addr: usize, at: At) -> Option<Watched> {
    let (engine, whose) = watching(at)?;
    if whose == Whose::Program {
        goes_on(engine);
    }
    let addr = engine.own(addr);
    engine.memory(|memory| memory.offset(addr))?;
    Some(Watched {
        engine,
        whose,
        addr,
    })
}

/// Code of the program goes on. What locks of the standard library have ordered meanwhile is not known.
#[inline(always)]
fn goes_on(engine: &Engine) {
    if let Some(slot) = engine.slot_in_use()
        && slot.library().get()
    {
        slot.library().set(false);
        synchronize(engine);
    }
}

/// The running CPU counts as ordered after everything that has happened.
fn synchronize(engine: &Engine) {
    let cpu = engine.cpu.get();
    engine.memory(|memory| memory.synchronize(cpu));
}

impl Watched {
    /// The access was made and checked.
    #[inline(always)]
    fn made(&self, op: Op) {
        if self.whose == Whose::Library {
            self.made_in_library(op);
        }
    }

    fn made_in_library(&self, op: Op) {
        if let Some(slot) = self.engine.slot_in_use() {
            slot.library().set(true);
        }
        if is_atomic(op.kind) && acquires(op.order) {
            synchronize(self.engine);
        }
    }
}

impl Code for Program {
    #[inline(always)]
    fn access(op: Op, size: usize, at: At) {
        if let Some(watched) = watching_at(op.addr, at) {
            let Watched { engine, addr, .. } = watched;
            // Of what is checked elsewhere, the machine keeps no bytes.
            let own = match addr == op.addr {
                true => of_size(op, size),
                false => Op { addr, ..op },
            };
            engine.foreign(own, size, at);
            watched.made(op);
        }
    }

    fn range(addr: usize, size: usize, kind: Kind, at: At) {
        if size > 0
            && let Some(Watched { engine, addr, .. }) = watching_at(addr, at)
        {
            engine.foreign_range(addr, size, kind, at);
        }
    }

    #[inline(always)]
    fn modify<R>(op: Op, size: usize, at: At, modify: impl FnOnce() -> (R, Op)) -> R {
        let Some(watched) = watching_at(op.addr, at) else {
            return modify().0;
        };
        let Watched { engine, addr, .. } = watched;
        engine.announce(Op { addr, ..op }, at);
        let (outcome, made) = modify();
        engine.made_foreign(Op { addr, ..made }, size, at);
        watched.made(made);
        outcome
    }

    fn fence(order: Ordering, at: At) {
        if let Some((engine, _)) = watching(at) {
            engine.foreign_fence(order, at);
        }
    }

    #[inline(always)]
    fn frame_begins(at: At) {
        if in_guest()
            && let Some(engine) = current()
        {
            engine.foreign_frame(at);
        }
    }

    /// Without frame pointers it is not known where a frame ends.
    #[inline(always)]
    fn frame_ends(_: usize, _: usize, _: At) {}
}

/// The machine whose guest makes a call of the system on this thread, if it is one's.
fn calling() -> Option<&'static Engine> {
    let engine = current().filter(|_| in_guest())?;
    (!engine.failing.get()).then_some(engine)
}

/// Ends the run if code under test is about to sleep on the thread of the host.
pub(crate) fn refuse_sleep() {
    if let Some(engine) = calling() {
        sleeps(engine);
    }
}

fn sleeps(engine: &Engine) -> ! {
    let what = "sleeps in the standard library, which would stop every CPU of the machine";
    let help = "use rumplab::thread and rumplab::sync in place of std's: sleep, park, channels, waits with a timeout";
    refuse(engine, "host-sleep", what, help)
}

/// Code under test makes the system call `futex`, with which the locks of the standard library sleep and wake. Returns the outcome, if
/// it was made on the machine.
///
/// A CPU sleeps as if it spun: until somebody wakes it or writes the word.
pub(crate) fn futex(addr: usize, operation: usize, expected: u32, timeout: usize) -> Option<i64> {
    let engine = calling()?;
    let _host = Host::begin();
    engine.drain_own();
    let own = engine.own(addr);
    let flags = libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME;
    match operation as i32 & !flags {
        libc::FUTEX_WAKE | libc::FUTEX_WAKE_BITSET => {
            synchronize(engine);
            engine.touch(own, true);
            Some(engine.wake_sleepers(own))
        }
        libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET => {
            let word = std::ptr::with_exposed_provenance::<AtomicU32>(addr);
            // All threads of a run are one for `park`.
            let parks = sites::is_in_park();
            if parks {
                // The word is of the thread of the host, and outlives the run: as if it had not parked.
                // SAFETY: the standard library's promise to the system.
                unsafe { &*word }.store(0, SeqCst);
            }
            if engine.is_on_host() || timeout != 0 || parks {
                sleeps(engine);
            }
            let at = sites::caller_in_program().unwrap_or(At::code(0));
            // SAFETY: the standard library's promise to the system.
            while unsafe { &*word }.load(SeqCst) == expected {
                engine.touch(own, false);
                engine.sleep_on(own, at);
            }
            engine.touch(own, false);
            synchronize(engine);
            Some(0)
        }
        _ => None,
    }
}

/// Ends the run if code under test is about to make a thread of the host.
pub(crate) fn refuse_thread() {
    if let Some(engine) = calling() {
        let what = "makes a thread of the host, which no machine would see";
        let help = "use Program::actor, or rumplab::thread::spawn in place of std::thread::spawn";
        refuse(engine, "host-thread", what, help);
    }
}

fn refuse(engine: &Engine, rule: &str, what: &str, help: &str) -> ! {
    let _host = Host::begin();
    let context = engine.context_name(engine.cpu.get());
    let function = sites::library_function().map_or_else(String::new, |name| format!(" ({name})"));
    let message = format!("{context} {what}{function}: {help}");
    engine.fail(
        FailureKind::Fault,
        rule,
        message,
        sites::caller_in_program(),
    )
}

/// Code under test says that it spins. Returns whether it is code under test.
pub(crate) fn yields() -> bool {
    let Some(engine) = calling().filter(|engine| !engine.is_on_host()) else {
        return false;
    };
    let _host = Host::begin();
    engine.give_way(sites::caller_in_program().unwrap_or(At::code(0)));
    true
}

/// Code under test registers a destructor of a thread-local variable. Returns whether it is one of a run.
pub(crate) fn registers(destructor: usize, variable: usize) -> bool {
    let Some(engine) = calling() else {
        return false;
    };
    let _host = Host::begin();
    engine.register(destructor, variable)
}
