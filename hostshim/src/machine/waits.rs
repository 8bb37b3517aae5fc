//! The wait-for graph of a kernel, as nodes and edges that outlive the kernel.

use std::ptr;

use kmod::kern::lwp::Lwp;
use kmod::kern::sleepq::SyncObj;
use kmod::kern::waits::{self, How, Node, Visitor, Wait};
use kmod::kernel::Kernel;

use super::cpu::Pending;
use super::engine::Engine;
use super::host;
use super::source::place;
use kmod::machine::At;

/// The wait-for graph.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WaitGraph {
    /// LWPs that wait, and the resources that they wait for.
    pub nodes: Vec<WaitNode>,
    /// The waits: of LWPs for resources, and of resources for LWPs.
    pub edges: Vec<WaitEdge>,
    /// One cycle of each kind.
    pub cycles: Vec<Cycle>,
    /// Number of cycles with the same line as one of those.
    pub alike: usize,
    /// The LWPs that wait.
    pub waiters: Vec<Waiter>,
    /// The LWPs that are on a CPU and could continue on their own.
    pub running: Vec<Running>,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitNode {
    /// The name. Locks of the same name are named as in accesses, or numbered.
    pub name: String,
    /// Its kind.
    pub kind: NodeKind,
    /// Whether it is on a cycle.
    pub in_cycle: bool,
    /// For a lock: its name in accesses.
    pub object: Option<String>,
    /// For the callout thread of a CPU: the callout that it runs.
    pub callout: Option<Callout>,
}

/// A callout that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Callout {
    /// Its name in accesses.
    pub object: String,
    /// Where in the source it was scheduled.
    pub scheduled: Option<String>,
}

/// An LWP that is on a CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// The CPU.
    pub cpu: usize,
    /// What the CPU does: `halts`, `spins at kmod/src/mem/mod.rs:62`, `runs`.
    pub does: String,
}

/// The kind of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// A thread.
    Lwp,
    /// A mutex.
    Mutex,
    /// An rwlock.
    Rwlock,
    /// The slot of a cross-call box.
    Xcall,
    /// A softint level of a CPU.
    Softint,
    /// The softclock of a CPU.
    Softclock,
    /// Passive references to a target.
    Psrefs,
    /// References that a localcount counts.
    Localcount,
    /// References that are counted, to an object.
    References,
    /// The work of a workqueue.
    Workqueue,
    /// A word for which a CPU spins.
    Word,
    /// A CPU that an LWP occupies.
    Cpu,
}

impl NodeKind {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            NodeKind::Lwp => "lwp",
            NodeKind::Mutex => "mutex",
            NodeKind::Rwlock => "rwlock",
            NodeKind::Xcall => "xcall",
            NodeKind::Softint => "softint",
            NodeKind::Softclock => "softclock",
            NodeKind::Psrefs => "psrefs",
            NodeKind::Localcount => "localcount",
            NodeKind::References => "references",
            NodeKind::Workqueue => "workqueue",
            NodeKind::Word => "word",
            NodeKind::Cpu => "cpu",
        }
    }
}

/// An edge. Its nodes are given by position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitEdge {
    /// The node that waits.
    pub from: usize,
    /// The node that it waits for.
    pub to: usize,
    /// Whether nothing else can end the wait.
    pub certain: bool,
    /// Whether it is on a cycle.
    pub in_cycle: bool,
}

/// A cycle, as reports print it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// Whether nothing can end it.
    pub certain: bool,
    /// Resources and operations, each with the LWP that holds it or is in it. The last closes the cycle.
    pub stations: Vec<(String, Option<String>)>,
    /// The nodes of the stations that are resources.
    pub nodes: Vec<Option<usize>>,
}

