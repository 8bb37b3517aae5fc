//! Files of marks: what each line says, and which accesses of a program it is about.
//!
//! ```text
//! # kind     place                  what decides, for `validated`
//! relaxed    table.hits
//! dependent  table_find
//! control    ring.h:40
//! validated  table_peek             by table.version
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use kmod::machine::Field;

use super::object::Linked;
use crate::machine::marks::{Marks, Meant, Said};
use crate::suggest;

/// How marks are written.
const HELP: &str = "write `relaxed PLACE`, `dependent PLACE`, `control PLACE`, or `validated PLACE by PLACE`; a place is a function, \
                    structure.member, a variable, or FILE:LINE";
/// Marks of validated reads that a file can have: each has a bit in [`Said`].
const MOST_VALIDATED: usize = u32::BITS as usize;

/// A file of marks.
#[derive(Debug)]
pub(super) struct File {
    name: String,
    marks: Vec<Mark>,
}

/// A line.
#[derive(PartialEq, Eq, Debug)]
struct Mark {
    line: usize,
    place: Place,
    kind: Kind,
}

#[derive(PartialEq, Eq, Debug)]
enum Kind {
    Meant(Meant),
    /// A validated read, and what decides on it.
    Validated(Place),
}

/// Accesses.
#[derive(PartialEq, Eq, Debug)]
enum Place {
    /// Those in a function, or to a variable.
    Name(String),
    /// Those to a member of a structure.
    Member(String, String),
    /// Those of a line.
    Line(String, u32),
}

/// Reads a file of marks.
///
/// # Errors
///
/// The first thing that is wrong with it, with its place.
pub(super) fn read(path: &Path) -> Result<File, String> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        format!("cannot read {name}: {error}\n  help: give the path of a file of marks")
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        format!("{name}: this is not text\n  help: a file of marks is UTF-8 text: {HELP}")
    })?;
    parse(name, &text)
}

/// Reads the text of a file of this name.
pub(super) fn parse(name: String, text: &str) -> Result<File, String> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut validated = 0;
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let wrong = |what: String| format!("{name}:{line_number}: {what}\n  help: {HELP}");
        let line = line.split('#').next().unwrap_or_default();
        let words = Vec::from_iter(line.split_whitespace());
        let [kind, rest @ ..] = words.as_slice() else {
            continue;
        };
        let meant = match *kind {
            "relaxed" => Some(Meant::Relaxed),
            "dependent" => Some(Meant::Dependent),
            "control" => Some(Meant::Control),
            "validated" => None,
            _ => return Err(wrong(format!("`{kind}` is no mark"))),
        };
        let (place, kind) = match (meant, rest) {
            (_, []) => return Err(wrong(format!("`{kind}` needs a place"))),
            (Some(meant), [place]) => (place, Kind::Meant(meant)),
            (None, [place, "by", by]) => {
                validated += 1;
                (place, Kind::Validated(Place::parse(by).map_err(wrong)?))
            }
            (Some(_), [_, more, ..]) => {
                return Err(wrong(format!("`{more}` is one word too many")));
            }
            (None, _) => {
                return Err(wrong(
                    "`validated` needs what decides whether the value is used, after `by`"
                        .to_owned(),
                ));
            }
        };
        if validated > MOST_VALIDATED {
            return Err(wrong(format!(
                "there can be {MOST_VALIDATED} marks of validated reads"
            )));
        }
        let place = Place::parse(place).map_err(wrong)?;
        let same = marks
            .iter()
            .find(|mark| mark.place == place && mark.kind == kind);
        if let Some(same) = same {
            return Err(wrong(format!("line {} has this mark already", same.line)));
        }
        marks.push(Mark {
            line: line_number,
            place,
            kind,
        });
    }
    Ok(File { name, marks })
}

