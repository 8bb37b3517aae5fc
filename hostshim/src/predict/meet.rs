//! A strategy that makes threads meet: each is held back where it is about to wait, until all of them are there.

use kmod::machine::Line;

use crate::machine::{View, members};
use crate::schedule::Choice;
use crate::strategy::{Answer, Portfolio, Rehearsal, Rng, Strategy};

/// Where a thread is held back: before an operation at this place in the source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The thread.
    pub context: String,
    /// The place in the source: the end of the file's name, and the line.
    file: String,
    line: u32,
}

impl Place {
    /// `location` is a place in the source as reports name it, `kmod/src/kern/xcall.rs:88`.
    pub fn new(context: &str, location: &str) -> Place {
        let (file, line) = location.rsplit_once(':').unwrap_or((location, ""));
        Place {
            context: context.to_owned(),
            file: file.to_owned(),
            line: line.parse().unwrap_or(0),
        }
    }
}

/// Maximum number of decisions in one run at which threads are held back.
const PATIENCE: u64 = 2_000;
/// On average, one in this many held decisions lets the clock tick, because a handler may be needed.
const TICK_ODDS: u64 = 24;

/// The progress of one thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Awaited,
    There,
    Gone,
}

/// Holds every thread back at its place until the others are at theirs; everywhere else, a [`Portfolio`] decides.
///
/// In every second run it lets the first few arrivals of each thread pass, because a thread reaches a place more than
/// once. In every fourth run it holds no thread back, for failures that need no help.
pub struct Meet {
    places: Vec<Place>,
    progress: Vec<Progress>,
    /// Number of arrivals of each thread that pass.
    skips: Vec<u64>,
    patience: u64,
    rng: Rng,
    seed: u64,
    run: u64,
    inner: Portfolio,
    /// Points for which the inner strategy does not want to be asked.
    quiet: u64,
    /// The CPUs that are at a place and may pass.
    passing: u32,
}

impl Meet {
    /// The runs of `seed` in which these threads meet.
    pub fn new(places: Vec<Place>, seed: u64) -> Meet {
        Meet {
            progress: vec![Progress::Awaited; places.len()],
            skips: vec![0; places.len()],
            places,
            patience: 0,
            rng: Rng::new(seed, 0),
            seed,
            run: 0,
            inner: Portfolio::new(seed),
            quiet: 0,
            passing: 0,
        }
    }

    /// The place at which that CPU is, if a thread is to be held back there.
    fn place(&self, view: &View<'_>, cpu: usize) -> Option<usize> {
        let (_, at) = view.op(cpu)?;
        let mut places = self.places.iter().enumerate();
        let (index, _) = places.find(|(_, place)| {
            at.location()
                .is_some_and(|at| place.line == at.line() && at.file().ends_with(&place.file))
                && place.context == view.context_name(cpu)
        })?;
        (self.progress[index] != Progress::Gone).then_some(index)
    }

    /// The CPUs that are held back now.
    fn look(&mut self, view: &View<'_>) -> u32 {
        let mut held = 0;
        for cpu in members(view.runnable()) {
            let bit = 1 << cpu;
            let Some(index) = self.place(view, cpu) else {
                self.passing &= !bit;
                continue;
            };
            if self.passing & bit == 0 && self.skips[index] > 0 {
                self.skips[index] -= 1;
                self.passing |= bit;
            }
            // It counts as one arrival as long as it is at the place, however many steps it makes there.
            if self.passing & bit == 0 {
                self.progress[index] = Progress::There;
                held |= bit;
            }
        }
        if self.progress.iter().all(|p| *p == Progress::There) {
            self.progress.fill(Progress::Gone);
            held = 0;
        }
        held
    }

    fn divert(&mut self, view: &View<'_>, held: u32) -> Choice {
        self.patience -= 1;
        let others = view.runnable() & !held;
        let ticks = view.takeable(Line::Clock);
        if ticks != 0 && (others == 0 || self.rng.once_in(TICK_ODDS)) {
            return Choice::Take(self.rng.member(ticks), Line::Clock);
        }
        match view.default_choice() {
            default @ (Choice::Take(..) | Choice::Delay(_) | Choice::Drain(_)) => default,
            Choice::Step(cpu) if others & 1 << cpu != 0 => Choice::Step(cpu),
            Choice::Step(_) if others != 0 => Choice::Step(self.rng.member(others)),
            Choice::Step(cpu) => {
                // No other CPU can continue, so this one must.
                if let Some(index) = self.place(view, cpu) {
                    self.progress[index] = Progress::Awaited;
                    self.passing |= 1 << cpu;
                }
                Choice::Step(cpu)
            }
        }
    }
}

impl Strategy for Meet {
    fn begin(&mut self) {
        self.inner.seek(self.run);
        self.inner.begin();
        self.rng = Rng::new(self.seed, self.run);
        let free = self.run % 4 == 3;
        self.patience = if free { 0 } else { PATIENCE };
        self.progress.fill(Progress::Awaited);
        for skip in &mut self.skips {
            *skip = match self.run % 2 {
                0 => 0,
                _ => self.rng.below(4),
            };
        }
        self.quiet = 0;
        self.passing = 0;
        self.run += 1;
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if self.patience > 0 {
            let held = self.look(view);
            if held != 0 {
                return Answer::now(self.divert(view, held));
            }
        }
        if self.quiet > 0 {
            self.quiet -= 1;
            return Answer::keep(view, 0);
        }
        let answer = self.inner.choose(view);
        if self.patience == 0 {
            return answer;
        }
        self.quiet = answer.quiet;
        Answer::now(answer.choice)
    }

    fn wants_alerts(&self) -> bool {
        self.inner.wants_alerts()
    }

    fn wants_low_only(&self) -> bool {
        self.patience == 0 && self.inner.wants_low_only()
    }

    fn wants_rehearsal(&self) -> bool {
        self.inner.wants_rehearsal()
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        self.inner.expect(rehearsal);
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
