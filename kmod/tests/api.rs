//! docs/api.md has a row for each public function of the primitives and of the network stack, and for nothing else.
//!
//! `scripts/api` writes the table from counts of real runs, which takes minutes. This test reads the source and the table only, so that a new
//! function does not go unnoticed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The type of an `impl` block that begins on this line.
fn implemented(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let rest = line.strip_prefix("unsafe ").unwrap_or(line);
    let rest = rest.strip_prefix("impl")?;
    let head = match rest.strip_prefix('<') {
        // Past its parameters, which may have parameters.
        Some(parameters) => {
            let mut depth = 1;
            let end = parameters.find(|c| {
                depth += i32::from(c == '<') - i32::from(c == '>');
                depth == 0
            });
            &parameters[end? + 1..]
        }
        None => rest,
    };
    let kind = head
        .strip_prefix(' ')?
        .split(" for ")
        .last()
        .unwrap_or(head)
        .trim();
    let path = kind
        .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .next()?;
    path.rsplit("::").next()
}

/// The public function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let mut rest = line.trim_start().strip_prefix("pub ")?;
    while let Some(further) = ["const ", "unsafe "]
        .iter()
        .find_map(|word| rest.strip_prefix(word))
    {
        rest = further;
    }
    let name = rest.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// The public functions of a file: `Type::name`, or `name`.
fn public(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut kind, mut indent) = (String::new(), 0);
    let code = text.lines().take_while(|line| *line != "mod tests {");
    for line in code {
        let depth = line.len() - line.trim_start().len();
        if line.trim() == "}" && depth == indent {
            kind.clear();
        }
        if let Some(name) = implemented(line) {
            (kind, indent) = (format!("{name}::"), depth);
        }
        if let Some(name) = function(line) {
            found.push(format!("{kind}{name}"));
        }
    }
    found
}

/// The public functions of a folder and those below it, with their modules.
fn all(folder: &Path, module: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the source") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        if path.is_dir() {
            all(&path, &format!("{module}::{name}"), found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module = match &*name {
                "mod" => module.to_owned(),
                _ => format!("{module}::{name}"),
            };
            let text = fs::read_to_string(&path).expect("a file of the source");
            found.extend(
                public(&text)
                    .into_iter()
                    .map(|name| format!("{module}::{name}")),
            );
        }
    }
}

/// The functions that have a row below the headings of their modules.
fn rows(document: &str) -> BTreeSet<String> {
    let mut module = None;
    let mut found = BTreeSet::new();
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            module = ["kern::", "net"]
                .iter()
                .any(|start| heading.starts_with(start))
                .then_some(heading);
        }
        let name = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split('`').next());
        if let (Some(module), Some(name)) = (module, name) {
            found.insert(format!("{module}::{name}"));
        }
    }
    found
}

#[test]
fn every_public_function_has_a_row() {
    let kmod = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut functions = BTreeSet::new();
    for folder in ["kern", "net"] {
        all(&kmod.join("src").join(folder), folder, &mut functions);
    }
    assert!(functions.len() > 300, "{} functions", functions.len());
    let document = fs::read_to_string(kmod.join("../docs/api.md")).expect("docs/api.md");
    let rows = rows(&document);
    let missing: Vec<_> = functions.difference(&rows).collect();
    let gone: Vec<_> = rows.difference(&functions).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/api.md has no row for {missing:?}, and rows for {gone:?}, which do not exist: `scripts/api` writes it"
    );
}

#[test]
fn functions_are_found_with_their_types() {
    let text = "\
pub fn first() {}
impl<T: Into<u8>> Whole<T> {
    pub const fn new() -> Self {
    }
    pub(crate) fn inside() {}
}
unsafe impl Listed for crate::a::Entry {
    pub unsafe fn get(&self) {}
}
pub fn last() {}
mod tests {
    pub fn none() {}
";
    assert_eq!(public(text), ["first", "Whole::new", "Entry::get", "last"]);
}

#[test]
fn a_function_of_the_list_without_a_row_has_none() {
    let document = "## Called by nothing\n| `kern::a::b` | boot |\n## kern::a\n| function |\n| `C::d` | 1: x |\n";
    assert_eq!(rows(document), BTreeSet::from(["kern::a::C::d".to_owned()]));
}
