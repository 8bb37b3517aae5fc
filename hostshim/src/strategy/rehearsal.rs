//! The rehearsal: the default run, which strategies are told of before they choose.
//!
//! A run depends only on the image, the seed and its number, so a strategy may not learn from earlier runs. But it may know the
//! default run, which is a part of what the image says.

use kmod::machine::At;
use rustc_hash::FxHashMap;

use super::{Answer, Strategy};
use crate::machine::View;
use crate::schedule::Choice;

/// What the default run from an image is like.
#[derive(Clone, Default, Debug)]
pub struct Rehearsal {
    /// Its points.
    pub points: u64,
    /// The allocations in it that may fail.
    pub requests: u64,
    /// How often each context stood at each place before it went on, by context.
    pub steps: Vec<Steps>,
}

/// Steps of a context from one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steps {
    /// The number of the context.
    pub context: usize,
    /// Whether it came into being in the run.
    pub is_new: bool,
    /// The place.
    pub at: At,
    /// How many.
    pub count: u64,
}

/// The default throughout, and counts its steps.
#[derive(Default, Debug)]
pub(crate) struct Rehearse {
    steps: FxHashMap<(usize, At), u64>,
    /// The contexts that are there when the run begins.
    old: Option<Vec<usize>>,
}

impl Rehearse {
    /// What was seen, of a run of so many points and requests.
    pub(crate) fn seen(self, points: u64, requests: u64) -> Rehearsal {
        let old = self.old.unwrap_or_default();
        let steps = self.steps.into_iter();
        let mut steps: Vec<Steps> = steps
            .map(|((context, at), count)| Steps {
                context,
                is_new: !old.contains(&context),
                at,
                count,
            })
            .collect();
        steps.sort_unstable_by_key(|steps| steps.context);
        Rehearsal {
            points,
            requests,
            steps,
        }
    }
}

impl Strategy for Rehearse {
    fn choose(&mut self, view: &View<'_>) -> Answer {
        self.old.get_or_insert_with(|| view.contexts().collect());
        if let Choice::Step(cpu) = view.default_choice()
            && let Some((_, at)) = view.op(cpu)
        {
            *self.steps.entry((view.context(cpu), at)).or_default() += 1;
        }
        Answer::keep(view, 0)
    }
}
