//! Data races of foreign code that a run goes on past.
//!
//! # Overview
//!
//! Old C code reads and writes without a lock on purpose, and the true fault often lies behind such a race. So a run of
//! foreign code can note a race and go on ([`Races::Pass`]). The later access then counts as the last one of its cell:
//! the earlier one, which it has met, is forgotten, so that each race is met once.
//!
//! A run that records nothing knows the later access, and of the earlier one only the CPU. That is enough to tell races
//! apart ([`Meeting`]). The same run with its accesses recorded has both sides ([`Race`]).
//!
//! Only a race whose later access is foreign code's own is passed. One that the kernel meets, and a free that is not
//! ordered after an access, ends the run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use kmod::machine::{At, Field, Op};

use super::engine::Engine;
use super::failure::{Failure, FailureKind};
use super::memory::Wrong;
use super::source::{place, place_of};

/// What becomes of a run at a data race of foreign code.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Races {
    /// It ends there.
    #[default]
    Stop,
    /// It goes on.
    Pass,
    /// It goes on, and ends at the first race whose later access is this one.
    Until(Later),
}

/// The later access of a race.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Later {
    /// What it does: `read`.
    pub what: String,
    /// Where in the source.
    pub file: String,
    /// The line there.
    pub line: u32,
}

impl Later {
    /// The later access of a race, if its line is known.
    pub fn of(race: &Failure) -> Option<Later> {
        let (file, line) = race.location.rsplit_once(':')?;
        Some(Later {
            what: race.sides.as_ref()?.later.to_owned(),
            file: file.to_owned(),
            line: line.parse().ok()?,
        })
    }

    fn is(&self, op: Op, at: At) -> bool {
        self.what == op.kind.name() && place(at) == place_of(&self.file, self.line)
    }
}

/// A race, as a run that records nothing knows it. The same in every machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Meeting {
    /// The later access: its offset in the code, and what it does.
    site: usize,
    kind: u8,
    /// The CPU of the earlier one, whether that wrote, and whether one of the two is atomic.
    cpu: usize,
    wrote: bool,
    mixed: bool,
}

/// A race with both sides.
#[derive(Clone, Debug)]
pub struct Race {
    /// How it is told from others.
    pub meeting: Meeting,
    /// How a run fails that ends there, with the other side.
    pub failure: Failure,
    /// The functions of the later access and of the earlier one, if they are known.
    pub functions: [Option<String>; 2],
    /// What a file of marks calls the memory: `table.hits`. None if it has no name for it.
    pub place: Option<String>,
}

/// What a machine knows of races that runs go on past.
#[derive(Default)]
pub(crate) struct Passing {
    /// Whether runs go on.
    is_on: Cell<bool>,
    /// What ends them nevertheless.
    until: RefCell<Option<Later>>,
    /// The races of this run.
    met: RefCell<BTreeSet<Meeting>>,
    /// Those of a run that records accesses.
    races: RefCell<Vec<Race>>,
}

impl Passing {
    /// Sets what becomes of the next runs.
    pub(crate) fn set(&self, races: &Races) {
        self.is_on.set(*races != Races::Stop);
        self.until.replace(match races {
            Races::Until(later) => Some(later.clone()),
            Races::Stop | Races::Pass => None,
        });
    }

    /// A run begins.
    pub(crate) fn begin(&self) {
        self.met.borrow_mut().clear();
        self.races.borrow_mut().clear();
    }

    /// The races that the run went on past.
    pub(crate) fn met(&self) -> Vec<Meeting> {
        self.met.borrow().iter().copied().collect()
    }

    /// The same with both sides, in the order in which they were met, if accesses were recorded.
    pub(crate) fn races(&self) -> Vec<Race> {
        self.races.borrow().clone()
    }
}

impl Engine {
    /// Whether the run goes on past what is wrong with an access. If so, it is noted.
    pub(super) fn passes(&self, wrong: Wrong, op: Op, at: At) -> bool {
        let Wrong::Race {
            cpu, wrote, mixed, ..
        } = wrong
        else {
            return false;
        };
        if !self.passing.is_on.get() {
            return false;
        }
        let Some(site) = at
            .address()
            .and_then(|address| self.offset_in_code(address))
        else {
            return false;
        };
        if let Some(until) = &*self.passing.until.borrow()
            && until.is(op, at)
        {
            return false;
        }
        let meeting = Meeting {
            site,
            kind: op.kind as u8,
            cpu,
            wrote,
            mixed,
        };
        let is_new = self.passing.met.borrow_mut().insert(meeting);
        if is_new && self.siting.get() {
            let race = self.race(meeting, wrong, op, at);
            self.record_note(format!(
                "goes on past a data race: {}",
                race.failure.message
            ));
            self.passing.races.borrow_mut().push(race);
        }
        true
    }

    fn race(&self, meeting: Meeting, wrong: Wrong, op: Op, at: At) -> Race {
        let cpu = self.cpu.get();
        let (_, rule, message) = self.words_for(wrong, op);
        let earlier = self.earlier_at(wrong, op.kind);
        Race {
            meeting,
            failure: Failure {
                kind: FailureKind::DataRace,
                rule: rule.to_owned(),
                message,
                location: place(at),
                cpu,
                context: self.context_name(cpu),
                sides: self.sides(wrong, op.kind, self.object(op)),
            },
            functions: [Some(at), earlier].map(|at| self.function_name(at?)),
            place: self.place_to_mark(op.addr),
        }
    }

    fn offset_in_code(&self, address: usize) -> Option<usize> {
        let modules = self.modules.borrow();
        modules
            .iter()
            .find_map(|loaded| loaded.offset_in_code(address))
    }

    fn function_name(&self, at: At) -> Option<String> {
        let address = at.address()?;
        let modules = self.modules.borrow();
        modules.iter().find_map(|loaded| {
            let offset = loaded.offset_in_code(address)?;
            loaded.module().functions.name(offset).map(str::to_owned)
        })
    }

    /// What a file of marks calls the memory at this address: a member of a structure, or a variable.
    fn place_to_mark(&self, address: usize) -> Option<String> {
        let modules = self.modules.borrow();
        modules.iter().find_map(|loaded| {
            let module = loaded.module();
            let member = |fields, inside| member_at(&module.named, fields, inside);
            if let Some(offset) = loaded.offset_in_data(address) {
                let mut globals = module.globals.iter();
                let global = globals.find(|global| {
                    (global.offset..global.offset + global.size).contains(&offset)
                })?;
                let member = member(global.fields, offset - global.offset);
                return Some(member.unwrap_or_else(|| global.name.clone()));
            }
            let (what, size, inside) =
                self.memory(|memory| memory.what_is_at(memory.offset(address)?))?;
            member(module.structures.find(what, size)?, inside)
        })
    }
}

/// The innermost member at the byte `inside` of a structure with these fields, after the name of its structure.
fn member_at(
    named: &[(String, &'static [Field])],
    mut fields: &'static [Field],
    mut inside: usize,
) -> Option<String> {
    let mut found = None;
    while let Some(field) = fields
        .iter()
        .find(|field| (field.offset..field.offset + field.size).contains(&inside))
    {
        let structure = named.iter().find(|(_, own)| std::ptr::eq(*own, fields));
        // One without a name of its own is named by what it is in.
        if let Some((structure, _)) = structure {
            found = Some(format!("{structure}.{}", field.name));
        }
        inside -= field.offset;
        if let Some(element) = field.size.checked_div(field.count).filter(|size| *size > 0) {
            inside %= element;
        }
        fields = field.fields;
    }
    found
}
