//! An account as JSON, for programs. `docs/reports.md` describes it; `docs/account.schema.json` is its schema.
//!
//! References are positions: LWPs in `lwps`, events in the trace. `events` has the events that are steps of their
//! own, each with its position (`index`); accesses inside a step are left out. Version 1 may gain members, but never
//! removes or redefines one.

use kmod::mem::Ordering as Order;
use serde::Serialize;

use super::account::{Account, Bridge};
use super::event;
use super::selection::Part;
use crate::machine::{Access, Failure, Layer, TraceEvent, WaitGraph, What};

/// The version of the format.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    subject: Subject<'a>,
    outcome: Outcome<'a>,
    moments: Vec<Moment<'a>>,
    lwps: Vec<Lwp<'a>>,
    departures: Vec<Departure>,
    story: Vec<StoryPart>,
    events: Vec<Event<'a>>,
    runs: Vec<Run>,
    layers: Vec<Layered>,
    holds: Vec<Held<'a>>,
    moves: Vec<Move>,
    waits: Waits<'a>,
    participants: Vec<Participant<'a>>,
}

#[derive(Serialize)]
struct Participant<'a> {
    name: &'a str,
    facts: Vec<Fact<'a>>,
    sentence: &'a str,
}

#[derive(Serialize)]
struct Fact<'a> {
    verb: &'a str,
    what: &'a str,
    more: &'a str,
    how: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<usize>,
}

#[derive(Serialize)]
struct Running<'a> {
    name: &'a str,
    cpu: usize,
    does: &'a str,
}

#[derive(Serialize)]
struct Subject<'a> {
    scenario: &'a str,
    summary: &'a str,
    about: &'a str,
    variant: &'a str,
    variant_summary: &'a str,
    cpus: usize,
    xcall: &'a str,
    history: Vec<&'a str>,
    knobs: Vec<(&'a str, u32)>,
    program: Vec<Script>,
}

#[derive(Serialize)]
struct Script {
    lwp: String,
    operations: Vec<String>,
}

#[derive(Serialize)]
struct Outcome<'a> {
    passed: bool,
    steps: u64,
    points: u64,
    clock_interrupts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureOf<'a>>,
}

#[derive(Serialize)]
struct FailureOf<'a> {
    kind: &'static str,
    rule: &'a str,
    message: &'a str,
    lwp: &'a str,
    cpu: usize,
    at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sides: Option<Sides<'a>>,
}

#[derive(Serialize)]
struct Sides<'a> {
    object: &'a str,
    earlier: Side<'a>,
    later: Side<'a>,
    bridges: Vec<BridgeOf<'a>>,
}

#[derive(Serialize)]
struct Side<'a> {
    does: &'a str,
    lwp: &'a str,
    cpu: usize,
    at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<usize>,
}

#[derive(Serialize)]
struct BridgeOf<'a> {
    object: &'a str,
    write: usize,
    wants_release: bool,
    read: usize,
    wants_acquire: bool,
}

#[derive(Serialize)]
struct Moment<'a> {
    event: usize,
    weight: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Lwp<'a> {
    name: &'a str,
    role: &'static str,
    cpus: &'a [usize],
}

#[derive(Serialize)]
struct Departure {
    event: usize,
    point: u64,
    before: String,
    action: String,
    cpu: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum StoryPart {
    Event(usize),
    Departure(usize),
    Skipped { events: usize, departures: usize },
}

/// An event, as a flat object: members that do not apply are left out.
#[derive(Serialize, Default)]
struct Event<'a> {
    index: usize,
    point: u64,
    cpu: usize,
    lwp: usize,
    level: &'static str,
    does: &'static str,
    /// It is the scheduler's own work.
    #[serde(skip_serializing_if = "is_false")]
    scheduling: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nth: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<&'a str>,
}

#[derive(Serialize)]
struct Run {
    cpu: usize,
    lwp: usize,
    begin: usize,
    end: usize,
}

#[derive(Serialize)]
struct Layered {
    layer: &'static str,
    name: &'static str,
    cpu: usize,
    below: usize,
    depth: usize,
    begin: usize,
    end: usize,
}

