//! Selects the part of a trace to draw: as much as fits on a page, above all what is near a departure or the end.

use std::collections::BTreeSet;

use super::event::{is_fused, is_landmark, is_scheduling};
use super::story::Story;
use crate::machine::{TraceEvent, What};

/// Maximum number of lines in a drawing on its own page.
pub(super) const MOST_LINES: usize = 46;

/// Events that get a line wherever they are.
#[derive(Clone, Copy)]
enum Landmarks {
    /// Messages of the kernel, context switches and interrupts.
    All,
    /// The last so many messages of the kernel: a cross call begins, a callout runs, an LWP is moved.
    Words(usize),
}

impl Landmarks {
    /// Which events are landmarks, and how many of the last ones are shown.
    fn kind(self) -> (fn(&TraceEvent) -> bool, usize) {
        match self {
            Landmarks::All => (is_landmark, ALL),
            Landmarks::Words(last) => (|event| matches!(event.what, What::Note(_)), last),
        }
    }
}

/// How to select.
#[derive(Clone, Copy)]
struct Choice {
    /// Whether the scheduler's own steps are included.
    scheduling: bool,
    /// What is drawn wherever it is.
    landmarks: Landmarks,
    /// Events before each departure, events from it on, and events at the end.
    around: [usize; 3],
    /// Number of departures: half of them the first, half the last.
    departures: usize,
}

const fn choice(
    scheduling: bool,
    landmarks: Landmarks,
    around: [usize; 3],
    departures: usize,
) -> Choice {
    Choice {
        scheduling,
        landmarks,
        around,
        departures,
    }
}

const ALL: usize = usize::MAX;

/// Possible selections, the largest first. The last one fits in every case.
const CHOICES: [Choice; 12] = [
    choice(true, Landmarks::All, [ALL, ALL, ALL], ALL),
    choice(false, Landmarks::All, [ALL, ALL, ALL], ALL),
    choice(false, Landmarks::All, [6, 6, 16], ALL),
    choice(false, Landmarks::All, [3, 4, 12], ALL),
    choice(false, Landmarks::Words(ALL), [4, 6, 12], ALL),
    choice(false, Landmarks::Words(ALL), [2, 4, 10], ALL),
    choice(false, Landmarks::Words(ALL), [1, 2, 8], ALL),
    choice(false, Landmarks::Words(14), [1, 2, 8], ALL),
    choice(false, Landmarks::Words(8), [1, 2, 8], ALL),
    choice(false, Landmarks::Words(0), [1, 2, 8], ALL),
    choice(false, Landmarks::Words(0), [0, 1, 6], ALL),
    choice(false, Landmarks::Words(0), [0, 1, 6], 8),
];

/// The selected part.
pub(super) struct Selection {
    /// Events, by index in the trace.
    pub(super) events: BTreeSet<usize>,
    /// Departures, by index in their list.
    pub(super) departures: BTreeSet<usize>,
}

impl Selection {
    /// The largest selection with at most `most` lines, or otherwise the smallest.
    pub(super) fn of(story: &Story<'_>, most: usize) -> Selection {
        // With thousands of departures, collecting the events around each of them would be wasted work.
        let can_fit = |choice: &&Choice| choice.departures.min(story.departures.len()) <= most;
        let choices = CHOICES.iter().filter(can_fit);
        let mut candidates = choices.map(|choice| Selection::new(story, choice));
        let fitting = candidates.find(|selection| selection.lines(story) <= most);
        fitting.unwrap_or_else(|| Selection::new(story, &CHOICES[CHOICES.len() - 1]))
    }

    fn new(story: &Story<'_>, choice: &Choice) -> Selection {
        let Choice {
            around: [before, after, last],
            departures,
            ..
        } = *choice;
        let shown = |index: &usize| is_shown(story, *index, choice);
        let shown = Vec::from_iter((0..story.trace.len()).filter(shown));
        let count = story.departures.len();
        let is_kept =
            |index: &usize| departures >= count || !is_inner(*index, count, departures / 2);
        let departures = BTreeSet::from_iter((0..count).filter(is_kept));
        let mut events = BTreeSet::from_iter(shown.iter().rev().take(last).copied());
        for (index, (mark, _)) in story.marks().enumerate() {
            if departures.contains(&index) {
                let at = shown.partition_point(|&event| event < mark);
                let end = at.saturating_add(after).min(shown.len());
                events.extend(&shown[at.saturating_sub(before)..end]);
            }
        }
        let (is_one, last) = choice.landmarks.kind();
        let stands_out = |index: &&usize| is_one(&story.trace[**index]);
        events.extend(shown.iter().rev().filter(stands_out).take(last));
        events.extend(story.refusals().map(|(event, ..)| event));
        events.extend(story.delayed().take(count.max(1)));
        Selection { events, departures }
    }

    /// Number of lines in the drawing: a heading, one per event, one per departure, and one per gap.
    fn lines(&self, story: &Story<'_>) -> usize {
        let ends = self.events.iter().copied();
        let begins = std::iter::once(0).chain(self.events.iter().map(|index| index + 1));
        let is_gap = |&(from, to): &(usize, usize)| left_out(&story.trace[from..to]) > 0;
        let gaps = begins.zip(ends).filter(is_gap).count();
        1 + self.events.len() + self.departures.len() + gaps
    }
}

/// A part of what fits on a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The event at this position of the trace.
    Event(usize),
    /// The departure at this position of the schedule: it takes effect with the next event.
    Departure(usize),
    /// What is left out here, as far as a reader could miss it.
    Skipped {
        /// Events.
        events: usize,
        /// Departures.
        departures: usize,
    },
}

/// What fits into `most` lines, in order.
pub(super) fn parts(story: &Story<'_>, most: usize) -> Vec<Part> {
    let Selection { events, departures } = Selection::of(story, most);
    let mut parts = Vec::new();
    let mut marks = story.marks().map(|(mark, _)| mark).enumerate().peekable();
    let mut next = 0;
    for &index in &events {
        let mut kept = Vec::new();
        let mut passed_over = 0;
        while let Some((number, _)) = marks.next_if(|(_, mark)| *mark <= index) {
            match departures.contains(&number) {
                true => kept.push(Part::Departure(number)),
                false => passed_over += 1,
            }
        }
        let skipped = Part::Skipped {
            events: left_out(&story.trace[next..index]),
            departures: passed_over,
        };
        let nothing = Part::Skipped {
            events: 0,
            departures: 0,
        };
        parts.extend((skipped != nothing).then_some(skipped));
        parts.append(&mut kept);
        parts.push(Part::Event(index));
        next = index + 1;
    }
    parts.extend(marks.map(|(number, _)| Part::Departure(number)));
    parts
}

/// Whether there are at least `edge` others on both sides.
fn is_inner(index: usize, count: usize, edge: usize) -> bool {
    (edge..count.saturating_sub(edge)).contains(&index)
}

/// Steps are shown as the operation that announced them; the access that broke something is always shown.
fn is_shown(story: &Story<'_>, index: usize, choice: &Choice) -> bool {
    let event = &story.trace[index];
    story.is_fatal(index) || (!is_fused(event) && (choice.scheduling || !is_scheduling(event)))
}

/// How many of these events a reader could miss if they are not drawn.
pub(super) fn left_out(events: &[TraceEvent]) -> usize {
    let missed = |event: &&TraceEvent| !is_fused(event) && !is_scheduling(event);
    events.iter().filter(missed).count()
}