/// An LWP that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// Its node.
    pub node: usize,
    /// The CPU that it is on.
    pub cpu: usize,
    /// How it waits: `sleeps on tstile`.
    pub how: String,
    /// The operations that it is in, the outermost first.
    pub operations: Vec<&'static str>,
    /// What ends the wait.
    pub until: Until,
    /// What it sleeps on, named as in accesses.
    pub object: Option<String>,
    /// Whether it sleeps on a condition variable, and nothing in the graph will signal it.
    pub is_lost: bool,
    /// Whether it is in the middle of something, and does not wait for requests.
    pub engaged: bool,
}

/// What ends a wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Until {
    /// Whatever it waits for in the graph.
    Free,
    /// A signal on the condition variable of this name.
    Signal(String),
    /// The end of a sleep for a time.
    Time,
    /// The end of a callout's handler.
    Handler,
}

impl WaitGraph {
    /// The nodes of the LWPs that never continue: those in a cycle, or whose chain leads to one; without a cycle,
    /// those that no LWP is left to signal; without those, all that wait.
    pub fn stuck(&self) -> Vec<usize> {
        let mut stuck = Vec::new();
        let mut add = |node: usize| {
            if self.nodes[node].kind == NodeKind::Lwp && !stuck.contains(&node) {
                stuck.push(node);
            }
        };
        let named = self.cycles.iter().flat_map(|cycle| &cycle.stations);
        for name in named.filter_map(|(_, lwp)| lwp.as_deref()) {
            self.node_of(name).into_iter().for_each(&mut add);
        }
        let in_cycle = |node: &usize| self.nodes[*node].in_cycle;
        (0..self.nodes.len()).filter(in_cycle).for_each(&mut add);
        if self.cycles.is_empty() {
            let lost = self.waiters.iter().filter(|waiter| waiter.is_lost);
            lost.for_each(|waiter| add(waiter.node));
        }
        if stuck.is_empty() {
            stuck.extend(self.waiters.iter().map(|waiter| waiter.node));
        }
        stuck
    }

    /// Whether a wake-up is missing: there is no cycle, no LWP is on a CPU, and an LWP waits for a signal.
    pub fn is_lost_wakeup(&self) -> bool {
        let lost = self.waiters.iter().any(|waiter| waiter.is_lost);
        self.cycles.is_empty() && self.running.is_empty() && lost
    }

    /// Adds an edge for a wait that nothing else can end.
    pub(super) fn connect(&mut self, from: usize, to: usize) {
        let known = |edge: &WaitEdge| edge.from == from && edge.to == to;
        if !self.edges.iter().any(known) {
            self.edges.push(WaitEdge {
                from,
                to,
                certain: true,
                in_cycle: false,
            });
        }
    }

    /// Marks these nodes as a cycle, in which each waits for the next and the last for the first.
    pub(super) fn mark_cycle(&mut self, nodes: &[usize]) {
        for (position, &from) in nodes.iter().enumerate() {
            let to = nodes[(position + 1) % nodes.len()];
            self.nodes[from].in_cycle = true;
            let between = |edge: &&mut WaitEdge| edge.from == from && edge.to == to;
            if let Some(edge) = self.edges.iter_mut().find(between) {
                edge.in_cycle = true;
            }
        }
    }

    /// Whether an LWP waits for something.
    pub(super) fn is_waiting(&self, name: &str) -> bool {
        let mut waiters = self.waiters.iter();
        waiters.any(|waiter| self.nodes[waiter.node].name == name)
    }

    /// The node of an LWP.
    pub fn node_of(&self, name: &str) -> Option<usize> {
        let mut nodes = self.nodes.iter();
        nodes.position(|node| node.kind == NodeKind::Lwp && node.name == name)
    }