#[derive(Serialize)]
struct Held<'a> {
    lock: &'a str,
    lwp: usize,
    cpu: usize,
    shared: bool,
    begin: usize,
    end: usize,
    at_end: bool,
}

#[derive(Serialize)]
struct Move {
    lwp: usize,
    from: usize,
    to: usize,
    event: usize,
}

#[derive(Serialize)]
struct Waits<'a> {
    nodes: Vec<Node<'a>>,
    edges: Vec<Edge>,
    cycles: Vec<Cycle<'a>>,
    alike: usize,
    waiters: Vec<Waiter<'a>>,
    running: Vec<Running<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    name: &'a str,
    kind: &'static str,
    in_cycle: bool,
}

#[derive(Serialize)]
struct Edge {
    from: usize,
    to: usize,
    certain: bool,
    in_cycle: bool,
}

#[derive(Serialize)]
struct Cycle<'a> {
    certain: bool,
    stations: Vec<Station<'a>>,
}

#[derive(Serialize)]
struct Station<'a> {
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lwp: Option<&'a str>,
}

#[derive(Serialize)]
struct Waiter<'a> {
    node: usize,
    cpu: usize,
    how: &'a str,
    inside: &'a [&'static str],
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The account as JSON, on one line.
pub fn json(account: &Account<'_>) -> String {
    written(&Document {
        format: "rumplab-account",
        version: VERSION,
        subject: subject(account),
        outcome: outcome(account),
        moments: moments(account),
        lwps: lwps(account),
        departures: departures(account),
        story: story(account),
        events: events(account),
        runs: runs(account),
        layers: layers(account),
        holds: holds(account),
        moves: moves(account),
        waits: waits(&account.waits),
        participants: account.participants.iter().map(participant).collect(),
    }) + "\n"
}

/// A value as JSON. All keys in this program's output are strings, so it cannot fail.
pub(super) fn written(value: &impl Serialize) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => unreachable!("a report has no form as JSON: {error}"),
    }
}

fn subject<'a>(account: &Account<'a>) -> Subject<'a> {
    let file = account.file;
    let scripts = file.program.iter().flat_map(|program| &program.scripts);
    let script = |(lwp, script): (usize, &kmod::scenario::ops::Script)| Script {
        lwp: format!("l{lwp}"),
        operations: script.ops().iter().map(ToString::to_string).collect(),
    };
    Subject {
        scenario: file.scenario.name,
        summary: file.scenario.summary,
        about: file.scenario.about,
        variant: file.variant.name,
        variant_summary: file.variant.summary,
        cpus: file.config.cpus(),
        xcall: file.config.xcall.name(),
        history: file.history().collect(),
        knobs: file.knobs().collect(),
        program: scripts
            .enumerate()
            .filter(|(_, script)| !script.ops().is_empty())
            .map(script)
            .collect(),
    }
}

fn outcome<'a>(account: &'a Account<'_>) -> Outcome<'a> {
    let outcome = account.story.outcome;
    Outcome {
        passed: account.failure().is_none(),
        steps: outcome.steps,
        points: outcome.points,
        clock_interrupts: outcome.ticks,
        failure: account.failure().map(|failure| FailureOf {
            kind: failure.kind.name(),
            rule: &failure.rule,
            message: failure.message.trim_end(),
            lwp: &failure.context,
            cpu: failure.cpu,
            at: &failure.location,
            sides: sides(account, failure),
        }),
    }
}

fn sides<'a>(account: &'a Account<'_>, failure: &'a Failure) -> Option<Sides<'a>> {
    let sides = failure.sides.as_ref()?;
    let ordering = account.ordering.as_ref();
    let bridge = |bridge: &'a Bridge| BridgeOf {
        object: &bridge.object,
        write: bridge.write,
        wants_release: bridge.wants_release,
        read: bridge.read,
        wants_acquire: bridge.wants_acquire,
    };
    Some(Sides {
        object: &sides.object,
        earlier: Side {
            does: sides.earlier.what,
            lwp: &sides.earlier.context,
            cpu: sides.earlier.cpu,
            at: &sides.earlier.location,
            event: ordering.and_then(|ordering| ordering.earlier),
        },
        later: Side {
            does: sides.later,
            lwp: &failure.context,
            cpu: failure.cpu,
            at: &failure.location,
            event: ordering.map(|ordering| ordering.later),
        },
        bridges: ordering.map_or_else(Vec::new, |ordering| {
            ordering.bridges.iter().map(bridge).collect()
        }),
    })
}

