//! Runs a script: each operation, if the LWP's state allows it.
//!
//! # Order of locks
//!
//! Outer mutexes in the order of their numbers; then rwlocks in the order of theirs; then the mutex of a condition
//! variable, or the locks of netinet and netipsec; then a leaf, or the roster; then a spin mutex. The interlock of
//! the localcounts is held alone. Only outer mutexes and rwlocks are held from one operation to the next, also across
//! sleeps and cross calls; handlers never enter those.

use crate::kern::kmem::{kmem_alloc, kmem_free};
use crate::kern::kthread::{self as kthreads, Options};
use crate::kern::lwp::{Arg, curcpu, curlwp};
use crate::kern::sleepq::Woken;
use crate::kern::softint;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch;
use crate::mem::{AtomicU32, Plain, Relaxed, Release};
use crate::note;
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::ops::form::Run;
use crate::scenario::ops::runner::{self, Runner, Runs};
use crate::scenario::ops::softint as softints;
use crate::scenario::ops::world::World;
use crate::scenario::ops::{arp, inet, key, localcount, percpu, psref, rwlock, workqueue};

/// An LWP that runs a script, and what it holds.
pub(crate) struct Actor {
    pub(super) lwp: Runner,
    pub(super) world: &'static World,
    /// The outer mutexes that it holds, one bit each.
    held: u32,
    /// Per-CPU storage, and references of both kinds.
    pub(super) percpus: percpu::Held,
    pub(super) localcounts: localcount::Held,
    pub(super) psrefs: psref::Held,
    pub(super) sas: key::Held,
    /// Whether it gave the interface an address, or started its timer.
    pub(super) configured: bool,
    pub(super) rwlocks: rwlock::Held,
    /// The softint that it has established.
    pub(super) softint: softints::Established,
    pub(super) works: workqueue::Sent,
    pub(super) arps: arp::Kept,
}

/// The function of LWP `index`.
pub(super) fn run(index: Arg) {
    let l = curlwp();
    let world: &'static World = shared(l.kernel().data());
    let mut actor = Actor {
        lwp: Runner::begin(&world.scripts, index.0),
        world,
        held: 0,
        percpus: percpu::Held::new(),
        localcounts: localcount::Held::new(),
        psrefs: psref::Held::new(),
        sas: key::Held::new(),
        configured: false,
        rwlocks: rwlock::Held::default(),
        softint: softints::Established::default(),
        works: workqueue::Sent::default(),
        arps: arp::Kept::default(),
    };
    let script = world.scripts.script(index.0);
    for op in script.ops() {
        note!("{}: {op}", l.name());
        match op.form().run {
            Run::Lwp(run) => run(&mut actor, op.operands),
            Run::Ops(run) => run(&mut actor, op.operands),
            Run::Softnet(_) => unreachable!("{op} is of another language"),
        }
        actor.check();
    }
    actor.end();
    actor.lwp.end();
}

impl Runs for Actor {
    fn runner(&mut self) -> &mut Runner {
        &mut self.lwp
    }

    fn check(&self) {
        self.lwp.check();
        self.localcounts.check();
        self.psrefs.check(self.world);
        self.sas.check();
    }

    fn may_move(&self) -> bool {
        self.psrefs.is_empty()
    }
}

impl Actor {
    /// Whether it holds nothing that another LWP could wait for.
    pub(super) fn holds_nothing(&self) -> bool {
        let references =
            self.localcounts.is_empty() && self.psrefs.is_empty() && self.sas.is_empty();
        self.held == 0 && self.rwlocks.is_empty() && references
    }

    /// Releases everything.
    fn end(&mut self) {
        key::end(self);
        psref::end(self);
        localcount::end(self);
        percpu::end(self);
        while self.lwp.binds() > 0 {
            runner::curlwp_bindx(self, [0; 2]);
        }
        rwlock::end(self);
        while self.held != 0 {
            mutex_exit(self, [0; 2]);
        }
        callout_halt(self, [0; 2]);
        softints::disestablish(self, [0; 2]);
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

pub(super) fn callout_reset(actor: &mut Actor, [ticks, _]: [u8; 2]) {
    let timer = &actor.world.timers[actor.lwp.index];
    actor.world.allow(actor.lwp.index, true);
    timer.armed.fetch_add(1, Relaxed);
    timer.callout.schedule(u32::from(ticks));
}

pub(super) fn callout_repeat(actor: &mut Actor, [late, _]: [u8; 2]) {
    let timer = &actor.world.timers[actor.lwp.index];
    timer.repeats.store(1 + u32::from(late), Relaxed);
    callout_reset(actor, [1, 0]);
}

pub(super) fn callout_stop(actor: &mut Actor, _: [u8; 2]) {
    // The result says whether it had fired, not whether it was pending; it is not needed here.
    let _fired = actor.world.timers[actor.lwp.index].callout.stop();
}

pub(super) fn callout_halt(actor: &mut Actor, _: [u8; 2]) {
    let timer = &actor.world.timers[actor.lwp.index];
    let _waited = timer.callout.halt(None);
    actor.world.allow(actor.lwp.index, false);
    timer.repeats.store(0, Relaxed);
}

pub(super) fn callout_barrier(actor: &mut Actor, _: [u8; 2]) {
    let callout = &actor.world.timers[actor.lwp.index].callout;
    let before = callout.state();
    let _waited = callout.barrier();
    let after = callout.state();
    if before.running && after.running && before.runs == after.runs {
        broken_promise(
            "callout-barrier",
            format_args!(
                "callout_barrier returned to {} while the handler runs that ran before",
                curlwp().name()
            ),
        );
    }
}

pub(super) fn callout_halt_locked(actor: &mut Actor, _: [u8; 2]) {
    let timer = &actor.world.timers[actor.lwp.index];
    let interlock = &actor.world.leaves[0];
    interlock.mutex.enter();
    let before = interlock.touch();
    let waited = timer.callout.halt(Some(&interlock.mutex));
    actor.world.allow(actor.lwp.index, false);
    let after = interlock.touch();
    if !waited && after != before + 1 {
        broken_promise(
            "callout-interlock",
            format_args!(
                "callout_halt told {} that it did not wait, and others have been inside its interlock",
                curlwp().name()
            ),
        );
    }
    interlock.mutex.exit();
    timer.repeats.store(0, Relaxed);
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
        format_args!("child/{}", actor.lwp.index),
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
