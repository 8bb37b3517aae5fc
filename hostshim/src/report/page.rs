//! An account as a page to look at: one file, which asks nobody for anything.
//!
//! The page is written by hand in three files beside this one; what they show is put into the page as JSON. The steps are in
//! it as a stream of small numbers, so that a run of a hundred thousand of them is a page of a few hundred kilobytes, and the
//! script draws what is in view of them. The replay file is in it too, so that whoever has the page can run it again, and
//! lines of the kernel's source, if it is at hand.
//!
//! # The stream
//!
//! Numbers of seven bits a byte, lowest first, the eighth says that more follow; base 64 of that. A row is a state (CPU, LWP,
//! level), a deed, and how much the point has grown. As kernels repeat themselves, a row is foretold: it will be what came
//! last time after a row with the same state and deed. The stream says how many rows come as foretold, then one that does
//! not: a word with bit 0 set if its state follows because it differs from that of the row before, the rest of the word being
//! how much the point has grown; perhaps the state, by its position in `states`; the deed, by its position in `deeds`.
//! Spans are streams too, of three numbers each.

use std::collections::BTreeMap;

use serde::Serialize;

mod source;

use super::account::{Account, Moment, Weight};
use super::event;
use super::graph::{self, escape};
use super::json::written;
use super::selection::Part;
use super::text::Role;
use super::words::how;
use super::{machine, program, verdict};
use kmod::machine::Kind;

use crate::machine::{FailureKind, Layer, TraceEvent, What};
use crate::version::version;
use source::{Excerpts, excerpts};

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Lines of source that are shown on each side of the place where a run failed.
const AROUND: usize = 3;

/// The replay file that a page is made of, as it is named in the page.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The name of the file, without its folder.
    pub name: &'a str,
    /// The command that runs it again.
    pub command: &'a str,
}

