//! The guarantees of the primitives, as checks that any program can run.
//!
//! A check uses the contract of a primitive. It does not depend on the implementation, or on which variant runs.

use crate::config::Config;
use crate::kern::cpu::Cpu;
use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::lwp::{Arg, curcpu, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::xcall::{self, Priority, Ticket, XcFunc};
use crate::mem::{Acquire, AtomicU32, Plain, Relaxed, Release};
use crate::note;
use crate::scenario::broken_promise;

/// The request that the function of a cross call reads and writes.
struct Request {
    word: Plain<usize>,
    returned: [AtomicU32; Config::MAXCPUS],
}

crate::fields!(Request { word, returned });

/// Makes a broadcast whose arguments are freed when `xc_wait` returns, as every caller does.
///
/// The guarantee (`xcall-early`): when the wait returns, the function has returned on every CPU. Where contracts are
/// compiled in, [`xcall::wait`] detects a failure before this does.
/// Context: thread that may sleep.
pub fn broadcast_and_wait(priority: Priority) {
    call_and_wait(priority, None, None);
}

/// As [`broadcast_and_wait`], at low priority, with a function that takes `lock` before it returns.
pub(crate) fn broadcast_locking_and_wait(lock: &'static Kmutex) {
    call_and_wait(Priority::Low, None, Some(lock));
}

/// As [`broadcast_and_wait`], for one CPU: `cpu` modulo the number of CPUs.
pub fn unicast_and_wait(priority: Priority, cpu: usize) {
    let kernel = curlwp().kernel();
    call_and_wait(priority, Some(kernel.cpu(cpu % kernel.cpus().len())), None);
}

fn call_and_wait(priority: Priority, target: Option<&'static Cpu>, lock: Option<&'static Kmutex>) {
    let cpus = curlwp().kernel().cpus();
    let request = Request {
        word: Plain::new(cpus.len()),
        returned: [const { AtomicU32::new(0) }; Config::MAXCPUS],
    };
    let Some(request) = kmem_alloc("xcall request", request) else {
        return;
    };
    crate::machine::label(request, format_args!("{}.request", curlwp().name()));
    let (func, lock): (XcFunc, _) = match lock {
        Some(lock) => (serve_behind, Arg::of(lock)),
        None => (serve, Arg::NONE),
    };
    let args = (Arg::of(request), lock);
    let ticket = match target {
        Some(ci) => xcall::unicast(priority, func, args, ci),
        None => xcall::broadcast(priority, func, args),
    };
    xcall::wait(ticket);
    note!(
        "xc_wait({}) returns to {}",
        ticket.number(),
        curlwp().name()
    );
    let asked = |ci: &Cpu| target.is_none_or(|target| core::ptr::eq(target, ci));
    for ci in cpus.iter().filter(|ci| asked(ci)) {
        if request.returned[ci.index()].load(Acquire) == 0 {
            early(priority, ticket, ci);
        }
    }
    // SAFETY: (1) it came from `kmem_alloc`; (2) the function has returned everywhere.
    unsafe { kmem_free(request) };
}

fn early(priority: Priority, ticket: Ticket, ci: &Cpu) -> ! {
    let (head, done) = xcall::counts(priority);
    broken_promise(
        "xcall-early",
        format_args!(
            "xc_wait(ticket {}) returned to {}, but the function of that request has not returned on cpu{} \
             (xc_headp {head}, xc_donep {done}: {} in flight)",
            ticket.number(),
            curlwp().name(),
            ci.index(),
            if head > ticket.number() {
                "two requests"
            } else {
                "one request"
            },
        ),
    )
}

/// The function: reads the request, and records that it has returned.
fn serve(request: Arg, _: Arg) {
    // SAFETY: the caller keeps the request until `xc_wait` has returned: the promise under test, which the
    // simulated machine checks at each access.
    let request: &'static Request = unsafe { request.get() };
    let cpus = request.word.get();
    let here = curcpu().index();
    if here < cpus {
        request.returned[here].store(1, Release);
    }
}

/// [`serve`] once the lock is free.
fn serve_behind(request: Arg, lock: Arg) {
    // SAFETY: the lock lives as long as the scenario that gave it.
    let lock: &'static Kmutex = unsafe { lock.get() };
    lock.enter();
    serve(request, Arg::NONE);
    lock.exit();
}

/// The time during which an LWP is bound.
pub(crate) struct Bound {
    restore: u32,
    cpu: usize,
}

impl Bound {
    /// Binds the current LWP to its CPU.
    pub(crate) fn begin() -> Bound {
        let restore = curlwp_bind();
        Bound {
            restore,
            cpu: curcpu().index(),
        }
    }

    /// The guarantee (`bound-moved`): it is on the same CPU.
    pub(crate) fn check(&self) {
        let here = curcpu().index();
        if here != self.cpu {
            broken_promise(
                "bound-moved",
                format_args!(
                    "{} was bound on cpu{}, but runs on cpu{here}",
                    curlwp().name(),
                    self.cpu
                ),
            );
        }
    }

    /// Undoes the binding, and checks that the LWP is on the same CPU.
    pub(crate) fn end(self) {
        self.check();
        curlwp_bindx(self.restore);
    }
}

/// Reads a counter and stores it plus one, in two steps: the code of a program that assumes it is alone.
pub(crate) fn increment_unprotected(counter: &AtomicU32) {
    let value = counter.load(Relaxed);
    counter.store(value + 1, Relaxed);
}
