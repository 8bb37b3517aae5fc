//! Lapses: time that passes at one place of a run.
//!
//! # Overview
//!
//! A timer that is due in several ticks can fire in a window of a few steps only if all of those ticks come inside
//! the window. Ticks that are drawn one by one, each at a random place, hardly ever do. So a strategy sometimes makes
//! a *lapse*: it chooses a place and a number of ticks, and lets the clock of one CPU, or of every CPU, tick that
//! many times there, while nothing else runs.
//!
//! Each tick is a deviation of the schedule like any other. Between two ticks of a CPU the machine does what the
//! first one causes: the clock's handler runs, then the softints, and when the interrupt priority level is low again
//! the next tick comes. A CPU that has interrupts masked when the lapse begins is left out, because all its ticks
//! would become one.

use kmod::machine::Line;

use super::Rng;
use crate::machine::View;
use crate::schedule::Choice;

/// Log2 of the greatest number of ticks: a lapse has at most 2, 4, 8 or 16.
const DOUBLINGS: u64 = 4;
/// Steps after which the next tick no longer waits until the previous one was handled, because its handler is
/// blocked.
const PATIENCE: u64 = 400;

/// The ticks that are still to come at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Lapse {
    /// The CPUs whose clocks tick.
    cpus: u32,
    /// Those of them that have not ticked in this round.
    waiting: u32,
    /// Rounds after this one.
    rounds: u64,
    /// The CPU of the last tick, and its step.
    last: Option<(usize, u64)>,
}

impl Lapse {
    /// A lapse of random length that begins at this step.
    pub(super) fn draw(rng: &mut Rng, view: &View<'_>) -> Lapse {
        let open = |cpu: &usize| view.ipl(*cpu) == 0;
        let cpus = (0..view.ncpu())
            .filter(open)
            .fold(0, |set, cpu| set | 1 << cpu);
        let most = 2 << rng.below(DOUBLINGS);
        let ticks = 1 + rng.below(most);
        if cpus == 0 {
            return Lapse::default();
        }
        let cpus = match rng.once_in(2) {
            true => cpus,
            // The running CPU is the most likely to be inside a window.
            false if rng.once_in(2) && cpus & 1 << view.current() != 0 => 1 << view.current(),
            false => 1 << rng.member(cpus),
        };
        Lapse {
            cpus,
            waiting: cpus,
            rounds: ticks - 1,
            last: None,
        }
    }

    /// Whether there are no more ticks.
    pub(super) fn is_over(&self) -> bool {
        self.waiting == 0
    }

    /// The choice at this step that continues the lapse. `None`: it is over.
    #[inline]
    pub(super) fn go_on(&mut self, view: &View<'_>) -> Option<Choice> {
        match self.is_over() {
            true => None,
            false => self.next(view),
        }
    }

    fn next(&mut self, view: &View<'_>) -> Option<Choice> {
        if let Some((cpu, since)) = self.last {
            let held_up = view.point() - since > PATIENCE || view.is_yielding();
            if view.ipl(cpu) != 0 && !held_up {
                return Some(handle(cpu, view));
            }
        }
        let able = self.waiting & view.takeable(Line::Clock);
        if able == 0 {
            *self = Lapse::default();
            return None;
        }
        let cpu = able.trailing_zeros() as usize;
        self.waiting = able & (able - 1);
        if self.waiting == 0 && self.rounds > 0 {
            self.waiting = self.cpus;
            self.rounds -= 1;
        }
        self.last = Some((cpu, view.point()));
        Some(Choice::Take(cpu, Line::Clock))
    }
}

/// Lets the CPU that handles a tick continue, unless the machine has an interrupt to take first.
fn handle(cpu: usize, view: &View<'_>) -> Choice {
    match view.default_choice() {
        Choice::Step(_) if view.runnable() & 1 << cpu != 0 => Choice::Step(cpu),
        default => default,
    }
}