#[derive(Serialize)]
struct Data<'a> {
    cpus: usize,
    lwps: Vec<(&'a str, &'static str)>,
    levels: Vec<&'static str>,
    /// CPU, LWP and level.
    states: Vec<[usize; 3]>,
    /// What is done, at which place, and of which sort it is.
    deeds: Vec<(String, usize, &'static str)>,
    places: Vec<&'a str>,
    rows: usize,
    stream: String,
    /// CPU and LWP.
    runners: Vec<[usize; 2]>,
    runs: String,
    layers: Vec<(&'static str, &'static str)>,
    /// CPU, LWP below, depth, and which of the layers.
    layerings: Vec<[usize; 4]>,
    layered: String,
    locks: Vec<&'a str>,
    /// Lock, LWP, and 1 if others may hold it too.
    holders: Vec<[usize; 3]>,
    held: String,
    /// Row, weight, text, and of those that wait for ever the place where they do.
    moments: Vec<(usize, &'static str, &'a str, Option<&'a str>)>,
    /// The row at which the run failed.
    failed: Option<usize>,
    /// The place that the failure names, if it names one.
    failed_at: Option<&'a str>,
    /// Lines of source, by file and number.
    sources: Excerpts,
    /// Name and text of the replay file.
    replay: (&'a str, String),
    departures: Vec<(usize, String)>,
    /// Rows of the story; `[events, departures]` for what it leaves out.
    story: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Row(usize),
    Departure { departure: usize },
    Skipped { skipped: [usize; 2] },
}

/// The page.
pub fn page(account: &Account<'_>, origin: Origin<'_>) -> String {
    // Nothing in a page may end the element that it stands in.
    let data = written(&data(account, origin)).replace('<', "\\u003c");
    let title = format!(
        "{} {}: {}",
        account.file.scenario.name,
        account.file.variant.name,
        account.failure().map_or("passed", |f| f.rule.as_str())
    );
    let mut html = String::new();
    let mut rest = HTML;
    while let Some((before, from)) = rest.split_once("{{") {
        let (name, after) = from.split_once("}}").unwrap_or((from, ""));
        html += before;
        html += &match name {
            "title" => escape(&title),
            "style" => STYLE.to_owned(),
            "verdict" => verdict_html(account),
            "facts" => facts_html(account, origin),
            "about" => about_html(account),
            "moments" => moments_html(account),
            "graph" => graph_html(account),
            "data" => data.clone(),
            "script" => SCRIPT.to_owned(),
            _ => String::new(),
        };
        rest = after;
    }
    html + rest
}

fn verdict_html(account: &Account<'_>) -> String {
    let text = verdict(account);
    let mut html = String::new();
    let mut lines = text.lines().peekable();
    if let Some((role, first)) = lines.next() {
        let class = if role == Role::Success {
            "held"
        } else {
            "failed"
        };
        html += &format!("<h1 class=\"{class}\">{}</h1>\n", escape(first));
    }
    html += "<div class=\"why\">\n";
    for (_, line) in lines {
        let line = line.strip_prefix("  ").unwrap_or(line);
        let line = line.replace("kmod/src/", "");
        let class = match line.trim_start() {
            cycle if cycle.starts_with("cycle:") => " class=\"cycle\"",
            // What is set in columns stays so.
            told if told.contains("  ") || line.starts_with("      ") => " class=\"columns\"",
            _ => "",
        };
        html += &format!("<p{class}>{}</p>\n", escape(&line));
    }
    html + "</div>"
}

/// What ran, what it was built from, and how to run it again.
fn facts_html(account: &Account<'_>, origin: Origin<'_>) -> String {
    let file = account.file;
    let named = |name: &str, summary: &str| {
        format!("<b>{}</b> <span>{}</span>", escape(name), escape(summary))
    };
    let mut html = String::new();
    for (term, told) in [
        ("scenario", named(file.scenario.name, file.scenario.summary)),
        ("variant", named(file.variant.name, file.variant.summary)),
        ("machine", escape(&machine(file))),
        ("build", format!("rumplab {}", escape(&version()))),
        (
            "run again",
            format!(
                "<code id=\"command\">{}</code> <button type=\"button\" id=\"copy\">copy</button> \
                 <a id=\"save\" download=\"{}\">save the replay file</a>",
                escape(origin.command),
                escape(origin.name)
            ),
        ),
    ] {
        html += &format!("<dt>{term}</dt><dd>{told}</dd>\n");
    }
    html
}

fn about_html(account: &Account<'_>) -> String {
    let mut html = String::from("<h2>About the scenario</h2>\n");
    for (_, line) in program(account.file).lines() {
        html += &format!("<p>{}</p>\n", escape(line));
    }
    html += &format!("<p>{}</p>\n", escape(account.file.scenario.about));
    html
}

fn moments_html(account: &Account<'_>) -> String {
    if account.moments.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<h2>In short</h2>\n<p>{}</p>\n<ol>\n",
        escape(&how(&account.story))
    );
    for (index, moment) in account.moments.iter().enumerate() {
        let step = account.story.trace.get(moment.event);
        let step = step.map_or(String::new(), |event| {
            format!(" <small>step {}</small>", event.point)
        });
        html += &format!(
            "<li class=\"{}\" data-moment=\"{index}\"><button type=\"button\">{}{step}</button></li>\n",
            weight(moment),
            escape(&moment.text)
        );
    }
    html + "</ol>"
}

/// What a moment is to the run, as a class of the page.
fn weight(moment: &Moment) -> &'static str {
    match moment.weight {
        Weight::Departure => "forced",
        Weight::Cause => "cause",
        Weight::Break => "break",
    }
}

/// Of a deadlock, the drawing; of anything else only if there is a cycle, for it is no fault to wait in the midst of a run.
fn graph_html(account: &Account<'_>) -> String {
    let waits = &account.waits;
    let is_deadlock = account
        .failure()
        .is_some_and(|failure| failure.kind == FailureKind::Deadlock);
    let title = match (waits.cycles.is_empty(), is_deadlock) {
        (false, _) => "The cycle",
        (true, true) if !waits.nodes.is_empty() => "Who waits at the end",
        _ => return String::new(),
    };
    format!("<h2>{title}</h2>\n{}", graph::svg(account))
}

/// Rows are the events that are steps of their own, or tell something; and the access that broke something.
struct Rows<'a> {
    events: Vec<&'a TraceEvent>,
    /// How many rows there are before each event.
    before: Vec<usize>,
}

