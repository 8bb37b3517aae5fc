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
            word: self.object(Op::new(word, Kind::Load, Ordering::Relaxed)),
            by,
        })
    }
}

impl Spins {
    /// The one that keeps the LWP from going on which stored last to what this one spins for: by spinning for something itself,
    /// or on top of it.
    fn next(&self, spin: &Spin, graph: &WaitGraph) -> Option<&Spin> {
        let (writer, cpu) = spin.by.as_ref()?;
        let spins = self.0.iter().find(|other| other.context == *writer);
        let on_top = || {
            let is_below = graph.running.iter().any(|running| running.name == *writer);
            let mut others = self.0.iter();
            is_below
                .then(|| others.find(|other| other.cpu == *cpu))
                .flatten()
        };
        spins.or_else(on_top)
    }

    /// Those that wait for each other in a circle, if any do.
    fn cycle(&self, graph: &WaitGraph) -> Vec<&Spin> {
        for first in &self.0 {
            let mut path = vec![first];
            while let Some(next) = path.last().and_then(|last| self.next(last, graph)) {
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

    /// Adds what is known of these to the graph of the kernels. Gives why nobody of a circle goes on, if there is one.
    pub(crate) fn add_to(mut self, graph: &mut WaitGraph) -> Option<String> {
        // The kernel knows what it waits for: a lock of its own.
        self.0.retain(|spin| !graph.is_waiting(&spin.context));
        let cycle = self.cycle(graph);
        let on_top = |spin: &Spin| self.next(spin, graph).filter(|next| !spin.is_by(next));
        let links = self.0.iter().map(|spin| (spin, on_top(spin).cloned()));
        let links = Vec::from_iter(links);
        let mut clauses = Vec::new();
        let (mut stations, mut around) = (Vec::new(), Vec::new());
        for (spin, on_top) in links {
            let Some((writer, _)) = &spin.by else {
                continue;
            };
            let (spins, word) = (
                lwp(graph, &spin.context),
                node(graph, NodeKind::Word, &spin.word),
            );
            let stored = lwp(graph, writer);
            graph.connect(spins, word);
            graph.connect(word, stored);
            wait(graph, spins, spin.cpu, "spins");
            let mut path = vec![(spin.word.clone(), word, stored)];
            if let Some(on_top) = &on_top {
                let name = format!("cpu{}", on_top.cpu);
                let occupied = node(graph, NodeKind::Cpu, &name);
                let occupies = lwp(graph, &on_top.context);
                graph.connect(stored, occupied);
                graph.connect(occupied, occupies);
                wait(graph, stored, on_top.cpu, "is interrupted");
                path.push((name, occupied, occupies));
            }
            if cycle.contains(&spin) {
                clauses.push(spin.clause(on_top.as_ref()));
                for (name, resource, keeper) in path {
                    let kept_by = graph.nodes[keeper].name.clone();
                    stations.push(((name, Some(kept_by)), Some(resource)));
                    around.extend([resource, keeper]);
                }
            }
        }
        let ((first, _), resource) = stations.first()?.clone();
        stations.push(((first, None), resource));
        let (stations, nodes) = stations.into_iter().unzip();
        graph.mark_cycle(&around);
        graph.cycles.push(Cycle {
            certain: true,
            stations,
            nodes,
        });
        Some(clauses.join("; "))
    }
}

impl Spin {
    fn is_by(&self, other: &Spin) -> bool {
        self.by
            .as_ref()
            .is_some_and(|(writer, _)| *writer == other.context)
    }

    fn clause(&self, on_top: Option<&Spin>) -> String {
        let Spin {
            cpu, context, word, ..
        } = self;
        let writer = self.by.as_ref().map_or("", |(writer, _)| writer.as_str());
        let spins = format!("{context} spins on cpu{cpu} for {word}");
        match on_top {
            Some(on_top) => format!(
                "{spins}, which {writer} stored to last, and {} interrupts {writer}",
                on_top.context
            ),
            None if writer == context => format!("{spins}, which it stored to itself"),
            None => format!("{spins}, which {writer} stored to last"),
        }
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
        engaged: true,
    });
}
