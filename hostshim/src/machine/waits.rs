//! The wait-for graph of a kernel, as nodes and edges that outlive it.

use kmod::kern::lwp::Lwp;
use kmod::kern::waits::{self, Node, Visitor, Wait};
use kmod::kernel::Kernel;

use super::engine::Engine;

/// Who waits for whom.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct WaitGraph {
    /// LWPs that wait, what they wait for, and who keeps that.
    pub nodes: Vec<WaitNode>,
    /// Who waits for what, and what for whom.
    pub edges: Vec<WaitEdge>,
    /// One cycle of each kind.
    pub cycles: Vec<Cycle>,
    /// Cycles that read like one of those.
    pub alike: usize,
    /// The LWPs that wait.
    pub waiters: Vec<Waiter>,
}

/// A node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitNode {
    /// What it is called: names need not be unique.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Whether it lies on a cycle.
    pub in_cycle: bool,
}

/// What a node is.
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
    /// The work of a workqueue.
    Workqueue,
}

impl NodeKind {
    /// The word that reports use.
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
            NodeKind::Workqueue => "workqueue",
        }
    }
}

/// An edge, by the positions of its nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitEdge {
    /// Who waits.
    pub from: usize,
    /// What for.
    pub to: usize,
    /// Whether nothing else can end the wait.
    pub certain: bool,
    /// Whether it lies on a cycle.
    pub in_cycle: bool,
}

/// A cycle, told as the talk tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cycle {
    /// Whether nothing can end it.
    pub certain: bool,
    /// Resources and operations, each with the LWP that keeps it or is in it. The last closes the cycle.
    pub stations: Vec<(String, Option<String>)>,
}

/// An LWP that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// Its node.
    pub node: usize,
    /// The CPU that it is on.
    pub cpu: usize,
    /// How: `sleeps on tstile`.
    pub how: String,
    /// The operations that it is inside of, the outermost first.
    pub operations: Vec<&'static str>,
}

impl WaitGraph {
    /// The LWPs that never go on, by their positions: those in a cycle, or if there is none, all that wait.
    pub fn stuck(&self) -> impl Iterator<Item = usize> + '_ {
        let is_stuck = |index: &usize| {
            let node = &self.nodes[*index];
            let waits = || self.waiters.iter().any(|waiter| waiter.node == *index);
            node.kind == NodeKind::Lwp && (node.in_cycle || self.cycles.is_empty() && waits())
        };
        (0..self.nodes.len()).filter(is_stuck)
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
        self.nodes.append(&mut other.nodes);
        self.edges.append(&mut other.edges);
        self.cycles.append(&mut other.cycles);
        self.waiters.append(&mut other.waiters);
        self.alike += other.alike;
    }

    /// Draws the graph of a kernel that has stopped. To be called where the machine runs.
    pub(crate) fn draw(&mut self, kernel: &'static Kernel) {
        let mut drawing = Drawing {
            kernel,
            known: Vec::new(),
            graph: std::mem::take(self),
        };
        waits::tell(kernel, &mut drawing);
        *self = drawing.graph;
    }
}

struct Drawing {
    kernel: &'static Kernel,
    /// The nodes of `graph`, as the kernel has them.
    known: Vec<Node>,
    graph: WaitGraph,
}

impl Drawing {
    /// The position of a node, which is new perhaps.
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
            Node::Work(_) => NodeKind::Workqueue,
        };
        self.known.push(node);
        self.graph.nodes.push(WaitNode {
            name: node.to_string(),
            kind,
            in_cycle: false,
        });
        // What it waits for is part of the graph too; it ends, for a node is drawn once.
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
        let mut stations = Vec::new();
        let name = |l: &'static Lwp| l.name().to_string();
        cycle.stations(cycle.requester(), &mut |station| {
            stations.push((station.place.to_string(), station.lwp.map(name)));
        });
        self.graph.cycles.push(Cycle {
            certain: cycle.certain,
            stations,
        });
        let nodes = Vec::from_iter(cycle.nodes().map(|node| self.node(node)));
        for (position, &from) in nodes.iter().enumerate() {
            let to = nodes[(position + 1) % nodes.len()];
            self.graph.nodes[from].in_cycle = true;
            let between = |edge: &&mut WaitEdge| edge.from == from && edge.to == to;
            if let Some(edge) = self.graph.edges.iter_mut().find(between) {
                edge.in_cycle = true;
            }
        }
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
        });
    }
}