impl<'a> Rows<'a> {
    fn of(account: &Account<'a>) -> Rows<'a> {
        let mut rows = Rows {
            events: Vec::new(),
            before: Vec::with_capacity(account.story.trace.len() + 1),
        };
        for (at, event) in account.story.trace.iter().enumerate() {
            rows.before.push(rows.events.len());
            if !event::is_fused(event) || account.story.is_fatal(at) {
                rows.events.push(event);
            }
        }
        rows.before.push(rows.events.len());
        rows
    }

    /// The row of an event; of one that has none, that of the step that it belongs to.
    fn row(&self, event: usize) -> usize {
        let last = self.events.len().saturating_sub(1);
        let at = event.min(self.before.len() - 1);
        let is_row = self
            .before
            .get(at + 1)
            .is_some_and(|next| *next > self.before[at]);
        match is_row {
            true => self.before[at],
            false => self.before[at].saturating_sub(1).min(last),
        }
    }

    /// The rows of a run, if it has any: it begins with what follows the switch.
    fn run(&self, begin: usize, end: usize) -> Option<[usize; 2]> {
        let [first, after] = [begin, end].map(|at| self.before[at.min(self.before.len() - 1)]);
        (after > first).then(|| [first, after - first])
    }

    /// The rows of a span that begins within a step: that one's, and those up to its end.
    fn span(&self, begin: usize, end: usize) -> [usize; 2] {
        let first = self.row(begin);
        let after = self.before[end.min(self.before.len() - 1)];
        [first, after.saturating_sub(first).max(1)]
    }
}

/// Where in the source an event is; empty if it is nowhere.
fn location(event: &TraceEvent) -> &str {
    match &event.what {
        What::Op(access) | What::Fused(access) => &access.location,
        What::Spin { location } => location,
        _ => "",
    }
}

/// The same without the folder that all of the kernel lies in.
fn short(location: &str) -> &str {
    location.strip_prefix("kmod/src/").unwrap_or(location)
}

/// Where the LWP of an event waits, if it does: where it spins, or gives its CPU away, for the last time up to that event.
fn waits_at<'a>(account: &Account<'a>, event: usize) -> Option<&'a str> {
    let trace = account.story.trace;
    let name = &trace.get(event)?.context;
    let waits = |event: &&TraceEvent| match &event.what {
        What::Op(access) => access.kind == Kind::Switch,
        What::Spin { .. } => true,
        _ => false,
    };
    let mut its = trace[..=event]
        .iter()
        .rev()
        .filter(|event| event.context == *name);
    its.find(waits)
        .map(location)
        .filter(|location| !location.is_empty())
}

