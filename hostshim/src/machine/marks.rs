//! Marks: what the author of foreign code knows of its accesses and the source does not say.
//!
//! # Overview
//!
//! A mark changes what an access is: a plain read becomes a relaxed load, or one that orders what follows. `docs/c.md`
//! says what each means.
//!
//! # Validated reads
//!
//! A *validated* read takes a value that may change meanwhile, and its code finds out afterwards whether it has. Such a
//! read is not recorded in the shadow. It is *open* until its code decides on it. It is spoilt if it was not ordered
//! after the write that it saw, or if a write that is not ordered after it meets it while it is open. The access that
//! decides is named by the mark:
//!
//! * An exchange that succeeds, or a write, keeps the value. If the read is spoilt, that is a data race.
//! * A compare-exchange that fails discards the value.
//! * A load decides by what its code does next. Later writes no longer spoil the read. Reading the same place again
//!   discards the value; the end of the function keeps it.
//!
//! A function that ends without having decided keeps the value, too.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;

use kmod::machine::{At, Field, Kind, Op};
use kmod::mem::Ordering;

use super::engine::Engine;
use super::failure::{FailureKind, Side, Sides};
use super::memory::Wrong;
use super::module::Loaded;
use super::shadow::Birth;
use super::side::Host;
use super::source::place;

/// What an access is meant to be, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Meant {
    /// A relaxed atomic access.
    Relaxed,
    /// A load that orders the writes after it.
    Control,
    /// A load that orders what depends on it: an acquire.
    Dependent,
}

/// What marks say of an access.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Said {
    pub(crate) meant: Option<Meant>,
    /// The marks that make it a validated read: a bit for each.
    pub(crate) validated: u32,
    /// The marks whose reads it decides on.
    pub(crate) decides: u32,
}

impl Said {
    /// What both say. Of two meanings the stronger one counts.
    pub(crate) fn and(self, other: Said) -> Said {
        Said {
            meant: self.meant.max(other.meant),
            validated: self.validated | other.validated,
            decides: self.decides | other.decides,
        }
    }

    /// The operation that is meant.
    fn apply(self, op: Op) -> Op {
        let Some(meant) = self.meant else { return op };
        let kind = match op.kind {
            Kind::Read => Kind::Load,
            Kind::Write => Kind::Store,
            kind => kind,
        };
        let order = match (meant, kind, op.order) {
            (Meant::Dependent, Kind::Load, Ordering::Relaxed) => Ordering::Acquire,
            (.., order) => order,
        };
        Op { kind, order, ..op }
    }
}

/// The marks of a module.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// By the offset in the code.
    pub(crate) sites: Vec<Said>,
    /// Members of structures.
    pub(crate) members: Vec<(&'static Field, Said)>,
    /// Variables, by offset in the data.
    pub(crate) variables: Vec<(Range<usize>, Said)>,
}

impl Marks {
    /// What is said of the byte `inside` a structure.
    fn of_member(&self, mut fields: &'static [Field], mut inside: usize) -> Said {
        let mut said = Said::default();
        while let Some(field) = fields
            .iter()
            .find(|field| (field.offset..field.offset + field.size).contains(&inside))
        {
            for (member, more) in &self.members {
                if std::ptr::eq(*member, field) {
                    said = said.and(*more);
                }
            }
            inside -= field.offset;
            if let Some(element) = field.size.checked_div(field.count).filter(|size| *size > 0) {
                inside %= element;
            }
            fields = field.fields;
        }
        said
    }

    fn of_variable(&self, offset: usize) -> Said {
        let mut said = Said::default();
        for (range, more) in &self.variables {
            if range.contains(&offset) {
                said = said.and(*more);
            }
        }
        said
    }
}

/// A validated read that is not decided on.
struct Open {
    context: usize,
    ipl: u8,
    /// The function that has the read inlined.
    function: Option<usize>,
    at: At,
    address: usize,
    size: usize,
    when: Birth,
    marks: u32,
    spoilt: Option<Spoilt>,
    /// Whether a load has decided: only spoilt ones are kept then.
    read_on: bool,
}

/// Why a value must not be used.
struct Spoilt {
    message: String,
    sides: Option<Box<Sides>>,
}

/// How an access decides on validated reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Kept,
    Discarded,
    /// What follows shows it.
    Open,
}