    /// Gives every lock a unique name.
    fn tell_apart(&mut self) {
        let is_lock = |node: &WaitNode| matches!(node.kind, NodeKind::Mutex | NodeKind::Rwlock);
        let names = Vec::from_iter(self.nodes.iter().map(|node| node.name.clone()));
        for index in 0..names.len() {
            let alike =
                |other: &usize| is_lock(&self.nodes[*other]) && names[*other] == names[index];
            let all = Vec::from_iter((0..names.len()).filter(alike));
            if all.len() < 2 || !is_lock(&self.nodes[index]) {
                continue;
            }
            let object = |node: usize| self.nodes[node].object.as_ref();
            let unique = object(index).filter(|own| {
                let mut others = all.iter().filter(|other| **other != index);
                others.all(|other| object(*other) != Some(*own))
            });
            let number = all.iter().position(|other| *other == index).unwrap_or(0) + 1;
            self.nodes[index].name = match unique {
                Some(object) => object.clone(),
                None => format!("{}#{number}", names[index]),
            };
        }
        for cycle in &mut self.cycles {
            for (station, node) in cycle.stations.iter_mut().zip(&cycle.nodes) {
                if let Some(node) = node.filter(|node| is_lock(&self.nodes[*node])) {
                    station.0.clone_from(&self.nodes[node].name);
                }
            }
        }
    }

    /// Adds the graph of the kernel whose CPU runs.
    pub(crate) fn add(&mut self, mut other: WaitGraph, engine: &Engine) {
        let (nodes, first) = (self.nodes.len(), engine.first_cpu(engine.kernel()));
        for node in &mut other.nodes {
            node.name = engine.own_name(&node.name);
        }
        for edge in &mut other.edges {
            edge.from += nodes;
            edge.to += nodes;
        }
        for waiter in &mut other.waiters {
            waiter.node += nodes;
            waiter.cpu += first;
        }
        for running in &mut other.running {
            running.name = engine.own_name(&running.name);
            running.cpu += first;
        }
        other.tell_apart();
        for node in other.cycles.iter_mut().flat_map(|cycle| &mut cycle.nodes) {
            *node = node.map(|node| node + nodes);
        }
        self.nodes.append(&mut other.nodes);
        self.edges.append(&mut other.edges);
        self.cycles.append(&mut other.cycles);
        self.waiters.append(&mut other.waiters);
        self.running.append(&mut other.running);
        self.alike += other.alike;
    }

    /// Builds the graph of a kernel that has stopped. Called where the machine runs.
    pub(crate) fn draw(&mut self, kernel: &'static Kernel) {
        let mut drawing = Drawing {
            kernel,
            known: Vec::new(),
            graph: std::mem::take(self),
        };
        waits::tell(kernel, &mut drawing);
        for l in waits::unsignalled(kernel) {
            let node = drawing.node(Node::Lwp(l));
            let mut waiters = drawing.graph.waiters.iter_mut();
            if let Some(waiter) = waiters.find(|waiter| waiter.node == node) {
                waiter.is_lost = true;
            }
        }
        let running = waits::running(kernel).map(|l| {
            let cpu = waits::cpu_of(l);
            Running {
                name: l.name().to_string(),
                cpu,
                does: does(cpu),
            }
        });
        drawing.graph.running = running.collect();
        *self = drawing.graph;
    }
}

/// What a CPU of the current kernel does.
fn does(cpu: usize) -> String {
    let pending = host::current().map(|engine| engine.cpus[engine.own_cpu(cpu)].pending.get());
    match pending {
        Some(Pending::Wait) => "halts".to_owned(),
        Some(Pending::Spin(at)) => format!("spins at {}", place(at)),
        _ => "runs".to_owned(),
    }
}

/// The name in accesses of the lock at this address, or of another object without parts.
fn object_at(address: usize) -> Option<String> {
    host::current().map(|engine| engine.structure_of(address))
}

fn object<T>(of: &T) -> Option<String> {
    object_at(ptr::from_ref(of).addr())
}

fn callout((address, scheduled): (usize, Option<At>)) -> Option<Callout> {
    let object = host::current()?.structure_of(address);
    let scheduled = scheduled.map(place);
    Some(Callout { object, scheduled })
}

