//! Which CPUs spin when a run ends, for what, and which LWP could end that.
//!
//! # Overview
//!
//! The kernel knows the locks that it created. A program's own lock is a word and a loop, and the machine is not told
//! its owner. But the machine sees which words a CPU loads again and again, and which LWP last stored to them. If
//! that LWP cannot continue, the loop never ends: this is a deadlock, not a livelock.
//!
//! The last store is a good indication: the owner of a lock stored to it last, and LWPs that failed to take it have
//! stored nothing. Stores are known in recorded runs.

use kmod::machine::{Kind, Op};
use kmod::mem::Ordering;

use super::engine::Engine;
use super::waits::{Cycle, NodeKind, Until, WaitGraph, WaitNode, Waiter};

/// A CPU that spins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Spin {
    cpu: usize,
    context: String,
    /// What it loads, named as in accesses.
    word: String,
    /// The LWP that stored to that last, if it is known, and its CPU.
    by: Option<(String, usize)>,
}

/// All CPUs that spin.
#[derive(Default)]
pub(crate) struct Spins(Vec<Spin>);

impl Engine {
    /// Whether any CPU spins.
    pub(crate) fn has_spinners(&self) -> bool {
        (0..self.ncpu.get()).any(|cpu| self.is_spinning(cpu))
    }

    fn is_spinning(&self, cpu: usize) -> bool {
        let it = &self.cpus[cpu];
        self.spinners.get() & 1 << cpu != 0 || it.watch.spun(it.context.get(), it.location())
    }

    /// All CPUs that spin.
    pub(crate) fn spins(&self) -> Spins {
        let spinning = (0..self.ncpu.get()).filter(|cpu| self.is_spinning(*cpu));
        Spins(spinning.filter_map(|cpu| self.spin_of(cpu)).collect())
    }

    fn spin_of(&self, cpu: usize) -> Option<Spin> {
        let recorder = self.recorder.borrow();
        let offset = |address: &usize| self.memory(|memory| memory.offset(*address));
        let stored = |address: &usize| recorder.last_store(offset(address)?);
        let watch = &self.cpus[cpu].watch;
        let watched = match self.spinners.get() & 1 << cpu {
            0 => Vec::from_iter(watch.reread()),
            _ => Vec::from_iter(watch.watched()),
        };
        // If there are several words, the one that was stored to, as a lock would be.
        let word = watched.iter().find(|address| stored(address).is_some());
        let word = *word.or(watched.first())?;
        let by = stored(&word).map(|site| (site.context.clone(), site.cpu));
        drop(recorder);
        Some(Spin {
            cpu,
            context: self.context_name(cpu),
            word: self.object(Op {
                addr: word,
                kind: Kind::Load,
                order: Ordering::Relaxed,
            }),
            by,
        })
    }
}

impl Spins {
    /// The spinning CPU that blocks the LWP that last stored to the word of `spin`: because that LWP itself spins for
    /// something, or is below the one that spins.
    fn next(&self, spin: &Spin) -> Option<&Spin> {
        let (writer, cpu) = spin.by.as_ref()?;
        let spins = self.0.iter().find(|other| other.context == *writer);
        spins.or_else(|| self.0.iter().find(|other| other.cpu == *cpu))
    }

    /// CPUs that wait for each other in a cycle, if there is one.
    fn cycle(&self) -> Vec<&Spin> {
        for first in &self.0 {
            let mut path = vec![first];
            while let Some(next) = path.last().and_then(|last| self.next(last)) {
                if next == first {
                    return path;
                }
                if path.contains(&next) {
                    break;
                }
                path.push(next);
            }
        }
        Vec::new()
    }

