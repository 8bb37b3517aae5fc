//! Output of the graph: typed, to a visitor, and as text.

use core::fmt::{self, Write};

use super::cycle::{Cycle, Station, cycles};
use super::{Node, Wait, edges, wanted};
use crate::kern::cpu::Cpu;
use crate::kern::lwp::{Lwp, Stat};
use crate::kern::sleepq::{SyncObj, has_backstop};
use crate::kernel::Kernel;
use crate::machine::{self, At, Place};

/// Maximum number of kinds of cycles in a report.
const KINDS: usize = 16;

/// Receives the graph.
pub trait Visitor {
    /// A cycle. One of each kind, as identified by its line.
    fn cycle(&mut self, cycle: Cycle<'_>);
    /// The cycles are complete: the number of kinds, and how many more cycles have the same line as one of them.
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
    /// It sleeps, but not on a condition variable; this is its wait message.
    Sleeps(&'static str),
    /// It sleeps on a condition variable that has this name.
    SleepsOnCv(&'static str),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::SpinsForMutex => f.write_str("spins for a mutex"),
            How::SpinsForRwlock => f.write_str("spins for an rwlock"),
            How::Sleeps(word) | How::SleepsOnCv(word) => write!(f, "sleeps on {word}"),
        }
    }
}

/// An LWP that waits. [`edges`] of its node says what for.
#[derive(Clone, Copy)]
pub struct Waiter {
    /// The LWP.
    pub lwp: &'static Lwp,
    /// The CPU that it is on.
    pub cpu: usize,
    /// How it waits.
    pub how: How,
    /// The kind of object that it sleeps on, if it does.
    pub syncobj: SyncObj,
    /// The address of that.
    pub wchan: usize,
    /// Whether it is in the middle of something: it is an actor, or in an operation. Another thread may wait for requests.
    pub engaged: bool,
}

/// Passes `visitor` the cycles, then every LWP that waits.
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
            visitor.waiter(Waiter {
                lwp,
                cpu,
                how,
                syncobj: lwp.l_syncobj.peek(),
                wchan: lwp.l_wchan.peek(),
                engaged: is_engaged(lwp),
            });
        }
    }
}

/// The LWPs that sleep on a condition variable and that nothing in the graph will wake: those in the middle of something, if there
/// are any. (A thread that waits for work also sleeps like this.)
pub fn unsignalled(kernel: &'static Kernel) -> impl Iterator<Item = &'static Lwp> {
    let of_engaged = move |engaged: bool| {
        let all = kernel.lwps().filter(move |l| !engaged || is_engaged(l));
        all.filter(move |l| wants_signal(kernel, l))
    };
    let engaged = of_engaged(true).next().is_some();
    of_engaged(engaged)
}

/// Whether it is in the middle of something that is to end: it is an actor, or in an operation.
fn is_engaged(l: &Lwp) -> bool {
    l.l_actor.peek() || !l.operations().names().is_empty()
}

/// Whether it sleeps on a condition variable, and only a signal can end that, as far as the graph knows.
fn wants_signal(kernel: &'static Kernel, l: &'static Lwp) -> bool {
    let mut alone = matches!(how(kernel, l), Some(How::SleepsOnCv(_)));
    edges(kernel, Node::Lwp(l), &mut |_| alone = false);
    alone
}

/// The LWPs that run on a CPU, other than idle ones.
pub fn running(kernel: &'static Kernel) -> impl Iterator<Item = &'static Lwp> {
    let runs = |l: &&Lwp| l.l_stat.peek() == Stat::Onproc && !l.is_idle();
    kernel.lwps().filter(runs)
}

/// The CPU that an LWP is on.
pub fn cpu_of(l: &Lwp) -> usize {
    l.cpu_unlocked().index()
}

/// The address of the callout whose handler runs on a CPU, and where that was scheduled, if it is known.
pub fn active_callout(ci: &Cpu) -> Option<(usize, Option<At>)> {
    ci.ci_callout.peek_active()
}

/// How the LWP waits, unless it is a kernel thread that only waits for requests.
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
        None => sleeps.then(|| match l.l_syncobj.peek() {
            SyncObj::Cv => How::SleepsOnCv(l.l_wmesg.peek()),
            _ => How::Sleeps(l.l_wmesg.peek()),
        }),
    }
}