fn moments<'a>(account: &'a Account<'_>) -> Vec<Moment<'a>> {
    let moment = |moment: &'a super::account::Moment| Moment {
        event: moment.event,
        weight: moment.weight.name(),
        text: &moment.text,
    };
    account.moments.iter().map(moment).collect()
}

fn lwps<'a>(account: &'a Account<'_>) -> Vec<Lwp<'a>> {
    let lwp = |lwp: &'a super::account::Lwp| Lwp {
        name: &lwp.name,
        role: lwp.role.name(),
        cpus: &lwp.cpus,
    };
    account.lwps.iter().map(lwp).collect()
}

fn departures(account: &Account<'_>) -> Vec<Departure> {
    let points = account.story.points.iter();
    let marks = account.story.marks().zip(points);
    marks
        .map(|((event, departure), &point)| Departure {
            event,
            point,
            before: departure.point.to_string(),
            action: departure.action.to_string(),
            cpu: departure.action.cpu(),
        })
        .collect()
}

fn story(account: &Account<'_>) -> Vec<StoryPart> {
    let part = |part: Part| match part {
        Part::Event(event) => StoryPart::Event(event),
        Part::Departure(departure) => StoryPart::Departure(departure),
        Part::Skipped { events, departures } => StoryPart::Skipped { events, departures },
    };
    account.parts().into_iter().map(part).collect()
}

fn events<'a>(account: &'a Account<'_>) -> Vec<Event<'a>> {
    let positions = account.positions();
    let position = |name: &String| positions.get(name.as_str()).copied();
    let is_told = |(index, event): &(usize, &TraceEvent)| {
        !event::is_fused(event) || account.story.is_fatal(*index)
    };
    let events = account.story.trace.iter().enumerate();
    events
        .filter(is_told)
        .map(|(index, event)| {
            let base = Event {
                index,
                point: event.point,
                cpu: event.cpu,
                lwp: position(&event.context).unwrap_or(0),
                level: event::level(event),
                scheduling: event::is_scheduling(event),
                ..Event::default()
            };
            of(event, base, position)
        })
        .collect()
}

fn of<'a>(
    event: &'a TraceEvent,
    base: Event<'a>,
    position: impl Fn(&String) -> Option<usize>,
) -> Event<'a> {
    let accessed = |access: &'a Access, base: Event<'a>| Event {
        does: access.kind.name(),
        object: Some(&access.object),
        order: order(access),
        at: Some(&access.location),
        ..base
    };
    match &event.what {
        What::Op(access) => Event {
            nth: Some(event.occurrence + 1),
            ..accessed(access, base)
        },
        What::Fused(access) => accessed(access, base),
        What::Wait => Event {
            does: "wait",
            ..base
        },
        What::Spin { location } => Event {
            does: "spin",
            at: Some(location),
            ..base
        },
        What::Interrupt(line) => Event {
            does: "interrupt",
            object: Some(line.name()),
            ..base
        },
        What::Switch { to } => Event {
            does: "switch_to",
            to: position(to),
            ..base
        },
        What::Refused { object, location } => Event {
            does: "no_memory",
            object: Some(object),
            at: Some(location),
            ..base
        },
        What::Visible { object, location } => Event {
            does: "becomes_visible",
            object: Some(object),
            at: Some(location),
            ..base
        },
        What::Missed {
            object, location, ..
        } => Event {
            does: "misses",
            object: Some(object),
            at: Some(location),
            ..base
        },
        What::Note(words) => Event {
            does: "note",
            words: Some(words),
            ..base
        },
        // Accesses inside a step are represented by the spans.
        What::Lock { .. }
        | What::Reference { .. }
        | What::Begin(_)
        | What::End(_)
        | What::Condvar { .. } => base,
    }
}

