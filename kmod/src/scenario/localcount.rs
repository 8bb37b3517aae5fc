//! Tests of localcount(9): a drain waits for every reference, wherever it was counted.

use crate::history::{Bug, History};
use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::kmem_free;
use crate::kern::localcount::Localcount;
use crate::kern::lwp::{Arg, curlwp};
use crate::kern::mutex::Kmutex;
use crate::kern::sched;
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch::{self, kpause};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicBool, AtomicRef, AtomicU32, Local, Relaxed, Release};
use crate::scenario::alive::Alive;
use crate::scenario::classics::shared;
use crate::scenario::lookup::Place;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, broken_promise, share};

/// Threads sleep with references held.
pub static DRAIN: Scenario = Scenario {
    name: "localcount-drain",
    summary: "a counter is drained while threads sleep with references",
    about: "Two threads look an object up, take a reference, sleep, check the object and release the reference. \
            A third removes the object, drains its counter and frees it. When localcount_drain returns there \
            must be no reference.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = setup(kernel);
        actor(
            kernel,
            "holder0",
            0,
            |w| each_time(w, sleep_with),
            Arg::of(world),
        );
        actor(
            kernel,
            "holder1",
            1,
            |w| each_time(w, sleep_with),
            Arg::of(world),
        );
        actor(kernel, "remover", 1, remove, Arg::of(world));
    },
    verify,
    teardown,
};

/// References move from CPU to CPU, and from softint to thread.
pub static MIGRATES: Scenario = Scenario {
    name: "localcount-migrates",
    summary: "references are released on another CPU and by another LWP than they were acquired",
    about: "Threads and softints on both CPUs take references, and release them or pass them on. Another thread \
            takes those over, moves to the other CPU and releases them there: counts become negative, and only \
            their sum is right. Meanwhile the counter is drained. In the old code a softint's reference was lost \
            if it came while a thread of that CPU was counting.",
    variants: &[
        FIXED,
        Variant {
            name: "historical",
            summary: "counts are changed with interrupts on (subr_localcount.c 1.7)",
            history: History::NONE.with(Bug::LocalcountPlain),
            xcall: None,
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
    ],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = setup(kernel);
        world.softint.set(softint::establish_at_boot(
            kernel.cpus(),
            Ipl::SoftNet,
            take_and_hand_over,
            Arg::of(world),
        ));
        actor(
            kernel,
            "taker0",
            0,
            |w| each_time(w, take_and_schedule),
            Arg::of(world),
        );
        actor(
            kernel,
            "taker1",
            1,
            |w| each_time(w, take_and_schedule),
            Arg::of(world),
        );
        actor(kernel, "releaser", 1, release_until_done, Arg::of(world));
        actor(kernel, "remover", 1, remove, Arg::of(world));
    },
    verify,
    teardown,
};

/// The object that is looked up.
struct Object {
    count: Localcount,
    /// Number of references, as counted by their holders.
    holders: AtomicU32,
    word: Alive,
}

crate::fields!(Object {
    count,
    holders,
    word
});

struct World {
    place: Place<Object>,
    /// The interlock of every counter.
    interlock: Kmutex,
    drained: Kcondvar,
    /// References that were handed over.
    handed: [AtomicRef<Object>; 4],
    softint: Local<Option<Softint>>,
    /// Whether the last object was destroyed.
    done: AtomicBool,
}

crate::fields!(World {
    place,
    interlock,
    drained,
    handed,
    softint,
    done
});

impl World {
    /// Looks the object up and takes a reference.
    fn take(&self) -> Option<&'static Object> {
        let object = self.place.find(|object| {
            object.count.acquire();
            object
        })?;
        object.holders.fetch_add(1, Relaxed);
        Some(object)
    }

    /// Releases a reference.
    fn release(&self, object: &'static Object) {
        object.word.check("localcount-alive");
        object.holders.fetch_sub(1, Relaxed);
        object.count.release(&self.drained, &self.interlock);
    }

    /// Hands a reference over to another thread; releases it if there are too many.
    fn hand_over(&self, object: &'static Object) {
        let handed = self
            .handed
            .iter()
            .any(|place| place.compare_exchange(None, Some(object), Release, Relaxed));
        if !handed {
            self.release(object);
        }
    }

    /// A reference that was handed over.
    fn take_over(&self) -> Option<&'static Object> {
        self.handed.iter().find_map(|place| {
            let object = place.load(Relaxed)?;
            place
                .compare_exchange(Some(object), None, Acquire, Relaxed)
                .then_some(object)
        })
    }
}

