//! Text of a cycle: its line, the same as in the wait-for graph of the deadlock itself, and its witnesses.

use core::fmt::{self, Write};

use super::cycle::{Cycle, Edge};
use super::dependency::{Dependency, Resource, Sort, Whose};
use crate::kern::lwp::Name;

/// Maximum number of stations in a line.
const STATIONS: usize = 40;

#[derive(Clone, Copy)]
enum Place {
    Resource(Resource),
    Box(&'static str),
    Operation(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Resource(resource) => write!(f, "{}", resource.station()),
            Place::Box(word) | Place::Operation(word) => f.write_str(word),
        }
    }
}

#[derive(Clone, Copy)]
struct Station {
    place: Place,
    who: Option<Name>,
}

impl Station {
    fn is_box(&self) -> bool {
        match self.place {
            Place::Box(_) => true,
            Place::Resource(resource) => resource.sort == Sort::Xcall,
            Place::Operation(_) => false,
        }
    }

    fn is_lock(&self) -> bool {
        matches!(self.place, Place::Resource(r) if matches!(r.sort, Sort::Mutex | Sort::Rwlock))
    }
}

/// The stations of a cycle, in order.
struct Stations {
    list: [Option<Station>; STATIONS],
    count: usize,
}

impl Stations {
    fn of(cycle: Cycle<'_>) -> Stations {
        let mut stations = Stations {
            list: [None; STATIONS],
            count: 0,
        };
        // The wait-for graph starts with the oldest LWP, and with what it waits for.
        let count = cycle.edges().count();
        let oldest = cycle
            .edges()
            .enumerate()
            .min_by_key(|(_, edge)| edge.dependency.by.lwp);
        let first = oldest.map_or(0, |(position, _)| position + 1);
        for edge in cycle.edges().cycle().skip(first).take(count) {
            stations.add_edge(edge);
        }
        stations
    }

    fn add(&mut self, place: Place, who: Option<Name>) {
        if let Some(free) = self.list.get_mut(self.count) {
            *free = Some(Station { place, who });
            self.count += 1;
        }
    }

    fn add_edge(&mut self, edge: Edge<'_>) {
        let d = edge.dependency;
        let resource = edge.holds.resource;
        // A thread that waits for the end of another waits for what that waits for, with nothing in between.
        let is_resource = resource.sort != Sort::Exit;
        match d
            .requester
            .filter(|_| edge.holds.whose == Whose::Requesters)
        {
            // The box stands for itself.
            Some(_) if resource.sort == Sort::Xcall => {
                self.add(Place::Resource(resource), Some(d.by.name));
            }
            // What the requester holds waits for its function, through the box.
            Some(requester) => {
                self.add(Place::Resource(resource), Some(requester.actor.name));
                for name in requester.operations.names() {
                    self.add(Place::Operation(name), Some(requester.actor.name));
                }
                let boxes = d.held().filter(|held| held.resource.sort == Sort::Xcall);
                if let Some(slot) = boxes.last() {
                    self.add(Place::Resource(slot.resource), Some(d.by.name));
                }
            }
            None if is_resource => self.add(Place::Resource(resource), Some(d.by.name)),
            None => {}
        }
        if resource.sort == Sort::Xcall && edge.holds.whose == Whose::Own {
            // A request waits for those that must run its function: no thread acts in between.
            return;
        }
        for &name in d.operations.names().iter().chain(d.sleep.as_ref()) {
            self.add(Place::Operation(name), Some(d.by.name));
        }
        if let Some(word) = d.via {
            self.add(Place::Box(word), None);
        }
    }

    /// The start of the line: the slot of a cross call if there is one, otherwise a lock.
    fn start(&self) -> usize {
        let find = |wanted: fn(&Station) -> bool| {
            let matches = |station: &Option<Station>| station.as_ref().is_some_and(wanted);
            self.list[..self.count].iter().position(matches)
        };
        find(Station::is_box)
            .or_else(|| find(Station::is_lock))
            .unwrap_or(0)
    }

    fn iter(&self) -> impl Iterator<Item = &Station> {
        let (before, after) = self.list[..self.count].split_at(self.start());
        after.iter().chain(before).flatten()
    }
}

