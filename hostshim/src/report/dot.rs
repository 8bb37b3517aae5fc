//! Who waits for whom, in the language of Graphviz.

use std::fmt::Write;

use super::account::Account;
use super::chart::Chart;
use crate::machine::NodeKind;

/// The chart: LWPs as ellipses, what they wait for as boxes, cycles in red, waits that can end otherwise dashed.
pub fn dot(account: &Account<'_>) -> String {
    let chart = Chart::of(&account.waits);
    let mut text = String::from("digraph waits {\n  node [fontname=\"sans-serif\"];\n");
    // Writing to a string cannot fail.
    for (index, place) in chart.places.iter().enumerate() {
        let shape = if place.is_lwp { "ellipse" } else { "box" };
        let name = quoted(&place.text);
        let _ = writeln!(
            text,
            "  n{index} [label={name}, shape={shape}{}];",
            colour(place.in_cycle)
        );
    }
    for arrow in &chart.arrows {
        let style = if arrow.certain { "solid" } else { "dashed" };
        let _ = writeln!(
            text,
            "  n{} -> n{} [style={style}{}];",
            arrow.from,
            arrow.to,
            colour(arrow.in_cycle)
        );
    }
    text + "}\n"
}

/// The label of a node in drawings: its name, and its kind unless the name says so.
pub(super) fn label(name: &str, kind: NodeKind) -> String {
    match kind {
        NodeKind::Mutex | NodeKind::Rwlock | NodeKind::Word => {
            format!("{} {name}", kind.name())
        }
        NodeKind::Xcall => format!("cross-call box {name}"),
        NodeKind::References => format!("each {name}"),
        NodeKind::Localcount => "localcount references".to_owned(),
        NodeKind::Lwp
        | NodeKind::Softint
        | NodeKind::Softclock
        | NodeKind::Psrefs
        | NodeKind::Workqueue
        | NodeKind::Cpu => name.to_owned(),
    }
}

fn colour(in_cycle: bool) -> &'static str {
    if in_cycle {
        ", color=red, penwidth=2"
    } else {
        ""
    }
}

fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted(r#"a "b" \"#), r#""a \"b\" \\""#);
        assert_eq!(quoted("a\nb"), r#""a\nb""#);
    }
}
