//! The wait-for graph in the language of Graphviz.

use std::fmt::Write;

use super::account::Account;
use crate::machine::NodeKind;

/// The graph: LWPs as ellipses, what they wait for as boxes, cycles in red, waits that can end otherwise dashed.
pub fn dot(account: &Account<'_>) -> String {
    let mut text = String::from("digraph waits {\n  node [fontname=\"sans-serif\"];\n");
    // Writing to a string cannot fail.
    for (index, node) in account.waits.nodes.iter().enumerate() {
        let shape = match node.kind {
            NodeKind::Lwp => "ellipse",
            _ => "box",
        };
        let name = quoted(&label(&node.name, node.kind));
        let _ = writeln!(
            text,
            "  n{index} [label={name}, shape={shape}{}];",
            colour(node.in_cycle)
        );
    }
    for edge in &account.waits.edges {
        let style = if edge.certain { "solid" } else { "dashed" };
        let _ = writeln!(
            text,
            "  n{} -> n{} [style={style}{}];",
            edge.from,
            edge.to,
            colour(edge.in_cycle)
        );
    }
    text + "}\n"
}

/// What a node is called in drawings: its name, and what it is unless that says so.
pub(super) fn label(name: &str, kind: NodeKind) -> String {
    match kind {
        NodeKind::Mutex | NodeKind::Rwlock => format!("{} {name}", kind.name()),
        NodeKind::Xcall => format!("slot of {name}"),
        NodeKind::Localcount => "references of a localcount".to_owned(),
        NodeKind::Lwp
        | NodeKind::Softint
        | NodeKind::Softclock
        | NodeKind::Psrefs
        | NodeKind::Workqueue => name.to_owned(),
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
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted(r#"a "b" \"#), r#""a \"b\" \\""#);
    }
}
