//! The wait-for graph as a drawing.
//!
//! `layout-rs` says where the nodes go; the SVG is written here, with classes instead of colours, so that a page can show
//! it in light and in dark.

use std::fmt::Write;

use layout::core::base::Orientation;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::account::Account;
use super::dot::label;
use crate::machine::{NodeKind, WaitGraph};

/// Colours and lines of a drawing that stands alone, light or dark as the reader's screen is.
const STYLE: &str = "\
.waits { font: 13px system-ui, sans-serif; --ink: #24292f; --paper: #fff; --bad: #c4161c }
@media (prefers-color-scheme: dark) { .waits { --ink: #d7dde4; --paper: #14181d; --bad: #ff7b72 } }
.waits .back { fill: var(--paper) }
.waits text { fill: var(--ink); text-anchor: middle; dominant-baseline: central }
.waits .shape, .waits .edge { fill: none; stroke: var(--ink); stroke-width: 1.3 }
.waits .tip { fill: var(--ink) }
.waits .bad .shape, .waits .edge.bad { stroke: var(--bad); stroke-width: 2.2 }
.waits .tip.bad { fill: var(--bad) }
.waits .maybe { stroke-dasharray: 5 4 }
";

/// Pixels of a line of text.
const LINE: f64 = 17.0;
/// Pixels of a letter, on average and a little more.
const LETTER: f64 = 7.2;

/// The graph, drawn. Without nodes, a drawing that says so.
pub fn svg(account: &Account<'_>) -> String {
    drawing(&account.waits)
}

fn drawing(waits: &WaitGraph) -> String {
    let mut canvas = Canvas::default();
    if waits.nodes.is_empty() {
        canvas.words(Point::new(90.0, 20.0), "nobody waits");
        canvas.grow(Point::new(180.0, 40.0));
        return canvas.finish();
    }
    let mut graph = VisualGraph::new(Orientation::TopToBottom);
    let look = StyleAttr::simple();
    let handles: Vec<_> = (0..waits.nodes.len())
        .map(|index| {
            let node = &waits.nodes[index];
            let text = words(waits, index);
            let longest = text.lines().map(|line| line.chars().count()).max();
            let width = longest.unwrap_or(0) as f64 * LETTER + 30.0;
            let height = text.lines().count() as f64 * LINE + 18.0;
            let shape = match node.kind {
                NodeKind::Lwp => ShapeKind::new_circle(&text),
                _ => ShapeKind::new_box(&text),
            };
            let class = if node.in_cycle { "bad" } else { "" };
            graph.add_node(Element::create_with_properties(
                shape,
                look.clone(),
                Orientation::TopToBottom,
                Point::new(width, height),
                class,
            ))
        })
        .collect();
    for edge in &waits.edges {
        let bad = if edge.in_cycle { "bad" } else { "" };
        let line = if edge.certain {
            LineStyleKind::Normal
        } else {
            LineStyleKind::Dashed
        };
        let arrow = Arrow::with_properties(
            LineEndKind::None,
            LineEndKind::Arrow,
            line,
            "",
            &look,
            bad,
            &None,
            &None,
        );
        graph.add_edge(arrow, handles[edge.from], handles[edge.to]);
    }
    graph.do_it(false, false, false, &mut canvas);
    canvas.finish()
}

/// What stands in a node: of an LWP, also which operation it is in.
fn words(waits: &WaitGraph, node: usize) -> String {
    let mut text = label(&waits.nodes[node].name, waits.nodes[node].kind);
    if let Some(waiter) = waits.waiters.iter().find(|waiter| waiter.node == node) {
        for operation in &waiter.operations {
            text += &format!("\nin {operation}");
        }
    }
    text
}

/// Writes SVG as it is drawn to.
#[derive(Default)]
struct Canvas {
    body: String,
    size: (f64, f64),
}

impl Canvas {
    fn grow(&mut self, to: Point) {
        self.size.0 = self.size.0.max(to.x + 8.0);
        self.size.1 = self.size.1.max(to.y + 8.0);
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(text);
        self.body.push('\n');
    }

    fn words(&mut self, middle: Point, text: &str) {
        let count = text.lines().count() as f64;
        for (index, line) in text.lines().enumerate() {
            let y = middle.y + (index as f64 - (count - 1.0) / 2.0) * LINE;
            let line = escape(line);
            self.add(format_args!(
                "<text x=\"{:.0}\" y=\"{y:.0}\">{line}</text>",
                middle.x
            ));
        }
    }

    fn finish(self) -> String {
        let (width, height) = (self.size.0.ceil(), self.size.1.ceil());
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"waits\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"who waits for whom\">\n<style>\n{STYLE}</style>\n\
             <defs>\n{}{}</defs>\n<rect class=\"back\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n",
            tip("tip", ""),
            tip("tip-bad", " bad"),
            self.body
        )
    }
}

fn tip(id: &str, class: &str) -> String {
    format!(
        "<marker id=\"{id}\" markerUnits=\"userSpaceOnUse\" markerWidth=\"12\" markerHeight=\"10\" refX=\"11\" refY=\"5\" \
         orient=\"auto-start-reverse\"><polygon class=\"tip{class}\" points=\"0 0, 12 5, 0 10\"/></marker>\n"
    )
}

/// Text as it may stand in SVG and HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

impl RenderBackend for Canvas {
    fn draw_rect(
        &mut self,
        xy: Point,
        size: Point,
        _look: &StyleAttr,
        properties: Option<String>,
        _clip: Option<ClipHandle>,
    ) {
        self.grow(Point::new(xy.x + size.x, xy.y + size.y));
        let class = properties.unwrap_or_default();
        self.add(format_args!(
            "<g class=\"{class}\"><rect class=\"shape\" x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"3\"/></g>",
            xy.x, xy.y, size.x, size.y
        ));
    }

    fn draw_line(
        &mut self,
        start: Point,
        stop: Point,
        _look: &StyleAttr,
        _properties: Option<String>,
    ) {
        self.add(format_args!(
            "<path class=\"edge\" d=\"M {:.0} {:.0} L {:.0} {:.0}\"/>",
            start.x, start.y, stop.x, stop.y
        ));
    }

    fn draw_circle(
        &mut self,
        xy: Point,
        size: Point,
        _look: &StyleAttr,
        properties: Option<String>,
    ) {
        self.grow(Point::new(xy.x + size.x / 2.0, xy.y + size.y / 2.0));
        let class = properties.unwrap_or_default();
        self.add(format_args!(
            "<g class=\"{class}\"><ellipse class=\"shape\" cx=\"{:.0}\" cy=\"{:.0}\" rx=\"{:.0}\" ry=\"{:.0}\"/></g>",
            xy.x,
            xy.y,
            size.x / 2.0,
            size.y / 2.0
        ));
    }

    fn draw_text(&mut self, xy: Point, text: &str, _look: &StyleAttr) {
        self.words(xy, text);
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        dashed: bool,
        head: (bool, bool),
        _look: &StyleAttr,
        properties: Option<String>,
        _text: &str,
    ) {
        for &(point, control) in path {
            self.grow(point);
            self.grow(control);
        }
        let [(start, leave), rest @ ..] = path else {
            return;
        };
        let mut curve = format!(
            "M {:.0} {:.0} C {:.0} {:.0}",
            start.x, start.y, leave.x, leave.y
        );
        for (index, (point, control)) in rest.iter().enumerate() {
            let joint = if index == 0 { "," } else { " S" };
            curve += &format!(
                "{joint} {:.0} {:.0}, {:.0} {:.0}",
                point.x, point.y, control.x, control.y
            );
        }
        let bad = properties.unwrap_or_default();
        let dash = if dashed { " maybe" } else { "" };
        let tip = if bad.is_empty() { "tip" } else { "tip-bad" };
        let mut ends = String::new();
        for (is_there, end) in [(head.0, "start"), (head.1, "end")] {
            if is_there {
                ends += &format!(" marker-{end}=\"url(#{tip})\"");
            }
        }
        self.add(format_args!(
            "<path class=\"edge {bad}{dash}\" d=\"{curve}\"{ends}/>"
        ));
    }

    fn create_clip(&mut self, _xy: Point, _size: Point, _rounded_px: usize) -> ClipHandle {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{WaitEdge, WaitNode};

    fn waits() -> WaitGraph {
        let node = |name: &str, kind| WaitNode {
            name: name.to_owned(),
            kind,
            in_cycle: name != "c<d>",
        };
        let edge = |from, to, in_cycle| WaitEdge {
            from,
            to,
            certain: in_cycle,
            in_cycle,
        };
        WaitGraph {
            nodes: vec![
                node("t1", NodeKind::Lwp),
                node("a", NodeKind::Mutex),
                node("t2", NodeKind::Lwp),
                node("b", NodeKind::Mutex),
                node("c<d>", NodeKind::Softclock),
            ],
            edges: vec![
                edge(0, 1, true),
                edge(1, 2, true),
                edge(2, 3, true),
                edge(3, 0, true),
                edge(0, 4, false),
            ],
            ..WaitGraph::default()
        }
    }

    #[test]
    fn a_drawing_is_the_same_every_time_and_has_every_node_and_edge() {
        let first = drawing(&waits());
        for _ in 0..20 {
            assert_eq!(drawing(&waits()), first);
        }
        assert_eq!(first.matches("class=\"edge").count(), 5, "{first}");
        assert_eq!(first.matches("class=\"edge bad").count(), 4, "{first}");
        assert_eq!(first.matches(" maybe\"").count(), 1, "{first}");
        for name in ["mutex a", "mutex b", ">t1<", ">t2<", "c&lt;d&gt;"] {
            assert!(first.contains(name), "{name} is not in {first}");
        }
    }

    #[test]
    fn without_anybody_it_says_so() {
        assert!(drawing(&WaitGraph::default()).contains("nobody waits"));
    }
}
