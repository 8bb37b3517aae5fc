//! Cycles of the wait-for graph.
//!
//! A cycle is printed as resources and operations in the order in which they wait: `softnet_lock =>
//! pserialize_perform => kpause => callout => softnet_lock`, each with the LWP that holds it or is in it.

use core::fmt;

use super::{Node, Wait, edges, timeout_of, wanted};
use crate::kern::lwp::{Lwp, Stat};
use crate::kern::sleepq::SyncObj;
use crate::kernel::Kernel;

/// Maximum length of a path in the search for cycles.
const DEPTH: usize = 32;

struct Path {
    nodes: [Option<Node>; DEPTH],
    length: usize,
    certain: bool,
}

impl Path {
    fn contains(&self, node: Node) -> bool {
        self.nodes[..self.length].contains(&Some(node))
    }
}

/// A closed path: the last node waits for the first.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    nodes: &'a [Option<Node>],
    /// Whether every wait in it is certain.
    pub certain: bool,
}

/// Follows every path from the end of `path` and calls `found` with each cycle that closes at its beginning.
fn search(kernel: &'static Kernel, path: &mut Path, found: &mut dyn FnMut(Cycle<'_>)) {
    let Some(last) = path.nodes[path.length - 1] else {
        return;
    };
    edges(kernel, last, &mut |Wait { on, certain }| {
        let before = path.certain;
        path.certain &= certain;
        if path.nodes[0] == Some(on) {
            found(Cycle {
                nodes: &path.nodes[..path.length],
                certain: path.certain,
            });
        } else if path.length < DEPTH && !path.contains(on) {
            path.nodes[path.length] = Some(on);
            path.length += 1;
            search(kernel, path, found);
            path.length -= 1;
        }
        path.certain = before;
    });
}

/// Calls `found` with each cycle, once, starting at its oldest LWP.
pub(super) fn cycles(kernel: &'static Kernel, found: &mut dyn FnMut(Cycle<'_>)) {
    for l in kernel.lwps() {
        let mut path = Path {
            nodes: [None; DEPTH],
            length: 1,
            certain: true,
        };
        path.nodes[0] = Some(Node::Lwp(l));
        search(kernel, &mut path, &mut |cycle| {
            let first = cycle.nodes.iter().flatten().all(|node| match node {
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

/// Whether some LWPs wait for each other and for nothing else, so that they can never continue.
pub fn deadlocked(kernel: &'static Kernel) -> bool {
    // This is called often: unless an LWP waits for a lock or for the end of a callout there is no deadlock.
    if !kernel.lwps().any(waits_for_a_keeper) {
        return false;
    }
    let mut found = false;
    cycles(kernel, &mut |cycle| found |= cycle.certain);
    found
}

fn waits_for_a_keeper(l: &Lwp) -> bool {
    wanted(l).is_some() || l.l_syncobj.peek() == SyncObj::Callout
}

/// The kind of a station in a cycle.
#[derive(Clone, Copy)]
pub enum Place {
    /// A resource that is waited for, and its number from 2 on if another one in the cycle has the same name.
    Resource(Node, Option<usize>),
    /// An operation that an LWP is in, or sleeps in.
    Operation(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Resource(Node::Softclock(_), _) => f.write_str("callout"),
            Place::Resource(node, None) => write!(f, "{node}"),
            Place::Resource(node, Some(number)) => write!(f, "{node}#{number}"),
            Place::Operation(name) => f.write_str(name),
        }
    }
}

/// A station of a cycle.
#[derive(Clone, Copy)]
pub struct Station {
    /// Its kind.
    pub place: Place,
    /// The LWP that holds the resource, or performs the operation.
    pub lwp: Option<&'static Lwp>,
}

impl Cycle<'_> {
    /// The start of the line: the slot of a cross call if there is one, otherwise a lock, otherwise an LWP's
    /// operation.
    fn start(&self) -> usize {
        let find = |wanted: fn(&Node) -> bool| {
            let matches = |node: &Option<Node>| node.as_ref().is_some_and(wanted);
            self.nodes.iter().position(matches)
        };
        find(|node| matches!(node, Node::Xcall(..)))
            .or_else(|| find(|node| matches!(node, Node::Mutex(_) | Node::Rwlock(_))))
            .unwrap_or(0)
    }

    /// The nodes, beginning at the start: LWPs, and what they wait for.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        let (before, after) = self.nodes.split_at(self.start());
        after.iter().chain(before).flatten().copied()
    }

    /// Which of several locks of one name it is, in order of appearance: none for the first.
    fn namesakes_before(&self, node: Node) -> Option<usize> {
        let name = |node: Node| match node {
            Node::Mutex(mutex) => Some(mutex.name()),
            Node::Rwlock(rwlock) => Some(rwlock.name()),
            _ => None,
        };
        let own = name(node)?;
        let before = self.nodes().take_while(|other| *other != node);
        let alike = before.filter(|other| name(*other) == Some(own)).count();
        (alike > 0).then_some(alike + 1)
    }

    /// The LWP that made the cross call whose slot this is, unless it is itself in the cycle.
    pub fn requester(&self) -> Option<&'static Lwp> {
        let requester = match self.nodes().next() {
            Some(Node::Xcall(_, xc)) => xc.peek_requester()?,
            _ => return None,
        };
        let inside = self.nodes.contains(&Some(Node::Lwp(requester)));
        (!inside).then_some(requester)
    }

    /// Calls `visit` with every station in order. The last is the first once more, or the resource after `from`,
    /// which comes before them because it made the cross call.
    pub fn stations(&self, from: Option<&'static Lwp>, visit: &mut dyn FnMut(Station)) {
        if let Some(l) = from {
            let operations = l.operations();
            let outermost = operations.names().first().unwrap_or(&"xc_wait");
            visit(Station {
                place: Place::Operation(outermost),
                lwp: Some(l),
            });
        }
        let mut nodes = self.nodes().peekable();
        while let Some(node) = nodes.next() {
            let Node::Lwp(l) = node else {
                let lwp = match nodes.peek() {
                    Some(Node::Lwp(l)) => Some(*l),
                    _ => None,
                };
                let place = Place::Resource(node, self.namesakes_before(node));
                visit(Station { place, lwp });
                continue;
            };
            let operations = l.operations();
            for &name in operations.names().iter().chain(timed_sleep(l).as_ref()) {
                visit(Station {
                    place: Place::Operation(name),
                    lwp: Some(l),
                });
            }
        }
        if let Some(node) = self.nodes().next() {
            let place = Place::Resource(node, None);
            visit(Station { place, lwp: None });
        }
    }
}

/// The function in which an LWP sleeps until a timeout.
fn timed_sleep(l: &Lwp) -> Option<&'static str> {
    let sleeps = l.l_stat.peek() == Stat::Sleep && timeout_of(&l.l_timeout_ch).is_some();
    match l.l_syncobj.peek() {
        SyncObj::Kpause if sleeps => Some("kpause"),
        SyncObj::Cv if sleeps => Some("cv_timedwait"),
        _ => None,
    }
}
