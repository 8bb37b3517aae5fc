//! Rules for the source of the kernel component: no module names one of a higher layer, and kern and net allocate so that it can
//! fail.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, the lowest first, with the modules and macros of each.
const LAYERS: &[(&str, &[&str])] = &[
    ("machine", &["machine", "bind_machine", "fields", "note"]),
    ("mem", &["mem"]),
    ("configuration", &["config", "history", "contracts", "part"]),
    ("kern", &["kern", "kernel", "contract"]),
    ("net", &["net"]),
    ("scenario", &["scenario"]),
    ("entry", &["entry"]),
];

/// Which layer has this module or macro.
fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|(_, names)| names.contains(&name))
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What the code, without comments, names as `crate::NAME` or `$crate::NAME`.
fn named(text: &str) -> Vec<&str> {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for line in text.lines().filter(code) {
        for after in line.split("crate::").skip(1) {
            // One name, or several in braces.
            let parts: Vec<&str> = match after.strip_prefix('{') {
                Some(list) => list.split(',').map(str::trim_start).collect(),
                None => vec![after],
            };
            for part in parts {
                let end = part.find(|c| !is_part(c)).unwrap_or(part.len());
                names.push(&part[..end]);
            }
        }
    }
    names
}

/// The names that a file of layer `own` may not use.
fn upward(own: usize, text: &str) -> Vec<String> {
    let check = |name: &&str| match layer(name) {
        Some(layer) => layer > own,
        None => true,
    };
    named(text)
        .into_iter()
        .filter(check)
        .map(str::to_owned)
        .collect()
}

#[test]
fn dependencies_point_down() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    assert!(found.len() > 100, "{} files", found.len());
    let mut wrong = Vec::new();
    for path in found {
        let inside = path.strip_prefix(&source).expect("a path below the source");
        let first = inside.iter().next().expect("a name").to_string_lossy();
        let module = first.trim_end_matches(".rs");
        // The crate's root has every layer; the other is the host of the unit tests.
        if ["lib", "testhost"].contains(&module) {
            continue;
        }
        let own =
            layer(module).unwrap_or_else(|| panic!("{module} is in no layer: add it to LAYERS"));
        let text = fs::read_to_string(&path).expect("a file of the source");
        for name in upward(own, &text) {
            wrong.push(format!("{} names crate::{name}", inside.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_name_of_a_higher_layer_is_found() {
    let kern = layer("kern").expect("a layer");
    let text = "use crate::mem::Plain;\n// see crate::net::nic\n    x => crate::net::nic::intr(),";
    assert_eq!(upward(kern, text), ["net"]);
    assert_eq!(
        upward(kern, "use crate::{machine, scenario};"),
        ["scenario"]
    );
    assert_eq!(upward(kern, "use crate::elsewhere;"), ["elsewhere"]);
}

/// The kernel's own allocations ask the machine whether they fail (`kmem_alloc_nosleep`), or their error paths never run. Scenarios do
/// as they like.
#[test]
fn allocations_of_the_kernel_can_fail() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source.join("kern"), &mut found);
    files(&source.join("net"), &mut found);
    let mut wrong = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).expect("a file of the source");
        if path.ends_with("kern/kmem.rs") {
            assert!(
                sure(&text) > 0,
                "kmem.rs calls kmem_alloc no more: mend this test"
            );
        } else if sure(&text) > 0 {
            wrong.push(path.display().to_string());
        }
    }
    assert!(
        wrong.is_empty(),
        "kmem_alloc never fails in a run: call kmem_alloc_nosleep in\n{}",
        wrong.join("\n")
    );
}

/// The lines of code that call the function which never fails in a run.
fn sure(text: &str) -> usize {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let calls = |line: &&str| line.contains("kmem_alloc(") || line.contains("raw_alloc(");
    text.lines().filter(code).filter(calls).count()
}
