//! Partial order sampling (Yuan, Yang, Gu, 2018).
//!
//! The next operation of each CPU has a random priority. The highest goes first. Then the priorities of those operations that it
//! conflicts with are drawn anew: they are what its order matters to. Operations that depend on nothing keep theirs, so all
//! orders of the dependent ones are about equally likely, however many other steps there are.

use kmod::config::Config;
use kmod::machine::{At, Kind};

use super::Rng;
use super::focus::Focused;
use super::sampling::{ENTITIES, Pick, Sampling};
use crate::machine::{View, members};

/// Partial order sampling, at the points of a [`Focus`](super::Focus).
pub type Pos = Sampling<Priorities>;

/// Picks the operation with the highest priority.
#[derive(Clone, Default, Debug)]
pub struct Priorities {
    entities: [Entity; ENTITIES],
    /// The one that was picked last.
    last: Option<usize>,
}

/// The next operation of a CPU, or an interrupt that it can take.
#[derive(Clone, Copy, Default, Debug)]
struct Entity {
    /// What the priority was drawn for.
    next: Option<Next>,
    priority: u64,
    /// Whether it is a read, which conflicts with no other.
    reads: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Next {
    context: usize,
    addr: usize,
    at: Option<At>,
}

impl Priorities {
    /// The operation that was picked last has been made: what conflicts with it is drawn anew.
    fn made(&mut self) {
        let Some(last) = self.last.take() else {
            return;
        };
        let made = std::mem::take(&mut self.entities[last]);
        let Some(addr) = made.next.map(|next| next.addr).filter(|addr| *addr != 0) else {
            return;
        };
        for entity in &mut self.entities {
            let conflicts = entity.next.is_some_and(|next| next.addr == addr);
            if conflicts && !(made.reads && entity.reads) {
                entity.next = None;
            }
        }
    }

    /// The entity's priority for what it does next.
    fn priority(&mut self, entity: usize, view: &View<'_>, rng: &mut Rng) -> u64 {
        let (context, op) = match entity < Config::MAXCPUS {
            true => (view.context(entity), view.op(entity)),
            false => (0, None),
        };
        let next = Next {
            context,
            addr: op.map_or(0, |(op, _)| op.addr),
            at: op.map(|(_, at)| at),
        };
        let held = &mut self.entities[entity];
        if held.next != Some(next) {
            *held = Entity {
                next: Some(next),
                priority: rng.bits(),
                reads: op.is_some_and(|(op, _)| matches!(op.kind, Kind::Load | Kind::Read)),
            };
        }
        held.priority
    }
}

impl Pick for Priorities {
    fn begin(&mut self, _focused: &mut Focused) {
        *self = Priorities::default();
    }

    fn pick(&mut self, able: u32, view: &View<'_>, rng: &mut Rng) -> usize {
        self.made();
        let mut highest = (0, 0);
        for entity in members(able) {
            highest = highest.max((self.priority(entity, view, rng), entity));
        }
        self.last = Some(highest.1);
        highest.1
    }
}