/// What a machine knows of marks.
#[derive(Default)]
pub(crate) struct Marker {
    /// Whether the module that runs has marks.
    pub(crate) is_on: Cell<bool>,
    open: RefCell<Vec<Open>>,
    /// What was said of an address in this run.
    known: RefCell<BTreeMap<usize, Said>>,
}

impl Marker {
    /// A run begins.
    pub(crate) fn begin(&self) {
        if self.is_on.get() {
            self.open.borrow_mut().clear();
            self.known.borrow_mut().clear();
        }
    }
}

impl Engine {
    /// Foreign code is about to make an access of which marks may say something: a step.
    #[cold]
    #[inline(never)]
    pub(super) fn foreign_marked(&self, op: Op, size: usize, at: At) {
        let said = self.said(op.addr, at);
        let op = said.apply(op);
        self.announce(op, at);
        if op.kind == Kind::Read && said.validated != 0 {
            self.read_validated(op, size, at, said.validated);
        } else {
            self.spoil(op, size, at);
            self.check_said(said, op, size, at);
        }
        let decision = match op.kind.writes() {
            true => Decision::Kept,
            false => Decision::Open,
        };
        self.said_of(op, said, decision);
    }

    /// Foreign code has made a read-modify-write that was `made` as this operation.
    #[cold]
    #[inline(never)]
    pub(super) fn modified_marked(&self, made: Op, size: usize, at: At) {
        let said = self.said(made.addr, at);
        let made = said.apply(made);
        self.spoil(made, size, at);
        self.check_said(said, made, size, at);
        let decision = match made.kind {
            Kind::Load => Decision::Discarded,
            _ => Decision::Kept,
        };
        self.said_of(made, said, decision);
    }

    /// A marked access may race with plain ones that have no mark.
    fn check_said(&self, said: Said, op: Op, size: usize, at: At) {
        match said.meant {
            Some(_) => self.check_meant(op, size, at),
            None => self.check_foreign(op, size, at),
        }
    }

    /// What else marks say of an access that was made.
    fn said_of(&self, op: Op, said: Said, decision: Decision) {
        if said.meant == Some(Meant::Control) && op.kind == Kind::Load {
            let cpu = self.cpu.get();
            self.memory(|memory| memory.control(cpu, op.addr));
        }
        if said.decides != 0 {
            self.decide_on(decision, |open| open.marks & said.decides != 0);
        }
    }

    fn said(&self, address: usize, at: At) -> Said {
        let _host = Host::begin();
        let modules = self.modules.borrow();
        let mut said = Said::default();
        for loaded in modules.iter() {
            if let Some(marks) = &loaded.module().marks {
                let site = at.address().and_then(|at| loaded.offset_in_code(at));
                let site = site.and_then(|offset| marks.sites.get(offset));
                said = said.and(site.copied().unwrap_or_default());
            }
        }
        let mut known = self.marker.known.borrow_mut();
        let object = known.entry(address).or_insert_with(|| {
            let objects = modules.iter().filter_map(|loaded| {
                let marks = loaded.module().marks.as_ref()?;
                Some(self.said_of_object(address, loaded, marks))
            });
            objects.fold(Said::default(), Said::and)
        });
        said.and(*object)
    }

    fn said_of_object(&self, address: usize, loaded: &Loaded, marks: &Marks) -> Said {
        let module = loaded.module();
        if let Some(offset) = loaded.offset_in_data(address) {
            let mut globals = module.globals.iter();
            let global = globals
                .find(|global| (global.offset..global.offset + global.size).contains(&offset));
            let member =
                global.map(|global| marks.of_member(global.fields, offset - global.offset));
            return member.unwrap_or_default().and(marks.of_variable(offset));
        }
        let fields = self.memory(|memory| {
            let (what, size, inside) = memory.what_is_at(memory.offset(address)?)?;
            Some((module.structures.find(what, size)?, inside))
        });
        fields.map_or_else(Said::default, |(fields, inside)| {
            marks.of_member(fields, inside)
        })
    }

