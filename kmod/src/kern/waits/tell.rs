//! The graph told: to a visitor, who gets it typed, and as text.

use core::fmt::{self, Write};

use super::cycle::{Cycle, Station, cycles};
use super::{Node, Wait, edges, wanted};
use crate::kern::lwp::{Lwp, Stat};
use crate::kernel::Kernel;

/// Kinds of cycles that a report tells apart.
const KINDS: usize = 16;

/// Who wants to know the graph.
pub trait Visitor {
    /// A cycle: one of each kind, by what its line reads.
    fn cycle(&mut self, cycle: Cycle<'_>);
    /// All cycles were told. So many more read like one of those; so many kinds there were.
    fn cycles_end(&mut self, kinds: usize, alike: usize);
    /// An LWP that waits.
    fn waiter(&mut self, waiter: Waiter);
}

/// How an LWP waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It spins for a mutex.
    SpinsForMutex,
    /// It spins for an rwlock.
    SpinsForRwlock,
    /// It sleeps, and this is the word for what on.
    Sleeps(&'static str),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::SpinsForMutex => f.write_str("spins for a mutex"),
            How::SpinsForRwlock => f.write_str("spins for an rwlock"),
            How::Sleeps(word) => write!(f, "sleeps on {word}"),
        }
    }
}

/// An LWP that waits. What it waits for, [`edges`] of its node say.
#[derive(Clone, Copy)]
pub struct Waiter {
    /// The LWP.
    pub lwp: &'static Lwp,
    /// The CPU that it is on.
    pub cpu: usize,
    /// How.
    pub how: How,
}

/// Tells `visitor` the cycles, then every LWP that waits.
pub fn tell(kernel: &'static Kernel, visitor: &mut dyn Visitor) {
    let mut kinds = Kinds::default();
    cycles(kernel, &mut |cycle| {
        if kinds.is_new(cycle) {
            visitor.cycle(cycle);
        }
    });
    visitor.cycles_end(kinds.count, kinds.alike);
    for lwp in kernel.lwps() {
        if let Some(how) = how(kernel, lwp) {
            let cpu = lwp.cpu_unlocked().index();
            visitor.waiter(Waiter { lwp, cpu, how });
        }
    }
}

/// The LWPs that are on a CPU, and not for want of others.
pub fn running(kernel: &'static Kernel) -> impl Iterator<Item = &'static Lwp> {
    let runs = |l: &&Lwp| l.l_stat.peek() == Stat::Onproc && !l.is_idle();
    kernel.lwps().filter(runs)
}

/// How the LWP waits, if it does and not merely for requests: threads that have nothing to do wait, too.
fn how(kernel: &'static Kernel, l: &'static Lwp) -> Option<How> {
    let sleeps = l.l_stat.peek() == Stat::Sleep;
    let rests = kernel
        .cpus()
        .iter()
        .any(|ci| ci.ci_xcall.is_idle_wchan(l.l_wchan.peek()));
    match wanted(l).filter(|_| !sleeps) {
        _ if rests => None,
        Some(Node::Rwlock(_)) => Some(How::SpinsForRwlock),
        Some(_) => Some(How::SpinsForMutex),
        None => sleeps.then(|| How::Sleeps(l.l_wmesg.peek())),
    }
}

/// Cycles by what their line reads.
#[derive(Default)]
struct Kinds {
    seen: [u64; KINDS],
    count: usize,
    alike: usize,
}

impl Kinds {
    fn is_new(&mut self, cycle: Cycle<'_>) -> bool {
        let mut digest = Digest(0xcbf2_9ce4_8422_2325);
        // Writing to a digest does not fail.
        let _ = write_stations(&mut digest, cycle, None, Who::Nobody);
        let new = !self.seen[..self.count].contains(&digest.0) && self.count < KINDS;
        match new {
            true => {
                self.seen[self.count] = digest.0;
                self.count += 1;
            }
            false => self.alike += 1,
        }
        new
    }
}

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

/// Whether the LWPs are named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    InBrackets,
}

