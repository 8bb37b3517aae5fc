//! The objects that programs of operations share, and their checks.

use crate::kern::callout::Callout;
use crate::kern::condvar::Kcondvar;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::mem::{AcqRel, Acquire, AtomicU32, Plain, Relaxed, Release};
use crate::scenario::broken_promise;
use crate::scenario::classics::shared;
use crate::scenario::key::Sad;
use crate::scenario::neighbour::Link;
use crate::scenario::ops::inet::Interface;
use crate::scenario::ops::localcount::{self, Localcounts};
use crate::scenario::ops::percpu::{self, Percpus};
use crate::scenario::ops::psref::{self, Psrefs};
use crate::scenario::ops::runner::Scripts;
use crate::scenario::ops::{MAX_LWPS, pcq, rwlock, workqueue};

pub(super) const MUTEXES: usize = 3;
pub(super) const LEAVES: usize = 2;
pub(super) const SPINS: usize = 2;
pub(super) const CVS: usize = 2;
pub(super) const SOFTINTS: usize = 5;
/// Every level, and one level twice, because two softints of one level wait for each other.
const SOFTINT_LEVELS: [Ipl; SOFTINTS] = [
    Ipl::SoftClock,
    Ipl::SoftBio,
    Ipl::SoftNet,
    Ipl::SoftNet,
    Ipl::SoftSerial,
];

/// A mutex, and a count that only its owner touches.
pub(super) struct Guarded {
    pub(super) mutex: Kmutex,
    inside: Plain<u32>,
    sections: Plain<u32>,
    /// Sections that have ended, counted without the mutex: the two counts must agree at rest.
    ended: AtomicU32,
}

crate::fields!(Guarded {
    mutex,
    inside,
    sections,
    ended
});

