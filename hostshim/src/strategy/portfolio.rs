//! Several strategies in turn.

use super::{Answer, Pct, Random, Strategy};
use crate::machine::View;

/// A random walk and PCT in turn.
///
/// Run `2 i` is run `i` of [`Random`] and run `2 i + 1` is run `i` of [`Pct`].
#[derive(Clone, Debug)]
pub struct Portfolio {
    random: Random,
    pct: Pct,
    run: u64,
    /// Whether this run is PCT's.
    is_pct: bool,
}

impl Portfolio {
    /// The runs of `seed`.
    pub fn new(seed: u64) -> Portfolio {
        Portfolio {
            random: Random::new(seed),
            pct: Pct::new(seed),
            run: 0,
            is_pct: false,
        }
    }
}

impl Strategy for Portfolio {
    fn begin(&mut self) {
        self.is_pct = self.run % 2 == 1;
        if self.is_pct {
            self.pct.seek(self.run / 2);
            self.pct.begin();
        } else {
            self.random.seek(self.run / 2);
            self.random.begin();
        }
        self.run += 1;
    }

    fn wants_alerts(&self) -> bool {
        if self.is_pct {
            self.pct.wants_alerts()
        } else {
            self.random.wants_alerts()
        }
    }

    fn wants_low_only(&self) -> bool {
        if self.is_pct {
            self.pct.wants_low_only()
        } else {
            self.random.wants_low_only()
        }
    }

    fn wants_length(&self) -> bool {
        self.random.wants_length() || self.pct.wants_length()
    }

    fn expect(&mut self, points: u64) {
        self.random.expect(points);
        self.pct.expect(points);
    }

    fn choose(&mut self, view: &View<'_>) -> Answer {
        if self.is_pct {
            self.pct.choose(view)
        } else {
            self.random.choose(view)
        }
    }

    fn seek(&mut self, run: u64) {
        self.run = run;
    }
}
