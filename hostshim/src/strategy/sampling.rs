//! Sampling where the focus of a run is.
//!
//! # Overview
//!
//! A run looks at the points of its [`Focus`] only. Whoever stands at another one goes on, the current CPU first. So switches are not
//! spent on the kernel that runs below a program. When every CPU that can step stands at a point of the focus, a [`Pick`] says which of
//! them does.
//!
//! Interrupts are taken as soon as they can be, but in one of four runs those from other CPUs are picked as steps are. One of four runs
//! has a lapse of the clock.

use kmod::config::Config;
use kmod::machine::Line;

use super::focus::{Focus, Focused};
use super::lapse::Lapse;
use super::{Answer, LENGTH, Rehearsal, Rng, Strategy};
use crate::machine::{View, members};
use crate::schedule::Choice;

/// Where the runs look, in turn.
const TURNS: [Focus; 4] = [
    Focus::Program,
    Focus::Modules,
    Focus::Program,
    Focus::Everything,
];
/// One run in so many has a lapse.
const LAPSE_ODDS: u64 = 4;
/// In one run in so many interrupts from other CPUs can be late.
const LATE_ODDS: u64 = 4;
/// The point of a lapse in a run that has none.
const NEVER: u64 = u64::MAX;

/// CPUs, and in the upper half their lines for interrupts from other CPUs.
pub(super) const ENTITIES: usize = 2 * Config::MAXCPUS;

/// Says which of several CPUs or interrupts is the next.
pub trait Pick: Default {
    /// A run begins, with this focus.
    fn begin(&mut self, focused: &mut Focused);

    /// One of the entities of the set: CPU `c` is `c`, its interrupt line is `c + MAXCPUS`. The set is not empty.
    fn pick(&mut self, able: u32, view: &View<'_>, rng: &mut Rng) -> usize;

    /// The next run is about as the default run.
    fn expect(&mut self, rehearsal: &Rehearsal) {
        let _ = rehearsal;
    }
}

/// Samples the orders of the operations at the points of a focus.
#[derive(Clone, Debug)]
pub struct Sampling<P> {
    seed: u64,
    run: u64,
    /// The focus of every run; `None`: they take turns.
    focus: Option<Focus>,
    focused: Focused,
    pick: P,
    rng: Rng,
    /// Points of the default run.
    length: u64,
    /// Whether interrupts from other CPUs are picked.
    late: bool,
    lapse_at: u64,
    lapse: Lapse,
}

impl<P: Pick> Sampling<P> {
    /// The runs of `seed`. The foci take turns.
    pub fn new(seed: u64) -> Sampling<P> {
        Sampling {
            seed,
            run: 0,
            focus: None,
            focused: Focused::default(),
            pick: P::default(),
            rng: Rng::new(seed, 0),
            length: LENGTH,
            late: false,
            lapse_at: NEVER,
            lapse: Lapse::default(),
        }
    }

    /// The runs of `seed`, all with this focus.
    pub fn with_focus(seed: u64, focus: Focus) -> Sampling<P> {
        Sampling {
            focus: Some(focus),
            ..Sampling::new(seed)
        }
    }

    /// The next runs have this focus.
    pub(super) fn set_focus(&mut self, focus: Focus) {
        self.focus = Some(focus);
    }

    /// The CPU that goes on because it is at no point of the focus; or the set of those that stand at one.
    fn goes_on(&mut self, view: &View<'_>) -> Result<usize, u32> {
        let me = view.current();
        let runnable = view.runnable();
        let steps = match view.is_yielding() {
            true => runnable & !(1 << me),
            false => runnable,
        };
        let first = steps & 1 << me;
        for cpu in members(first).chain(members(steps & !first)) {
            match view.op(cpu) {
                Some((_, at)) if self.focused.holds(at) => {}
                _ => return Ok(cpu),
            }
        }
        Err(steps)
    }

    fn let_time_pass(&mut self, view: &View<'_>) -> Option<Choice> {
        if view.point() >= self.lapse_at && view.ipl(view.current()) == 0 {
            self.lapse_at = NEVER;
            self.lapse = Lapse::draw(&mut self.rng, view);
        }
        self.lapse.go_on(view)
    }
}

impl<P: Pick> Strategy for Sampling<P> {
    fn begin(&mut self) {
        self.rng = Rng::new(self.seed, self.run);
        let turn = (self.run % TURNS.len() as u64) as usize;
        let focus = self.focus.unwrap_or(TURNS[turn]);
        self.focused.begin(focus, self.seed, self.run);
        self.pick.begin(&mut self.focused);
        self.run += 1;
        self.late = self.rng.once_in(LATE_ODDS);
        self.lapse = Lapse::default();
        self.lapse_at = match self.rng.once_in(LAPSE_ODDS) {
            true => self.rng.below(self.length.max(1)),
            false => NEVER,
        };
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if let Some(choice) = self.let_time_pass(view) {
            return Answer::now(choice);
        }
        let default = view.default_choice();
        match default {
            Choice::Take(_, Line::Ipi) if self.late => {}
            Choice::Take(..) => return Answer::now(default),
            Choice::Step(_) | Choice::Delay(_) | Choice::Drain(_) => {}
        }
        let mut able = match self.goes_on(view) {
            Ok(cpu) => return Answer::now(Choice::Step(cpu)),
            Err(standing) => standing,
        };
        if self.late {
            able |= view.asserted(Line::Ipi) << Config::MAXCPUS;
        }
        if able == 0 {
            return Answer::now(default);
        }
        let entity = self.pick.pick(able, view, &mut self.rng);
        Answer::now(match entity.checked_sub(Config::MAXCPUS) {
            None => Choice::Step(entity),
            Some(cpu) => Choice::Take(cpu, Line::Ipi),
        })
    }

    fn wants_rehearsal(&self) -> bool {
        true
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.length = rehearsal.points;
        self.pick.expect(rehearsal);
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