fn data<'a>(account: &'a Account<'_>, origin: Origin<'a>) -> Data<'a> {
    let rows = Rows::of(account);
    let mut deeds = Interned::default();
    let mut places = Interned::default();
    let mut levels = Interned::default();
    let mut states = Interned::default();
    let stream = stream(
        account,
        &rows,
        &mut deeds,
        &mut places,
        &mut levels,
        &mut states,
    );
    let mut locks = Interned::default();
    let (holders, held) = held(account, &rows, &mut locks);
    let mut layers = Interned::default();
    let (layerings, layered) = layered(account, &rows, &mut layers);
    let (runners, runs) = runs(account, &rows);
    let row = |event: usize| rows.row(event);
    let failure = account.failure();
    let is_deadlock = failure.is_some_and(|failure| failure.kind == FailureKind::Deadlock);
    let stuck = |moment: &Moment| match is_deadlock && moment.weight == Weight::Break {
        true => waits_at(account, moment.event),
        false => None,
    };
    // Whoever happened to look at last when nothing moved is no witness.
    let failed_at = failure.filter(|_| !is_deadlock);
    let failed_at = failed_at.map(|failure| failure.location.as_str());
    let told = account.moments.iter();
    let told = told.flat_map(|moment| {
        [
            stuck(moment),
            account.story.trace.get(moment.event).map(location),
        ]
    });
    let shown = told
        .chain([failed_at])
        .flatten()
        .map(|place| (place, AROUND));
    let sources = excerpts(shown.chain(places.list.iter().map(|place| (*place, 0))));
    let sources = sources.into_iter();
    let breaks = account.moments.iter().rev();
    let mut breaks = breaks.filter(|moment| moment.weight == Weight::Break);
    Data {
        cpus: account.story.cpus,
        lwps: account
            .lwps
            .iter()
            .map(|lwp| (lwp.name.as_str(), lwp.role.name()))
            .collect(),
        levels: levels.list,
        states: states.list,
        deeds: deeds.list,
        places: places.list.into_iter().map(short).collect(),
        rows: rows.events.len(),
        stream: stream.base64(),
        runners,
        runs: runs.base64(),
        layers: layers.list,
        layerings,
        layered: layered.base64(),
        locks: locks.list,
        holders,
        held: held.base64(),
        moments: account
            .moments
            .iter()
            .map(|moment| {
                (
                    row(moment.event),
                    weight(moment),
                    moment.text.as_str(),
                    stuck(moment).map(short),
                )
            })
            .collect(),
        failed: breaks.next().map(|moment| row(moment.event)),
        failed_at: failed_at.map(short),
        sources: sources
            .map(|(file, lines)| (short(&file).to_owned(), lines))
            .collect(),
        replay: (origin.name, account.file.to_string()),
        departures: account
            .story
            .marks()
            .map(|(event, departure)| (row(event), super::words::switch(departure)))
            .collect(),
        story: account
            .parts()
            .into_iter()
            .map(|part| match part {
                Part::Event(event) => Entry::Row(row(event)),
                Part::Departure(departure) => Entry::Departure { departure },
                Part::Skipped { events, departures } => Entry::Skipped {
                    skipped: [events, departures],
                },
            })
            .collect(),
    }
}

fn stream<'a>(
    account: &Account<'a>,
    rows: &Rows<'a>,
    deeds: &mut Interned<(String, usize, &'static str)>,
    places: &mut Interned<&'a str>,
    levels: &mut Interned<&'static str>,
    states: &mut Interned<[usize; 3]>,
) -> Numbers {
    let positions = account.positions();
    let mut stream = Numbers::default();
    let mut next: BTreeMap<[usize; 2], [usize; 3]> = BTreeMap::new();
    let (mut before, mut point, mut foretold) = ([usize::MAX; 2], 0, 0);
    for &event in &rows.events {
        let lwp = positions.get(event.context.as_str()).copied().unwrap_or(0);
        let state = states.index([event.cpu, lwp, levels.index(event::level(event))]);
        let place = places.index(location(event));
        let deed = deeds.index((event::deed_alone(event), place, sort(event)));
        let grown = event.point.saturating_sub(point) as usize;
        point = event.point;
        if next.insert(before, [grown, state, deed]) == Some([grown, state, deed]) {
            foretold += 1;
        } else {
            let changed = state != before[0];
            stream.all(&[foretold, grown << 1 | usize::from(changed)]);
            if changed {
                stream.add(state);
            }
            stream.add(deed);
            foretold = 0;
        }
        before = [state, deed];
    }
    stream.add(foretold);
    stream
}

fn sort(event: &TraceEvent) -> &'static str {
    match &event.what {
        What::Note(_) | What::Refused { .. } | What::Visible { .. } | What::Missed { .. } => "note",
        What::Interrupt(_) => "interrupt",
        What::Switch { .. } => "switch",
        _ if event::is_scheduling(event) => "scheduling",
        _ => "step",
    }
}

/// Spans as numbers: which sort of span it is, how many rows after the one before it begins, and how many rows it has.
struct Spans<const N: usize> {
    sorts: Interned<[usize; N]>,
    numbers: Numbers,
    first: usize,
}

impl<const N: usize> Spans<N> {
    fn new() -> Spans<N> {
        Spans {
            sorts: Interned::default(),
            numbers: Numbers::default(),
            first: 0,
        }
    }

    /// Adds a span; they come in the order of their beginnings.
    fn add(&mut self, sort: [usize; N], [first, count]: [usize; 2]) {
        let sort = self.sorts.index(sort);
        self.numbers
            .all(&[sort, first.saturating_sub(self.first), count]);
        self.first = self.first.max(first);
    }

    fn done(self) -> (Vec<[usize; N]>, Numbers) {
        (self.sorts.list, self.numbers)
    }
}