struct Drawing {
    kernel: &'static Kernel,
    /// The nodes of `graph`, in the kernel's form.
    known: Vec<Node>,
    graph: WaitGraph,
}

impl Drawing {
    /// The position of a node, which may be new.
    fn node(&mut self, node: Node) -> usize {
        if let Some(known) = self.known.iter().position(|other| *other == node) {
            return known;
        }
        let kind = match node {
            Node::Lwp(_) => NodeKind::Lwp,
            Node::Mutex(_) => NodeKind::Mutex,
            Node::Rwlock(_) => NodeKind::Rwlock,
            Node::Xcall(..) => NodeKind::Xcall,
            Node::Softint(..) => NodeKind::Softint,
            Node::Softclock(_) => NodeKind::Softclock,
            Node::Psrefs(_) => NodeKind::Psrefs,
            Node::Localcount(_) => NodeKind::Localcount,
            Node::References(..) => NodeKind::References,
            Node::Work(_) => NodeKind::Workqueue,
        };
        self.known.push(node);
        self.graph.nodes.push(WaitNode {
            name: node.to_string(),
            kind,
            in_cycle: false,
            object: match node {
                Node::Mutex(mutex) => object(mutex),
                Node::Rwlock(rwlock) => object(rwlock),
                Node::Psrefs(target) => object(target),
                Node::Localcount(count) => object(count),
                Node::References(_, count) => object(count),
                _ => None,
            },
            callout: match node {
                Node::Softclock(ci) => waits::active_callout(ci).and_then(callout),
                _ => None,
            },
        });
        // What it waits for is also part of the graph. This ends, because each node is added once.
        let from = self.known.len() - 1;
        let mut waits = Vec::new();
        waits::edges(self.kernel, node, &mut |wait| waits.push(wait));
        for Wait { on, certain } in waits {
            let to = self.node(on);
            self.graph.edges.push(WaitEdge {
                from,
                to,
                certain,
                in_cycle: false,
            });
        }
        from
    }
}

impl Visitor for Drawing {
    fn cycle(&mut self, cycle: waits::Cycle<'_>) {
        let (mut stations, mut of_stations) = (Vec::new(), Vec::new());
        let name = |l: &'static Lwp| l.name().to_string();
        cycle.stations(cycle.requester(), &mut |station| {
            stations.push((station.place.to_string(), station.lwp.map(name)));
            of_stations.push(match station.place {
                waits::Place::Resource(node, _) => Some(node),
                waits::Place::Operation(_) => None,
            });
        });
        let of_stations = of_stations.into_iter();
        let of_stations = of_stations.map(|node| node.map(|node| self.node(node)));
        let of_stations = of_stations.collect();
        self.graph.cycles.push(Cycle {
            certain: cycle.certain,
            stations,
            nodes: of_stations,
        });
        let nodes = Vec::from_iter(cycle.nodes().map(|node| self.node(node)));
        self.graph.mark_cycle(&nodes);
    }

    fn cycles_end(&mut self, _kinds: usize, alike: usize) {
        self.graph.alike = alike;
    }

    fn waiter(&mut self, waiter: waits::Waiter) {
        let node = self.node(Node::Lwp(waiter.lwp));
        self.graph.waiters.push(Waiter {
            node,
            cpu: waiter.cpu,
            how: waiter.how.to_string(),
            operations: waiter.lwp.operations().names().to_vec(),
            until: match (waiter.syncobj, waiter.how) {
                (_, How::SleepsOnCv(name)) => Until::Signal(name.to_owned()),
                (SyncObj::Kpause, _) => Until::Time,
                (SyncObj::Callout, _) => Until::Handler,
                _ => Until::Free,
            },
            object: (waiter.wchan != 0)
                .then(|| object_at(waiter.wchan))
                .flatten(),
            is_lost: false,
            engaged: waiter.engaged,
        });
    }
}