impl Guarded {
    const fn new(name: &'static str, ipl: Ipl) -> Self {
        Guarded {
            mutex: Kmutex::new(name, ipl),
            inside: Plain::new(0),
            sections: Plain::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// Done by every owner: checks that it is alone, and counts. Gives the count.
    pub(super) fn touch(&self) -> u32 {
        let inside = self.inside.get();
        if inside != 0 {
            broken_promise(
                "mutual-exclusion",
                format_args!(
                    "{} is inside {}, and so is another",
                    curlwp().name(),
                    self.mutex.name()
                ),
            );
        }
        self.inside.set(1);
        let sections = self.sections.get() + 1;
        self.sections.set(sections);
        self.inside.set(0);
        self.ended.fetch_add(1, Relaxed);
        sections
    }

    /// A whole section.
    pub(super) fn section(&self) {
        self.mutex.enter();
        self.touch();
        self.mutex.exit();
    }

    fn verify(&self) {
        let (sections, ended) = (self.sections.peek(), self.ended.peek());
        if sections != ended || self.mutex.owner().is_some() {
            broken_promise(
                "mutual-exclusion",
                format_args!(
                    "{ended} sections under {} were counted as {sections}, and {} owns it at the end",
                    self.mutex.name(),
                    if self.mutex.owner().is_some() {
                        "somebody"
                    } else {
                        "nobody"
                    }
                ),
            );
        }
    }
}

/// Tokens that are produced and consumed under a condition variable.
pub(super) struct Tokens {
    pub(super) mutex: Kmutex,
    pub(super) cv: Kcondvar,
    pub(super) tokens: Plain<u32>,
    pub(super) produced: AtomicU32,
    pub(super) consumed: AtomicU32,
}

crate::fields!(Tokens {
    mutex,
    cv,
    tokens,
    produced,
    consumed
});

impl Tokens {
    const fn new(name: &'static str) -> Self {
        Tokens {
            mutex: Kmutex::new(name, Ipl::None),
            cv: Kcondvar::new("tokens"),
            tokens: Plain::new(0),
            produced: AtomicU32::new(0),
            consumed: AtomicU32::new(0),
        }
    }

    fn verify(&self) {
        let (produced, consumed, left) = (
            self.produced.peek(),
            self.consumed.peek(),
            self.tokens.peek(),
        );
        if produced != consumed + left {
            broken_promise(
                "tokens",
                format_args!(
                    "{produced} tokens were produced, {consumed} consumed, and {left} are left"
                ),
            );
        }
    }
}

/// A callout of one LWP, and the state that its owner expects.
pub(super) struct Timer {
    pub(super) callout: Callout,
    /// 1 from the owner's call of `callout_reset`, 0 from the return of its `callout_halt`.
    pub(super) allowed: AtomicU32,
    /// How often it was scheduled.
    pub(super) armed: AtomicU32,
    /// Whether its handler schedules it again: before (1) or after (2) its work. Until it is halted.
    pub(super) repeats: AtomicU32,
    pub(super) fired: AtomicU32,
}

crate::fields!(Timer {
    callout,
    allowed,
    armed,
    repeats,
    fired
});

impl Timer {
    const fn new() -> Self {
        Timer {
            callout: Callout::new(),
            allowed: AtomicU32::new(0),
            armed: AtomicU32::new(0),
            repeats: AtomicU32::new(0),
            fired: AtomicU32::new(0),
        }
    }
}

impl Timer {
    /// The handler schedules it again, also while its owner halts it.
    fn again(&self) {
        self.armed.fetch_add(1, Relaxed);
        self.callout.schedule(1);
    }
}

/// The handler of a timer.
pub(super) fn timer_fires(timer: Arg) {
    let world: &World = shared(curlwp().kernel().data());
    let timer = &world.timers[timer.0];
    if timer.allowed.load(Acquire) == 0 {
        broken_promise(
            "callout-halted",
            format_args!(
                "a callout runs on {} after its callout_halt returned",
                curlwp().name()
            ),
        );
    }
    timer.fired.fetch_add(1, Relaxed);
    let repeats = timer.repeats.load(Relaxed);
    if repeats == 1 {
        timer.again();
    }
    world.leaves[0].section();
    if repeats == 2 {
        timer.again();
    }
    if timer.allowed.load(Acquire) == 0 {
        broken_promise(
            "callout-halted",
            format_args!(
                "callout_halt returned while the handler still ran on {}",
                curlwp().name()
            ),
        );
    }
}

/// A softint, the number of requests made, and the number seen.
pub(super) struct Request {
    softint: Plain<Option<Softint>>,
    pub(super) requested: AtomicU32,
    seen: AtomicU32,
}

crate::fields!(Request {
    softint,
    requested,
    seen
});

impl Request {
    const fn new() -> Self {
        Request {
            softint: Plain::new(None),
            requested: AtomicU32::new(0),
            seen: AtomicU32::new(0),
        }
    }

    pub(super) fn softint(&self) -> Option<Softint> {
        self.softint.peek()
    }
}

fn softint_runs(request: Arg) {
    let world: &World = shared(curlwp().kernel().data());
    let index = request.0;
    let request = &world.requests[index];
    let requested = request.requested.load(Acquire);
    let mut seen = request.seen.load(Relaxed);
    while seen < requested {
        match request
            .seen
            .compare_exchange(seen, requested, AcqRel, Relaxed)
        {
            Ok(_) => break,
            Err(now) => seen = now,
        }
    }
    let level = SOFTINT_LEVELS[index];
    world.interface.lookup();
    percpu::softint(world, level);
    localcount::softint(world, index);
    // It blocks there, sometimes, with a reference held.
    psref::softint(world, level, index, || world.leaves[1].section());
}

/// Everything that programs share.
pub(super) struct World {
    pub(super) scripts: Scripts,
    /// Entered in this order, and held across sleeps and cross calls. No handler enters them.
    pub(super) mutexes: [Guarded; MUTEXES],
    /// Held briefly. Handlers of callouts and softints enter them.
    pub(super) leaves: [Guarded; LEAVES],
    pub(super) spins: [Guarded; SPINS],
    pub(super) cvs: [Tokens; CVS],
    pub(super) timers: [Timer; MAX_LWPS],
    pub(super) requests: [Request; SOFTINTS],
    pub(super) percpus: Percpus,
    pub(super) localcounts: Localcounts,
    pub(super) psrefs: Psrefs,
    pub(super) interface: Interface,
    pub(super) sad: Sad,
    pub(super) rwlocks: rwlock::Objects,
    pub(super) workqueues: workqueue::Objects,
    pub(super) pcq: pcq::Objects,
    pub(super) link: Link,
}

crate::fields!(World {
    scripts,
    mutexes,
    leaves,
    spins,
    cvs,
    timers,
    requests,
    percpus,
    localcounts,
    psrefs,
    interface,
    sad,
    rwlocks,
    workqueues,
    pcq,
    link
});

impl World {
    pub(super) fn new() -> Self {
        World {
            scripts: Scripts::new(),
            mutexes: [
                Guarded::new("m0", Ipl::None),
                Guarded::new("m1", Ipl::None),
                Guarded::new("m2", Ipl::SoftNet),
            ],
            leaves: [
                Guarded::new("leaf0", Ipl::SoftClock),
                Guarded::new("leaf1", Ipl::SoftNet),
            ],
            spins: [
                Guarded::new("spin0", Ipl::Vm),
                Guarded::new("spin1", Ipl::High),
            ],
            cvs: [Tokens::new("cv0"), Tokens::new("cv1")],
            timers: [const { Timer::new() }; MAX_LWPS],
            requests: [const { Request::new() }; SOFTINTS],
            percpus: Percpus::new(),
            localcounts: Localcounts::new(),
            psrefs: Psrefs::new(),
            interface: Interface::new(),
            sad: Sad::new(),
            rwlocks: rwlock::Objects::new(),
            workqueues: workqueue::Objects::new(),
            pcq: pcq::Objects::new(),
            link: Link::new(),
        }
    }

    /// Establishes softints and callouts. At boot.
    pub(super) fn establish(&'static self, kernel: &'static Kernel) {
        for (index, request) in self.requests.iter().enumerate() {
            let level = SOFTINT_LEVELS[index];
            let softint =
                softint::establish_at_boot(kernel.cpus(), level, softint_runs, Arg(index));
            request.softint.set(softint);
        }
        for (index, timer) in self.timers.iter().enumerate() {
            timer.callout.init(kernel.cpu(0));
            timer.callout.setfunc(timer_fires, Arg(index));
        }
        self.percpus.establish();
        self.localcounts.establish();
        self.psrefs.establish();
        self.interface.init(kernel);
        self.sad.init();
        self.pcq.establish(kernel);
        self.link.init(kernel, self.interface.softnet_lock());
    }

    /// Disestablishes the softints. At rest.
    pub(super) fn disestablish(&self, kernel: &'static Kernel) {
        for request in &self.requests {
            if let Some(softint) = request.softint.peek() {
                softint::disestablish_at_rest(kernel, softint);
            }
        }
        self.psrefs.disestablish();
        self.localcounts.disestablish();
        self.percpus.disestablish();
        self.pcq.disestablish(kernel);
    }

    /// Checks what must hold when all LWPs have ended.
    pub(super) fn verify(&self, kernel: &'static Kernel) {
        self.percpus.verify(kernel);
        self.localcounts.verify(kernel);
        self.psrefs.verify();
        self.interface.verify();
        self.sad.fini(kernel);
        self.mutexes
            .iter()
            .chain(&self.leaves)
            .chain(&self.spins)
            .for_each(Guarded::verify);
        self.cvs.iter().for_each(Tokens::verify);
        self.rwlocks.verify();
        self.workqueues.verify();
        self.pcq.verify();
        self.link.fini(kernel);
        for timer in &self.timers {
            if timer.callout.peek_pending() {
                broken_promise(
                    "callout-halted",
                    format_args!("a callout is pending after its LWP halted it and ended"),
                );
            }
            if timer.fired.peek() > timer.armed.peek() {
                broken_promise(
                    "callout-count",
                    format_args!(
                        "a callout was armed {} times and ran {} times",
                        timer.armed.peek(),
                        timer.fired.peek()
                    ),
                );
            }
        }
        for request in &self.requests {
            let (requested, seen) = (request.requested.peek(), request.seen.peek());
            if seen != requested {
                broken_promise(
                    "softint-lost",
                    format_args!(
                        "a softint was scheduled {requested} times, and its handler saw {seen}"
                    ),
                );
            }
        }
    }

    /// Allows or forbids the handler of a timer to run.
    pub(super) fn allow(&self, timer: usize, allowed: bool) {
        self.timers[timer]
            .allowed
            .store(u32::from(allowed), Release);
    }
}
