//! An LWP that runs a script of any language, and the operations on the LWP itself.
//!
//! An LWP that binds itself must not be moved; this is checked after each operation. The roster lists the running
//! LWPs, so that an LWP can move another one. An LWP in the roster does not end while its mutex is held.

use crate::kern::lwp::{Lwp, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::sched;
use crate::kern::spl::Ipl;
use crate::kern::synch;
use crate::kern::xcall::Priority;
use crate::mem::Plain;
use crate::scenario::ops::{MAX_LWPS, Program, Script};
use crate::scenario::promise::{self, Bound};

/// The names of the LWPs.
pub(crate) const LWP_NAMES: [&str; MAX_LWPS] = ["l0", "l1", "l2", "l3", "l4", "l5"];

/// The scripts of a program, and the LWPs that run them.
pub(crate) struct Scripts {
    scripts: [Plain<Script>; MAX_LWPS],
    /// Protects `lwps`: an LWP that is found there does not end in the meantime. The last in the order of adaptive
    /// mutexes.
    roster: Kmutex,
    lwps: [Plain<Option<&'static Lwp>>; MAX_LWPS],
}

crate::fields!(Scripts { roster, lwps });

impl Scripts {
    pub(crate) const fn new() -> Self {
        Scripts {
            scripts: [const { Plain::new(Script::EMPTY) }; MAX_LWPS],
            roster: Kmutex::new("roster", Ipl::None),
            lwps: [const { Plain::new(None) }; MAX_LWPS],
        }
    }

    /// Context: the host, before the LWPs run.
    pub(crate) fn load(&self, program: &Program) {
        for (place, script) in self.scripts.iter().zip(&program.scripts) {
            place.set_fused(*script);
        }
    }

    /// The script of LWP `index`.
    pub(crate) fn script(&self, index: usize) -> Script {
        self.scripts[index].get()
    }

    /// Records which LWP runs a script, or that it has ended.
    fn enlist(&self, index: usize, l: Option<&'static Lwp>) {
        self.roster.enter();
        self.lwps[index].set(l);
        self.roster.exit();
    }
}

/// An LWP that runs a script. What it holds depends on the language.
pub(crate) trait Runs {
    /// The part that every LWP has.
    fn runner(&mut self) -> &mut Runner;

    /// Checks what must hold between two operations.
    fn check(&self);

    /// Whether nothing that it holds binds it to its CPU.
    fn may_move(&self) -> bool;
}

/// The state of an LWP that runs a script, in every language.
pub(crate) struct Runner {
    scripts: &'static Scripts,
    pub(crate) index: usize,
    /// The bindings that are in effect, nested.
    bound: [Option<Bound>; 2],
}

impl Runner {
    /// The current LWP starts script `index`.
    pub(crate) fn begin(scripts: &'static Scripts, index: usize) -> Runner {
        scripts.enlist(index, Some(curlwp()));
        Runner {
            scripts,
            index,
            bound: [None, None],
        }
    }

    /// It has finished the script, and is no longer bound.
    pub(crate) fn end(&self) {
        self.scripts.enlist(self.index, None);
    }

    /// The number of bindings in effect.
    pub(crate) fn binds(&self) -> usize {
        self.bound.iter().flatten().count()
    }

    /// Checks that a bound LWP is where it was.
    pub(crate) fn check(&self) {
        self.bound.iter().flatten().for_each(Bound::check);
    }

    /// Stays on this CPU, at least until the operation that undoes this.
    pub(crate) fn bind(&mut self) {
        let binds = self.binds();
        if let Some(place) = self.bound.get_mut(binds) {
            *place = Some(Bound::begin());
        }
    }

    /// Undoes the innermost binding.
    fn unbind(&mut self) {
        let innermost = self.bound.iter_mut().rev().find_map(Option::take);
        if let Some(bound) = innermost {
            bound.end();
        }
    }
}

pub(super) fn kpause(_: &mut dyn Runs, [ticks, _]: [u8; 2]) {
    synch::kpause("ops", u32::from(ticks), None);
}

pub(super) fn xc_broadcast(_: &mut dyn Runs, _: [u8; 2]) {
    promise::broadcast_and_wait(Priority::Low);
}

pub(super) fn xc_broadcast_high(_: &mut dyn Runs, [level, _]: [u8; 2]) {
    promise::broadcast_and_wait(Priority::High(Ipl::from_number(level)));
}

pub(super) fn xc_unicast(_: &mut dyn Runs, [cpu, _]: [u8; 2]) {
    promise::unicast_and_wait(Priority::Low, cpu as usize);
}

pub(super) fn xc_unicast_high(_: &mut dyn Runs, [cpu, level]: [u8; 2]) {
    promise::unicast_and_wait(Priority::High(Ipl::from_number(level)), cpu as usize);
}

pub(crate) fn curlwp_bind(actor: &mut dyn Runs, _: [u8; 2]) {
    actor.runner().bind();
}

pub(crate) fn curlwp_bindx(actor: &mut dyn Runs, _: [u8; 2]) {
    let may_move = actor.may_move();
    let binds = actor.runner().binds();
    if binds > 1 || binds == 1 && may_move {
        actor.runner().unbind();
    }
}

/// Moves another LWP by `cpu` CPUs more than one: LWP `lwp`, or the first after it that runs a script.
pub(super) fn lwp_migrate(actor: &mut dyn Runs, [lwp, cpu]: [u8; 2]) {
    let cpus = curlwp().kernel().cpus();
    if cpus.len() < 2 {
        return;
    }
    let Runner { scripts, index, .. } = *actor.runner();
    scripts.roster.enter();
    let count = scripts.lwps.len();
    let mut others = (0..count)
        .map(|further| (lwp as usize + further) % count)
        .filter(|other| *other != index);
    if let Some(l) = others.find_map(|other| scripts.lwps[other].get()) {
        l.lock();
        // A thread that moves LWPs skips those that are bound; `mi_switch` must skip one that binds itself later.
        if l.is_bound() {
            l.unlock();
        } else {
            let further = 1 + cpu as usize % (cpus.len() - 1);
            let target = (l.cpu_fused().index() + further) % cpus.len();
            sched::lwp_migrate(l, &cpus[target]);
        }
    }
    scripts.roster.exit();
}

pub(super) fn yield_now(_: &mut dyn Runs, _: [u8; 2]) {
    synch::yield_now();
}
