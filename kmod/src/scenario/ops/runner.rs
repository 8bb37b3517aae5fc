//! An LWP that runs a script, whatever its language, and the operations that are about itself.
//!
//! Who binds itself is moved by nobody: that is checked after each operation. The roster tells who runs, so that an LWP
//! can have another one moved; under its mutex an LWP that is found there does not end.

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

/// The scripts of a program, and who runs them.
pub(crate) struct Scripts {
    scripts: [Plain<Script>; MAX_LWPS],
    /// Protects `lwps`: an LWP that is found there does not end meanwhile. The last of the adaptive mutexes.
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

    /// What LWP `index` is to run.
    pub(crate) fn script(&self, index: usize) -> Script {
        self.scripts[index].get()
    }

    /// Says which LWP runs a script, or that it has ended.
    fn enlist(&self, index: usize, l: Option<&'static Lwp>) {
        self.roster.enter();
        self.lwps[index].set(l);
        self.roster.exit();
    }
}

/// Who runs a script: what it holds is the language's affair.
pub(crate) trait Runs {
    /// What every LWP has.
    fn runner(&mut self) -> &mut Runner;

    /// What must hold between two operations.
    fn check(&self);

    /// Whether nothing that it holds keeps it on its CPU.
    fn may_move(&self) -> bool;
}

/// What an LWP that runs a script has in every language.
pub(crate) struct Runner {
    scripts: &'static Scripts,
    pub(crate) index: usize,
    /// The times for which it is bound, one inside of the other.
    bound: [Option<Bound>; 2],
}

impl Runner {
    /// The current LWP runs script `index` from now on.
    pub(crate) fn begin(scripts: &'static Scripts, index: usize) -> Runner {
        scripts.enlist(index, Some(curlwp()));
        Runner {
            scripts,
            index,
            bound: [None, None],
        }
    }

    /// It has run it, and is not bound any more.
    pub(crate) fn end(&self) {
        self.scripts.enlist(self.index, None);
    }

    /// How often it is bound.
    pub(crate) fn binds(&self) -> usize {
        self.bound.iter().flatten().count()
    }

    /// If it is bound, it is where it was.
    pub(crate) fn check(&self) {
        self.bound.iter().flatten().for_each(Bound::check);
    }

    /// Stays on this CPU, at least until the operation that ends it.
    pub(crate) fn bind(&mut self) {
        let binds = self.binds();
        if let Some(place) = self.bound.get_mut(binds) {
            *place = Some(Bound::begin());
        }
    }

    /// Ends the innermost time for which it is bound.
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

/// Has another LWP moved, `cpu` CPUs further than the next: LWP `lwp` or the first after it that runs a script.
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
        // Who moves LWPs spares those that are bound; one that binds itself later is `mi_switch`'s to spare.
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
