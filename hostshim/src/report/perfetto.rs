//! A trace for the Perfetto viewer, in the JSON format that it shares with Chrome.
//!
//! Each CPU is a process, and each LWP that ran on it is a track of that process. More tracks of the LWP show the
//! locks that it entered there, as long as it held them. Slices are runs of an LWP, and interrupts on top of it; a
//! softint is a run of its own LWP. The kernel's messages, the departures and the failure are instants. An event
//! takes one microsecond, because a step has no duration: only the order has a meaning.

use std::collections::BTreeMap;

use serde::Serialize;

use super::account::{Account, Held, Role};
use super::event;
use super::json::written;
use crate::machine::{Layer, What};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    display_time_unit: &'static str,
    trace_events: Vec<Entry>,
}

#[derive(Serialize, Default)]
struct Entry {
    name: String,
    ph: &'static str,
    ts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<usize>,
    pid: usize,
    tid: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    args: BTreeMap<&'static str, String>,
}

/// The trace as JSON.
pub fn perfetto(account: &Account<'_>) -> String {
    let mut tracks = Tracks {
        account,
        entries: Vec::new(),
    };
    tracks.names();
    tracks.runs();
    tracks.interrupts();
    tracks.holds();
    tracks.instants();
    written(&Document {
        display_time_unit: "ns",
        trace_events: tracks.entries,
    }) + "\n"
}

struct Tracks<'a, 'b> {
    account: &'a Account<'b>,
    entries: Vec<Entry>,
}

/// Removes slices that have ended, and returns whether the hold fits into the open ones.
fn fits(ends: &mut Vec<usize>, hold: &Held) -> bool {
    while ends.last().is_some_and(|end| *end <= hold.begin) {
        ends.pop();
    }
    ends.last().is_none_or(|end| hold.end <= *end)
}

/// Names a process or a track.
fn named(what: &str, cpu: usize, track: usize, name: String) -> Entry {
    Entry {
        name: what.to_owned(),
        ph: "M",
        pid: process(cpu),
        tid: track,
        args: BTreeMap::from([("name", name)]),
        ..Entry::default()
    }
}

/// A process number. Viewers use 0 for themselves.
fn process(cpu: usize) -> usize {
    cpu + 1
}

impl Tracks<'_, '_> {
    /// The track of an LWP on a CPU: no two processes share one.
    fn track(&self, cpu: usize, lwp: usize) -> usize {
        cpu * self.account.lwps.len() + lwp + 1
    }

    fn names(&mut self) {
        let account = self.account;
        for cpu in 0..account.story.cpus {
            let name = format!("cpu{cpu}");
            self.entries.push(named("process_name", cpu, 0, name));
        }
        for (index, lwp) in account.lwps.iter().enumerate() {
            for &cpu in &lwp.cpus {
                let track = self.track(cpu, index);
                let name = lwp.name.clone();
                self.entries.push(named("thread_name", cpu, track, name));
            }
        }
    }

    fn slice(
        &mut self,
        (cpu, track): (usize, usize),
        (begin, end): (usize, usize),
        name: String,
        cat: &'static str,
    ) {
        self.entries.push(Entry {
            name,
            ph: "X",
            ts: begin,
            dur: Some(end.saturating_sub(begin)),
            pid: process(cpu),
            tid: track,
            cat: Some(cat),
            ..Entry::default()
        });
    }

    fn runs(&mut self) {
        for run in &self.account.runs {
            let lwp = &self.account.lwps[run.lwp];
            let (name, cat) = match lwp.role {
                Role::Idle => ("idle".to_owned(), "idle"),
                Role::Softint => (format!("softint {}", lwp.name), "softint"),
                Role::Thread | Role::Xcall => (lwp.name.clone(), "run"),
            };
            let track = self.track(run.cpu, run.lwp);
            self.slice((run.cpu, track), (run.begin, run.end), name, cat);
        }
    }

