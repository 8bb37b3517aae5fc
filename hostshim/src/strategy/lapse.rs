//! Time that passes at one place.
//!
//! # Overview
//!
//! A timer that is due in several ticks meets a window of a few points only if all of those ticks come inside of the
//! window. Ticks that are drawn one by one, each at a place of its own, hardly ever do. So a strategy now and then lets
//! a *lapse* happen: it chooses a place and a number of ticks, and lets the clock of one CPU, or of every
//! CPU, tick so many times there, while everything else stands still.
//!
//! A tick is one deviation of the schedule like any other. Between two ticks of a CPU the machine does what the first one
//! asks for: the handler of the clock runs, then the softints, and when the interrupt priority level is down again the
//! next tick comes. A CPU that has interrupts masked where the lapse begins is left out: it would see one tick, however
//! many there were.

use kmod::machine::Line;

use super::Rng;
use crate::machine::View;
use crate::schedule::Choice;

/// A lapse has at most 2, 4, 8 or 16 ticks.
const DOUBLINGS: u64 = 4;
/// Points after which the next tick no longer waits for the end of the one before: its handler is held up.
const PATIENCE: u64 = 400;

/// Ticks that are still to come at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Lapse {
    /// The CPUs whose clocks tick.
    cpus: u32,
    /// Those of them whose tick of this round is still to come.
    waiting: u32,
    /// Rounds after this one.
    rounds: u64,
    /// Where the last tick was taken, and at which point.
    last: Option<(usize, u64)>,
}

impl Lapse {
    /// A lapse that begins at this point, of a length that is drawn.
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
            // The CPU that runs is the likeliest to be inside of a window.
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

    /// Whether no tick is to come any more.
    pub(super) fn is_over(&self) -> bool {
        self.waiting == 0
    }

    /// What happens at this point for the lapse to go on. `None`: it is over.
    pub(super) fn go_on(&mut self, view: &View<'_>) -> Option<Choice> {
        if self.is_over() {
            return None;
        }
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

/// The CPU that handles a tick goes on, unless the machine has an interrupt to take first.
fn handle(cpu: usize, view: &View<'_>) -> Choice {
    match view.default_choice() {
        Choice::Step(_) if view.runnable() & 1 << cpu != 0 => Choice::Step(cpu),
        default => default,
    }
}
