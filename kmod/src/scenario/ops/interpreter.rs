//! Runs a script: each operation, if the LWP's state allows it.
//!
//! # Order of locks
//!
//! Outer mutexes in the order of their numbers; then rwlocks in the order of theirs; then the mutex of a condition
//! variable, or the locks of netinet and netipsec; then a leaf, or the roster; then a spin mutex. The interlock of the
//! localcounts is alone. Only outer mutexes and rwlocks are held from one operation to the next, over sleeps and cross
//! calls too; handlers never take those.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::kthread::{self as kthreads, Options};
use crate::kern::lwp::{self, Arg, curcpu, curlwp};
use crate::kern::sleepq::Woken;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch;
use crate::kern::xcall::Priority;
use crate::kern::{sched, softint};
use crate::mem::{AtomicU32, Plain, Relaxed, Release};
use crate::note;
use crate::scenario::classics::shared;
use crate::scenario::ops::world::World;
use crate::scenario::ops::{arp, inet, key, localcount, percpu, psref, rwlock, workqueue};
use crate::scenario::{broken_promise, promise};

/// An LWP that runs a script: what it holds.
pub(crate) struct Actor {
    pub(super) world: &'static World,
    pub(super) index: usize,
    /// Outer mutexes held, a bit each.
    held: u32,
    /// Results of `curlwp_bind` that were not given back, and the CPU since the first.
    bound: [u32; 2],
    pub(super) binds: usize,
    cpu: usize,
    /// Per-CPU storage, and references of both kinds.
    pub(super) percpus: percpu::Held,
    pub(super) localcounts: localcount::Held,
    pub(super) psrefs: psref::Held,
    pub(super) sas: key::Held,
    /// Whether it gave the interface an address, or started its timer.
    pub(super) configured: bool,
    pub(super) rwlocks: rwlock::Held,
    pub(super) works: workqueue::Sent,
    pub(super) arps: arp::Kept,
}

/// The function of LWP `index`.
pub(super) fn run(index: Arg) {
    let l = curlwp();
    let world: &'static World = shared(l.kernel().data());
    let index = index.0;
    world.enlist(index, Some(l));
    let mut actor = Actor {
        world,
        index,
        held: 0,
        bound: [0; 2],
        binds: 0,
        cpu: 0,
        percpus: percpu::Held::new(),
        localcounts: localcount::Held::new(),
        psrefs: psref::Held::new(),
        sas: key::Held::new(),
        configured: false,
        rwlocks: rwlock::Held::default(),
        works: workqueue::Sent::default(),
        arps: arp::Kept::default(),
    };
    let script = world.scripts[index].get();
    for op in script.ops() {
        note!("{}: {op}", l.name());
        (op.form().run)(&mut actor, op.operands);
        actor.check();
    }
    actor.end();
    world.enlist(index, None);
}

impl Actor {
    fn check(&self) {
        if self.binds > 0 {
            let here = curcpu().index();
            if here != self.cpu {
                broken_promise(
                    "bound-moved",
                    format_args!(
                        "{} is bound since it ran on cpu{}, and runs on cpu{here}",
                        curlwp().name(),
                        self.cpu
                    ),
                );
            }
        }
        self.localcounts.check();
        self.psrefs.check(self.world);
        self.sas.check();
    }

    /// Whether it holds nothing that another LWP could wait for.
    pub(super) fn holds_nothing(&self) -> bool {
        let references =
            self.localcounts.is_empty() && self.psrefs.is_empty() && self.sas.is_empty();
        self.held == 0 && self.rwlocks.is_empty() && references
    }

    /// Gives everything back.
    fn end(&mut self) {
        key::end(self);
        psref::end(self);
        localcount::end(self);
        percpu::end(self);
        while self.binds > 0 {
            curlwp_bindx(self, [0; 2]);
        }
        rwlock::end(self);
        while self.held != 0 {
            mutex_exit(self, [0; 2]);
        }
        callout_halt(self, [0; 2]);
        arp::end(self);
        inet::end(self);
        workqueue::end(self);
    }
}