impl Place {
    fn parse(word: &str) -> Result<Place, String> {
        if let Some((file, line)) = word.rsplit_once(':') {
            return match line.parse() {
                Ok(line) if line > 0 && !file.is_empty() => Ok(Place::Line(file.to_owned(), line)),
                _ => Err(format!("`{word}` has no number of a line after the colon")),
            };
        }
        let is_name = |name: &str| {
            let mut letters = name.chars();
            letters
                .next()
                .is_some_and(|letter| letter == '_' || letter.is_alphabetic())
                && letters.all(|letter| letter == '_' || letter.is_alphanumeric())
        };
        match word.split_once('.') {
            Some((structure, member)) if is_name(structure) && is_name(member) => {
                Ok(Place::Member(structure.to_owned(), member.to_owned()))
            }
            None if is_name(word) => Ok(Place::Name(word.to_owned())),
            _ => Err(format!("`{word}` is no place")),
        }
    }

    /// Adds what is said of these accesses. Returns whether the program has any.
    fn mark(&self, linked: &Linked, marks: &mut Marks, said: Said) -> bool {
        match self {
            Place::Line(file, line) => {
                let lines = &linked.module.lines;
                let mut is_there = false;
                for (offset, site) in marks.sites.iter_mut().enumerate() {
                    let found = lines.find(offset);
                    if found.is_some_and(|(path, at)| at == *line && is_end_of(file, path)) {
                        *site = site.and(said);
                        is_there = true;
                    }
                }
                is_there
            }
            Place::Member(structure, member) => {
                let before = marks.members.len();
                for field in members(linked, structure) {
                    if field.name == member {
                        marks.members.push((field, said));
                    }
                }
                marks.members.len() > before
            }
            Place::Name(name) => {
                let (sites, variables) = (&mut marks.sites, &mut marks.variables);
                let mut is_there = false;
                for (offset, site) in sites.iter_mut().enumerate() {
                    if linked.module.functions.name(offset) == Some(name) {
                        *site = site.and(said);
                        is_there = true;
                    }
                }
                for global in &linked.module.globals {
                    let of_array = global.name.split('[').next();
                    if of_array == Some(name) {
                        variables.push((global.offset..global.offset + global.size, said));
                        is_there = true;
                    }
                }
                is_there
            }
        }
    }

    /// What is said if there are no such accesses, and what to do.
    fn missing(&self, linked: &Linked) -> (String, String) {
        let module = &linked.module;
        match self {
            Place::Line(file, line) => (
                format!("no code is at {file}:{line}"),
                "the file may have changed, or the compiler left the line out".to_owned(),
            ),
            Place::Member(structure, member) => {
                let names = linked.module.named.iter().map(|(name, _)| name.as_str());
                let near = match members(linked, structure).next() {
                    Some(_) => {
                        suggest::nearest(member, members(linked, structure).map(|field| field.name))
                    }
                    None => suggest::nearest(structure, names),
                };
                (
                    format!("no structure {structure} has a member {member}"),
                    near.help(),
                )
            }
            Place::Name(name) => {
                let functions = module.functions.all().iter();
                let functions = functions.map(|function| function.name.as_str());
                let globals = module.globals.iter().map(|global| global.name.as_str());
                let known = BTreeSet::from_iter(functions.chain(globals));
                let near = suggest::nearest(name, known);
                (
                    format!("no function or variable is called {name}"),
                    near.help(),
                )
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Name(name) => f.write_str(name),
            Place::Member(structure, member) => write!(f, "{structure}.{member}"),
            Place::Line(file, line) => write!(f, "{file}:{line}"),
        }
    }
}

/// The members of all structures of that name.
fn members<'a>(
    linked: &'a Linked,
    structure: &'a str,
) -> impl Iterator<Item = &'static Field> + 'a {
    let named = linked
        .module
        .named
        .iter()
        .filter(move |(name, _)| name == structure);
    named.flat_map(|(_, fields)| *fields)
}

