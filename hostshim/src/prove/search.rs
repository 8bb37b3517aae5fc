//! The search: every schedule up to a number of deviations, depth first, each state once.
//!
//! # Overview
//!
//! A *node* is a point of the schedule under way: what was possible there, and what of it is still to be tried. After each run the
//! search goes back to the last node at which something is left, makes that choice, and lets the default decide from there on.
//! A choice that is not the default costs one *forced switch*.
//!
//! # Each state once
//!
//! Schedules that differ only in the order of independent steps come to the same state ([`super::past`]). At each new point the
//! search looks whether it has been in this state before, with as many forced switches left or more. Then whatever follows is
//! known, and the run ends here. What a state consists of besides the order of dependent steps is in
//! [`View::hidden_state`].
//!
//! # A switch one step earlier
//!
//! Let CPU A make a step, and then the schedule be forced over to something of another CPU. To force it over just before that step
//! of A instead gives the same traces if the step is independent of everything that was made, in every schedule that was tried,
//! from the switch on until A went on. So it need not be tried. The same then holds one step further back, and so on, up to the
//! last step of A that something depends on: this is where a race would be reversed ([`super::segment`]).
//!
//! # Tasks
//!
//! A task is a schedule, and the choices that are to be tried at some of its points. A search that has several nodes with something
//! left can give a part of them away ([`Search::share`]): neighbours, so that a switch one step earlier is still seen to be one.

use kmod::machine::Line;

use super::known::Known;
use super::past::{Past, mix};
use super::segment::Segment;
use crate::machine::{Touch, View};
use crate::schedule::{Choice, Deviation};
use crate::strategy::{Answer, Strategy};

/// A set of choices: bit `n` is the choice with the number `n`.
type Choices = u64;

/// At points from which nothing branches off, of which there are many, only every so manieth state is remembered and looked up.
const REMEMBERED: usize = 4;

const CPUS: usize = kmod::config::Config::MAXCPUS;
const LINES: usize = Line::ALL.len();
const _: () = assert!(CPUS * (1 + LINES) <= Choices::BITS as usize);

/// The number of a choice.
pub(super) fn number_of(choice: Choice) -> u8 {
    let number = match choice {
        // No search delays stores.
        Choice::Step(cpu) | Choice::Delay(cpu) | Choice::Drain(cpu) => cpu,
        Choice::Take(cpu, line) => CPUS + LINES * cpu + line as usize,
    };
    number as u8
}

/// The choice with this number, which was made.
fn chosen_as(number: u8) -> Choice {
    choice_of(number).unwrap_or(Choice::Step(0))
}

fn cpu_of(number: u8) -> usize {
    chosen_as(number).cpu()
}

/// The interrupts of a CPU.
fn takes_of(cpu: usize) -> Choices {
    let line = |line| 1 << number_of(Choice::Take(cpu, line));
    Line::ALL.into_iter().map(line).sum()
}

/// The choice with this number.
pub(super) fn choice_of(number: u8) -> Option<Choice> {
    match (number as usize).checked_sub(CPUS) {
        None => Some(Choice::Step(number as usize)),
        Some(number) => {
            let line = Line::ALL[number % LINES];
            (number < CPUS * LINES).then_some(Choice::Take(number / LINES, line))
        }
    }
}

/// A part of the work: a schedule, and what is to be tried on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Task {
    pub(super) deviations: Vec<Deviation>,
    /// The choices to try, by point, in order; `None`: every one at every point. That is the whole work.
    pub(super) choices: Option<Vec<(u64, Choices)>>,
}

impl Task {
    /// Everything.
    pub(super) fn whole() -> Task {
        Task {
            deviations: Vec::new(),
            choices: None,
        }
    }

    /// The last point at which something is to be tried.
    fn end(&self) -> Option<u64> {
        let choices = self.choices.as_ref()?;
        choices.last().map(|(point, _)| *point)
    }

    /// What is to be tried at that point.
    fn choices_at(&self, point: u64) -> Choices {
        let mut choices = self.choices.iter().flatten();
        let found = choices.find(|(at, _)| *at == point);
        found.map_or(0, |(_, choices)| *choices)
    }
}

/// What the search is restricted to.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    /// Whether it spares itself what leads to the same traces. If not, every schedule is run: tests compare both.
    pub(super) reduces: bool,
    /// Forced switches.
    pub(super) bound: u32,
    /// The points at which the first forced switch may be made.
    pub(super) first: (u64, u64),
}

