//! Cycles of dependencies: each waits for what the next one holds, and all of them can happen at the same time.

use super::dependency::{Dependency, Holding};

/// The maximum length of a cycle.
const DEPTH: usize = 6;

/// A list of dependencies.
pub trait Dependencies {
    /// The dependency at this position, or `None` after the last.
    fn at(&self, position: usize) -> Option<&Dependency>;
}

impl Dependencies for [Dependency] {
    fn at(&self, position: usize) -> Option<&Dependency> {
        self.get(position)
    }
}

impl Dependencies for [Option<Dependency>] {
    fn at(&self, position: usize) -> Option<&Dependency> {
        self.get(position)?.as_ref()
    }
}

/// A dependency in a cycle.
#[derive(Clone, Copy)]
pub struct Edge<'a> {
    /// The resource that it holds, for which the one before it waits.
    pub holds: &'a Holding,
    /// The dependency: who waits, while holding that, for what the next one holds.
    pub dependency: &'a Dependency,
}

/// A cycle: each dependency waits for what the next one holds, and the last for what the first holds.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    edges: &'a [Option<Edge<'a>>],
}

impl<'a> Cycle<'a> {
    /// Its dependencies, in the order in which they wait.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'a>> + Clone + use<'a> {
        self.edges.iter().flatten().copied()
    }
}

struct Path<'a> {
    edges: [Option<Edge<'a>>; DEPTH],
    length: usize,
}

/// Calls `found` with each cycle, once.
///
/// Dependencies form a cycle only if all of them can happen at the same time: their threads are all distinct and can
/// all exist together, and no exclusive resource is held at two places (a *gate lock*).
pub fn cycles(all: &(impl Dependencies + ?Sized), found: &mut dyn FnMut(Cycle<'_>)) {
    let mut first = 0;
    while let Some(dependency) = all.at(first) {
        let mut path = Path {
            edges: [None; DEPTH],
            length: 1,
        };
        // The resource that it holds in the cycle is known only when the cycle closes.
        if let Some(holds) = dependency.held().next() {
            path.edges[0] = Some(Edge { holds, dependency });
            search(all, first, &mut path, found);
        }
        first += 1;
    }
}

/// Follows every path from the end of `path`, along dependencies after `first`, with which it begins.
fn search<'a>(
    all: &'a (impl Dependencies + ?Sized),
    first: usize,
    path: &mut Path<'a>,
    found: &mut dyn FnMut(Cycle<'_>),
) {
    let (Some(begin), Some(end)) = (path.edges[0], path.edges[path.length - 1]) else {
        return;
    };
    if path.length > 1
        && let Some(holds) = end.dependency.blocked_by(begin.dependency)
    {
        path.edges[0] = Some(Edge {
            holds,
            dependency: begin.dependency,
        });
        found(Cycle {
            edges: &path.edges[..path.length],
        });
    }
    if path.length == DEPTH {
        return;
    }
    let mut next = first + 1;
    while let Some(dependency) = all.at(next) {
        next += 1;
        let Some(holds) = end.dependency.blocked_by(dependency) else {
            continue;
        };
        let beside = |edge: &Edge<'_>| edge.dependency.is_beside(dependency);
        if path.edges[..path.length].iter().flatten().all(beside) {
            path.edges[path.length] = Some(Edge { holds, dependency });
            path.length += 1;
            search(all, first, path, found);
            path.length -= 1;
        }
    }
}
