//! The interrupt that is missing: who asked a CPU for something, and whether an interrupt has told it.
//!
//! The kernel says which CPU idles although another one has asked it for something. The trace says who that was, and
//! which interrupts the CPU has taken since.

use super::Account;
use crate::machine::{TraceEvent, What};
use crate::report::event::{is_of_scheduler, place};
use kmod::machine::{Kind, Line};

/// A CPU that was not told what another one has asked it for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
    /// The CPU.
    pub cpu: usize,
    /// The step in which it was asked, by its position in the trace.
    pub asked: usize,
    /// The last interrupt of another CPU that it has taken after that, likewise.
    pub taken: Option<usize>,
}

pub(super) fn of(account: &Account<'_>) -> Option<Missing> {
    let failure = account.failure().filter(|it| it.is_of_idle_cpus())?;
    let trace = account.story.trace;
    let cpu = failure.cpu;
    let takes = |event: &TraceEvent| event.cpu == cpu && event.what == What::Interrupt(Line::Ipi);
    let asked = request(account, cpu, &failure.rule)?;
    let taken = trace.iter().rposition(takes).filter(|at| *at > asked);
    Some(Missing { cpu, asked, taken })
}

/// The step in which the CPU was asked for what it was not told.
fn request(account: &Account<'_>, cpu: usize, rule: &str) -> Option<usize> {
    let each = account.file.config.ncpu;
    let (kernel, own) = (cpu / each, cpu % each);
    let of = if kernel == 0 { "" } else { "b/" };
    let trace = account.story.trace;
    let changes = |event: &TraceEvent, word: &str| match &event.what {
        What::Op(access) | What::Fused(access) => access.kind == Kind::Rmw && access.object == word,
        _ => false,
    };
    let last_of_others = |word: &str| {
        let mut events = trace.iter();
        events.rposition(|event| event.cpu != cpu && changes(event, word))
    };
    if rule == "idle-queue" {
        return last_of_others(&format!("{of}cpu{own}.ci_want_resched"));
    }
    // What the CPU has looked at since, it was told.
    let words = [
        format!("{of}kernel.softints.softint_remote[{own}]"),
        format!("{of}kernel.intrs.intr_raised[{own}]"),
        format!("{of}cpu{own}.ci_ipis"),
    ];
    let unheard = |word: &String| {
        let asked = last_of_others(word)?;
        let looks = |event: &TraceEvent| event.cpu == cpu && changes(event, word);
        (!trace[asked..].iter().any(looks)).then_some(asked)
    };
    // A cross call stands in no word of the CPU.
    let calls = |event: &TraceEvent| match &event.what {
        What::Note(words) => event.cpu != cpu && words.starts_with("high-priority call"),
        _ => false,
    };
    let asked = words.iter().find_map(unheard);
    asked.or_else(|| trace.iter().rposition(calls))
}

impl Account<'_> {
    /// Who has asked for what the interrupt is missing, and what came of it.
    pub fn request(&self, missing: &Missing) -> String {
        let trace = self.story.trace;
        let event = &trace[missing.asked];
        // The scheduler's own place says less than where the thread was.
        let is_place = |other: &&TraceEvent| {
            other.context == event.context && !place(other).is_empty() && !is_of_scheduler(other)
        };
        let mut before = trace[..=missing.asked].iter().rev();
        let at = before.find(is_place).map_or("", place);
        let taken = match missing.taken {
            None => "has taken no ipi since".to_owned(),
            Some(taken) => format!(
                "took an ipi at step {}, which was for something else or was not looked at",
                trace[taken].point
            ),
        };
        format!(
            "asked for by {} on cpu{}, at {at} (step {}); cpu{} {taken}",
            event.context, event.cpu, event.point, missing.cpu
        )
    }
}
