//! Tests of mutex(9): one owner at a time, correct results of a try, and no LWP sleeps for a free mutex.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::spl::{self, Ipl};
use crate::kern::synch::kpause;
use crate::kern::turnstile::APART;
use crate::machine;
use crate::mem::{AtomicU32, Plain, Relaxed};
use crate::scenario::classics::{free_data, shared};
use crate::scenario::handler::Handler;
use crate::scenario::{FIXED, Kind, Scenario, actor, broken_promise, share};

/// A mutex, and the data of its owners.
struct Guarded {
    mutex: Kmutex,
    /// Number of sections, counted by the owners in a word that the mutex protects, and again after they have exited.
    sections: Plain<u32>,
    ended: AtomicU32,
    /// Odd while an owner is inside.
    witness: AtomicU32,
}

crate::fields!(Guarded {
    mutex,
    sections,
    ended,
    witness
});

impl Guarded {
    const fn new(name: &'static str, ipl: Ipl) -> Self {
        Guarded {
            mutex: Kmutex::new(name, ipl),
            sections: Plain::new(0),
            ended: AtomicU32::new(0),
            witness: AtomicU32::new(0),
        }
    }

    /// A section of the owner, which exits the mutex at the end.
    fn leave_after(&self, part: impl FnOnce()) {
        let before = self.witness.fetch_add(1, Relaxed);
        if !before.is_multiple_of(2) {
            broken_promise(
                "mutex-exclusion-owners",
                format_args!(
                    "{} entered {} while another LWP owned it (entries and exits before: {before})",
                    curlwp().name(),
                    self.mutex.name()
                ),
            );
        }
        self.must_be_owned(true);
        let level = spl::ilevel();
        if self.mutex.is_spin() && level < Ipl::Vm {
            broken_promise(
                "mutex-exclusion-level",
                format_args!(
                    "{} holds the spin mutex {} at level {}: a handler that needs the mutex can interrupt it",
                    curlwp().name(),
                    self.mutex.name(),
                    level.name()
                ),
            );
        }
        self.sections.set(self.sections.get() + 1);
        part();
        self.must_be_owned(true);
        self.witness.fetch_add(1, Relaxed);
        self.mutex.exit();
        self.ended.fetch_add(1, Relaxed);
        // For a spin mutex, `mutex_owned` says whether any CPU holds it.
        if !self.mutex.is_spin() {
            self.must_be_owned(false);
        }
    }

    fn must_be_owned(&self, owner: bool) {
        let owned = self.mutex.owned();
        if owned != owner {
            broken_promise(
                "mutex-exclusion-owned",
                format_args!(
                    "mutex_owned({}) returned {owned} to {}, which {} it",
                    self.mutex.name(),
                    curlwp().name(),
                    if owner { "owns" } else { "does not own" }
                ),
            );
        }
    }

    fn enter(&self) {
        self.mutex.enter();
        self.leave_after(|| {});
    }

    fn enter_and_sleep(&self) {
        self.mutex.enter();
        self.leave_after(|| kpause("owner", 1, None));
    }

    fn try_enter(&self) -> bool {
        let entered = self.mutex.tryenter();
        if entered {
            self.leave_after(|| {});
        }
        entered
    }

    /// Tries to enter a mutex that no other thread wants.
    fn must_enter(&self) {
        if !self.try_enter() {
            broken_promise(
                "mutex-exclusion-tryenter",
                format_args!(
                    "mutex_tryenter({}) by {} failed, but no other LWP uses the mutex",
                    self.mutex.name(),
                    curlwp().name()
                ),
            );
        }
    }

    fn verify(&self) {
        let (sections, ended) = (self.sections.peek(), self.ended.peek());
        if sections != ended || self.mutex.owner().is_some() {
            broken_promise(
                "mutex-exclusion-sections",
                format_args!(
                    "{ended} sections of {} were counted as {sections}, and at the end {} owns it",
                    self.mutex.name(),
                    match self.mutex.owner() {
                        Some(_) => "somebody",
                        None => "nobody",
                    }
                ),
            );
        }
    }
}

struct World {
    /// Held across sleeps, by threads.
    slow: Guarded,
    quick: Guarded,
    spin: Guarded,
    /// Used by the second thread only.
    own: [Guarded; 2],
    softint: Handler,
}

crate::fields!(World {
    slow,
    quick,
    spin,
    own,
    softint
});

impl World {
    fn all(&self) -> [&Guarded; 5] {
        let [own, own_spin] = &self.own;
        [&self.slow, &self.quick, &self.spin, own, own_spin]
    }
}

