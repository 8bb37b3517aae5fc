//! The relevant part of a trace, drawn with one column per CPU and time downward.
//!
//! Left out silently: accesses inside a step that was announced as one operation, and the scheduler's own steps
//! (unless there are no others). For everything else that is left out, the drawing says how much.

use std::collections::BTreeSet;

use super::event::{fit, place, short_deed};
use super::selection::{Part, parts};
use super::story::Story;
use super::text::{Role, Text};
use super::words::{count, switch};
use crate::machine::{TraceEvent, What};
use crate::names::Departure;

/// Width of the drawing in columns, without the places at its right edge.
const WIDTH: usize = 92;
/// Maximum number of CPUs drawn side by side.
const MOST_CPUS: usize = 4;

/// Draws the events around the forced switches, and the last ones, in at most `most` lines if possible; says how many
/// events are left out.
pub fn columns(story: &Story<'_>, most: usize) -> Text {
    let parts = parts(story, most);
    let cpus = parts.iter().filter_map(|part| match part {
        Part::Event(index) => Some(story.trace[*index].cpu),
        _ => None,
    });
    let mut drawing = Drawing::new(Vec::from_iter(BTreeSet::from_iter(cpus)));
    for part in parts {
        match part {
            Part::Event(index) => drawing.event(&story.trace[index]),
            Part::Departure(number) => drawing.departure(&story.departures[number]),
            Part::Skipped { events, departures } => drawing.skip(events, departures),
        }
    }
    drawing.text
}

struct Drawing {
    /// The CPUs that have a column; none if there are too many.
    cpus: Vec<usize>,
    width: usize,
    /// The last LWP shown in each column.
    last: Vec<String>,
    text: Text,
}

impl Drawing {
    fn new(cpus: Vec<usize>) -> Drawing {
        let mut text = Text::default();
        if cpus.len() > MOST_CPUS {
            return Drawing {
                cpus: Vec::new(),
                width: WIDTH,
                last: vec![String::new()],
                text,
            };
        }
        let width = (WIDTH / cpus.len().max(1)).min(56);
        let heads = cpus.iter().map(|cpu| fit(&format!("cpu{cpu}"), width));
        text.add(
            Role::Heading,
            format!("   step  {}", String::from_iter(heads)),
        );
        let last = vec![String::new(); cpus.len()];
        Drawing {
            cpus,
            width,
            last,
            text,
        }
    }

    /// Says what is left out.
    fn skip(&mut self, events: usize, departures: usize) {
        let counted = [(events, "more event"), (departures, "more forced switch")];
        let counted = counted
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| count(*number, what));
        let counted = Vec::from_iter(counted).join(" and ");
        self.text.add(Role::Aside, format!("      …  {counted}"));
        self.last.fill(String::new());
    }

    fn departure(&mut self, departure: &Departure) {
        self.text
            .add(Role::Departure, format!("   >>> {}", switch(departure)));
    }

    fn event(&mut self, event: &TraceEvent) {
        let column = self.cpus.iter().position(|cpu| *cpu == event.cpu);
        let who = match column {
            Some(_) => event.context.clone(),
            None => format!("cpu{} {}", event.cpu, event.context),
        };
        let cell = self.cell(column.unwrap_or(0), who, event);
        let role = match event.what {
            What::Interrupt(_) | What::Switch { .. } => Role::Heading,
            What::Refused { .. } | What::Visible { .. } | What::Missed { .. } => Role::Departure,
            What::Op(_) | What::Note(_) => Role::Plain,
            _ => Role::Aside,
        };
        let before = self.width * column.unwrap_or(0);
        let after = (self.width * self.cpus.len().max(1)).saturating_sub(before + self.width);
        let place = place(event);
        self.text.add(
            role,
            format!(
                "{:7}  {:before$}{cell}{:after$}  {place}",
                event.point, "", ""
            ),
        );
    }

    /// The LWP is shown once, and not again while its column continues without a gap.
    fn cell(&mut self, column: usize, who: String, event: &TraceEvent) -> String {
        // One blank at least between a cell and the next.
        let width = self.width - 1;
        let head = if self.last[column] == who {
            "  ".to_owned()
        } else {
            format!("{who}: ")
        };
        let deed = short_deed(event, width.saturating_sub(head.chars().count()));
        self.last[column] = who;
        let text = head + &deed;
        match event.what {
            // Nothing is beside it.
            What::Note(_) => format!("{text:width$} "),
            _ => fit(&text, width) + " ",
        }
    }
}
