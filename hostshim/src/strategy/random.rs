//! A random walk.

use kmod::config::Config;
use kmod::machine::Line;

use super::lapse::Lapse;
use super::{Answer, LENGTH, Rehearsal, Rng, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// Default number of interventions between two early ticks, on average.
const TICK_ODDS: u64 = 256;
/// How often a run intervenes; each run draws one of these.
const TEMPERS: [Temper; 4] = [
    Temper::Restless,
    Temper::Every(8),
    Temper::Times(4),
    Temper::Times(3),
];
/// The same for walks that seldom intervene.
const CALM: [Temper; 2] = [Temper::Times(4), Temper::Times(3)];
/// More interventions than this no longer help a short program.
const RESTLESS_TIMES: u64 = 90;
/// Average number of points between interventions of a restless run.
const RESTLESS_POINTS: std::ops::RangeInclusive<u64> = 2..=4;
/// How many of four runs intervene only where no interrupt is masked.
const LOW_ONLY_FOURTHS: u64 = 3;
/// One run in this many has a lapse.
const LAPSE_ODDS: u64 = 32;
/// The step of a lapse in a run that has none.
const NEVER: u64 = u64::MAX;
/// The seed of lapses is combined with this.
const LAPSE_SEED: u64 = 0x6c61_7073_6500;

/// How often a walk intervenes.
#[derive(Clone, Copy, Debug)]
enum Temper {
    /// [`RESTLESS_TIMES`] in a run as long as the default one, with an average distance within [`RESTLESS_POINTS`].
    Restless,
    /// Once in this many points.
    Every(u64),
    /// This many times in a run as long as the default one.
    Times(u64),
}

/// Keeps the machine to its default, and sometimes chooses evenly among everything else that is possible.
///
/// The gaps between two such interventions are drawn with the run's own mean. Short gaps find bugs that need many
/// switches close together. But a walk that always switches often seldom lets one CPU get far while the others stand
/// still, so other runs have a few interventions in all, however long the program is. A few runs also have a lapse.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    /// Of which each run draws one.
    tempers: &'static [Temper],
    run: u64,
    tick_odds: u64,
    rng: Rng,
    /// Points of the default run.
    length: u64,
    /// Average number of points from one intervention to the next.
    every: u64,
    /// Whether the walk keeps to the default where interrupts are masked.
    low_only: bool,
    /// The step at which the lapse begins, or [`NEVER`].
    lapse_at: u64,
    /// The current lapse.
    lapse: Lapse,
    /// For lapses only, so that a run without a lapse does not depend on it.
    lapse_rng: Rng,
}

impl Random {
    /// The walks of `seed`.
    pub fn new(seed: u64) -> Random {
        Random {
            seed,
            tempers: &TEMPERS,
            run: 0,
            tick_odds: TICK_ODDS,
            rng: Rng::new(seed, 0),
            length: LENGTH,
            every: 1,
            low_only: false,
            lapse_at: NEVER,
            lapse: Lapse::default(),
            lapse_rng: Rng::new(seed, 0),
        }
    }

    /// From the next run on there are a few interventions in each run, or as many as usual.
    pub(super) fn set_calm(&mut self, calm: bool) {
        self.tempers = if calm { &CALM } else { &TEMPERS };
    }

    /// The same, with an early tick once in `interventions`.
    #[must_use]
    pub fn with_ticks_every(self, interventions: u64) -> Random {
        Random {
            tick_odds: interventions.max(1),
            ..self
        }
    }

    /// Draws whether the run that begins has a lapse, and where.
    fn plan_lapse(&mut self) {
        self.lapse = Lapse::default();
        self.lapse_rng = Rng::new(self.seed ^ LAPSE_SEED, self.run);
        let wanted = self.lapse_rng.once_in(LAPSE_ODDS);
        self.lapse_at = match wanted {
            true => self.lapse_rng.below(self.length.max(1)),
            false => NEVER,
        };
    }

