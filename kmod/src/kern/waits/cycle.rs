//! Cycles of the wait-for graph, and the graph as text.
//!
//! A cycle is printed as the talk prints it: resources and operations in the order in which they wait,
//! `softnet_lock => pserialize_perform => kpause => callout => softnet_lock`; and once more with the LWP in brackets
//! that keeps each of them.

use core::fmt::{self, Write};

use super::{Node, Wait, edges, timeout_of, wanted};
use crate::kern::lwp::{Lwp, Stat};
use crate::kern::sleepq::SyncObj;
use crate::kernel::Kernel;

/// The longest path that a search for cycles follows.
const DEPTH: usize = 32;
/// Kinds of cycles that a report tells apart.
const KINDS: usize = 16;

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
struct Cycle<'a> {
    nodes: &'a [Option<Node>],
    /// Whether every wait in it is certain.
    certain: bool,
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

/// Calls `found` with each cycle, once: beginning at its LWP that the kernel has known longest.
fn cycles(kernel: &'static Kernel, found: &mut dyn FnMut(Cycle<'_>)) {
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

/// Whether some LWPs wait for each other and for nothing else: they never go on, whatever the others do.
pub fn deadlocked(kernel: &'static Kernel) -> bool {
    // This is asked often: without an LWP that waits for a lock or for the end of a callout nothing is kept for good.
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

/// The graph of a kernel as text: the cycles as the talk prints them, then every LWP that waits.
pub struct Graph(pub &'static Kernel);

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut kinds = Kinds::default();
        let mut result = Ok(());
        cycles(self.0, &mut |cycle| {
            if kinds.is_new(cycle) {
                result = result.and_then(|()| cycle.write(f, self.0));
            }
        });
        result?;
        match kinds {
            Kinds { count: 0, .. } => {
                writeln!(f, "no cycle: somebody waits for a wake-up that nobody owes")?;
            }
            Kinds { alike: 0, .. } => {}
            Kinds { alike, .. } => writeln!(f, "and {alike} more like these")?,
        }
        for l in self.0.lwps() {
            write_lwp(f, self.0, l)?;
        }
        Ok(())
    }
}

/// Cycles by what their line reads.
#[derive(Default)]
struct Kinds {
    seen: [u64; KINDS],
    count: usize,
    alike: usize,
}

impl Kinds {
    fn is_new(&mut self, cycle: Cycle<'_>) -> bool {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        // Writing to a digest does not fail.
        let _ = cycle.write_items(&mut digest, None, Who::Nobody);
        let new = !self.seen[..self.count].contains(&digest.0) && self.count < KINDS;
        match new {
            true => {
                self.seen[self.count] = digest.0;
                self.count += 1;
            }
            false => self.alike += 1,
        }
        new
    }
}

/// FNV-1a of a text.
struct Digest(u64);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}

/// Whether the LWPs are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    InBrackets,
}

