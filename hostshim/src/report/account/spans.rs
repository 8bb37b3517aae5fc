//! Turns events into spans: which LWP ran where, on top of which, and what it held.

use std::collections::BTreeMap;

use super::{Lwp, Role};
use crate::machine::{Hold, Layer, What};
use crate::report::story::Story;

/// An LWP on a CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The CPU.
    pub cpu: usize,
    /// The LWP, by its position.
    pub lwp: usize,
    /// The first event.
    pub begin: usize,
    /// The event after the last.
    pub end: usize,
}

/// An interrupt or a softint on top of an LWP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layered {
    /// What it is.
    pub layer: Layer,
    /// The CPU.
    pub cpu: usize,
    /// The LWP below, by its position.
    pub below: usize,
    /// How many other layers are below this one.
    pub depth: usize,
    /// The first event.
    pub begin: usize,
    /// The event after the last.
    pub end: usize,
}

/// A lock that is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The lock, as accesses call it.
    pub lock: String,
    /// The LWP, by its position.
    pub lwp: usize,
    /// The CPU on which it was entered.
    pub cpu: usize,
    /// Whether other LWPs may hold it too.
    pub shared: bool,
    /// The first event.
    pub begin: usize,
    /// The event after the last.
    pub end: usize,
    /// Whether it was still held when the run ended.
    pub at_end: bool,
}

/// An LWP that continues on another CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The LWP, by its position.
    pub lwp: usize,
    /// Where it ran before.
    pub from: usize,
    /// Where it runs now.
    pub to: usize,
    /// The switch to it.
    pub event: usize,
}

/// All spans, each kind in the order of their beginnings.
#[derive(Default)]
pub(super) struct Spans {
    pub(super) runs: Vec<Run>,
    pub(super) layers: Vec<Layered>,
    pub(super) holds: Vec<Held>,
    pub(super) moves: Vec<Move>,
}

pub(super) fn of(story: &Story<'_>, lwps: &[Lwp], index: &BTreeMap<&str, usize>) -> Spans {
    let end = story.trace.len();
    let mut builder = Builder {
        spans: Spans::default(),
        running: vec![None; story.cpus],
        stacks: vec![Vec::new(); story.cpus],
        held: BTreeMap::new(),
        last_cpu: vec![None; lwps.len()],
        end,
    };
    for (at, event) in story.trace.iter().enumerate() {
        let lwp = index[event.context.as_str()];
        if builder.running[event.cpu].is_none() {
            // Since before the run began.
            builder.run(event.cpu, lwp, 0);
        }
        match &event.what {
            What::Switch { to } => {
                let to = index[to.as_str()];
                builder.stop(event.cpu, at + 1);
                if lwps[to].role != Role::Idle {
                    builder.note_move(to, event.cpu, at);
                }
                builder.run(event.cpu, to, at + 1);
            }
            What::Begin(layer) => builder.begin(*layer, event.cpu, lwp, at),
            What::End(layer) => builder.finish(*layer, event.cpu, at + 1),
            What::Lock { object, hold } => builder.lock(object, *hold, lwp, event.cpu, at),
            _ => {}
        }
    }
    // An LWP that has run since before the run began is noticed late.
    builder.spans.runs.sort_by_key(|run| run.begin);
    builder.spans
}

struct Builder {
    spans: Spans,
    /// The current run on each CPU.
    running: Vec<Option<usize>>,
    /// The layers on top of it.
    stacks: Vec<Vec<usize>>,
    /// Locks that are held, by lock and LWP.
    held: BTreeMap<(String, usize), usize>,
    last_cpu: Vec<Option<usize>>,
    end: usize,
}

impl Builder {
    fn run(&mut self, cpu: usize, lwp: usize, begin: usize) {
        self.running[cpu] = Some(self.spans.runs.len());
        self.last_cpu[lwp] = Some(cpu);
        let end = self.end;
        self.spans.runs.push(Run {
            cpu,
            lwp,
            begin,
            end,
        });
    }

    fn stop(&mut self, cpu: usize, end: usize) {
        if let Some(run) = self.running[cpu].take() {
            self.spans.runs[run].end = end;
        }
    }

    fn note_move(&mut self, lwp: usize, to: usize, event: usize) {
        if let Some(from) = self.last_cpu[lwp].filter(|from| *from != to) {
            self.spans.moves.push(Move {
                lwp,
                from,
                to,
                event,
            });
        }
    }

    fn begin(&mut self, layer: Layer, cpu: usize, below: usize, begin: usize) {
        let depth = self.stacks[cpu].len();
        self.stacks[cpu].push(self.spans.layers.len());
        self.spans.layers.push(Layered {
            layer,
            cpu,
            below,
            depth,
            begin,
            end: self.end,
        });
    }

    fn finish(&mut self, layer: Layer, cpu: usize, end: usize) {
        // The layers above it have ended too, even without an event.
        while let Some(top) = self.stacks[cpu].pop() {
            self.spans.layers[top].end = end;
            if self.spans.layers[top].layer == layer {
                return;
            }
        }
    }

    fn lock(&mut self, lock: &str, hold: Hold, lwp: usize, cpu: usize, at: usize) {
        self.release(lock, lwp, at, hold == Hold::Released);
        if hold == Hold::Released {
            return;
        }
        self.held
            .insert((lock.to_owned(), lwp), self.spans.holds.len());
        self.spans.holds.push(Held {
            lock: lock.to_owned(),
            lwp,
            cpu,
            shared: hold == Hold::Shared,
            begin: at,
            end: self.end,
            at_end: true,
        });
    }

    /// Ends the hold of this LWP. If another LWP held the lock exclusively and handed it over with a context switch,
    /// ends that hold.
    fn release(&mut self, lock: &str, lwp: usize, at: usize, or_others: bool) {
        let own = self.held.remove(&(lock.to_owned(), lwp));
        let mut others = || {
            let key = self.held.keys().find(|(name, _)| name == lock).cloned();
            key.and_then(|key| self.held.remove(&key))
        };
        let ended = match own {
            None if or_others => others(),
            own => own,
        };
        if let Some(hold) = ended {
            self.spans.holds[hold].end = at + 1;
            self.spans.holds[hold].at_end = false;
        }
    }
}