    fn interrupts(&mut self) {
        for layer in &self.account.layers {
            if let Layer::Handler(_) | Layer::Device(_) = layer.layer {
                let track = self.track(layer.cpu, layer.below);
                let name = format!("interrupt {}", layer.layer.name());
                let span = (layer.begin, layer.end);
                self.slice((layer.cpu, track), span, name, "interrupt");
            }
        }
    }

    /// Holds need not nest, but the slices of a track must: a hold that does not fit goes to another track of the
    /// same name.
    fn holds(&mut self) {
        let account = self.account;
        let mut open: BTreeMap<(usize, usize), Vec<Vec<usize>>> = BTreeMap::new();
        let mut numbers: BTreeMap<(usize, usize, usize), usize> = BTreeMap::new();
        let first = self.track(account.story.cpus, 0);
        for hold in &account.holds {
            let (cpu, lwp) = (hold.cpu, hold.lwp);
            let tracks = open.entry((cpu, lwp)).or_default();
            let found = tracks.iter_mut().position(|ends| fits(ends, hold));
            let index = found.unwrap_or_else(|| {
                tracks.push(Vec::new());
                tracks.len() - 1
            });
            tracks[index].push(hold.end);
            let next = first + numbers.len();
            let track = *numbers.entry((cpu, lwp, index)).or_insert_with(|| {
                let name = format!("{}, locks", account.lwps[lwp].name);
                self.entries.push(named("thread_name", cpu, next, name));
                next
            });
            let how = if hold.shared { ", as a reader" } else { "" };
            let name = format!("{}{how}", hold.lock);
            self.slice((cpu, track), (hold.begin, hold.end), name, "lock");
        }
    }

    fn instants(&mut self) {
        let account = self.account;
        let positions = account.positions();
        for (at, event) in account.story.trace.iter().enumerate() {
            if let (What::Note(words), Some(&lwp)) =
                (&event.what, positions.get(event.context.as_str()))
            {
                let track = self.track(event.cpu, lwp);
                self.instant(at, (event.cpu, track), words.clone(), "t");
            } else if !event::is_fused(event)
                && let Some(&lwp) = positions.get(event.context.as_str())
                && matches!(event.what, What::Op(_))
            {
                let track = self.track(event.cpu, lwp);
                self.step(at, (event.cpu, track), event);
            }
        }
        for (at, departure) in account.story.marks() {
            let cpu = departure.action.cpu();
            self.instant(
                at,
                (cpu, 0),
                format!("forced switch: {}", super::words::switch(departure)),
                "g",
            );
        }
        for (at, object, location) in account.story.refusals() {
            let cpu = account.story.trace[at].cpu;
            let name = super::words::refusal(object, location);
            self.instant(at, (cpu, 0), name, "g");
        }
        if let Some(failure) = account.failure() {
            let at = account.story.trace.len();
            let name = format!("FAILED: {} {}", failure.kind.name(), failure.rule);
            self.instant(at, (failure.cpu, 0), name, "g");
        }
    }

    fn instant(
        &mut self,
        at: usize,
        (cpu, track): (usize, usize),
        name: String,
        scope: &'static str,
    ) {
        self.entries.push(Entry {
            name,
            ph: "i",
            ts: at,
            pid: process(cpu),
            tid: track,
            s: Some(scope),
            ..Entry::default()
        });
    }

    /// A step: the shortest possible slice.
    fn step(
        &mut self,
        at: usize,
        (cpu, track): (usize, usize),
        event: &crate::machine::TraceEvent,
    ) {
        self.entries.push(Entry {
            name: event::deed(event),
            ph: "X",
            ts: at,
            dur: Some(1),
            pid: process(cpu),
            tid: track,
            cat: Some("step"),
            args: BTreeMap::from([
                ("at", event::place(event).to_owned()),
                ("level", event::level(event).to_owned()),
                ("step", event.point.to_string()),
            ]),
            ..Entry::default()
        });
    }
}