/// Threads and a softint, with mutexes of both kinds.
pub static EXCLUSION: Scenario = Scenario {
    name: "mutex-exclusion",
    summary: "adaptive and spin mutexes, entered and tried by threads and a softint, some of which sleep inside",
    about: "Each owner checks with a witness word that it is alone, counts in a word that the mutex protects, \
            and checks mutex_owned; with a spin mutex also the level. One owner sleeps, softints run on top of \
            others. A successful try must be alone, and a try of an uncontended mutex must succeed.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = share(
            "world",
            World {
                slow: Guarded::new("slow", Ipl::None),
                quick: Guarded::new("quick", Ipl::SoftNet),
                spin: Guarded::new("spin", Ipl::Vm),
                own: [
                    Guarded::new("own", Ipl::None),
                    Guarded::new("own spin", Ipl::Vm),
                ],
                softint: Handler::new(),
            },
        );
        machine::label(world, format_args!("world"));
        let arg = Arg::of(world);
        kernel.set_data(arg);
        world
            .softint
            .establish(kernel, Ipl::SoftNet, softint_enters, arg);
        actor(kernel, "enters", 0, enter, arg);
        actor(kernel, "tries", 1, try_enter, arg);
    },
    verify: |kernel| {
        for guarded in shared::<World>(kernel.data()).all() {
            guarded.verify();
        }
    },
    teardown: |kernel| {
        shared::<World>(kernel.data()).softint.disestablish(kernel);
        free_data::<World>(kernel);
    },
};

fn softint_enters(world: Arg) {
    let world: &World = shared(world);
    world.quick.try_enter();
    world.quick.enter();
    world.spin.enter();
}

fn enter(world: Arg) {
    let world: &World = shared(world);
    for _ in 0..curlwp().kernel().config().repeat {
        world.slow.enter_and_sleep();
        world.quick.mutex.enter();
        world.quick.leave_after(|| world.softint.schedule());
        world.spin.enter();
    }
}

fn try_enter(world: Arg) {
    let world: &World = shared(world);
    for _ in 0..curlwp().kernel().config().repeat {
        world.own.iter().for_each(Guarded::must_enter);
        if !world.slow.try_enter() {
            world.slow.enter();
        }
        world.softint.schedule();
        world.quick.try_enter();
        world.spin.try_enter();
    }
}

/// A mutex that shares its turnstile chain with the next.
#[repr(C)]
struct Apart {
    mutex: Kmutex,
    _pad: [u8; APART - size_of::<Kmutex>()],
}

crate::fields!(Apart { mutex });

impl Apart {
    const fn new(name: &'static str) -> Self {
        Apart {
            mutex: Kmutex::new(name, Ipl::None),
            _pad: [0; APART - size_of::<Kmutex>()],
        }
    }
}

const SLEEPERS: usize = 4;

struct Dormitory {
    beds: [Apart; 2],
    owned: [Plain<u32>; 2],
    softint: Handler,
}

crate::fields!(Dormitory {
    beds,
    owned,
    softint
});

impl Dormitory {
    fn own(&self, bed: usize, part: impl FnOnce()) {
        self.beds[bed].mutex.enter();
        self.owned[bed].set(self.owned[bed].get() + 1);
        part();
        self.beds[bed].mutex.exit();
    }
}

/// Threads that sleep for mutexes whose owners sleep.
pub static SLEEPERS_WAKE: Scenario = Scenario {
    name: "mutex-sleepers",
    summary: "threads sleep for two mutexes on one turnstile chain, whose owners sleep or are interrupted: does each get them?",
    about: "Each thread owns one mutex, then the other, half of them in the other order. Some sleep a tick while \
            they own it; softints run on top of others. So several threads sleep for each mutex and lend their \
            turnstiles, and both mutexes have the same chain. Every exit must wake the threads that sleep for \
            the mutex, and those that are about to: in the end each thread has owned both, and no mutex has \
            waiters.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let dormitory = share(
            "dormitory",
            Dormitory {
                beds: [Apart::new("first"), Apart::new("second")],
                owned: [const { Plain::new(0) }; 2],
                softint: Handler::new(),
            },
        );
        machine::label(dormitory, format_args!("dormitory"));
        kernel.set_data(Arg::of(dormitory));
        dormitory
            .softint
            .establish(kernel, Ipl::SoftNet, |_| {}, Arg::NONE);
        let names = ["sleeper0", "sleeper1", "sleeper2", "sleeper3"];
        for (index, name) in names.into_iter().enumerate() {
            actor(kernel, name, index / 2, sleep_in_one, Arg(index));
        }
    },
    verify: |kernel| {
        let dormitory: &Dormitory = shared(kernel.data());
        let expected = SLEEPERS as u32 * kernel.config().repeat;
        for (bed, owned) in dormitory.beds.iter().zip(&dormitory.owned) {
            let owned = owned.peek();
            if owned != expected {
                broken_promise(
                    "mutex-sleepers-sections",
                    format_args!(
                        "{} was owned {expected} times, and its owners counted {owned}",
                        bed.mutex.name()
                    ),
                );
            }
            bed.mutex.destroy();
        }
    },
    teardown: |kernel| {
        shared::<Dormitory>(kernel.data())
            .softint
            .disestablish(kernel);
        free_data::<Dormitory>(kernel);
    },
};

fn sleep_in_one(index: Arg) {
    let kernel = curlwp().kernel();
    let dormitory: &Dormitory = shared(kernel.data());
    let (mine, other) = (index.0 % 2, (index.0 + 1) % 2);
    for _ in 0..kernel.config().repeat {
        // Half of them make the others sleep: for long, or for as long as a softint runs on top of them.
        if index.0 < 2 {
            dormitory.own(mine, || kpause("bed", 1, None));
        } else {
            dormitory.own(mine, || dormitory.softint.schedule());
            dormitory.softint.schedule();
        }
        dormitory.own(other, || {});
    }
}
