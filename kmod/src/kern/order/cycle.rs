//! Cycles: dependencies each of which waits for what the next one holds, and that can all happen at the same time.

use super::dependency::{Dependency, Holding};

/// The longest cycle that is looked for.
const DEPTH: usize = 6;

/// A list of dependencies, however it is kept.
pub trait Dependencies {
    /// The one at this position, until there are no more.
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
    /// It holds this, for which the one before it waits.
    pub holds: &'a Holding,
    /// Who waits meanwhile for what the next one holds.
    pub dependency: &'a Dependency,
}

/// A cycle: each waits for what the next one holds, and the last for what the first does.
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

/// Calls `found` with each cycle among these, once.
///
/// It is one only if all of it can happen at the same time: by threads that are all distinct and can all be there, and
/// nothing that one alone can hold is held in two places (a *gate*).
pub fn cycles(all: &(impl Dependencies + ?Sized), found: &mut dyn FnMut(Cycle<'_>)) {
    let mut first = 0;
    while let Some(dependency) = all.at(first) {
        let mut path = Path {
            edges: [None; DEPTH],
            length: 1,
        };
        // What it holds in the cycle is known when that closes.
        if let Some(holds) = dependency.held().next() {
            path.edges[0] = Some(Edge { holds, dependency });
            search(all, first, &mut path, found);
        }
        first += 1;
    }
}

/// Follows every path on from the end of `path`, along dependencies behind `first`, which it begins with.
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
