//! Parts of the system: which of them a source file belongs to.
//!
//! Whoever chooses schedules wants to know whether a point is in the program under test, in a primitive, or in what every run
//! goes through. Places name files ([`machine::At`](crate::machine::At)), and this crate knows its own.

/// A part of the system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// Code that is not this kernel's: a program, a scenario, foreign code.
    Program,
    /// A module of [`kern`](crate::kern) or [`net`](crate::net), by its name: `mutex`, `psref`, `arp`.
    Module(&'a str),
    /// What everything runs on: cells, the machine, and how actors begin and end.
    Ground,
}

/// The file that begins and ends actors. The other files of scenarios are programs.
const ACTORS: &str = "scenario/mod.rs";

/// The part that a source file belongs to, named as the compiler names it.
///
/// ```
/// use kmod::part::{Part, of};
///
/// assert_eq!(of(file!()), Part::Program);
/// assert_eq!(of("tests/queue.rs"), Part::Program);
/// ```
pub fn of(file: &str) -> Part<'_> {
    let sources = file!().strip_suffix("part.rs").unwrap_or_default();
    let Some(inside) = file.strip_prefix(sources) else {
        return Part::Program;
    };
    let folder = |folder: &str| {
        let name = inside.strip_prefix(folder)?;
        let end = name.find(['/', '.']).unwrap_or(name.len());
        Some(&name[..end])
    };
    if let Some(module) = folder("kern/").or_else(|| folder("net/")) {
        return Part::Module(module);
    }
    match inside.starts_with("scenario/") && inside != ACTORS {
        true => Part::Program,
        false => Part::Ground,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::String;

    use super::{Part, of};

    /// A file of this crate, as the compiler names it.
    fn here(file: &str) -> String {
        let folder = file!().strip_suffix("part.rs").expect("this file's name");
        format!("{folder}{file}")
    }

    #[test]
    fn files_belong_to_parts() {
        assert_eq!(of(&here("kern/mutex.rs")), Part::Module("mutex"));
        assert_eq!(of(&here("kern/psref/mod.rs")), Part::Module("psref"));
        assert_eq!(of(&here("net/arp.rs")), Part::Module("arp"));
        assert_eq!(of(&here("scenario/classics.rs")), Part::Program);
        assert_eq!(of(&here("scenario/ops/key.rs")), Part::Program);
        assert_eq!(of(&here("scenario/mod.rs")), Part::Ground);
        assert_eq!(of(&here("mem/atomic.rs")), Part::Ground);
        assert_eq!(of("elsewhere/src/kern/mutex.rs"), Part::Program);
    }
}