/// The thread that made the cross call whose slot is in the cycle, with the outermost operation that it was in.
fn caller(cycle: Cycle<'_>) -> Option<(&'static str, Name)> {
    let of_edge = |edge: Edge<'_>| {
        let slot = edge.holds.resource.sort == Sort::Xcall;
        let d = edge.dependency;
        let (who, operations) = match (d.requester, edge.holds.whose) {
            (Some(requester), Whose::Requesters) => (requester.actor.name, requester.operations),
            _ => (d.by.name, d.operations),
        };
        let outermost = operations.names().first().copied();
        slot.then(|| (outermost.unwrap_or("xc_wait"), who))
    };
    cycle.edges().find_map(of_edge)
}

/// The line of a cycle: `softnet_lock => pserialize_perform => kpause => callout => softnet_lock`.
pub struct Line<'a>(pub Cycle<'a>);

/// The same, each station with the thread that holds it or is in it.
pub struct LineBy<'a>(pub Cycle<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(self.0, false, f)
    }
}

impl fmt::Display for LineBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(self.0, true, f)
    }
}

fn write_line(cycle: Cycle<'_>, by: bool, out: &mut dyn Write) -> fmt::Result {
    let stations = Stations::of(cycle);
    if let Some((operation, who)) = caller(cycle) {
        out.write_str(operation)?;
        if by {
            write!(out, " ({who})")?;
        }
        out.write_str(" => ")?;
    }
    for Station { place, who } in stations.iter() {
        write!(out, "{place}")?;
        if let Some(who) = who.filter(|_| by) {
            write!(out, " ({who})")?;
        }
        out.write_str(" => ")?;
    }
    match stations.iter().next() {
        Some(first) => write!(out, "{}", first.place),
        None => Ok(()),
    }
}

/// The witnesses of a cycle: for each of its dependencies, who waited, where, and what it held since where.
pub struct Witnesses<'a>(pub Cycle<'a>);

impl fmt::Display for Witnesses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for edge in self.0.edges() {
            write_witness(edge, f)?;
        }
        Ok(())
    }
}

fn write_witness(edge: Edge<'_>, out: &mut dyn Write) -> fmt::Result {
    let Dependency {
        by,
        cpu,
        wants,
        at,
        requester,
        ..
    } = edge.dependency;
    write!(out, "  {} on cpu{cpu}", by.name)?;
    let operations = edge.dependency.operations;
    for name in operations.names() {
        write!(out, ", in {name}")?;
    }
    let how = if edge.dependency.shared {
        " (to read)"
    } else {
        ""
    };
    writeln!(out, " waits for {wants}{how} at {}", at)?;
    for held in edge.dependency.held() {
        // Outside the cycle, only what it holds itself.
        let mark = if held.resource == edge.holds.resource {
            '*'
        } else {
            ' '
        };
        let (resource, since) = (held.resource, held.at);
        let how = if held.shared { " (to read)" } else { "" };
        match (requester, held.whose) {
            (Some(requester), Whose::Requesters) => writeln!(
                out,
                "   {mark} while {}, whose function it runs, holds {resource}{how} since {since}",
                requester.actor.name
            )?,
            _ => writeln!(out, "   {mark} and holds {resource}{how} since {since}")?,
        }
    }
    Ok(())
}

/// Writes each line as a TAP comment.
pub(super) struct Commented<'a> {
    out: &'a mut dyn Write,
    begins: bool,
}

impl<'a> Commented<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Commented<'a> {
        Commented { out, begins: true }
    }
}

impl Write for Commented<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            if self.begins {
                self.out.write_char('#')?;
            }
            self.out.write_str(line)?;
            self.begins = line.ends_with('\n');
        }
        Ok(())
    }
}

/// Maximum number of kinds of cycles.
const KINDS: usize = 16;

/// FNV-1a of a text.
struct Digest(u64);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Ok(())
    }
}

/// The kinds of cycles that were reported, identified by their lines.
#[derive(Default)]
pub(super) struct Kinds {
    seen: [u64; KINDS],
    count: usize,
}

impl Kinds {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether the cycle is the first of its kind, as long as there is room to record it.
    pub(super) fn is_new(&mut self, cycle: Cycle<'_>) -> bool {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        // Writing to a digest does not fail.
        let _ = write_line(cycle, false, &mut digest);
        let new = !self.seen[..self.count].contains(&digest.0) && self.count < KINDS;
        if new {
            self.seen[self.count] = digest.0;
            self.count += 1;
        }
        new
    }
}
