//! The focus of a run: at which points a strategy switches.
//!
//! Of the 48 points of a small program of two threads five are the program's; the others are in the kernel that starts it, locks for
//! it and ends it. A bug of the program needs switches at the five, a bug of a primitive needs them inside the primitive.

use kmod::machine::At;
use kmod::part::{self, Part};
use rustc_hash::FxHashMap;

use super::Rng;

/// The seed for what a run looks at is combined with this.
const SEED: u64 = 0x666f_6375_7300;

/// At which points a strategy switches.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Focus {
    /// Those of the program: everything that is not the kernel's own code.
    #[default]
    Program,
    /// Those of the program, and of some modules of the kernel that each run draws.
    Modules,
    /// All.
    Everything,
}

impl Focus {
    /// All of them.
    pub const ALL: [Focus; 3] = [Focus::Program, Focus::Modules, Focus::Everything];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Focus::Program => "program",
            Focus::Modules => "modules",
            Focus::Everything => "everything",
        }
    }
}

/// The points of a run's focus.
#[derive(Clone, Default, Debug)]
pub struct Focused {
    focus: Focus,
    /// What modules are drawn with.
    draw: u64,
    /// One module in so many is in the focus.
    odds: u64,
    /// What is known of the places of this run.
    places: FxHashMap<At, bool>,
    /// The draw that the places are known for.
    known: Option<(Focus, u64)>,
}

impl Focused {
    /// Draws what run number `run` of `seed` looks at.
    pub(super) fn begin(&mut self, focus: Focus, seed: u64, run: u64) {
        self.focus = focus;
        let mut rng = Rng::new(seed ^ SEED, run);
        (self.draw, self.odds) = match focus {
            Focus::Modules => (rng.bits(), 2 << rng.below(3)),
            Focus::Program | Focus::Everything => (0, 1),
        };
        if self.known != Some((focus, self.draw)) {
            self.known = Some((focus, self.draw));
            self.places.clear();
        }
    }

    /// Whether a point at this place is in the focus.
    #[inline]
    pub(super) fn holds(&mut self, at: At) -> bool {
        if self.focus == Focus::Everything {
            return true;
        }
        match self.places.get(&at) {
            Some(holds) => *holds,
            None => self.look(at),
        }
    }

    #[cold]
    fn look(&mut self, at: At) -> bool {
        let holds = match at.location().map(|location| part::of(location.file())) {
            // An instruction's address: foreign code.
            None | Some(Part::Program) => true,
            Some(Part::Ground) => false,
            Some(Part::Module(name)) => self.focus == Focus::Modules && self.draws(name),
        };
        self.places.insert(at, holds);
        holds
    }

    /// Whether the run looks at this module. It must depend on nothing but the run and the name.
    fn draws(&self, module: &str) -> bool {
        let name = module
            .bytes()
            .fold(0, |sum: u64, byte| sum.wrapping_mul(257) + u64::from(byte));
        Rng::new(self.draw, name).once_in(self.odds)
    }
}