/// Cycles, identified by their lines.
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

/// The graph of a kernel as text: the cycles, then every LWP that waits.
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

/// Writes what it receives, until that fails.
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
    /// Without a cycle: which LWP is on a CPU and does not continue, or sleeps for a signal that no LWP is left to
    /// send.
    fn write_no_cycle(&mut self) -> fmt::Result {
        let (kernel, out) = (self.kernel, &mut *self.out);
        let mut before = "no cycle: ";
        for l in running(kernel) {
            let cpu = l.cpu_unlocked().index();
            let does = if machine::halts(cpu) { "halts" } else { "runs" };
            write!(out, "{before}{} {does} on cpu{cpu}", l.name())?;
            before = ", ";
        }
        if before == ", " {
            return writeln!(out);
        }
        let sleepers = || unsignalled(kernel);
        let count = sleepers().count();
        if count == 0 {
            return writeln!(out, "no cycle");
        }
        let (sleep, whom) = match count {
            1 => ("sleeps", "it"),
            _ => ("sleep", "them"),
        };
        write!(out, "lost wake-up: ")?;
        for (index, l) in sleepers().enumerate() {
            let between = match index {
                0 => "",
                _ if index + 1 == count => " and ",
                _ => ", ",
            };
            write!(out, "{between}{}", l.name())?;
        }
        write!(out, " {sleep} on ")?;
        // Each name once.
        let mut between = "";
        for (index, l) in sleepers().enumerate() {
            let word = l.l_wmesg.peek();
            if sleepers().take(index).all(|l| l.l_wmesg.peek() != word) {
                write!(out, "{between}`{word}`")?;
                between = ", ";
            }
        }
        match sleepers().any(has_backstop) {
            true => writeln!(out, "; nothing but a backstop can wake {whom}"),
            false => writeln!(out, "; no thread, timer or interrupt can wake {whom}"),
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
                Node::Softclock(ci) => {
                    write!(
                        self.out,
                        "  callout: the callout thread of cpu{} runs one callout at a time",
                        ci.index()
                    )?;
                    if let Some((_, at)) = ci.ci_callout.peek_active() {
                        write!(
                            self.out,
                            ", now the one that was scheduled at {}",
                            Place(at)
                        )?;
                    }
                    self.out.write_char('\n')?;
                }
                Node::Xcall(name, _) => writeln!(self.out, "  {name}: one cross call at a time")?,
                _ => {}
            }
        }
        Ok(())
    }

    fn write_waiter(&mut self, waiter: Waiter) -> fmt::Result {
        let Waiter {
            lwp: l, cpu, how, ..
        } = waiter;
        let (kernel, out) = (self.kernel, &mut *self.out);
        write!(out, "{} on cpu{cpu}", l.name())?;
        for operation in l.operations().names() {
            write!(out, ", in {operation}")?;
        }
        let does = match how {
            How::SpinsForMutex | How::SpinsForRwlock => " spins for",
            How::Sleeps(_) | How::SleepsOnCv(_) => " waits for",
        };
        let mut between = does;
        let mut result = Ok(());
        edges(kernel, Node::Lwp(l), &mut |Wait { on, .. }| {
            result = result.and_then(|()| write!(out, "{between} {on}"));
            between = " or";
            let mut before = " (";
            edges(kernel, on, &mut |Wait { on: keeper, .. }| {
                result = result.and_then(|()| write!(out, "{before}{keeper}"));
                before = ", ";
            });
            if before == ", " {
                result = result.and_then(|()| out.write_char(')'));
            }
        });
        result?;
        match how {
            How::Sleeps(word) | How::SleepsOnCv(word) if between == does => {
                let backstop = if has_backstop(l) {
                    " with a backstop"
                } else {
                    ""
                };
                writeln!(out, " sleeps on `{word}`{backstop}")
            }
            _ => writeln!(out),
        }
    }
}