/// Whether a path is, or ends with, this file.
fn is_end_of(file: &str, path: &str) -> bool {
    path.strip_suffix(file)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// Marks the program. Returns a warning if marks say nothing of it.
pub(super) fn apply(file: &File, linked: &mut Linked) -> Option<String> {
    let mut marks = Marks {
        sites: vec![Said::default(); linked.module.executable],
        ..Marks::default()
    };
    let mut stale = Vec::new();
    let mut number = 0;
    for mark in &file.marks {
        let (said, by) = match &mark.kind {
            Kind::Meant(meant) => {
                let said = Said {
                    meant: Some(*meant),
                    ..Said::default()
                };
                (said, None)
            }
            Kind::Validated(by) => {
                let bit = 1 << number;
                number += 1;
                let validated = Said {
                    validated: bit,
                    ..Said::default()
                };
                let decides = Said {
                    decides: bit,
                    ..Said::default()
                };
                (validated, Some((by, decides)))
            }
        };
        let all = [(&mark.place, said)].into_iter().chain(by);
        let missing = all.filter(|(place, said)| !place.mark(linked, &mut marks, *said));
        if let Some((place, _)) = Vec::from_iter(missing).first() {
            stale.push((mark.line, *place));
        }
    }
    linked.module.marks = Some(marks);
    warning(file, linked, &stale)
}

/// Many programs may share a file of marks, so marks that say nothing are told in a line.
fn warning(file: &File, linked: &Linked, stale: &[(usize, &Place)]) -> Option<String> {
    let name = &file.name;
    match stale {
        [] => None,
        [(line, place)] => {
            let (what, help) = place.missing(linked);
            Some(format!(
                "{name}:{line}: this mark says nothing of this program: {what}\n  help: {help}"
            ))
        }
        _ => {
            let each = stale
                .iter()
                .map(|(line, place)| format!("{place} (line {line})"));
            Some(format!(
                "{name}: {} of {} marks say nothing of this program, which does not have {}",
                stale.len(),
                file.marks.len(),
                Vec::from_iter(each).join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(text: &str) -> Result<Vec<Mark>, String> {
        parse("m".to_owned(), text).map(|file| file.marks)
    }

    #[test]
    fn each_line_is_a_mark() {
        let name = |name: &str| Place::Name(name.to_owned());
        let member = |a: &str, b: &str| Place::Member(a.to_owned(), b.to_owned());
        let text = "# of a table\n\nrelaxed table.hits # a counter\ndependent find\n\tcontrol src/t.h:4\n\
                    validated peek by table.version";
        let mark = |line, place, kind| Mark { line, place, kind };
        let wanted = vec![
            mark(3, member("table", "hits"), Kind::Meant(Meant::Relaxed)),
            mark(4, name("find"), Kind::Meant(Meant::Dependent)),
            mark(
                5,
                Place::Line("src/t.h".to_owned(), 4),
                Kind::Meant(Meant::Control),
            ),
            mark(6, name("peek"), Kind::Validated(member("table", "version"))),
        ];
        assert_eq!(marks(text), Ok(wanted));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            ("relaxd x", "m:1: `relaxd` is no mark"),
            ("relaxed x\nrelaxed", "m:2: `relaxed` needs a place"),
            ("relaxed x y", "m:1: `y` is one word too many"),
            ("validated x", "m:1: `validated` needs what decides"),
            ("validated x by", "m:1: `validated` needs what decides"),
            ("validated x by y z", "m:1: `validated` needs what decides"),
            ("relaxed t.c:", "m:1: `t.c:` has no number of a line"),
            ("relaxed t.c:0", "m:1: `t.c:0` has no number of a line"),
            ("relaxed :3", "m:1: `:3` has no number of a line"),
            ("relaxed a.b.c", "m:1: `a.b.c` is no place"),
            ("relaxed 3", "m:1: `3` is no place"),
            (
                "relaxed x\n\nrelaxed x",
                "m:3: line 1 has this mark already",
            ),
        ] {
            let error = marks(text).err().unwrap_or_default();
            assert!(error.starts_with(told), "{error}");
            assert!(error.contains("\n  help: "), "{error}");
        }
        let many = (0..=MOST_VALIDATED).map(|n| format!("validated f{n} by g\n"));
        let error = marks(&many.collect::<String>()).err().unwrap_or_default();
        assert!(error.starts_with("m:33: there can be 32 marks"), "{error}");
    }

    #[test]
    fn a_file_is_found_by_the_end_of_its_path() {
        assert!(is_end_of("t.h", "a/t.h") && is_end_of("a/t.h", "a/t.h"));
        assert!(!is_end_of("t.h", "a/list.h") && !is_end_of("b/t.h", "a/t.h"));
    }
}
