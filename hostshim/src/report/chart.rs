//! Who waits for whom, as boxes and arrows: what every drawing of it shows.
//!
//! A cycle is drawn as it is printed: one box for each of its stations, in the same words, and an arrow for each `=>`. LWPs
//! that wait without being in a cycle are drawn beside it, with an arrow to the station that they wait for. Without a cycle
//! the chart is the wait-for graph itself.

use super::dot::label;
use crate::machine::{NodeKind, WaitGraph};

/// A box of the chart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// What it is called, in the words of the printed cycle.
    pub(super) name: String,
    /// What stands in it, one line or more. The first is the name, or begins with what it is.
    pub(super) text: String,
    /// Whether it is an LWP rather than what one waits for.
    pub(super) is_lwp: bool,
    /// Whether it is part of a cycle.
    pub(super) in_cycle: bool,
}

/// An arrow between two boxes, by their positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether nothing else can end the wait.
    pub(super) certain: bool,
    pub(super) in_cycle: bool,
}

/// Boxes and arrows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Chart {
    pub(super) places: Vec<Place>,
    pub(super) arrows: Vec<Arrow>,
}

impl Chart {
    pub(super) fn of(waits: &WaitGraph) -> Chart {
        match waits.cycles.is_empty() {
            true => whole(waits),
            false => cycles(waits),
        }
    }

    /// The position of a box, which is added unless the same one is there.
    fn place(&mut self, place: Place) -> usize {
        if let Some(known) = self.places.iter().position(|other| *other == place) {
            return known;
        }
        self.places.push(place);
        self.places.len() - 1
    }

    fn arrow(&mut self, arrow: Arrow) {
        if !self.arrows.contains(&arrow) {
            self.arrows.push(arrow);
        }
    }
}

/// The wait-for graph as it is.
fn whole(waits: &WaitGraph) -> Chart {
    let places = waits.nodes.iter().enumerate();
    let arrows = waits.edges.iter().map(|edge| Arrow {
        from: edge.from,
        to: edge.to,
        certain: edge.certain,
        in_cycle: edge.in_cycle,
    });
    Chart {
        places: places.map(|(node, _)| place_of(waits, node)).collect(),
        arrows: arrows.collect(),
    }
}

fn cycles(waits: &WaitGraph) -> Chart {
    let mut chart = Chart::default();
    for cycle in &waits.cycles {
        let Some(((last, _), stations)) = cycle.stations.split_last() else {
            continue;
        };
        let mut way = Vec::new();
        for (what, lwp) in stations {
            way.push(chart.place(Place {
                name: what.clone(),
                text: match lwp {
                    Some(lwp) => format!("{what}\n({lwp})"),
                    None => what.clone(),
                },
                is_lwp: false,
                in_cycle: true,
            }));
        }
        // The last station is one of the others again, which closes the cycle.
        let closing = way.iter().copied();
        way.extend(closing.clone().find(|&at| chart.places[at].name == *last));
        for pair in way.windows(2) {
            chart.arrow(Arrow {
                from: pair[0],
                to: pair[1],
                certain: cycle.certain,
                in_cycle: true,
            });
        }
    }
    let is_told = |node: usize| {
        let name = Some(&waits.nodes[node].name);
        let mut stations = waits.cycles.iter().flat_map(|cycle| &cycle.stations);
        waits.nodes[node].in_cycle || stations.any(|(_, lwp)| lwp.as_ref() == name)
    };
    for waiter in waits.waiters.iter().filter(|w| !is_told(w.node)) {
        let from = chart.place(place_of(waits, waiter.node));
        for edge in waits.edges.iter().filter(|edge| edge.from == waiter.node) {
            let name = &waits.nodes[edge.to].name;
            let known = chart.places.iter().position(|place| place.name == *name);
            let to = known.unwrap_or_else(|| chart.place(place_of(waits, edge.to)));
            chart.arrow(Arrow {
                from,
                to,
                certain: edge.certain,
                in_cycle: false,
            });
        }
    }
    chart
}

/// A node of the graph as a box: of an LWP, also which operation it is in.
fn place_of(waits: &WaitGraph, node: usize) -> Place {
    let known = &waits.nodes[node];
    let mut text = label(&known.name, known.kind);
    if let Some(waiter) = waits.waiters.iter().find(|waiter| waiter.node == node) {
        for operation in &waiter.operations {
            text += &format!("\nin {operation}");
        }
    }
    Place {
        name: known.name.clone(),
        text,
        is_lwp: known.kind == NodeKind::Lwp,
        in_cycle: waits.cycles.is_empty() && known.in_cycle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Cycle, Until, WaitEdge, WaitNode, Waiter};

    fn node(name: &str, kind: NodeKind, in_cycle: bool) -> WaitNode {
        WaitNode {
            name: name.to_owned(),
            kind,
            in_cycle,
            object: None,
            callout: None,
        }
    }

    fn edge(from: usize, to: usize) -> WaitEdge {
        WaitEdge {
            from,
            to,
            certain: true,
            in_cycle: from < 4,
        }
    }

    fn waiter(node: usize) -> Waiter {
        Waiter {
            node,
            cpu: 0,
            how: String::new(),
            operations: Vec::new(),
            until: Until::Free,
            object: None,
            is_lost: false,
            engaged: true,
        }
    }

    /// `t1` waits in `drain` for what `t2` keeps, and `t2` for a mutex of `t1`'s; `t3` wants the mutex too.
    fn waits() -> WaitGraph {
        let station = |what: &str, lwp: Option<&str>| (what.to_owned(), lwp.map(str::to_owned));
        WaitGraph {
            nodes: vec![
                node("t1", NodeKind::Lwp, true),
                node("localcount", NodeKind::Localcount, true),
                node("t2", NodeKind::Lwp, true),
                node("mtx", NodeKind::Mutex, true),
                node("t3", NodeKind::Lwp, false),
            ],
            edges: vec![edge(0, 1), edge(1, 2), edge(2, 3), edge(3, 0), edge(4, 3)],
            cycles: vec![Cycle {
                certain: true,
                stations: vec![
                    station("mtx", Some("t1")),
                    station("drain", Some("t1")),
                    station("localcount", Some("t2")),
                    station("mtx", None),
                ],
                nodes: vec![Some(3), None, Some(1), Some(3)],
            }],
            alike: 0,
            waiters: vec![waiter(0), waiter(2), waiter(4)],
            running: Vec::new(),
        }
    }

    #[test]
    fn a_cycle_is_drawn_as_it_is_printed_and_who_else_waits_beside_it() {
        let chart = Chart::of(&waits());
        let texts = Vec::from_iter(chart.places.iter().map(|place| place.text.as_str()));
        assert_eq!(
            texts,
            ["mtx\n(t1)", "drain\n(t1)", "localcount\n(t2)", "t3"]
        );
        let arrows = chart.arrows.iter();
        let arrows = Vec::from_iter(arrows.map(|a| (a.from, a.to, a.in_cycle)));
        let cycle = [(0, 1, true), (1, 2, true), (2, 0, true)];
        assert_eq!(arrows[..3], cycle);
        assert_eq!(arrows[3..], [(3, 0, false)]);
    }

    #[test]
    fn without_a_cycle_it_is_the_whole_graph() {
        let mut waits = waits();
        waits.cycles.clear();
        let chart = Chart::of(&waits);
        assert_eq!((chart.places.len(), chart.arrows.len()), (5, 5));
        assert_eq!(chart.places[3].text, "mutex mtx");
    }
}