fn new_object() -> &'static Object {
    let object = share(
        "object",
        Object {
            count: Localcount::new(),
            holders: AtomicU32::new(0),
            word: Alive::new(),
        },
    );
    machine::label(object, format_args!("object"));
    if object.count.init().is_none() {
        machine::stop(
            machine::Stop::Contract("scenario-memory"),
            format_args!("no memory for a localcount"),
        );
    }
    object
}

fn setup(kernel: &'static Kernel) -> &'static World {
    let world = share(
        "world",
        World {
            place: Place::new(),
            interlock: Kmutex::new("interlock", Ipl::SoftNet),
            drained: Kcondvar::new("drained"),
            handed: [const { AtomicRef::new() }; 4],
            softint: Local::new(None),
            done: AtomicBool::new(false),
        },
    );
    machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    world.place.publish(new_object());
    world
}

/// Runs `part` as often as the configuration says.
fn each_time(world: Arg, part: fn(&World)) {
    let world: &World = shared(world);
    for _ in 0..curlwp().kernel().config().repeat {
        part(world);
    }
}

fn sleep_with(world: &World) {
    if let Some(object) = world.take() {
        kpause("holder", 1, None);
        world.release(object);
    }
}

fn take_and_schedule(world: &World) {
    for ci in curlwp().kernel().cpus() {
        if let Some(softint) = world.softint.get() {
            synch::kpreempt_disable();
            softint::schedule_cpu(softint, ci);
            synch::kpreempt_enable();
        }
        if let Some(object) = world.take() {
            world.hand_over(object);
        }
        if let Some(object) = world.take() {
            // Softints may interrupt the decrement.
            world.release(object);
        }
    }
}

/// The handler.
fn take_and_hand_over(world: Arg) {
    let world: &World = shared(world);
    if let Some(object) = world.take() {
        world.hand_over(object);
    }
}

/// Releases references that are handed over, each time on another CPU, until the last object is destroyed.
fn release_until_done(world: Arg) {
    let world: &World = shared(world);
    let mut cpu = 0;
    while !world.done.load(Acquire) {
        match world.take_over() {
            Some(object) => {
                cpu += 1;
                move_to(cpu);
                world.release(object);
            }
            None => kpause("releaser", 1, None),
        }
    }
}

/// Moves the current LWP, which is not bound, to a CPU.
fn move_to(cpu: usize) {
    let l = curlwp();
    let cpus = l.kernel().cpus();
    l.lock();
    sched::lwp_migrate(l, &cpus[cpu % cpus.len()]);
    synch::yield_now();
}

/// Replaces the object, in the end by nothing, and frees the old one.
fn remove(world: Arg) {
    let world: &World = shared(world);
    let times = curlwp().kernel().config().repeat;
    for left in (0..times).rev() {
        kpause("remover", 1, None);
        let new = (left > 0).then(new_object);
        if let Some(object) = world.place.replace(new) {
            destroy(world, object);
        }
    }
    world.done.store(true, Release);
}

fn destroy(world: &World, object: &'static Object) {
    world.interlock.enter();
    object.count.drain(&world.drained, &world.interlock);
    world.interlock.exit();
    let holders = object.holders.load(Acquire);
    if holders != 0 {
        broken_promise(
            "localcount-drained",
            format_args!("localcount_drain returned while there were {holders} references"),
        );
    }
    object.count.fini();
    object.word.end();
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) there are no references: the promise under test.
    unsafe { kmem_free(object) };
}

fn verify(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    let left = world.handed.iter().filter_map(AtomicRef::peek).count();
    if world.place.peek().is_some() || left > 0 {
        broken_promise(
            "localcount-drained",
            format_args!("the object was never removed, or {left} references were left"),
        );
    }
}

fn teardown(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    if let Some(softint) = world.softint.get() {
        softint::disestablish_at_rest(kernel, softint);
    }
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) all actors have come to their end.
    unsafe { kmem_free(shared::<World>(kernel.data())) };
}
