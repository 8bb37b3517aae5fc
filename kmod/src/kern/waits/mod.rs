//! The wait-for graph, computed from the state of the kernel.
//!
//! # Overview
//!
//! Nodes are LWPs and resources: a lock, the slot of a cross-call box, a softint level of a CPU, the softclock of a
//! CPU, references that are drained, the work of a queue. An LWP waits for a resource; a resource waits for the LWP
//! that must act before it is free. The primitives have owners, queues and pending flags anyway. Only for reports,
//! the kernel also records which operations an LWP is [inside](crate::kern::inside) and what they wait for, who made
//! a cross call, and, with contracts, who [shares] an rwlock or a localcount.
//!
//! # Which waits are certain
//!
//! A wait is *certain* if nothing but its resource can end it. An LWP that sleeps with a timeout on a condition
//! variable may be woken by either, so neither is certain. A backstop is left out: the sleeper claims that it does not
//! need it. A kpause can be ended only by its timeout. A reference to a localcount may be passed to another LWP, which
//! releases it, so that wait is not certain. A cycle of certain waits is a deadlock, whatever else runs.
//!
//! # Contexts
//!
//! When the kernel has stopped, or every CPU is idle: it reads without locks.

use core::fmt;

use crate::config::Wiring;
use crate::kern::callout::Callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::cpu::Cpu;
use crate::kern::inside::Awaited;
use crate::kern::localcount::Localcount;
use crate::kern::lwp::{Arg, Lwp, Stat};
use crate::kern::mutex::Kmutex;
use crate::kern::psref::{self, PsrefTarget};
use crate::kern::rwlock::Krwlock;
use crate::kern::shares;
use crate::kern::sleepq::{SyncObj, has_backstop};
use crate::kern::spl::Ipl;
use crate::kern::workqueue;
use crate::kern::xcall::XcBox;
use crate::kernel::Kernel;
use crate::mem::AtomicU32;

mod cycle;
mod tell;

pub use cycle::{Cycle, Place, Station, deadlocked};
pub use tell::{Graph, How, Visitor, Waiter, active_callout, cpu_of, running, tell, unsignalled};

