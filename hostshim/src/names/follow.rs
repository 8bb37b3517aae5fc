//! Turns names into a run: a strategy that departs from the default at the points of a list.

use std::collections::{BTreeMap, BTreeSet};

use kmod::machine::Line;

use super::{Action, Departure, Key, Namer, PointName};
use crate::machine::{Limits, Machine, Outcome, View};
use crate::schedule::Choice;
use crate::strategy::{Answer, Strategy};

/// How closely a run must follow its list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// In order and completely: a departure that is impossible ends the run.
    Exact,
    /// Only the points that the run reaches: for lists from which something was removed.
    Loose,
}

/// Why a run did not follow its list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Miss {
    /// The index of the departure in the list.
    pub index: usize,
    /// What prevented it.
    pub reason: Reached,
}

/// How far the run got towards a departure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reached {
    /// The run reached the point, but the action was not possible there. The string says why.
    Impossible(String),
    /// The run never reached the point. The string says how far it got.
    Never(String),
}

/// Follows a list of named departures, and keeps the default everywhere else.
pub struct Follower<'a> {
    list: &'a [Departure],
    manner: Manner,
    namer: Namer,
    /// The index of each point in the list, the first one if there are several. Built at the first point.
    places: Option<BTreeMap<Key, usize>>,
    /// The departures that were done, in that order.
    done: Vec<usize>,
    /// The first departure that is neither done nor skipped.
    next: usize,
    /// The numbers of the points that were reached.
    points: Vec<u64>,
    impossible: Option<Miss>,
    seen: Seen,
}

impl<'a> Follower<'a> {
    fn new(list: &'a [Departure], manner: Manner) -> Follower<'a> {
        Follower {
            list,
            manner,
            namer: Namer::default(),
            places: None,
            done: Vec::new(),
            next: 0,
            points: Vec::new(),
            impossible: None,
            seen: Seen::default(),
        }
    }

    /// Runs the machine along the whole list, in order. Also returns the point number of each departure.
    ///
    /// # Errors
    ///
    /// The first departure that could not be made, and why.
    pub fn exact(
        list: &'a [Departure],
        machine: &mut Machine,
        limits: &Limits,
    ) -> Result<(Outcome, Vec<u64>), Miss> {
        let mut follower = Follower::new(list, Manner::Exact);
        let outcome = machine.run(&mut follower, limits);
        match follower.impossible.take() {
            Some(miss) => Err(miss),
            None if follower.next < list.len() => Err(Miss {
                index: follower.next,
                reason: Reached::Never(follower.seen.explain(&list[follower.next].point)),
            }),
            None => Ok((outcome, follower.points)),
        }
    }

    /// Runs the machine along the list as far as its points are reached. Returns the departures that were done.
    pub fn loose(
        list: &'a [Departure],
        machine: &mut Machine,
        limits: &Limits,
    ) -> (Outcome, Vec<Departure>) {
        let mut follower = Follower::new(list, Manner::Loose);
        let outcome = machine.run(&mut follower, limits);
        let done = follower.done.iter().map(|&index| list[index].clone());
        (outcome, done.collect())
    }

    /// The index of the departure for this point.
    fn find(&mut self, point: Key, view: &View<'_>) -> Option<usize> {
        let list = self.list;
        let places = self.places.get_or_insert_with(|| {
            let places = list.iter().enumerate().rev();
            places
                .map(|(index, departure)| (Key::of(&departure.point, view), index))
                .collect()
        });
        let index = *places.get(&point)?;
        let is_due = match self.manner {
            Manner::Exact => index == self.next,
            Manner::Loose => index >= self.next,
        };
        is_due.then_some(index)
    }

    fn depart(&mut self, index: usize, view: &View<'_>) -> Choice {
        let action = self.list[index].action;
        self.next = index + 1;
        self.points.push(view.point());
        match (impossible(action, view), self.manner) {
            (None, _) => {
                // What the machine does by default need not be in a list.
                if action.choice() != view.default_choice() {
                    self.done.push(index);
                }
                return action.choice();
            }
            (Some(why), Manner::Exact) => {
                let reason = Reached::Impossible(why);
                self.impossible.get_or_insert(Miss { index, reason });
            }
            (Some(_), Manner::Loose) => {}
        }
        view.default_choice()
    }
}

impl Strategy for Follower<'_> {
    fn choose(&mut self, view: &View<'_>) -> Answer {
        let point = self.namer.name(view);
        let choice = match self.find(point, view) {
            Some(index) if self.impossible.is_none() => self.depart(index, view),
            _ => view.default_choice(),
        };
        if self.manner == Manner::Exact {
            self.seen.note(point.name(view));
        }
        // A name depends on every point before it, so no point may be skipped.
        Answer { choice, quiet: 0 }
    }
}

