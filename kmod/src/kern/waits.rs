//! The wait-for graph, drawn from what the kernel knows.
//!
//! # Overview
//!
//! Nodes are LWPs and the resources that the talk draws: a mutex, an rwlock, the slot of a cross-call box,
//! a softint level of a CPU, the softclock of a CPU. An LWP waits for a resource; a resource waits
//! for the LWP that must act before it is free. Nothing here is kept by the kernel for this purpose:
//! owners, queues and pending flags are what the primitives need anyway.
//!
//! # Contexts
//!
//! When the kernel has stopped, or every CPU is idle: it reads without locks.

use core::fmt;

use crate::config::Wiring;
use crate::kern::callout::Callout;
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Lwp, Stat};
use crate::kern::mutex::Kmutex;
use crate::kern::rwlock::Krwlock;
use crate::kern::sleepq::SyncObj;
use crate::kern::spl::Ipl;
use crate::kern::xcall::XcBox;
use crate::kernel::Kernel;

/// A node of the graph.
#[derive(Clone, Copy)]
pub enum Node {
    /// A thread.
    Lwp(&'static Lwp),
    /// A mutex.
    Mutex(&'static Kmutex),
    /// An rwlock. Its writer is known; its readers are not.
    Rwlock(&'static Krwlock),
    /// The one slot of a cross-call box.
    Xcall(&'static str, &'static XcBox),
    /// A softint level of a CPU, occupied by its LWP.
    Softint(Ipl, &'static Cpu),
    /// The softclock of a CPU, which ends a timed sleep.
    Softclock(&'static Cpu),
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
            Node::Softclock(ci) => write!(f, "softclock of cpu{}", ci.index()),
        }
    }
}

/// Calls `visit` with everything that `node` waits for.
pub fn edges(kernel: &'static Kernel, node: Node, visit: &mut dyn FnMut(Node)) {
    match node {
        Node::Lwp(l) => lwp_edges(kernel, l, visit),
        Node::Mutex(m) => {
            if let Some(owner) = m.owner() {
                visit(Node::Lwp(owner));
            }
        }
        Node::Rwlock(rw) => {
            if let Some(owner) = rw.owner() {
                visit(Node::Lwp(owner));
            }
        }
        Node::Xcall(_, xc) => xcall_edges(kernel, xc, visit),
        Node::Softint(level, ci) => {
            if let (Some(l), true) = ci.ci_softcpu.peek(level) {
                visit(Node::Lwp(l));
            }
        }
        Node::Softclock(ci) => {
            match ci.ci_callout.peek_lwp() {
                Some(l) => visit(Node::Lwp(l)),
                // It does not run: perhaps because its level is occupied.
                None => visit(Node::Softint(Ipl::SoftClock, ci)),
            }
        }
    }
}

fn lwp_edges(kernel: &'static Kernel, l: &'static Lwp, visit: &mut dyn FnMut(Node)) {
    let wanted = l.l_wantlock.peek();
    // SAFETY: an LWP keeps here the mutex that it is about to enter, which is alive as long as it waits.
    if let Some(mutex) = unsafe { wanted.cast::<Kmutex>().cast_const().as_ref() } {
        visit(Node::Mutex(mutex));
        return;
    }
    // SAFETY: likewise the rwlock.
    if let Some(rwlock) = unsafe { l.l_wantrw.peek().cast::<Krwlock>().cast_const().as_ref() } {
        visit(Node::Rwlock(rwlock));
        return;
    }
    if l.l_stat.peek() != Stat::Sleep {
        return;
    }
    let wchan = l.l_wchan.peek();
    match l.l_syncobj.peek() {
        SyncObj::Cv => {
            for (name, xc) in boxes(kernel) {
                if xc.is_wchan(wchan) {
                    visit(Node::Xcall(name, xc));
                }
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
                visit(Node::Softclock(ci));
            }
        }
        SyncObj::Mutex | SyncObj::Rwlock | SyncObj::Kpause | SyncObj::Sched => {}
    }
    timeout_edge(&l.l_timeout_ch, visit);
}

/// A timed sleep ends through the softclock of the CPU that has its callout.
fn timeout_edge(timeout: &Callout, visit: &mut dyn FnMut(Node)) {
    if let Some(ci) = timeout.peek_cpu().filter(|_| timeout.peek_pending()) {
        visit(Node::Softclock(ci));
    }
}

fn boxes(kernel: &'static Kernel) -> [(&'static str, &'static XcBox); 2] {
    [
        ("xc", &kernel.xcall.xc_low_pri),
        ("xc (high)", &kernel.xcall.xc_high_pri),
    ]
}

/// A box is free when its functions have returned: it waits for the threads and softints that run them.
fn xcall_edges(kernel: &'static Kernel, xc: &'static XcBox, visit: &mut dyn FnMut(Node)) {
    let (head, done) = xc.peek();
    if head == done {
        return;
    }
    let low = core::ptr::eq(xc, &raw const kernel.xcall.xc_low_pri);
    if !low && kernel.config().xcall == Wiring::Rump {
        // Its functions are carried by the other box.
        let [(name, carrier), _] = boxes(kernel);
        visit(Node::Xcall(name, carrier));
        return;
    }
    for ci in kernel.cpus() {
        if low {
            let (l, pending) = ci.ci_xcall.peek();
            let Some(l) = l else { continue };
            if pending || !ci.ci_xcall.is_idle_wchan(l.l_wchan.peek()) {
                visit(Node::Lwp(l));
            }
        } else {
            let level = xc.peek_ipl();
            if let (Some(_), true) = ci.ci_softcpu.peek(level) {
                visit(Node::Softint(level, ci));
            }
        }
    }
}

/// The longest path that a search for cycles follows.
const DEPTH: usize = 32;

struct Path {
    nodes: [Option<Node>; DEPTH],
    length: usize,
}

impl Path {
    fn position(&self, node: Node) -> Option<usize> {
        self.nodes[..self.length]
            .iter()
            .position(|n| n.is_some_and(|n| n == node))
    }
}

/// Follows every path from the end of `path` and calls `found` with each cycle that closes at its beginning.
fn search(kernel: &'static Kernel, path: &mut Path, found: &mut dyn FnMut(&[Option<Node>])) {
    let Some(last) = path.nodes[path.length - 1] else {
        return;
    };
    edges(kernel, last, &mut |next| {
        if path.nodes[0].is_some_and(|first| first == next) {
            found(&path.nodes[..path.length]);
        } else if path.length < DEPTH && path.position(next).is_none() {
            path.nodes[path.length] = Some(next);
            path.length += 1;
            search(kernel, path, found);
            path.length -= 1;
        }
    });
}

/// Calls `found` with each cycle, once: beginning at its LWP that the kernel has known longest.
pub fn cycles(kernel: &'static Kernel, found: &mut dyn FnMut(&[Option<Node>])) {
    for l in kernel.lwps() {
        let mut path = Path {
            nodes: [None; DEPTH],
            length: 1,
        };
        path.nodes[0] = Some(Node::Lwp(l));
        search(kernel, &mut path, &mut |cycle| {
            let first = cycle.iter().flatten().all(|node| match node {
                Node::Lwp(other) => !known_longer(kernel, other, l),
                _ => true,
            });
            if first {
                found(cycle);
            }
        });
    }
}

fn known_longer(kernel: &'static Kernel, a: &Lwp, b: &Lwp) -> bool {
    // The list begins with the newest.
    let position = |l: &Lwp| kernel.lwps().position(|other| core::ptr::eq(other, l));
    position(a) > position(b)
}

/// The graph of a kernel as text: the cycles as the talk prints them, then every LWP that waits.
pub struct Graph(pub &'static Kernel);

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        let mut count = 0;
        cycles(self.0, &mut |cycle| {
            count += 1;
            result = result.and_then(|()| write_cycle(f, cycle));
        });
        result?;
        if count == 0 {
            writeln!(f, "no cycle: somebody waits for a wake-up that nobody owes")?;
        }
        for l in self.0.lwps() {
            write_lwp(f, self.0, l)?;
        }
        Ok(())
    }
}

fn write_cycle(f: &mut fmt::Formatter<'_>, cycle: &[Option<Node>]) -> fmt::Result {
    write!(f, "cycle: ")?;
    for node in cycle.iter().flatten() {
        write!(f, "{node} => ")?;
    }
    if let Some(Some(first)) = cycle.first() {
        writeln!(f, "{first}")?;
    }
    Ok(())
}

fn write_lwp(f: &mut fmt::Formatter<'_>, kernel: &'static Kernel, l: &'static Lwp) -> fmt::Result {
    let sleeps = l.l_stat.peek() == Stat::Sleep;
    let wants_rwlock = l.l_wantlock.peek().is_null() && !l.l_wantrw.peek().is_null();
    let spins = (wants_rwlock || !l.l_wantlock.peek().is_null()) && !sleeps;
    // Threads that have nothing to do wait too, for requests.
    let rests = kernel
        .cpus()
        .iter()
        .any(|ci| ci.ci_xcall.is_idle_wchan(l.l_wchan.peek()));
    if !(sleeps || spins) || rests {
        return Ok(());
    }
    let how = if spins { "spins for" } else { "sleeps on" };
    let what = match (spins, wants_rwlock) {
        (true, true) => "an rwlock",
        (true, false) => "a mutex",
        (false, _) => l.l_wmesg.peek(),
    };
    write!(
        f,
        "{} on cpu{} {how} {what}",
        l.name(),
        l.cpu_unlocked().index()
    )?;
    let mut result = Ok(());
    edges(kernel, Node::Lwp(l), &mut |node| {
        result = result.and_then(|()| write!(f, " => {node}"));
        edges(kernel, node, &mut |holder| {
            result = result.and_then(|()| write!(f, " ({holder})"));
        });
    });
    result?;
    writeln!(f)
}
