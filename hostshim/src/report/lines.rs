//! The whole trace: one aligned line per event, with CPUs as lanes.

use super::event::{deed, fit, is_fused, level, place};
use super::story::Story;
use super::text::{Role, Text};
use super::words::switch;
use crate::machine::{TraceEvent, What};

/// Explains the columns and signs of [`lines`].
pub const LEGEND: &str = "\
step     number of the step, counted from the release of the actors: one shared-memory access, or one interrupt taken
0 1 …    one column per CPU (in hexadecimal): * acts; ! takes an interrupt; = switches to another context
level    interrupt priority level
who      the thread (LWP) that runs on the CPU; the interrupts it takes included
what     an operation and its object, #n: the nth time that the thread does that; + belongs to the step above
         -> takes an interrupt; => switches to another thread; \"words\" are the kernel's own messages
where    file and line
>>>      a forced switch: here the schedule differs from the default one";

/// Maximum width of an operation's name in columns; longer ones push the place to the right.
const DEED_WIDTH: usize = 48;

/// How much of a trace is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Steps, with the operation that announced them.
    Steps,
    /// Also the accesses inside steps.
    Accesses,
}

/// The whole trace.
pub fn lines(story: &Story<'_>, detail: Detail) -> Text {
    let who = story
        .trace
        .iter()
        .map(|event| event.context.len())
        .max()
        .unwrap_or(0)
        .max(3);
    let mut text = Text::default();
    let lanes = String::from_iter((0..story.cpus).map(|cpu| format!("{cpu:x}")));
    let header = format!(
        "  step {lanes} level      {} {} where",
        fit("who", who),
        fit("what", DEED_WIDTH)
    );
    text.add(Role::Heading, header);
    let mut marks = story.marks().peekable();
    for (index, event) in story.trace.iter().enumerate() {
        while let Some((_, departure)) = marks.next_if(|(mark, _)| *mark <= index) {
            text.add(Role::Departure, format!(">>> {}", switch(departure)));
        }
        if detail == Detail::Accesses || !is_fused(event) || story.is_fatal(index) {
            text.add(role(event), line(event, story.cpus, who));
        }
    }
    for (_, departure) in marks {
        text.add(Role::Departure, format!(">>> {}", switch(departure)));
    }
    text
}

fn line(event: &TraceEvent, cpus: usize, who: usize) -> String {
    let sign = match event.what {
        What::Interrupt(_) => '!',
        What::Switch { .. } => '=',
        _ => '*',
    };
    let lane = |cpu| if cpu == event.cpu { sign } else { '|' };
    let lanes = String::from_iter((0..cpus).map(lane));
    let (point, level, context) = (event.point, level(event), &event.context);
    let deed = deed(event);
    format!(
        "{point:6} {lanes} {level:10} {context:who$} {deed:DEED_WIDTH$} {}",
        place(event)
    )
}

fn role(event: &TraceEvent) -> Role {
    match event.what {
        What::Interrupt(_) | What::Switch { .. } => Role::Heading,
        What::Refused { .. } | What::Visible { .. } | What::Missed { .. } => Role::Departure,
        What::Op(_) | What::Note(_) => Role::Plain,
        _ => Role::Aside,
    }
}
