//! Stalls: one thread stands still for long, and everything else goes on.
//!
//! # Overview
//!
//! Some bugs need a thread to stand between two of its steps for as long as whole operations of others take: a lookup
//! that has a pointer and no reference yet, while the interface is detached; a softint that comes after its device is
//! gone. A random walk seldom waits that long. [`Pct`](super::Pct) can hold back a CPU, and with it every interrupt and softint that
//! others wait for.
//!
//! A stall holds back a *thread*: at a point that is drawn from the whole run, whichever thread runs there makes no further step
//! until the stall ends. Its CPU still takes interrupts and runs softints and other threads. A stall ends after a number of points
//! that is drawn, too, or when nothing else can run and no tick is left for it. Before and after it the run is a [`Random`]
//! walk. In every other run the walk has few interventions, so that the operations of others stay whole.
//!
//! A long delay of one thread at one point is the idea of DataCollider (Erickson, Musuvathi, Burckhardt, Olynyk, 2010), for every
//! point rather than for accesses in a race.

use kmod::machine::Line;

use super::{Answer, LENGTH, Random, Rehearsal, Rng, Strategy};
use crate::machine::{View, members};
use crate::schedule::Choice;

/// The seed of stalls is combined with this.
const SEED: u64 = 0x7374_616c_6c00;
/// A stall begins before this many fourths of the default run's length.
const WITHIN_FOURTHS: u64 = 5;
/// How long a stall lasts, in halves of the default run's length; the last is without end.
const HALVES: [u64; 4] = [1, 2, 4, u64::MAX];
/// A stall that nothing else goes on in causes fewer early ticks than this.
const TICKS: u64 = 5;
/// How many of four runs stall threads only where no interrupt is masked.
const LOW_ONLY_FOURTHS: u64 = 3;
/// During a stall the other CPUs take turns after this many points at most.
const GAP: u64 = 128;

/// Random walks in which one thread stands still for a part of the run.
#[derive(Clone, Debug)]
pub struct Stall {
    seed: u64,
    run: u64,
    walk: Random,
    /// The point at which the walk wants to be asked.
    walk_at: u64,
    rng: Rng,
    /// Points of the default run.
    length: u64,
    low_only: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The stall begins at this point.
    Before(u64),
    During(Stalled),
    After,
}

/// The thread that stands still.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    /// The number of its context.
    context: usize,
    /// The level at which it stands. Its CPU is above while it handles an interrupt on the thread's stack.
    level: u8,
    /// The CPU where it was last seen.
    cpu: usize,
    /// The point at which the stall ends.
    until: u64,
    /// Early ticks that the stall may still cause.
    ticks: u64,
}

impl Stalled {
    /// Whether the next step of `cpu` is one of the thread.
    fn holds(&self, view: &View<'_>, cpu: usize) -> bool {
        view.context(cpu) == self.context && view.ipl(cpu) <= self.level
    }
}

impl Stall {
    /// The runs of `seed`.
    pub fn new(seed: u64) -> Stall {
        Stall {
            seed,
            run: 0,
            walk: Random::new(seed),
            walk_at: 0,
            rng: Rng::new(seed, 0),
            length: LENGTH,
            low_only: false,
            phase: Phase::After,
        }
    }

    /// What the walk does, which is asked only where it wants to be.
    fn walk_on(&mut self, view: &View<'_>) -> Answer {
        let point = view.point();
        if point < self.walk_at {
            return Answer::keep(view, self.walk_at - point - 1);
        }
        let answer = self.walk.choose(view);
        self.walk_at = point.saturating_add(1).saturating_add(answer.quiet);
        answer
    }

    /// The current thread stands still from now on.
    fn begin_stall(&mut self, view: &View<'_>) {
        let halves = HALVES[self.rng.below(HALVES.len() as u64) as usize];
        let cpu = view.current();
        self.phase = Phase::During(Stalled {
            context: view.context(cpu),
            level: view.ipl(cpu),
            cpu,
            until: view
                .point()
                .saturating_add((self.length / 2).saturating_mul(halves)),
            ticks: self.rng.below(TICKS),
        });
    }

    /// What happens during the stall. `None`: it ends.
    fn go_on(&mut self, view: &View<'_>, mut stalled: Stalled) -> Option<Answer> {
        if view.point() >= stalled.until {
            return None;
        }
        if let Some(cpu) = (0..view.ncpu()).find(|&cpu| view.context(cpu) == stalled.context) {
            stalled.cpu = cpu;
        }
        let answer = self.among_others(view, &mut stalled)?;
        self.phase = Phase::During(stalled);
        Some(answer)
    }

    fn among_others(&mut self, view: &View<'_>, stalled: &mut Stalled) -> Option<Answer> {
        let cpu = match view.default_choice() {
            // What interrupts the thread goes on.
            Choice::Step(cpu) => cpu,
            take => return Some(Answer::now(take)),
        };
        let free = members(view.runnable())
            .filter(|&cpu| !stalled.holds(view, cpu))
            .fold(0, |set, cpu| set | 1 << cpu);
        if free == 0 {
            let early = view.takeable(Line::Clock);
            stalled.ticks = stalled.ticks.checked_sub(1)?;
            return (early != 0)
                .then(|| Answer::now(Choice::Take(self.rng.member(early), Line::Clock)));
        }
        // As soon as the thread could be the next on its CPU, each point is looked at.
        let quiet = |cpu: usize, gap: u64| if cpu == stalled.cpu { 0 } else { gap };
        let gap = self.rng.below(GAP);
        if free & 1 << cpu != 0 && (cpu == stalled.cpu || !self.rng.once_in(2)) {
            return Some(Answer::keep(view, quiet(cpu, gap)));
        }
        let cpu = self.rng.member(free);
        Some(Answer {
            choice: Choice::Step(cpu),
            quiet: quiet(cpu, gap),
        })
    }
}

impl Strategy for Stall {
    fn begin(&mut self) {
        self.rng = Rng::new(self.seed ^ SEED, self.run);
        self.walk.seek(self.run);
        self.walk.set_calm(self.run.is_multiple_of(2));
        self.walk.begin();
        self.walk_at = 0;
        self.run += 1;
        self.low_only = self.rng.below(4) < LOW_ONLY_FOURTHS;
        let within = self.length * WITHIN_FOURTHS / 4;
        self.phase = Phase::Before(self.rng.below(within.max(1)));
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if let Phase::Before(at) = self.phase {
            if view.point() < at {
                let answer = self.walk_on(view);
                let quiet = answer.quiet.min(at - view.point() - 1);
                return Answer { quiet, ..answer };
            }
            self.begin_stall(view);
        }
        if let Phase::During(stalled) = self.phase {
            if let Some(answer) = self.go_on(view, stalled) {
                return answer;
            }
            self.phase = Phase::After;
        }
        self.walk_on(view)
    }

    fn wants_alerts(&self) -> bool {
        true
    }

    fn wants_low_only(&self) -> bool {
        self.low_only
    }

    fn wants_rehearsal(&self) -> bool {
        true
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.length = rehearsal.points;
        self.walk.expect(rehearsal);
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
