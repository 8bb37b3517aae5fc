//! The list of unmarked races at the end of `rumplab c`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::args::RunArgs;
use super::{save, terminal};
use crate::files::for_shell;
use crate::hunt::{Hunt, Raced};
use crate::machine::Side;
use crate::races::{self, Unmarked};
use crate::report::Role;

/// An access of a race.
#[derive(Serialize)]
struct Access {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    at: String,
    lwp: String,
    cpu: usize,
}

/// A race that no mark is about.
#[derive(Serialize)]
pub(super) struct Listed {
    /// The number of the first schedule that met it, from 1.
    schedule: u64,
    object: String,
    later: Access,
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier: Option<Access>,
    /// What else the two lines do there without an order.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    also: BTreeSet<String>,
    /// The line for a file of marks.
    mark: String,
    /// The path of the replay file; none if it could not be written.
    replay: Option<String>,
}

/// Keeps the races that the hunt went on past, and lists them.
pub(super) fn list(hunt: &Hunt, raced: &[Raced], args: &RunArgs, out: &Path) -> Vec<Listed> {
    let unmarked = match races::unmarked(hunt, raced) {
        Ok(unmarked) => unmarked,
        Err(failure) => {
            terminal::complain(format!("the kernel does not boot again: {failure}"));
            return Vec::new();
        }
    };
    let mut listed = Vec::new();
    for race in &unmarked {
        let kept = keep(hunt, race, args, out);
        listed.push(kept);
    }
    if !listed.is_empty() {
        tell(&listed, &args.sources);
    }
    listed
}

fn keep(hunt: &Hunt, race: &Unmarked, args: &RunArgs, out: &Path) -> Listed {
    let path = match race.capture(hunt, args.as_found) {
        Ok(captured) => save::save(&captured.file, out),
        Err(error) => {
            terminal::complain(error.to_string());
            None
        }
    };
    let [later, earlier] = race.race.functions.clone();
    Listed {
        schedule: race.run + 1,
        object: race.object().to_owned(),
        later: access(&race.later(), later),
        earlier: race.earlier().map(|side| access(side, earlier)),
        also: race.also.clone(),
        mark: race.mark(),
        replay: path.map(|path| path.display().to_string()),
    }
}

fn access(side: &Side, function: Option<String>) -> Access {
    Access {
        what: side.what,
        function,
        at: side.location.clone(),
        lwp: side.context.clone(),
        cpu: side.cpu,
    }
}

fn tell(listed: &[Listed], sources: &str) {
    let many = match listed.len() {
        1 => "\nUNMARKED RACE: 1. ".to_owned(),
        count => format!("\nUNMARKED RACES: {count}. "),
    };
    terminal::say(
        Role::Failure,
        many + "The runs went on past these. Order the accesses, or mark them if they are meant:",
    );
    for (index, race) in listed.iter().enumerate() {
        let number = index + 1;
        let Listed {
            schedule,
            object,
            later,
            earlier,
            also,
            mark,
            replay,
        } = race;
        terminal::say(Role::Failure, format!("  {number}. {object}"));
        terminal::say(Role::Plain, format!("       {}", later.words()));
        if let Some(earlier) = earlier {
            let words = earlier.words();
            terminal::say(
                Role::Plain,
                format!("       is not ordered after the {words}"),
            );
        }
        if !also.is_empty() {
            let also = Vec::from_iter(also.iter().map(String::as_str)).join(", ");
            terminal::say(Role::Plain, format!("       also {also}"));
        }
        terminal::say(Role::Plain, format!("       mark: {mark}"));
        let first = match replay {
            Some(replay) => format!(
                "       first in schedule {schedule}: rumplab explain {}{sources}",
                for_shell(replay.as_ref())
            ),
            None => format!("       first in schedule {schedule}"),
        };
        terminal::say(Role::Plain, first);
    }
}

impl Access {
    fn words(&self) -> String {
        let function = match &self.function {
            Some(function) => format!(" in {function}"),
            None => String::new(),
        };
        format!(
            "{}{function} at {}, by {} on cpu{}",
            self.what, self.at, self.lwp, self.cpu
        )
    }
}