fn runs(account: &Account<'_>, rows: &Rows<'_>) -> (Vec<[usize; 2]>, Numbers) {
    let mut spans = Spans::new();
    for run in &account.runs {
        if let Some(span) = rows.run(run.begin, run.end) {
            spans.add([run.cpu, run.lwp], span);
        }
    }
    spans.done()
}

fn held<'a>(
    account: &'a Account<'_>,
    rows: &Rows<'_>,
    locks: &mut Interned<&'a str>,
) -> (Vec<[usize; 3]>, Numbers) {
    let mut spans = Spans::new();
    for hold in &account.holds {
        let sort = [
            locks.index(hold.lock.as_str()),
            hold.lwp,
            usize::from(hold.shared),
        ];
        spans.add(sort, rows.span(hold.begin, hold.end));
    }
    spans.done()
}

fn layered(
    account: &Account<'_>,
    rows: &Rows<'_>,
    layers: &mut Interned<(&'static str, &'static str)>,
) -> (Vec<[usize; 4]>, Numbers) {
    let mut spans = Spans::new();
    for layer in &account.layers {
        let sort = match layer.layer {
            Layer::Handler(_) | Layer::Device(_) => "interrupt",
            Layer::Softint(_) => "softint",
        };
        let name = layers.index((sort, layer.layer.name()));
        // A softint is a switch to another LWP: it begins with what follows that. An interrupt begins at once.
        let span = match layer.layer {
            Layer::Handler(_) | Layer::Device(_) => Some(rows.span(layer.begin, layer.end)),
            Layer::Softint(_) => rows.run(layer.begin, layer.end),
        };
        if let Some(span) = span {
            spans.add([layer.cpu, layer.below, layer.depth, name], span);
        }
    }
    spans.done()
}

/// Values that are told once and from then on by number.
struct Interned<T> {
    list: Vec<T>,
    positions: BTreeMap<T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned {
            list: Vec::new(),
            positions: BTreeMap::new(),
        }
    }
}

impl<T: Ord + Clone> Interned<T> {
    fn index(&mut self, value: T) -> usize {
        if let Some(&index) = self.positions.get(&value) {
            return index;
        }
        let index = self.list.len();
        self.positions.insert(value.clone(), index);
        self.list.push(value);
        index
    }
}

/// Numbers as few bytes.
#[derive(Default)]
struct Numbers(Vec<u8>);

impl Numbers {
    fn add(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn all(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|number| self.add(*number));
    }

    fn base64(&self) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(self.0.len().div_ceil(3) * 4);
        for bytes in self.0.chunks(3) {
            let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or(0));
            let group = byte(0) << 16 | byte(1) << 8 | byte(2);
            for index in 0..4 {
                let letter = LETTERS[(group >> (18 - 6 * index) & 63) as usize] as char;
                text.push(if index > bytes.len() { '=' } else { letter });
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_bytes_of_seven_bits_and_base_64() {
        let mut numbers = Numbers::default();
        numbers.all(&[1, 127, 128, 300]);
        assert_eq!(numbers.0, [1, 127, 0x80, 1, 0xac, 2]);
        assert_eq!(numbers.base64(), "AX+AAawC");
        assert_eq!(Numbers(b"M".to_vec()).base64(), "TQ==");
        assert_eq!(Numbers(b"Ma".to_vec()).base64(), "TWE=");
    }

    #[test]
    fn a_value_has_one_number() {
        let mut interned = Interned::default();
        assert_eq!(
            ["a", "b", "a"].map(|value| interned.index(value)),
            [0, 1, 0]
        );
        assert_eq!(interned.list, ["a", "b"]);
    }

    #[test]
    fn the_page_asks_nobody_and_its_parts_are_all_there() {
        for part in [HTML, STYLE, SCRIPT] {
            assert!(!part.contains("http://") && !part.contains("https://"));
        }
        for name in [
            "title", "style", "verdict", "facts", "moments", "graph", "about", "data", "script",
        ] {
            assert_eq!(
                HTML.matches(&format!("{{{{{name}}}}}")).count(),
                1,
                "{name}"
            );
        }
    }
}