pub(super) fn mutex_enter(actor: &mut Actor, [mutex, _]: [u8; 2]) {
    // Lock order: by number, and before every rwlock.
    if actor.held >> mutex == 0 && actor.rwlocks.is_empty() {
        let guarded = &actor.world.mutexes[mutex as usize];
        guarded.mutex.enter();
        guarded.touch();
        actor.held |= 1 << mutex;
    }
}

pub(super) fn mutex_exit(actor: &mut Actor, _: [u8; 2]) {
    if actor.held != 0 {
        let mutex = actor.held.ilog2();
        actor.world.mutexes[mutex as usize].mutex.exit();
        actor.held &= !(1 << mutex);
    }
}

pub(super) fn leaf_section(actor: &mut Actor, [leaf, _]: [u8; 2]) {
    actor.world.leaves[leaf as usize].section();
}

pub(super) fn spin_section(actor: &mut Actor, [spin, _]: [u8; 2]) {
    actor.world.spins[spin as usize].section();
}

pub(super) fn cv_produce(actor: &mut Actor, [cv, _]: [u8; 2]) {
    let tokens = &actor.world.cvs[cv as usize];
    tokens.mutex.enter();
    tokens.tokens.set(tokens.tokens.get() + 1);
    tokens.produced.fetch_add(1, Relaxed);
    tokens.cv.signal();
    tokens.mutex.exit();
}

pub(super) fn cv_consume(actor: &mut Actor, [cv, ticks]: [u8; 2]) {
    let tokens = &actor.world.cvs[cv as usize];
    tokens.mutex.enter();
    while tokens.tokens.get() == 0 {
        if tokens.cv.timedwait(&tokens.mutex, u32::from(ticks)) == Woken::Timeout {
            break;
        }
    }
    let left = tokens.tokens.get();
    if left > 0 {
        tokens.tokens.set(left - 1);
        tokens.consumed.fetch_add(1, Relaxed);
    }
    tokens.mutex.exit();
}

pub(super) fn kpause(_: &mut Actor, [ticks, _]: [u8; 2]) {
    synch::kpause("ops", u32::from(ticks), None);
}

pub(super) fn xc_broadcast(_: &mut Actor, _: [u8; 2]) {
    promise::broadcast_and_wait(Priority::Low);
}

pub(super) fn xc_broadcast_high(_: &mut Actor, [level, _]: [u8; 2]) {
    promise::broadcast_and_wait(Priority::High(Ipl::from_number(level)));
}

pub(super) fn xc_unicast(_: &mut Actor, [cpu, _]: [u8; 2]) {
    promise::unicast_and_wait(Priority::Low, cpu as usize);
}

pub(super) fn xc_unicast_high(_: &mut Actor, [cpu, level]: [u8; 2]) {
    promise::unicast_and_wait(Priority::High(Ipl::from_number(level)), cpu as usize);
}

pub(super) fn callout_reset(actor: &mut Actor, [ticks, _]: [u8; 2]) {
    let timer = &actor.world.timers[actor.index];
    actor.world.allow(actor.index, true);
    timer.armed.set(timer.armed.get() + 1);
    timer.callout.schedule(u32::from(ticks));
}

pub(super) fn callout_stop(actor: &mut Actor, _: [u8; 2]) {
    // Whether it had fired, and not whether it was pending: nothing follows from it here.
    let _fired = actor.world.timers[actor.index].callout.stop();
}

pub(super) fn callout_halt(actor: &mut Actor, _: [u8; 2]) {
    let _waited = actor.world.timers[actor.index].callout.halt(None);
    actor.world.allow(actor.index, false);
}

pub(super) fn softint_schedule(actor: &mut Actor, [number, _]: [u8; 2]) {
    let request = &actor.world.requests[number as usize];
    if let Some(softint) = request.softint() {
        synch::kpreempt_disable();
        request.requested.fetch_add(1, Release);
        softint::schedule(softint);
        synch::kpreempt_enable();
    }
}