fn write_stations(
    out: &mut dyn Write,
    cycle: Cycle<'_>,
    from: Option<&'static Lwp>,
    who: Who,
) -> fmt::Result {
    let mut result = Ok(());
    let mut between = "";
    cycle.stations(from, &mut |Station { place, lwp }| {
        result = result.and_then(|()| write!(out, "{between}{place}"));
        if let Some(l) = lwp.filter(|_| who == Who::InBrackets) {
            result = result.and_then(|()| write!(out, " ({})", l.name()));
        }
        between = " => ";
    });
    result
}

/// The graph of a kernel as text: the cycles as the talk prints them, then every LWP that waits.
pub struct Graph(pub &'static Kernel);

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text {
            kernel: self.0,
            out: f,
            result: Ok(()),
        };
        tell(self.0, &mut text);
        text.result
    }
}

/// Writes what it is told, until that fails.
struct Text<'a, 'b> {
    kernel: &'static Kernel,
    out: &'a mut fmt::Formatter<'b>,
    result: fmt::Result,
}

impl Visitor for Text<'_, '_> {
    fn cycle(&mut self, cycle: Cycle<'_>) {
        self.result = self.result.and_then(|()| self.write_cycle(cycle));
    }

    fn cycles_end(&mut self, kinds: usize, alike: usize) {
        self.result = self.result.and_then(|()| match (kinds, alike) {
            (0, _) => self.write_no_cycle(),
            (_, 0) => Ok(()),
            (_, alike) => writeln!(self.out, "and {alike} more like these"),
        });
    }

    fn waiter(&mut self, waiter: Waiter) {
        self.result = self.result.and_then(|()| self.write_waiter(waiter));
    }
}

impl Text<'_, '_> {
    fn write_no_cycle(&mut self) -> fmt::Result {
        let mut before = "no cycle: ";
        for l in running(self.kernel) {
            write!(
                self.out,
                "{before}{} runs on cpu{}",
                l.name(),
                l.cpu_unlocked().index()
            )?;
            before = ", ";
        }
        match before {
            ", " => writeln!(self.out),
            _ => writeln!(
                self.out,
                "{before}somebody waits for a wake-up that nobody owes"
            ),
        }
    }

    fn write_cycle(&mut self, cycle: Cycle<'_>) -> fmt::Result {
        let request = cycle.requester();
        write!(self.out, "cycle: ")?;
        write_stations(self.out, cycle, request, Who::Nobody)?;
        write!(self.out, "\n   by: ")?;
        write_stations(self.out, cycle, request, Who::InBrackets)?;
        self.out.write_char('\n')?;
        for node in cycle.nodes() {
            match node {
                Node::Softclock(ci) => writeln!(
                    self.out,
                    "  callout: the softclock of cpu{}, which runs callouts one after another",
                    ci.index()
                )?,
                Node::Xcall(name, _) => writeln!(
                    self.out,
                    "  {name}: one request at a time; cross calls are wired {}",
                    self.kernel.config().xcall.name()
                )?,
                _ => {}
            }
        }
        Ok(())
    }

    fn write_waiter(&mut self, Waiter { lwp: l, cpu, how }: Waiter) -> fmt::Result {
        let (kernel, out) = (self.kernel, &mut *self.out);
        write!(out, "{} on cpu{cpu} {how}", l.name())?;
        for operation in l.operations().names() {
            write!(out, ", in {operation}")?;
        }
        let mut result = Ok(());
        edges(kernel, Node::Lwp(l), &mut |Wait { on, .. }| {
            result = result.and_then(|()| write!(out, " => {on}"));
            edges(kernel, on, &mut |Wait { on: keeper, .. }| {
                result = result.and_then(|()| write!(out, " ({keeper})"));
            });
        });
        result?;
        writeln!(out)
    }
}