impl Cycle<'_> {
    fn write(self, f: &mut fmt::Formatter<'_>, kernel: &'static Kernel) -> fmt::Result {
        let request = self.requester();
        write!(f, "cycle: ")?;
        self.write_items(f, request, Who::Nobody)?;
        write!(f, "\n   by: ")?;
        self.write_items(f, request, Who::InBrackets)?;
        f.write_char('\n')?;
        for node in self.nodes.iter().flatten() {
            match node {
                Node::Softclock(ci) => writeln!(
                    f,
                    "  callout: the softclock of cpu{}, which runs callouts one after another",
                    ci.index()
                )?,
                Node::Xcall(name, _) => writeln!(
                    f,
                    "  {name}: one request at a time; cross calls are wired {}",
                    kernel.config().xcall.name()
                )?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Where the telling begins: at the slot of a cross call, else at a lock, else at an LWP's operation.
    fn start(&self) -> usize {
        let find = |wanted: fn(&Node) -> bool| {
            let matches = |node: &Option<Node>| node.as_ref().is_some_and(wanted);
            self.nodes.iter().position(matches)
        };
        find(|node| matches!(node, Node::Xcall(..)))
            .or_else(|| find(|node| matches!(node, Node::Mutex(_) | Node::Rwlock(_))))
            .unwrap_or(0)
    }

    /// The nodes, from the start on.
    fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        let (before, after) = self.nodes.split_at(self.start());
        after.iter().chain(before).flatten().copied()
    }

    /// Who made the cross call whose slot it is, if he does not wait in the cycle himself.
    fn requester(&self) -> Option<&'static Lwp> {
        let requester = match self.nodes().next() {
            Some(Node::Xcall(_, xc)) => xc.peek_requester()?,
            _ => return None,
        };
        let inside = self.nodes.contains(&Some(Node::Lwp(requester)));
        (!inside).then_some(requester)
    }

    fn write_items(
        &self,
        out: &mut dyn fmt::Write,
        request: Option<&'static Lwp>,
        who: Who,
    ) -> fmt::Result {
        if let Some(l) = request {
            let operations = l.operations();
            let outermost = operations.names().first().unwrap_or(&"xc_wait");
            write_item(out, format_args!("{outermost}"), Some(l), who)?;
            write!(out, " => ")?;
        }
        let mut first = true;
        let mut nodes = self.nodes().peekable();
        while let Some(node) = nodes.next() {
            if let Node::Lwp(l) = node {
                for operation in l.operations().names() {
                    write!(out, " => ")?;
                    write_item(out, format_args!("{operation}"), Some(l), who)?;
                }
                if let Some(sleep) = timed_sleep(l) {
                    write!(out, " => ")?;
                    write_item(out, format_args!("{sleep}"), Some(l), who)?;
                }
                continue;
            }
            if !first {
                write!(out, " => ")?;
            }
            let keeper = match nodes.peek() {
                Some(Node::Lwp(l)) => Some(*l),
                _ => None,
            };
            write_item(out, format_args!("{}", Resource(node)), keeper, who)?;
            first = false;
        }
        match self.nodes().next() {
            Some(node) => write!(out, " => {}", Resource(node)),
            None => Ok(()),
        }
    }
}

/// A resource as a cycle calls it.
struct Resource(Node);

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Softclock(_) => f.write_str("callout"),
            node => write!(f, "{node}"),
        }
    }
}

fn write_item(
    out: &mut dyn fmt::Write,
    name: fmt::Arguments<'_>,
    keeper: Option<&Lwp>,
    who: Who,
) -> fmt::Result {
    out.write_fmt(name)?;
    match keeper.filter(|_| who == Who::InBrackets) {
        Some(l) => write!(out, " ({})", l.name()),
        None => Ok(()),
    }
}

/// The sleep of an LWP that its timeout will end, by the name of the function.
fn timed_sleep(l: &Lwp) -> Option<&'static str> {
    let sleeps = l.l_stat.peek() == Stat::Sleep && timeout_of(&l.l_timeout_ch).is_some();
    match l.l_syncobj.peek() {
        SyncObj::Kpause if sleeps => Some("kpause"),
        SyncObj::Cv if sleeps => Some("cv_timedwait"),
        _ => None,
    }
}

fn write_lwp(f: &mut fmt::Formatter<'_>, kernel: &'static Kernel, l: &'static Lwp) -> fmt::Result {
    let sleeps = l.l_stat.peek() == Stat::Sleep;
    let spins = wanted(l).filter(|_| !sleeps);
    // Threads that have nothing to do wait too, for requests.
    let rests = kernel
        .cpus()
        .iter()
        .any(|ci| ci.ci_xcall.is_idle_wchan(l.l_wchan.peek()));
    if !(sleeps || spins.is_some()) || rests {
        return Ok(());
    }
    let (how, what) = match spins {
        Some(Node::Rwlock(_)) => ("spins for", "an rwlock"),
        Some(_) => ("spins for", "a mutex"),
        None => ("sleeps on", l.l_wmesg.peek()),
    };
    write!(
        f,
        "{} on cpu{} {how} {what}",
        l.name(),
        l.cpu_unlocked().index()
    )?;
    for operation in l.operations().names() {
        write!(f, ", in {operation}")?;
    }
    let mut result = Ok(());
    edges(kernel, Node::Lwp(l), &mut |Wait { on, .. }| {
        result = result.and_then(|()| write!(f, " => {on}"));
        edges(kernel, on, &mut |Wait { on: keeper, .. }| {
            result = result.and_then(|()| write!(f, " ({keeper})"));
        });
    });
    result?;
    writeln!(f)
}