pub(super) fn softint_schedule_cpu(actor: &mut Actor, [number, cpu]: [u8; 2]) {
    let cpus = curlwp().kernel().cpus();
    let request = &actor.world.requests[number as usize];
    if let Some(softint) = request.softint() {
        synch::kpreempt_disable();
        request.requested.fetch_add(1, Release);
        softint::schedule_cpu(softint, &cpus[cpu as usize % cpus.len()]);
        synch::kpreempt_enable();
    }
}

pub(super) fn curlwp_bind(actor: &mut Actor, _: [u8; 2]) {
    if actor.binds < actor.bound.len() {
        actor.bound[actor.binds] = lwp::curlwp_bind();
        if actor.binds == 0 {
            actor.cpu = curcpu().index();
        }
        actor.binds += 1;
    }
}

pub(super) fn curlwp_bindx(actor: &mut Actor, _: [u8; 2]) {
    // With passive references it stays where it is.
    if actor.binds > 1 || actor.binds == 1 && actor.psrefs.is_empty() {
        actor.check();
        actor.binds -= 1;
        lwp::curlwp_bindx(actor.bound[actor.binds]);
    }
}

/// Has another LWP moved, `cpu` CPUs further than the next: LWP `lwp` or the first after it that runs a script.
pub(super) fn lwp_migrate(actor: &mut Actor, [lwp, cpu]: [u8; 2]) {
    let cpus = curlwp().kernel().cpus();
    if cpus.len() < 2 {
        return;
    }
    actor.world.roster.enter();
    let count = actor.world.lwps.len();
    let mut others = (0..count)
        .map(|further| (lwp as usize + further) % count)
        .filter(|index| *index != actor.index);
    if let Some(l) = others.find_map(|index| actor.world.lwps[index].get()) {
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
    actor.world.roster.exit();
}

pub(super) fn yield_now(_: &mut Actor, _: [u8; 2]) {
    synch::yield_now();
}

pub(super) fn spl_section(_: &mut Actor, [level, _]: [u8; 2]) {
    let level = Ipl::from_number(level);
    let before = spl::ilevel();
    let s = spl::splraise(level);
    let here = curcpu().index();
    synch::preempt_point();
    if curcpu().index() != here || spl::ilevel() < level {
        broken_promise(
            "spl",
            format_args!(
                "{} raised to {} and was moved or lowered",
                curlwp().name(),
                level.name()
            ),
        );
    }
    spl::splx(s);
    if spl::ilevel() != before {
        broken_promise(
            "spl",
            format_args!(
                "{} was at level {} before its section and is at {}",
                curlwp().name(),
                before.name(),
                spl::ilevel().name()
            ),
        );
    }
}

pub(super) fn kmem(_: &mut Actor, _: [u8; 2]) {
    if let Some(word) = kmem_alloc("ops word", Plain::new(1u32)) {
        word.set(word.get() + 1);
        // SAFETY: it came from `kmem_alloc` just now, and nobody else knows it.
        unsafe { kmem_free(word) };
    }
}

pub(super) fn kthread(actor: &mut Actor, [cpu, _]: [u8; 2]) {
    let kernel = curlwp().kernel();
    let Some(word) = kmem_alloc("ops child", AtomicU32::new(0)) else {
        return;
    };
    let options = Options {
        begin_on: cpu as usize,
        must_join: true,
        ..Options::default()
    };
    let child = kthreads::kthread_create(
        kernel,
        &options,
        |word| shared::<AtomicU32>(word).store(1, Relaxed),
        Arg::of(word),
        format_args!("child/{}", actor.index),
    );
    if let Some(child) = child {
        kthreads::kthread_join(child);
        if word.load(Relaxed) != 1 {
            broken_promise(
                "join",
                format_args!("kthread_join returned before the thread had run"),
            );
        }
    }
    // SAFETY: (1) it came from `kmem_alloc`; (2) the thread that used it has been joined, or was never made.
    unsafe { kmem_free(word) };
}