    /// Why no CPU of a cycle continues, if there is one.
    pub(crate) fn deadlock(&self) -> Option<String> {
        let cycle = self.cycle();
        let clauses = cycle.iter().map(|spin| {
            let Spin {
                cpu, context, word, ..
            } = spin;
            let writer = spin.by.as_ref().map_or("", |(writer, _)| writer.as_str());
            let spins = format!("{context} spins on cpu{cpu} for {word}");
            match self.0.iter().any(|other| other.context == writer) {
                true if writer == context => format!("{spins}, which it has taken itself"),
                true => format!("{spins}, which {writer} has taken"),
                false => format!("{spins}, which {writer} has taken, on top of {writer}"),
            }
        });
        let clauses = Vec::from_iter(clauses);
        (!clauses.is_empty()).then(|| clauses.join("; "))
    }

    /// Adds this to the wait-for graph of the kernels.
    pub(crate) fn add_to(&self, graph: &mut WaitGraph) {
        for spin in &self.0 {
            let Some((writer, cpu)) = &spin.by else {
                continue;
            };
            let (lwp, word) = (
                lwp(graph, &spin.context),
                node(graph, NodeKind::Word, &spin.word),
            );
            graph.connect(lwp, word);
            wait(graph, lwp, spin.cpu, "spins");
            let writes = self::lwp(graph, writer);
            graph.connect(word, writes);
            let is_below = self.0.iter().any(|other| other.cpu == *cpu)
                && self.0.iter().all(|other| other.context != *writer)
                && graph.waiters.iter().all(|waiter| waiter.node != writes);
            if is_below {
                let occupied = node(graph, NodeKind::Cpu, &format!("cpu{cpu}"));
                graph.connect(writes, occupied);
                wait(graph, writes, *cpu, "is interrupted");
                for other in self.0.iter().filter(|other| other.cpu == *cpu) {
                    let on_top = self::lwp(graph, &other.context);
                    graph.connect(occupied, on_top);
                }
            }
        }
        let cycle = self.cycle();
        let mut stations = Vec::new();
        let mut nodes = Vec::new();
        for spin in &cycle {
            let Some((writer, cpu)) = &spin.by else {
                continue;
            };
            stations.push((spin.word.clone(), Some(writer.clone())));
            nodes.push(Some(node(graph, NodeKind::Word, &spin.word)));
            if self.0.iter().all(|other| other.context != *writer) {
                let on_top = self.next(spin).map(|next| next.context.clone());
                stations.push((format!("cpu{cpu}"), on_top));
                nodes.push(Some(node(graph, NodeKind::Cpu, &format!("cpu{cpu}"))));
            }
        }
        let Some(first) = stations.first().cloned() else {
            return;
        };
        let mut around = Vec::new();
        for ((_, keeper), resource) in stations.iter().zip(&nodes) {
            around.extend(*resource);
            around.extend(keeper.as_ref().map(|keeper| lwp(graph, keeper)));
        }
        graph.mark_cycle(&around);
        stations.push((first.0, None));
        nodes.push(nodes[0]);
        graph.cycles.push(Cycle {
            certain: true,
            stations,
            nodes,
        });
    }
}

/// The node of an LWP, which is added if necessary.
fn lwp(graph: &mut WaitGraph, name: &str) -> usize {
    graph.running.retain(|running| running.name != name);
    node(graph, NodeKind::Lwp, name)
}

fn node(graph: &mut WaitGraph, kind: NodeKind, name: &str) -> usize {
    let known = graph
        .nodes
        .iter()
        .position(|node| node.kind == kind && node.name == name);
    known.unwrap_or_else(|| {
        graph.nodes.push(WaitNode {
            name: name.to_owned(),
            kind,
            in_cycle: false,
            object: (kind == NodeKind::Word).then(|| name.to_owned()),
            callout: None,
        });
        graph.nodes.len() - 1
    })
}

fn wait(graph: &mut WaitGraph, node: usize, cpu: usize, how: &str) {
    if graph.waiters.iter().any(|waiter| waiter.node == node) {
        return;
    }
    graph.waiters.push(Waiter {
        node,
        cpu,
        how: how.to_owned(),
        operations: Vec::new(),
        until: Until::Free,
        object: None,
        is_lost: false,
    });
}