    /// The choice at this step that continues the lapse. `None`: there is none at this step.
    #[inline]
    fn let_time_pass(&mut self, view: &View<'_>) -> Option<Choice> {
        if view.point() < self.lapse_at && self.lapse.is_over() {
            return None;
        }
        if view.point() >= self.lapse_at && view.ipl(view.current()) == 0 {
            self.lapse_at = NEVER;
            self.lapse = Lapse::draw(&mut self.lapse_rng, view);
        }
        self.lapse.go_on(view)
    }

    /// The gap, shortened so that it ends where the lapse begins.
    #[inline]
    fn until_lapse(&self, quiet: u64, view: &View<'_>) -> u64 {
        quiet.min(self.lapse_at.saturating_sub(view.point() + 1))
    }

    /// One of what is possible and not the default, all with the same probability; or an early tick.
    fn draw(&mut self, view: &View<'_>) -> Choice {
        let early = view.takeable(Line::Clock);
        if early != 0 && self.rng.once_in(self.tick_odds) {
            return Choice::Take(self.rng.member(early), Line::Clock);
        }
        let default = view.default_choice();
        let others = Others::new(view, default);
        // If only steps are possible, as almost always, one number is enough.
        let ticks = u64::from(others.ticks.count_ones());
        let rest = u64::from(others.steps_and_ipis.count_ones());
        if ticks != 0 && self.rng.below(ticks + rest) < ticks {
            return Choice::Take(self.rng.member(others.ticks), Line::Clock);
        }
        if others.frames != 0 && self.rng.below(1 + rest) == 0 {
            return Choice::Take(others.frames.trailing_zeros() as usize, Line::Net);
        }
        if rest == 0 {
            return default;
        }
        let drawn = self.rng.member(others.steps_and_ipis);
        match drawn.checked_sub(Config::MAXCPUS) {
            None => Choice::Step(drawn),
            Some(cpu) => Choice::Take(cpu, Line::Ipi),
        }
    }
}

/// What is possible and not the default, as sets of CPUs.
struct Others {
    /// The CPUs that can step, and in the upper bits those that can take an interrupt from another CPU.
    steps_and_ipis: u32,
    ticks: u32,
    /// The CPUs that can receive a frame: at most one.
    frames: u32,
}
const _: () = assert!(2 * Config::MAXCPUS <= 32, "two sets of CPUs are a word");

impl Others {
    fn new(view: &View<'_>, default: Choice) -> Others {
        let mut steps_and_ipis = view.runnable() | view.asserted(Line::Ipi) << Config::MAXCPUS;
        let mut ticks = view.asserted(Line::Clock);
        let mut frames = view.asserted(Line::Net);
        match default {
            Choice::Step(cpu) | Choice::Delay(cpu) => steps_and_ipis &= !(1 << cpu),
            Choice::Drain(_) => {}
            Choice::Take(cpu, Line::Ipi) => steps_and_ipis &= !(1 << (cpu + Config::MAXCPUS)),
            Choice::Take(cpu, Line::Clock) => ticks &= !(1 << cpu),
            Choice::Take(cpu, Line::Net) => frames &= !(1 << cpu),
        }
        Others {
            steps_and_ipis,
            ticks,
            frames,
        }
    }
}

impl Strategy for Random {
    fn begin(&mut self) {
        self.rng = Rng::new(self.seed, self.run);
        self.plan_lapse();
        self.run += 1;
        self.every = match self.tempers[self.rng.below(self.tempers.len() as u64) as usize] {
            Temper::Restless => (self.length / RESTLESS_TIMES)
                .clamp(*RESTLESS_POINTS.start(), *RESTLESS_POINTS.end()),
            Temper::Every(points) => points,
            Temper::Times(times) => (self.length / times).max(1),
        };
        self.low_only = self.rng.below(4) < LOW_ONLY_FOURTHS;
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if let Some(choice) = self.let_time_pass(view) {
            return Answer::now(choice);
        }
        let choice = self.draw(view);
        let quiet = self.rng.below(2 * self.every - 1);
        let quiet = self.until_lapse(quiet, view);
        Answer { choice, quiet }
    }

    fn wants_low_only(&self) -> bool {
        self.low_only
    }

    fn wants_rehearsal(&self) -> bool {
        true
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.length = rehearsal.points;
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
