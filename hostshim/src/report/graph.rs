//! The wait-for graph as a drawing.
//!
//! `layout-rs` places the boxes of the chart. The SVG is written here, with classes instead of colours, so that a
//! page can show it in light and in dark mode.

use std::fmt::Write;

use layout::core::base::Orientation;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout::topo::layout::VisualGraph;

use super::account::Account;
use super::chart::{self, Chart};

/// Colours and lines of a standalone drawing, for light and dark mode.
const STYLE: &str = "\
.waits { font: 13px system-ui, sans-serif; --ink: #24292f; --paper: #fff; --bad: #c4161c }
@media (prefers-color-scheme: dark) { .waits { --ink: #d7dde4; --paper: #14181d; --bad: #ff7b72 } }
.waits .back { fill: var(--paper) }
.waits text { fill: var(--ink); text-anchor: middle; dominant-baseline: central }
.waits .shape, .waits .edge { fill: none; stroke: var(--ink); stroke-width: 1.3 }
.waits .tip { fill: var(--ink) }
.waits .bad .shape, .waits .edge.bad { stroke: var(--bad); stroke-width: 2.2 }
.waits .tip.bad { fill: var(--bad) }
";

/// The class of what is part of a cycle.
const BAD: &str = "bad";
/// The class of an arrow that has another one against it.
const PAIR: &str = " pair";
/// Pixels by which each of two such arrows is moved to its side.
const APART: f64 = 9.0;
/// Pixels of a line of text.
const LINE: f64 = 17.0;
/// Width of a letter in pixels: the average and a little more.
const LETTER: f64 = 7.2;

/// The chart, drawn. Without boxes, a drawing that says so.
pub fn svg(account: &Account<'_>) -> String {
    drawing(&Chart::of(&account.waits))
}

fn drawing(chart: &Chart) -> String {
    let mut canvas = Canvas::default();
    if chart.places.is_empty() {
        canvas.words(Point::new(90.0, 20.0), "nobody waits");
        canvas.grow(Point::new(180.0, 40.0));
        return canvas.finish();
    }
    let mut graph = VisualGraph::new(Orientation::TopToBottom);
    let look = StyleAttr::simple();
    let mut handles = Vec::new();
    for place in &chart.places {
        let longest = place.text.lines().map(|line| line.chars().count()).max();
        let width = longest.unwrap_or(0) as f64 * LETTER + 30.0;
        let height = place.text.lines().count() as f64 * LINE + 18.0;
        let shape = match place.is_lwp {
            true => ShapeKind::new_circle(&place.text),
            false => ShapeKind::new_box(&place.text),
        };
        let class = if place.in_cycle { BAD } else { "" };
        let name = escape(&place.name);
        handles.push(graph.add_node(Element::create_with_properties(
            shape,
            look.clone(),
            Orientation::TopToBottom,
            Point::new(width, height),
            format!("class=\"{class}\" data-name=\"{name}\""),
        )));
    }
    for arrow in &chart.arrows {
        let class = if arrow.in_cycle { BAD } else { "" };
        let is_back = |other: &chart::Arrow| (other.from, other.to) == (arrow.to, arrow.from);
        let pair = if chart.arrows.iter().any(is_back) {
            PAIR
        } else {
            ""
        };
        let [from, to] = [arrow.from, arrow.to].map(|at| escape(&chart.places[at].name));
        let line = if arrow.certain {
            LineStyleKind::Normal
        } else {
            LineStyleKind::Dashed
        };
        let drawn = Arrow::with_properties(
            LineEndKind::None,
            LineEndKind::Arrow,
            line,
            "",
            &look,
            format!("class=\"edge {class}{pair}\" data-from=\"{from}\" data-to=\"{to}\""),
            &None,
            &None,
        );
        graph.add_edge(drawn, handles[arrow.from], handles[arrow.to]);
    }
    graph.do_it(false, false, false, &mut canvas);
    canvas.finish()
}

/// Writes SVG from drawing calls.
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

/// Escapes text for SVG and HTML.
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
        let attributes = properties.unwrap_or_default();
        self.add(format_args!(
            "<g {attributes}><rect class=\"shape\" x=\"{:.0}\" y=\"{:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"3\"/></g>",
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
        let attributes = properties.unwrap_or_default();
        self.add(format_args!(
            "<g {attributes}><ellipse class=\"shape\" cx=\"{:.0}\" cy=\"{:.0}\" rx=\"{:.0}\" ry=\"{:.0}\"/></g>",
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
        let attributes = properties.unwrap_or_default();
        // The layout puts two arrows against each other on one line.
        let aside = match (attributes.contains(PAIR), head.0) {
            (true, true) => -APART,
            (true, false) => APART,
            (false, _) => 0.0,
        };
        let moved = |point: Point| Point::new(point.x + aside, point.y);
        let path = path.iter();
        let path = Vec::from_iter(path.map(|&(point, control)| (moved(point), moved(control))));
        for &(point, control) in &path {
            self.grow(point);
            self.grow(control);
        }
        let [(start, leave), rest @ ..] = path.as_slice() else {
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
        let dash = if dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        let tip = match attributes.starts_with(&format!("class=\"edge {BAD}")) {
            true => "tip-bad",
            false => "tip",
        };
        let mut ends = String::new();
        for (is_there, end) in [(head.0, "start"), (head.1, "end")] {
            if is_there {
                ends += &format!(" marker-{end}=\"url(#{tip})\"");
            }
        }
        self.add(format_args!(
            "<path {attributes}{dash} d=\"{curve}\"{ends}/>"
        ));
    }

    fn create_clip(&mut self, _xy: Point, _size: Point, _rounded_px: usize) -> ClipHandle {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::Place;

    fn chart() -> Chart {
        let place = |text: &str, is_lwp| Place {
            name: text.lines().next().unwrap_or("").to_owned(),
            text: text.to_owned(),
            is_lwp,
            in_cycle: !is_lwp,
        };
        let arrow = |from, to, in_cycle| chart::Arrow {
            from,
            to,
            certain: in_cycle,
            in_cycle,
        };
        Chart {
            places: vec![
                place("a\n(t1)", false),
                place("b\n(t2)", false),
                place("c<d>", true),
            ],
            arrows: vec![arrow(0, 1, true), arrow(1, 0, true), arrow(2, 0, false)],
        }
    }

    #[test]
    fn a_drawing_is_the_same_every_time_and_has_every_box_and_arrow() {
        let first = drawing(&chart());
        for _ in 0..20 {
            assert_eq!(drawing(&chart()), first);
        }
        assert_eq!(first.matches("class=\"edge").count(), 3, "{first}");
        assert_eq!(first.matches("class=\"edge bad").count(), 2, "{first}");
        assert_eq!(first.matches("stroke-dasharray").count(), 1, "{first}");
        // Those between a and b lie beside each other.
        let lines = first.lines().filter(|line| line.contains(PAIR));
        let begins = lines.filter_map(|line| line.split(" d=\"M ").nth(1)?.split(' ').next());
        let begins = Vec::from_iter(begins);
        assert_eq!(begins.len(), 2, "{first}");
        assert_ne!(begins[0], begins[1], "{first}");
        for name in [">a<", ">b<", ">(t1)<", ">(t2)<", "c&lt;d&gt;"] {
            assert!(first.contains(name), "{name} is not in {first}");
        }
    }

    #[test]
    fn without_anybody_it_says_so() {
        assert!(drawing(&Chart::default()).contains("nobody waits"));
    }
}