/// A node of the graph.
#[derive(Clone, Copy)]
pub enum Node {
    /// A thread.
    Lwp(&'static Lwp),
    /// A mutex.
    Mutex(&'static Kmutex),
    /// An rwlock.
    Rwlock(&'static Krwlock),
    /// The one slot of a cross-call box.
    Xcall(&'static str, &'static XcBox),
    /// A softint level of a CPU, occupied by its LWP.
    Softint(Ipl, &'static Cpu),
    /// The softclock of a CPU, which ends a timed sleep.
    Softclock(&'static Cpu),
    /// Passive references to a target.
    Psrefs(&'static PsrefTarget),
    /// References that a localcount counts.
    Localcount(&'static Localcount),
    /// References to an object of this kind, whose count is too high: the count.
    References(&'static str, &'static AtomicU32),
    /// The work of a queue, which its worker does.
    Work(&'static workqueue::Queue),
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::Lwp(a), Node::Lwp(b)) => core::ptr::eq(*a, *b),
            (Node::Mutex(a), Node::Mutex(b)) => core::ptr::eq(*a, *b),
            (Node::Rwlock(a), Node::Rwlock(b)) => core::ptr::eq(*a, *b),
            (Node::Xcall(_, a), Node::Xcall(_, b)) => core::ptr::eq(*a, *b),
            (Node::Softint(l, a), Node::Softint(m, b)) => l == m && core::ptr::eq(*a, *b),
            (Node::Softclock(a), Node::Softclock(b)) => core::ptr::eq(*a, *b),
            (Node::Psrefs(a), Node::Psrefs(b)) => core::ptr::eq(*a, *b),
            (Node::Localcount(a), Node::Localcount(b)) => core::ptr::eq(*a, *b),
            (Node::References(_, a), Node::References(_, b)) => core::ptr::eq(*a, *b),
            (Node::Work(a), Node::Work(b)) => core::ptr::eq(*a, *b),
            _ => false,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Lwp(l) => write!(f, "{}", l.name()),
            Node::Mutex(m) => f.write_str(m.name()),
            Node::Rwlock(rw) => f.write_str(rw.name()),
            Node::Xcall(name, _) => f.write_str(name),
            Node::Softint(level, ci) => write!(f, "softint {} of cpu{}", level.name(), ci.index()),
            Node::Softclock(ci) => write!(f, "callout thread of cpu{}", ci.index()),
            Node::Psrefs(target) => {
                let class = psref::class_of(target).map_or("?", |class| class.name());
                write!(f, "psref of class {class}")
            }
            Node::Localcount(_) => f.write_str("localcount"),
            Node::References(of, _) => write!(f, "reference to a {of}"),
            Node::Work(queue) => write!(f, "workqueue {}", queue.name()),
        }
    }
}

/// What a node waits for, and whether nothing else can end the wait.
#[derive(Clone, Copy)]
pub struct Wait {
    /// The node that must become free, or act.
    pub on: Node,
    /// Whether the wait cannot end otherwise.
    pub certain: bool,
}

type Visit<'a> = &'a mut dyn FnMut(Wait);

fn certain(on: Node) -> Wait {
    Wait { on, certain: true }
}

/// Calls `visit` with everything that `node` waits for.
pub fn edges(kernel: &'static Kernel, node: Node, visit: Visit<'_>) {
    match node {
        Node::Lwp(l) => lwp_edges(kernel, l, visit),
        Node::Mutex(m) => {
            if let Some(owner) = m.owner() {
                visit(certain(Node::Lwp(owner)));
            }
        }
        Node::Rwlock(rw) => {
            if let Some(owner) = rw.owner() {
                visit(certain(Node::Lwp(owner)));
            }
            shares::holders(kernel, rw, &mut |l| visit(certain(Node::Lwp(l))));
        }
        Node::Xcall(_, xc) => xcall_edges(kernel, xc, visit),
        Node::Softint(level, ci) => {
            if let (Some(l), true) = ci.ci_softcpu.peek(level) {
                visit(certain(Node::Lwp(l)));
            }
        }
        Node::Softclock(ci) => {
            visit(certain(match ci.ci_callout.peek_lwp() {
                Some(l) => Node::Lwp(l),
                // It does not run, perhaps because its level is occupied.
                None => Node::Softint(Ipl::SoftClock, ci),
            }));
        }
        Node::Psrefs(target) => psref::holders(kernel, target, &mut |l, _| {
            visit(certain(Node::Lwp(l)));
        }),
        Node::Localcount(lc) => shares::holders(kernel, lc, &mut |l| {
            visit(Wait {
                on: Node::Lwp(l),
                certain: false,
            });
        }),
        // The kernel keeps no record of who has them. The trace does.
        Node::References(..) => {}
        Node::Work(queue) => {
            if let Some(worker) = queue.worker() {
                visit(certain(Node::Lwp(worker)));
            }
        }
    }
}

/// The lock that an LWP is about to enter.
fn wanted(l: &Lwp) -> Option<Node> {
    let wanted = l.l_wantlock.peek();
    // SAFETY: an LWP keeps here the mutex that it is about to enter, which is alive as long as it waits.
    if let Some(mutex) = unsafe { wanted.cast::<Kmutex>().cast_const().as_ref() } {
        return Some(Node::Mutex(mutex));
    }
    let wanted = l.l_wantrw.peek();
    // SAFETY: likewise the rwlock.
    unsafe { wanted.cast::<Krwlock>().cast_const().as_ref() }.map(Node::Rwlock)
}

/// What the operation that an LWP is in waits for, when it sleeps on `wchan`.
fn awaited(l: &Lwp, wchan: usize) -> Option<Node> {
    match l.l_inside.awaited() {
        Awaited::Unknown | Awaited::Until { .. } => None,
        Awaited::Psrefs(target) => {
            // SAFETY: whoever calls psref_target_destroy keeps the target until it returns.
            let target = unsafe { target.get::<PsrefTarget>() };
            // It wakes up every tick, and sleeps again as long as there are references.
            target.is_wchan(wchan).then_some(Node::Psrefs(target))
        }
        Awaited::Localcount(lc, cv) => {
            // SAFETY: whoever calls localcount_drain keeps the counter until it returns.
            let lc = unsafe { lc.get::<Localcount>() };
            // SAFETY: and the condition variable, too.
            let cv = unsafe { cv.get::<Kcondvar>() };
            cv.is_wchan(wchan).then_some(Node::Localcount(lc))
        }
        Awaited::Count {
            of,
            count,
            left,
            cv,
        } => {
            // SAFETY: whoever waits keeps the object until the wait is over.
            let count = unsafe { count.get::<AtomicU32>() };
            // SAFETY: and the condition variable, too.
            let cv = unsafe { cv.get::<Kcondvar>() };
            // If they are released already, it waits for a wake-up.
            let are_left = count.peek() > left && cv.is_wchan(wchan);
            are_left.then_some(Node::References(of, count))
        }
        Awaited::Work(queue) => {
            // SAFETY: whoever calls workqueue_wait sees to it that nobody destroys the queue meanwhile.
            let queue = unsafe { queue.get::<workqueue::Queue>() };
            queue.is_wchan(wchan).then_some(Node::Work(queue))
        }
    }
}

/// What an LWP sleeps for, as text, if it is so already: the sleeper is waited for by nobody, and nobody wakes it. At rest.
///
/// Not of psref_target_destroy, which looks again each tick.
pub(crate) fn forgotten(l: &Lwp) -> Option<&'static str> {
    if l.l_stat.peek() != Stat::Sleep {
        return None;
    }
    // SAFETY: the condition variable exists as long as the operation lasts.
    let sleeps_on = |cv: Arg| unsafe { cv.get::<Kcondvar>() }.is_wchan(l.l_wchan.peek());
    match l.l_inside.awaited() {
        Awaited::Count {
            count, left, cv, ..
        } => {
            // SAFETY: whoever waits keeps the object until the wait is over.
            let count = unsafe { count.get::<AtomicU32>() };
            (sleeps_on(cv) && count.peek() <= left).then_some("references are released")
        }
        Awaited::Localcount(lc, cv) => {
            // SAFETY: whoever calls localcount_drain keeps the counter until it returns.
            let lc = unsafe { lc.get::<Localcount>() };
            (sleeps_on(cv) && lc.is_drained_at_rest()).then_some("references are released")
        }
        Awaited::Until {
            what,
            holds,
            arg,
            cv,
        } => (sleeps_on(cv) && holds(arg)).then_some(what),
        Awaited::Unknown | Awaited::Psrefs(_) | Awaited::Work(_) => None,
    }
}

/// Whether an LWP waits for a lock, spinning or asleep.
pub(crate) fn wants_lock(l: &Lwp) -> bool {
    let sleeps = l.l_stat.peek() == Stat::Sleep
        && matches!(l.l_syncobj.peek(), SyncObj::Mutex | SyncObj::Rwlock);
    sleeps || wanted(l).is_some()
}

fn lwp_edges(kernel: &'static Kernel, l: &'static Lwp, visit: Visit<'_>) {
    if let Some(lock) = wanted(l) {
        return visit(certain(lock));
    }
    if l.l_stat.peek() != Stat::Sleep {
        return;
    }
    let wchan = l.l_wchan.peek();
    let timeout = timeout_of(&l.l_timeout_ch);
    match l.l_syncobj.peek() {
        SyncObj::Cv => {
            for (name, xc) in boxes(kernel) {
                if xc.is_wchan(wchan) {
                    visit(certain(Node::Xcall(name, xc)));
                }
            }
            if let Some(other) = kernel.lwps().find(|other| other.l_exitcv.is_wchan(wchan)) {
                visit(certain(Node::Lwp(other)));
            }
            match awaited(l, wchan) {
                // As with a localcount, another LWP may release what one has taken.
                Some(on @ Node::References(..)) => return visit(Wait { on, certain: false }),
                Some(awaited) => return visit(certain(awaited)),
                None => {}
            }
            if let Some(ci) = timeout.filter(|_| !has_backstop(l)) {
                visit(Wait {
                    on: Node::Softclock(ci),
                    certain: false,
                });
            }
        }
        SyncObj::Callout => {
            let ci = l.l_mutex.peek().and_then(|lock| {
                kernel
                    .cpus()
                    .iter()
                    .find(|ci| core::ptr::eq(&raw const ci.ci_callout.cc_lock, lock))
            });
            if let Some(ci) = ci {
                visit(certain(Node::Softclock(ci)));
            }
        }
        SyncObj::Kpause => {
            if let Some(ci) = timeout {
                visit(certain(Node::Softclock(ci)));
            }
        }
        SyncObj::Mutex | SyncObj::Rwlock | SyncObj::Sched => {}
    }
}

/// The CPU whose softclock will end a timed sleep.
fn timeout_of(timeout: &Callout) -> Option<&'static Cpu> {
    timeout.peek_cpu().filter(|_| timeout.peek_pending())
}

fn boxes(kernel: &'static Kernel) -> [(&'static str, &'static XcBox); 2] {
    [
        ("xc", &kernel.xcall.xc_low_pri),
        ("xc (high)", &kernel.xcall.xc_high_pri),
    ]
}

/// A box is free when its functions have returned: it waits for the threads and softints that run them.
fn xcall_edges(kernel: &'static Kernel, xc: &'static XcBox, visit: Visit<'_>) {
    let (head, done) = xc.peek();
    if head == done {
        return;
    }
    let low = core::ptr::eq(xc, &raw const kernel.xcall.xc_low_pri);
    if !low && kernel.config().xcall == Wiring::Rump {
        // The other box carries its functions.
        let [(name, carrier), _] = boxes(kernel);
        return visit(certain(Node::Xcall(name, carrier)));
    }
    for ci in kernel.cpus() {
        if low {
            let (l, pending) = ci.ci_xcall.peek();
            let Some(l) = l else { continue };
            if pending || !ci.ci_xcall.is_idle_wchan(l.l_wchan.peek()) {
                visit(certain(Node::Lwp(l)));
            }
        } else {
            let level = xc.peek_ipl();
            if let (Some(_), true) = ci.ci_softcpu.peek(level) {
                visit(certain(Node::Softint(level, ci)));
            }
        }
    }
}
