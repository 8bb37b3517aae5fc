//! Uniform random walk (Zhao, Wolff, Mathur, Roychoudhury, 2025).
//!
//! A walk that gives each thread the same chance at each point hardly ever lets a long thread end before a short one, or one thread stand
//! still while six others go on. Here a thread's chance is the number of operations that it has still to make, so all orders of the
//! operations of all threads are about equally likely. How many there are is known from the default run.
//!
//! Threads that are still to come weigh, too: their operations count for the first thread, which probably creates them.

use kmod::config::Config;

use super::focus::Focused;
use super::sampling::{ENTITIES, Pick, Sampling};
use super::{Rehearsal, Rng, Steps};
use crate::machine::{View, members};

/// A uniform random walk, at the points of a [`Focus`](super::Focus).
pub type Urw = Sampling<Weights>;

/// Picks at random, by how much is left to do.
#[derive(Clone, Default, Debug)]
pub struct Weights {
    /// What the default run does.
    steps: Vec<Steps>,
    /// How many operations each context has still to make, by its number.
    left: Vec<u64>,
    /// Those of contexts that have not come into being.
    unborn: u64,
    /// The contexts that have been seen, or were there from the beginning.
    seen: Vec<bool>,
    /// The first of them.
    first: Option<usize>,
}

impl Weights {
    /// This context is there.
    fn meet(&mut self, context: usize) {
        if self.left.len() <= context {
            self.left.resize(context + 1, 1);
            self.seen.resize(context + 1, false);
        }
        if !self.seen[context] {
            self.seen[context] = true;
            self.unborn = self.unborn.saturating_sub(self.left[context]);
        }
        self.first = self.first.or(Some(context));
    }

    fn weight(&self, entity: usize, view: &View<'_>) -> u64 {
        if entity >= Config::MAXCPUS {
            return 1;
        }
        let context = view.context(entity);
        let children = match self.first == Some(context) {
            true => self.unborn,
            false => 0,
        };
        self.left[context].max(1) + children
    }
}

impl Pick for Weights {
    fn begin(&mut self, focused: &mut Focused) {
        self.left.fill(0);
        self.seen.fill(true);
        self.unborn = 0;
        for steps in self.steps.iter().filter(|steps| focused.holds(steps.at)) {
            self.left[steps.context] += steps.count;
            if steps.is_new {
                self.seen[steps.context] = false;
                self.unborn += steps.count;
            }
        }
        self.first = None;
    }

    fn pick(&mut self, able: u32, view: &View<'_>, rng: &mut Rng) -> usize {
        let cpus = able & ((1 << Config::MAXCPUS) - 1);
        for cpu in members(cpus) {
            self.meet(view.context(cpu));
        }
        let mut weights = [0; ENTITIES];
        let mut sum = 0;
        for entity in members(able) {
            weights[entity] = self.weight(entity, view);
            sum += weights[entity];
        }
        let mut drawn = rng.below(sum);
        let mut picked = able.trailing_zeros() as usize;
        for entity in members(able) {
            picked = entity;
            if drawn < weights[entity] {
                break;
            }
            drawn -= weights[entity];
        }
        if picked < Config::MAXCPUS {
            let left = &mut self.left[view.context(picked)];
            *left = left.saturating_sub(1);
        }
        picked
    }

    fn expect(&mut self, rehearsal: &Rehearsal) {
        if self.steps == rehearsal.steps {
            return;
        }
        self.steps.clone_from(&rehearsal.steps);
        let contexts = self.steps.iter().map(|steps| steps.context + 1).max();
        self.left = vec![0; contexts.unwrap_or(0)];
        self.seen = vec![false; self.left.len()];
    }
}