struct Node {
    default: u8,
    chosen: u8,
    /// Forced switches before this point.
    cost: u32,
    left: Choices,
    /// Tells whether a repeated run is the same. Known wherever something branches off.
    state: Option<u64>,
    /// The CPU that made the step before this point, if by default it goes on.
    stays: Option<usize>,
    /// What the default touched.
    touches: Vec<Touch>,
    /// For choices that were tried: what was made from then on until that CPU went on.
    segments: Vec<(u8, Segment)>,
}

impl Node {
    /// The point after this one is done with, before which `cpu` made a step by default. Strikes off whatever gives the same traces
    /// as one of its `segments`.
    fn spare(&mut self, cpu: usize, segments: Vec<(u8, Segment)>) {
        // An interrupt that is not taken at once is put off.
        if self.chosen != self.default || chosen_as(self.default) != Choice::Step(cpu) {
            return;
        }
        for (choice, segment) in segments {
            let bit = 1 << choice;
            if self.left & bit != 0 && segment.is_independent_of(&self.touches) {
                self.left &= !bit;
                if self.stays == Some(cpu) {
                    self.segments.push((choice, segment));
                }
            }
        }
    }
}

/// How a run of the search ended, apart from its verdict.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// The program came to its end.
    Whole,
    /// The rest of it is known.
    Known,
    /// A repeated part went otherwise: the machine or the kernel has a state that is not reset.
    Diverged,
}

/// A depth-first search, as a strategy.
pub(super) struct Search<'a> {
    extent: Extent,
    known: &'a Known,
    task: Task,
    nodes: Vec<Node>,
    past: Past,
    /// The node whose choice is new in this run; none in the first run of a task.
    resumed: Option<usize>,
    /// The points at which the part that is repeated deviates from the default, in order.
    repeated: Vec<u64>,
    touches: Vec<Touch>,
    /// Whether a repeated part is run point by point, as it was the first time.
    is_steady: bool,
    /// The nodes whose segment is not over, with the CPU that has not gone on.
    open: Vec<(usize, usize)>,
    end: End,
}

