//! Whose accesses the hooks at an instruction announce.
//!
//! # Overview
//!
//! Inlined functions bring the machine's own code into crates with hooks. An access belongs to the innermost function that is not
//! the standard library's: if that is one of this project, it is not watched. Debugging information tells; without any, every
//! access is watched.
//!
//! Of the locks of the standard library only a part is compiled into such crates. What the rest orders is not seen, so the program
//! counts as ordered after everything that has happened when it goes on after such a part: better a race that is not found than one
//! that is none.
//!
//! Each place is looked up once, when it is first reached, and kept in a table with a byte for each instruction.

use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use kmod::machine::At;

use super::side::Host;
use super::source::{self, Line};

/// Whose an access is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// The program's.
    Program,
    /// A lock's of the standard library, or something similar.
    Library,
    /// The machine's.
    Machine,
}

impl Whose {
    const ALL: [Whose; 3] = [Whose::Program, Whose::Library, Whose::Machine];
}

struct Sites {
    code: Range<usize>,
    /// For each instruction, one more than the number in [`Whose::ALL`], once it is known.
    known: Box<[AtomicU8]>,
}

static SITES: LazyLock<Sites> = LazyLock::new(|| {
    let _host = Host::begin();
    let code = super::statics::code();
    let known = code.clone().map(|_| AtomicU8::new(0)).collect();
    Sites { code, known }
});

/// The folders of the machine and what belongs to it, as line tables have them.
static OWN: LazyLock<Vec<String>> = LazyLock::new(|| {
    let here = env!("CARGO_MANIFEST_DIR");
    let root = here.strip_suffix("hostshim").unwrap_or(here);
    let folders = ["kmod/src/", "hostshim/src/", "rumplab/src/"];
    Vec::from(folders.map(|folder| format!("{root}{folder}")))
});

/// Whose the access at this place is, which is the address of an instruction.
#[inline(always)]
pub(crate) fn whose(at: At) -> Whose {
    let sites = &*SITES;
    let address = at.address().unwrap_or(0);
    let Some(known) = sites.known.get(address.wrapping_sub(sites.code.start)) else {
        return Whose::Program;
    };
    let number = usize::from(known.load(Relaxed));
    match Whose::ALL.get(number.wrapping_sub(1)) {
        Some(whose) => *whose,
        None => look_up(known, address),
    }
}

#[cold]
#[inline(never)]
fn look_up(known: &AtomicU8, address: usize) -> Whose {
    let _host = Host::begin();
    let whose = of_lines(&source::lines_of(address));
    known.store(whose as u8 + 1, Relaxed);
    whose
}

/// Whose an access is at these lines, the innermost first.
fn of_lines(lines: &[Line]) -> Whose {
    let program = lines.iter().position(|line| !line.is_of_std());
    let library = &lines[..program.unwrap_or(lines.len())];
    if program.is_some_and(|index| is_own(&lines[index])) {
        Whose::Machine
    } else if library.iter().any(is_of_lock) {
        Whose::Library
    } else {
        Whose::Program
    }
}

/// Whether this is code of a lock of the standard library, or of what else orders threads.
fn is_of_lock(line: &Line) -> bool {
    let folders = ["sync/", "sys/sync/", "thread/", "sys/thread/"];
    let path = line.file.split_once("library/std/src/");
    path.is_some_and(|(_, path)| folders.iter().any(|folder| path.starts_with(folder)))
}

fn is_own(line: &Line) -> bool {
    OWN.iter().any(|folder| line.file.starts_with(folder))
}

/// The table is made now, and not in a run.
pub(crate) fn prepare() {
    LazyLock::force(&SITES);
}

/// Frames in which a caller is looked for.
const FRAMES: usize = 32;

/// The places of the calls that are under way, without those of the machine's own code in which they have ended: the innermost first.
fn calls() -> impl Iterator<Item = usize> {
    let mut calls = Vec::new();
    backtrace::trace(|frame| {
        calls.push(frame.ip().addr().saturating_sub(1));
        calls.len() < FRAMES
    });
    let of_machine = |address: &usize| source::lines_of(*address).iter().any(is_own);
    let begin = calls.iter().position(of_machine).unwrap_or(0);
    calls.into_iter().skip(begin).skip_while(of_machine)
}

/// Where the program under test has made the call that is under way.
pub(super) fn caller_in_program() -> Option<At> {
    let in_program = |address: &usize| {
        let lines = source::lines_of(*address);
        lines.iter().any(|line| !line.is_of_std() && !is_own(line))
    };
    calls().find(in_program).map(At::code)
}

/// The outermost function of the standard library that is under way, below the program under test.
pub(super) fn library_function() -> Option<String> {
    let mut last = None;
    for address in calls() {
        for name in source::functions_at(address).iter() {
            match name.trim_start_matches('<').starts_with("std::") {
                true => last = Some(name.clone()),
                false if last.is_some() => return last,
                false => {}
            }
        }
    }
    last
}

/// Whether `park` is under way, or what waits with it.
pub(super) fn is_in_park() -> bool {
    let is_park = |name: &String| name.contains("::park") || name.contains("Parker");
    calls().any(|address| source::functions_at(address).iter().any(is_park))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_belongs_to_the_innermost_function_that_is_not_the_librarys() {
        let line = |file: &str| Line {
            file: file.to_owned(),
            line: 1,
        };
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src/machine/sites.rs");
        let core = "/rustc/1234/library/core/src/sync/atomic.rs";
        let map = "/rustc/1234/library/std/src/collections/hash/map.rs";
        let once = "/rustc/1234/library/std/src/sys/sync/once/futex.rs";
        for (files, whose) in [
            (&[core, "/a/spin/src/once.rs", own][..], Whose::Program),
            (&[core, own, "/a/tests/locks.rs"], Whose::Machine),
            (&[core, once, "/a/tests/locks.rs"], Whose::Library),
            (&[core, once, own], Whose::Machine),
            (&[core, map, "/a/tests/locks.rs"], Whose::Program),
            (&[core], Whose::Program),
            (&[], Whose::Program),
        ] {
            let lines = Vec::from_iter(files.iter().map(|file| line(file)));
            assert_eq!(of_lines(&lines), whose, "{files:?}");
        }
    }
}