fn order(access: &Access) -> Option<&'static str> {
    if !event::is_atomic(access) {
        return None;
    }
    Some(match access.order {
        Order::Relaxed => "relaxed",
        Order::Acquire => "acquire",
        Order::Release => "release",
        Order::AcqRel => "acqrel",
        _ => "seqcst",
    })
}

fn runs(account: &Account<'_>) -> Vec<Run> {
    let run = |run: &super::account::Run| Run {
        cpu: run.cpu,
        lwp: run.lwp,
        begin: run.begin,
        end: run.end,
    };
    account.runs.iter().map(run).collect()
}

fn layers(account: &Account<'_>) -> Vec<Layered> {
    let layered = |layer: &super::account::Layered| Layered {
        layer: match layer.layer {
            Layer::Handler(_) | Layer::Device(_) => "interrupt",
            Layer::Softint(_) => "softint",
        },
        name: layer.layer.name(),
        cpu: layer.cpu,
        below: layer.below,
        depth: layer.depth,
        begin: layer.begin,
        end: layer.end,
    };
    account.layers.iter().map(layered).collect()
}

fn holds<'a>(account: &'a Account<'_>) -> Vec<Held<'a>> {
    let held = |hold: &'a super::account::Held| Held {
        lock: &hold.lock,
        lwp: hold.lwp,
        cpu: hold.cpu,
        shared: hold.shared,
        begin: hold.begin,
        end: hold.end,
        at_end: hold.at_end,
    };
    account.holds.iter().map(held).collect()
}

fn moves(account: &Account<'_>) -> Vec<Move> {
    let moved = |it: &super::account::Move| Move {
        lwp: it.lwp,
        from: it.from,
        to: it.to,
        event: it.event,
    };
    account.moves.iter().map(moved).collect()
}

fn waits(graph: &WaitGraph) -> Waits<'_> {
    let edge = |edge: &crate::machine::WaitEdge| Edge {
        from: edge.from,
        to: edge.to,
        certain: edge.certain,
        in_cycle: edge.in_cycle,
    };
    Waits {
        nodes: graph.nodes.iter().map(Node::from).collect(),
        edges: graph.edges.iter().map(edge).collect(),
        cycles: graph.cycles.iter().map(Cycle::from).collect(),
        alike: graph.alike,
        waiters: graph.waiters.iter().map(Waiter::from).collect(),
        running: graph.running.iter().map(Running::from).collect(),
    }
}

impl<'a> From<&'a crate::machine::Running> for Running<'a> {
    fn from(running: &'a crate::machine::Running) -> Running<'a> {
        Running {
            name: &running.name,
            cpu: running.cpu,
            does: &running.does,
        }
    }
}

fn participant(participant: &super::account::Participant) -> Participant<'_> {
    let facts = participant.facts.iter().map(|fact| Fact {
        verb: fact.verb,
        what: &fact.what,
        more: &fact.more,
        how: &fact.how,
        event: fact.event,
    });
    Participant {
        name: &participant.name,
        facts: facts.collect(),
        sentence: &participant.sentence,
    }
}

impl<'a> From<&'a crate::machine::WaitNode> for Node<'a> {
    fn from(node: &'a crate::machine::WaitNode) -> Node<'a> {
        Node {
            name: &node.name,
            kind: node.kind.name(),
            in_cycle: node.in_cycle,
        }
    }
}

impl<'a> From<&'a crate::machine::Cycle> for Cycle<'a> {
    fn from(cycle: &'a crate::machine::Cycle) -> Cycle<'a> {
        let stations = cycle.stations.iter().map(|(what, lwp)| Station {
            what,
            lwp: lwp.as_deref(),
        });
        Cycle {
            certain: cycle.certain,
            stations: stations.collect(),
        }
    }
}

impl<'a> From<&'a crate::machine::Waiter> for Waiter<'a> {
    fn from(waiter: &'a crate::machine::Waiter) -> Waiter<'a> {
        Waiter {
            node: waiter.node,
            cpu: waiter.cpu,
            how: &waiter.how,
            inside: &waiter.operations,
        }
    }
}