    fn read_validated(&self, op: Op, size: usize, at: At, marks: u32) {
        let cpu = self.cpu.get();
        let mut unordered = None;
        self.each_cell(op, size, at, |cell| {
            let seen = self
                .check_local(cell)
                .and_then(|()| self.memory(|memory| memory.peek(cpu, cell.addr)));
            match seen {
                Ok(()) => {}
                Err(wrong @ Wrong::Race { .. }) => unordered = unordered.or(Some((wrong, cell))),
                Err(wrong) => {
                    self.wrong(wrong, cell, at);
                }
            }
        });
        if self.failing.get() {
            return;
        }
        let _host = Host::begin();
        let spoilt = unordered.map(|(wrong, cell)| Spoilt {
            message: format!("{}, and its value is used", self.words_for(wrong, cell).2),
            sides: self.sides(wrong, cell.kind, self.object(cell)),
        });
        let open = Open {
            context: self.cpus[cpu].context.get(),
            ipl: self.cpus[cpu].ipl.get(),
            function: self.function_of(at),
            at,
            address: op.addr,
            size,
            when: self.memory(|memory| memory.now(cpu)),
            marks,
            spoilt,
            read_on: false,
        };
        let mut all = self.marker.open.borrow_mut();
        // It is read again: the value that was read before is not used.
        all.retain(|old| !(old.is_of(&open) && old.at == at && old.address == op.addr));
        all.push(open);
    }

    /// A write that is made meets validated reads that are open.
    fn spoil(&self, op: Op, size: usize, at: At) {
        if !op.kind.writes() || self.marker.open.borrow().is_empty() {
            return;
        }
        let _host = Host::begin();
        let cpu = self.cpu.get();
        for open in &mut *self.marker.open.borrow_mut() {
            let meets = op.addr < open.address + open.size && open.address < op.addr + size;
            let is_open = open.spoilt.is_none() && !open.read_on;
            if !meets || !is_open || self.memory(|memory| memory.knows(cpu, open.when)) {
                continue;
            }
            let read = Op::new(open.address, Kind::Read, Ordering::Relaxed);
            let (object, context, location) =
                (self.object(read), self.context_name(cpu), place(at));
            let message = format!(
                "read of {object} is not ordered before the {} by {context} on cpu{cpu} at {location}, and its value is used after that",
                op.kind.name()
            );
            open.spoilt = Some(Spoilt {
                message,
                sides: Some(Box::new(Sides {
                    object,
                    later: Kind::Read.name(),
                    earlier: Side {
                        what: op.kind.name(),
                        cpu,
                        context,
                        location,
                    },
                })),
            });
        }
    }

    /// The running code decides on its validated reads of which `is_meant` is true.
    fn decide_on(&self, decision: Decision, is_meant: impl Fn(&Open) -> bool) {
        if self.marker.open.borrow().is_empty() {
            return;
        }
        let _host = Host::begin();
        let cpu = self.cpu.get();
        let (context, ipl) = (self.cpus[cpu].context.get(), self.cpus[cpu].ipl.get());
        let is_meant = |open: &Open| open.context == context && open.ipl == ipl && is_meant(open);
        let mut all = self.marker.open.borrow_mut();
        if decision == Decision::Kept
            && let Some(index) = all
                .iter()
                .position(|open| is_meant(open) && open.spoilt.is_some())
        {
            let open = all.swap_remove(index);
            drop(all);
            if let (Some(Spoilt { message, sides }), false) = (open.spoilt, self.failing.get()) {
                self.fail_between(
                    FailureKind::DataRace,
                    "data-race",
                    message,
                    Some(open.at),
                    sides,
                );
            }
            return;
        }
        match decision {
            Decision::Kept | Decision::Discarded => all.retain(|open| !is_meant(open)),
            Decision::Open => {
                all.retain(|open| !is_meant(open) || open.spoilt.is_some());
                for open in all.iter_mut().filter(|open| is_meant(open)) {
                    open.read_on = true;
                }
            }
        }
    }

    /// A function that returns at this place keeps what it has read.
    #[cold]
    pub(super) fn function_ends(&self, at: At) {
        if !self.marker.open.borrow().is_empty() {
            let function = self.function_of(at);
            self.decide_on(Decision::Kept, |open| open.function == function);
        }
    }

    /// The address of the function that the code at this place is in, whatever is inlined there.
    fn function_of(&self, at: At) -> Option<usize> {
        let address = at.address()?;
        let modules = self.modules.borrow();
        modules.iter().find_map(|loaded| {
            let offset = loaded.offset_in_code(address)?;
            let start = loaded.module().functions.whole(offset)?;
            Some(address - offset + start)
        })
    }
}

impl Open {
    /// Whether the same code has read it.
    fn is_of(&self, other: &Open) -> bool {
        (self.context, self.ipl, self.function) == (other.context, other.ipl, other.function)
    }
}
