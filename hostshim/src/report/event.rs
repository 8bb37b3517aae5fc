//! One event of a trace in words.

use kmod::kern::spl::Ipl;
use kmod::machine::Kind;
use kmod::mem::Ordering;

use crate::machine::{Access, Act, Hold, Refer, TraceEvent, What};

/// What happened, without the LWP and the place.
pub(super) fn deed(event: &TraceEvent) -> String {
    match &event.what {
        What::Op(_) => format!("{} #{}", deed_alone(event), event.occurrence + 1),
        _ => deed_alone(event),
    }
}

/// The same, without its occurrence number.
pub(super) fn deed_alone(event: &TraceEvent) -> String {
    match &event.what {
        What::Op(access) => format!("{} {}", verb(access), access.object),
        What::Fused(access) => format!("+ {} {}", verb(access), access.object),
        What::Wait => "waits for an interrupt".to_owned(),
        What::Spin { .. } => "spins".to_owned(),
        What::Interrupt(line) => format!("-> takes {}", line.name()),
        What::Switch { to } => format!("=> {to}"),
        What::Note(text) => format!("\"{text}\""),
        What::Refused { object, .. } => format!(">>> no memory for {object}"),
        What::Visible { object, .. } => format!("~ the store to {object} becomes visible"),
        What::Missed {
            object, by, stored, ..
        } => format!("+ does not see the store to {object} by cpu{by} ({stored})"),
        What::Lock { object, hold } => match hold {
            Hold::Alone => format!("+ holds {object}"),
            Hold::Shared => format!("+ holds {object} as a reader"),
            Hold::Released => format!("+ releases {object}"),
        },
        What::Reference { object, refer, .. } => match refer {
            Refer::Freed { .. } => "+ freed".to_owned(),
            Refer::Allocated { .. } => format!("+ allocated {object}"),
            Refer::Took { .. } => format!("+ takes a reference to {object}"),
            Refer::Gave { .. } => format!("+ gives a reference to {object} back"),
            Refer::Passed { function, .. } => format!("+ passes {object} on ({function})"),
        },
        What::Begin(layer) => format!("+ {} begins", layer.name()),
        What::End(layer) => format!("+ {} ends", layer.name()),
        What::Condvar { object, act } => match act {
            Act::Sleep { interlock } => format!("+ sleeps on {object}, releases {interlock}"),
            Act::Signal { .. } => format!("+ signals {object}"),
            Act::Broadcast { .. } => format!("+ broadcasts on {object}"),
        },
    }
}

/// The same in at most `width` columns, if the object's name can be shortened that much. Messages of the kernel are
/// not cut, and do not begin with the LWP's name.
pub(super) fn short_deed(event: &TraceEvent, width: usize) -> String {
    let deed = deed(event);
    let excess = deed.chars().count().saturating_sub(width);
    match &event.what {
        What::Note(words) => {
            let own = words.strip_prefix(event.context.as_str());
            let rest = own.and_then(|words| words.strip_prefix(' '));
            format!("\"{}\"", rest.unwrap_or(words))
        }
        What::Op(access) | What::Fused(access) if excess > 0 => {
            deed.replace(&access.object, &shorten(&access.object, excess))
        }
        _ => deed,
    }
}

/// Removes parts of a dotted name until `excess` columns are saved, if possible: first `kernel`, which carries no
/// information, then parts in the middle.
fn shorten(name: &str, excess: usize) -> String {
    let parts = Vec::from_iter(name.split('.'));
    let last = parts[parts.len() - 1];
    let without_kernel = name.strip_prefix("kernel.").unwrap_or(name).to_owned();
    let middle = |gone: usize| format!("{}.…{}", parts[0], parts[1 + gone..].join("."));
    let end = |gone: usize| format!("…{}", parts[1 + gone..].join("."));
    let parts_that_go = 1..parts.len().saturating_sub(1);
    let shorter: Vec<String> = match parts[0] {
        "kernel" => parts_that_go.map(end).collect(),
        _ => parts_that_go.map(middle).collect(),
    };
    let enough = |text: &String| text.chars().count() + excess <= name.chars().count();
    let mut tries = std::iter::once(without_kernel).chain(shorter);
    tries.find(enough).unwrap_or_else(|| format!("…{last}"))
}

/// Whether its ordering has a meaning.
pub(super) fn is_atomic(access: &Access) -> bool {
    matches!(access.kind, Kind::Load | Kind::Store | Kind::Rmw)
}

fn verb(access: &Access) -> String {
    let order = match access.order {
        _ if !is_atomic(access) => "",
        Ordering::Relaxed => ".relaxed",
        Ordering::Acquire => ".acquire",
        Ordering::Release => ".release",
        Ordering::AcqRel => ".acqrel",
        _ => ".seqcst",
    };
    format!("{}{order}", access.kind.name())
}

/// The place in the source, as a path from the root of the repository.
pub(super) fn place(event: &TraceEvent) -> &str {
    match &event.what {
        What::Op(access) | What::Fused(access) => &access.location,
        What::Spin { location }
        | What::Refused { location, .. }
        | What::Visible { location, .. }
        | What::Missed { location, .. } => location,
        _ => "",
    }
}

/// The priority level at which it happened.
pub(super) fn level(event: &TraceEvent) -> &'static str {
    Ipl::from_number(event.ipl).name()
}

/// The scheduler's source.
const SCHEDULER: [&str; 5] = [
    "kmod/src/kern/idle.rs",
    "kmod/src/kern/sched.rs",
    "kmod/src/kern/synch.rs",
    "kmod/src/kern/lwp.rs",
    "kmod/src/kern/sleepq.rs",
];

/// Whether it happens in the scheduler's own source.
pub(super) fn is_of_scheduler(event: &TraceEvent) -> bool {
    SCHEDULER.iter().any(|file| place(event).starts_with(file))
}

/// Whether it is the scheduler's own work, which only helps to debug the scheduler.
pub(super) fn is_scheduling(event: &TraceEvent) -> bool {
    let objects = [".ci_schedstate.", ".sleepq_locks."];
    match &event.what {
        What::Op(access) | What::Fused(access) => {
            is_of_scheduler(event) || objects.iter().any(|object| access.object.contains(object))
        }
        What::Wait => true,
        _ => false,
    }
}

/// Whether it is a message of the kernel, or says which LWP runs where.
pub(super) fn is_landmark(event: &TraceEvent) -> bool {
    matches!(
        event.what,
        What::Note(_)
            | What::Refused { .. }
            | What::Visible { .. }
            | What::Missed { .. }
            | What::Switch { .. }
            | What::Interrupt(_)
    )
}

/// Whether it is a message about what the kernel does, other than which LWP runs next or sleeps, which the account
/// shows anyway.
pub(super) fn is_own_account(event: &TraceEvent) -> bool {
    match &event.what {
        What::Note(words) => {
            let is_taken = words.contains(" takes ") && words.contains(" from cpu");
            let is_routine = [" is preempted", " runs"];
            let sleeps = words.contains(" sleeps for ") || words.contains(" sleeps, ticks: ");
            !is_taken && !sleeps && !is_routine.iter().any(|end| words.ends_with(end))
        }
        _ => false,
    }
}

/// Whether it belongs to the step of an earlier event.
pub(super) fn is_fused(event: &TraceEvent) -> bool {
    matches!(
        event.what,
        What::Fused(_)
            | What::Lock { .. }
            | What::Reference { .. }
            | What::Begin(_)
            | What::End(_)
            | What::Condvar { .. }
            | What::Missed { .. }
    )
}

/// The text in exactly `width` columns: padded with blanks, or cut.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    kept + "…"
}