impl<'a> Search<'a> {
    pub(super) fn new(ncpu: usize, extent: Extent, known: &'a Known, task: Task) -> Search<'a> {
        Search {
            extent,
            known,
            task,
            nodes: Vec::new(),
            past: Past::new(ncpu),
            resumed: None,
            repeated: Vec::new(),
            touches: Vec::new(),
            is_steady: false,
            open: Vec::new(),
            end: End::Whole,
        }
    }

    /// From now on repeated parts are run point by point: it matters where the machine asks.
    pub(super) fn be_steady(&mut self) {
        self.is_steady = true;
    }

    /// The run has ended; `last` is what its last step touched. Returns how, and the fingerprint of the trace.
    pub(super) fn ended(&mut self, last: &mut Vec<Touch>) -> (End, u64) {
        self.touches.append(last);
        if self.end == End::Whole {
            self.settle();
        }
        self.touches.clear();
        // Whatever would follow is not known.
        while let Some((index, _)) = self.open.pop() {
            self.spoil(index);
        }
        (self.end, self.past.fingerprint())
    }

    /// Goes back to the last node at which something is left. Returns whether there is one.
    pub(super) fn next(&mut self) -> bool {
        loop {
            let Some(node) = self.nodes.last_mut() else {
                return false;
            };
            if node.left != 0 {
                node.chosen = node.left.trailing_zeros() as u8;
                node.left &= node.left - 1;
                self.resume();
                return true;
            }
            let segments = self.nodes.pop().map(|node| (node.stays, node.segments));
            if let (Some(before), Some((Some(cpu), segments))) = (self.nodes.last_mut(), segments) {
                before.spare(cpu, segments);
            }
        }
    }

    /// The next run repeats everything before the last node, where it does something new.
    fn resume(&mut self) {
        let index = self.nodes.len() - 1;
        self.past.truncate(index);
        self.resumed = Some(index);
        self.repeated.clear();
        self.open.clear();
        for (point, node) in self.nodes.iter().enumerate() {
            if node.chosen == node.default {
                continue;
            }
            self.repeated.push(point as u64);
            let goes_on = |cpu: usize| {
                let later = self.nodes[point + 1..index].iter();
                later.into_iter().any(|node| cpu_of(node.chosen) == cpu)
            };
            let segment = node.segments.last();
            if point < index
                && segment.is_some_and(|(choice, _)| *choice == node.chosen)
                && let Some(cpu) = node.stays
                && !goes_on(cpu)
            {
                self.open.push((point, cpu));
            }
        }
        let reduces = self.extent.reduces;
        let Some(node) = self.nodes.last_mut() else {
            return;
        };
        if let Some(cpu) = node.stays.filter(|_| reduces)
            && cpu_of(node.chosen) != cpu
        {
            node.segments.push((node.chosen, Segment::default()));
            self.open.push((index, cpu));
        }
    }

    /// The segment that began at this node says nothing.
    fn spoil(&mut self, index: usize) {
        if let Some((_, segment)) = self.nodes[index].segments.last_mut() {
            segment.spoil();
        }
    }

    /// Gives a part of what is left away, of the schedules with the fewest forced switches: the first half of the points. Nothing
    /// if there is only one.
    pub(super) fn share(&mut self) -> Option<Task> {
        let left = self.left();
        let level = self.nodes[*left.first()?].cost;
        let of_level = left
            .iter()
            .take_while(|index| self.nodes[**index].cost == level);
        let part = match of_level.count() {
            1 if left.len() == 1 => return None,
            count => &left[..count.div_ceil(2)],
        };
        let task = self.task_of(part);
        for index in part {
            self.nodes[*index].left = 0;
        }
        Some(task)
    }

    /// Everything that is left, as tasks.
    pub(super) fn rest(&self) -> Vec<Task> {
        let left = self.left();
        let levels = left.chunk_by(|one, next| self.nodes[*one].cost == self.nodes[*next].cost);
        Vec::from_iter(levels.map(|level| self.task_of(level)))
    }

    /// The nodes with something left.
    fn left(&self) -> Vec<usize> {
        let has_some = |index: &usize| self.nodes[*index].left != 0;
        Vec::from_iter((0..self.nodes.len()).filter(has_some))
    }

    /// What is left at these nodes, between which nothing deviates from the default.
    fn task_of(&self, nodes: &[usize]) -> Task {
        let before = nodes.first().map_or(&[][..], |first| &self.nodes[..*first]);
        let deviation = |(point, node): (usize, &Node)| {
            (node.chosen != node.default).then(|| Deviation {
                point: point as u64,
                choice: chosen_as(node.chosen),
            })
        };
        let choices = nodes.iter();
        let choices = choices.map(|index| (*index as u64, self.nodes[*index].left));
        Task {
            deviations: Vec::from_iter(before.iter().enumerate().filter_map(deviation)),
            choices: Some(Vec::from_iter(choices)),
        }
    }

    /// The last step has ended.
    fn settle(&mut self) {
        let Some(last) = self.nodes.len().checked_sub(1) else {
            self.touches.clear();
            return;
        };
        let chosen = self.nodes[last].chosen;
        let cpu = cpu_of(chosen);
        self.past.push(cpu, u64::from(chosen), &mut self.touches);
        let mut open = std::mem::take(&mut self.open);
        open.retain(|&(index, stays)| {
            let goes_on = index != last && stays == cpu;
            if !goes_on {
                if let Some((_, segment)) = self.nodes[index].segments.last_mut() {
                    segment.add(&self.touches);
                }
            } else if matches!(chosen_as(chosen), Choice::Take(..)) {
                self.spoil(index);
            }
            !goes_on
        });
        self.open = open;
        let node = &mut self.nodes[last];
        if chosen == node.default && node.left != 0 {
            node.touches.clone_from(&self.touches);
        }
        self.touches.clear();
    }

    /// An interrupt that a CPU could take before it goes on makes a difference to the step that it has made.
    fn look_for_interrupts(&mut self, possible: Choices) {
        let mut open = std::mem::take(&mut self.open);
        open.retain(|&(index, cpu)| {
            let has_one = possible & takes_of(cpu) != 0;
            if has_one {
                self.spoil(index);
            }
            !has_one
        });
        self.open = open;
    }

    /// A point that the search has not been at.
    fn arrive(&mut self, view: &View<'_>, point: usize) -> Answer {
        view.take_footprint(&mut self.touches);
        self.settle();
        let default = number_of(view.default_choice());
        let cost = self
            .nodes
            .last()
            .map_or(0, |node| node.cost + u32::from(node.chosen != node.default));
        let way = self.task.end().filter(|_| self.resumed.is_none());
        // From most points nothing branches off: then the state is seldom needed.
        let branches = cost < self.extent.bound || way.is_some();
        let state = match branches || !self.extent.reduces || point.is_multiple_of(REMEMBERED) {
            true => Some(self.state(view, default)),
            false => None,
        };
        let mut node = Node {
            default,
            chosen: default,
            cost,
            left: 0,
            state,
            stays: self.stays(view),
            touches: Vec::new(),
            segments: Vec::new(),
        };
        if way.is_some_and(|end| point as u64 > end) {
            // What follows was tried by whoever made the task.
            return self.cut(view);
        } else if way.is_some() {
            self.take_way(&mut node, point as u64);
        } else if self.extent.reduces
            && let Some(state) = state
            && !self.known.is_new(state, cost)
        {
            return self.cut(view);
        } else if cost < self.extent.bound {
            let possible = possible(view);
            self.look_for_interrupts(possible);
            if self.may_branch(cost, point as u64) {
                node.left = possible & !(1 << default);
            }
        }
        let choice = chosen_as(node.chosen);
        if !view.allows(choice) {
            return self.diverge(view);
        }
        #[cfg(test)]
        if let Some(before) = self.nodes.last()
            && let (Some(from), Some(to)) = (before.state, state)
        {
            super::tests::went(from, before.chosen, to);
        }
        self.nodes.push(node);
        Answer::now(choice)
    }

    /// The CPU that made the last step, if by default it simply goes on.
    fn stays(&self, view: &View<'_>) -> Option<usize> {
        let cpu = cpu_of(self.nodes.last()?.chosen);
        let goes_on = view.default_choice() == Choice::Step(cpu) && !view.is_yielding();
        goes_on.then_some(cpu)
    }

    /// On the schedule of the task.
    fn take_way(&mut self, node: &mut Node, point: u64) {
        node.left = self.task.choices_at(point);
        let mut deviations = self.task.deviations.iter();
        if let Some(deviation) = deviations.find(|deviation| deviation.point == point) {
            node.chosen = number_of(deviation.choice);
        }
    }

    fn may_branch(&self, cost: u32, point: u64) -> bool {
        let (from, to) = self.extent.first;
        cost > 0 || (from..to).contains(&point)
    }

    /// The rest of this run is known.
    fn cut(&mut self, view: &View<'_>) -> Answer {
        self.end = End::Known;
        view.end_run();
        Answer::keep(view, 0)
    }

    fn state(&self, view: &View<'_>, default: u8) -> u64 {
        let mut state = mix(self.past.fingerprint(), u64::from(default));
        view.hidden_state(|word| state = mix(state, word));
        state
    }

    fn diverge(&mut self, view: &View<'_>) -> Answer {
        self.end = End::Diverged;
        view.end_run();
        Answer::keep(view, 0)
    }
}

/// Every choice that the machine has.
fn possible(view: &View<'_>) -> Choices {
    let mut choices = Choices::from(view.runnable());
    for line in Line::ALL {
        let asserted = view.asserted(line);
        let takeable = view.takeable(line);
        for cpu in crate::machine::members(asserted | takeable) {
            choices |= 1 << number_of(Choice::Take(cpu, line));
        }
    }
    choices
}

impl Strategy for Search<'_> {
    fn begin(&mut self) {
        self.end = End::Whole;
        self.touches.clear();
    }

    fn wants_exact_spinning(&self) -> bool {
        true
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        let point = view.point() as usize;
        let Some(resumed) = self.resumed.filter(|resumed| point <= *resumed) else {
            if point == 0 {
                view.keep_footprints();
            }
            return match point == self.nodes.len() {
                true => self.arrive(view, point),
                false => self.diverge(view),
            };
        };
        let node = &self.nodes[point];
        let choice = chosen_as(node.chosen);
        if point < resumed {
            let later = |deviation: &&u64| **deviation > point as u64;
            let next = self.repeated.iter().find(later);
            let next = next.map_or(resumed, |next| *next as usize);
            let next = if self.is_steady { point + 1 } else { next };
            return Answer {
                choice,
                quiet: (next - point - 1) as u64,
            };
        }
        let state = self.state(view, number_of(view.default_choice()));
        if Some(state) != node.state || !view.allows(choice) {
            return self.diverge(view);
        }
        view.keep_footprints();
        Answer::now(choice)
    }
}