/// Why the action is not possible now, if it is not.
fn impossible(action: Action, view: &View<'_>) -> Option<String> {
    let cpu = action.cpu();
    match action {
        Action::Defers(_, line) if view.asserted(line) & 1 << cpu == 0 => {
            Some(format!("cpu{cpu} has no {} to defer", line.name()))
        }
        _ if view.allows(action.choice()) => None,
        Action::Takes(_, Line::Clock) => {
            Some("as many early clock interrupts as a run may have were taken already".to_owned())
        }
        Action::Takes(_, line) => Some(format!("cpu{cpu} has no {} to take", line.name())),
        Action::Drains(_) => Some(format!("the store buffer of cpu{cpu} is empty")),
        Action::Steps(_) | Action::Defers(..) | Action::Delays(_) => {
            let does = view.name(cpu);
            Some(format!(
                "cpu{cpu} cannot step: {} is about to {}",
                view.text(does.context),
                view.text(does.what)
            ))
        }
    }
}

/// The points that a run passed, to explain a name that it did not reach.
#[derive(Default)]
struct Seen(BTreeSet<PointName>);

impl Seen {
    fn note(&mut self, point: PointName) {
        self.0.insert(point);
    }

    /// Which leading part of the name was right.
    fn explain(&self, wanted: &PointName) -> String {
        let context = |p: &&PointName| p.context == wanted.context;
        let what = |p: &&PointName| context(p) && p.what == wanted.what;
        let object = |p: &&PointName| what(p) && p.object == wanted.object;
        let occurrence = |p: &&PointName| object(p) && p.occurrence == wanted.occurrence;
        let PointName {
            context: who,
            what: word,
            object: thing,
            ..
        } = wanted;
        if !self.0.iter().any(|p| context(&p)) {
            let names: BTreeSet<_> = self.0.iter().map(|p| p.context.as_str()).collect();
            let names = Vec::from_iter(names).join(", ");
            return format!("no context {who} ran; there were {names}");
        }
        if !self.0.iter().any(|p| what(&p)) {
            return format!("{who} never came to a {word}");
        }
        if !self.0.iter().any(|p| object(&p)) {
            let things = self.0.iter().filter(what).map(|p| p.object.as_str());
            let things = Vec::from_iter(BTreeSet::from_iter(things)).join(", ");
            return format!("{who} came to a {word} only of {things}");
        }
        if !self.0.iter().any(|p| occurrence(&p)) {
            let most = self
                .0
                .iter()
                .filter(object)
                .map(|p| p.occurrence)
                .max()
                .unwrap_or(0);
            let deed = format!("{word} {thing}");
            let times = if most == 1 {
                "once".to_owned()
            } else {
                format!("{most} times")
            };
            return format!("{who} came to {} only {times}", deed.trim_end());
        }
        match self
            .0
            .iter()
            .filter(occurrence)
            .find(|p| p.cpu != wanted.cpu)
        {
            Some(p) => format!("{who} was on cpu{} then", p.cpu),
            None => "the run came by, but not after the line before this one".to_owned(),
        }
    }
}
