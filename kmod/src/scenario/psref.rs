//! Tests of psref(9): a target is not destroyed while there are references to it.

use crate::config::Wiring;
use crate::history::{Bug, History};
use crate::kern::kmem::kmem_free;
use crate::kern::lwp::{Arg, curcpu, curlwp, curlwp_bind, curlwp_bindx};
use crate::kern::mutex::Kmutex;
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::softint::{self, Softint};
use crate::kern::spl::Ipl;
use crate::kern::synch::{self, kpause};
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicBool, AtomicU32, Local, Relaxed, Release};
use crate::scenario::alive::Alive;
use crate::scenario::classics::shared;
use crate::scenario::lookup::Place;
use crate::scenario::{FIXED, Kind, Scenario, Variant, actor, broken_promise, psref_class, share};

/// Threads sleep with references held.
pub static DRAIN: Scenario = Scenario {
    name: "psref-drain",
    summary: "a target is destroyed while bound threads sleep with references to it",
    about: "Two bound threads repeatedly look an object up, take a passive reference, sleep, check the object \
            and release the reference. A third removes the object, waits for its references and frees it. When \
            psref_target_destroy returns there must be none.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = setup(kernel, Ipl::SoftNet);
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

/// Softints hold references, and block with them.
pub static SOFTINT: Scenario = Scenario {
    name: "psref-softint",
    summary: "softints take references, and block with them, while threads do and a sweep runs",
    about: "Softints of the class's level and of a lower one, and threads, on both CPUs, take a reference and \
            then a mutex, and take and release a copy with the mutex held. So a softint blocks with references \
            on its CPU's list, which the thread below it changes. Another thread destroys the target: the sweep, \
            a softint of the same level, waits behind a blocked one.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = setup(kernel, Ipl::SoftNet);
        for (place, level) in world.softints.iter().zip([Ipl::SoftNet, Ipl::SoftBio]) {
            let softint =
                softint::establish_at_boot(kernel.cpus(), level, block_with, Arg::of(world));
            place.set(softint);
        }
        actor(
            kernel,
            "thread0",
            0,
            |w| each_time(w, schedule_and_take),
            Arg::of(world),
        );
        actor(
            kernel,
            "thread1",
            1,
            |w| each_time(w, schedule_and_take),
            Arg::of(world),
        );
        actor(kernel, "remover", 1, remove, Arg::of(world));
    },
    verify,
    teardown,
};

/// References are copied, and released in any order.
pub static COPY: Scenario = Scenario {
    name: "psref-copy",
    summary: "a reference is copied, and the original is released first",
    about: "Bound threads take a reference, copy it twice and release the three in different orders, sleeping in \
            between. The target must live as long as any of them.",
    variants: &[FIXED],
    min_cpus: 1,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = setup(kernel, Ipl::SoftSerial);
        actor(
            kernel,
            "copier0",
            0,
            |w| each_time(w, copy_and_release),
            Arg::of(world),
        );
        actor(
            kernel,
            "copier1",
            0,
            |w| each_time(w, copy_and_release),
            Arg::of(world),
        );
        actor(kernel, "remover", 1, remove, Arg::of(world));
    },
    verify,
    teardown,
};

/// Softints keep a CPU busy until the target is destroyed.
pub static STARVED: Scenario = Scenario {
    name: "psref-starved",
    summary: "a target is destroyed while a CPU is busy with softints of the class's level",
    about: "A softint schedules itself repeatedly, as a network interface under load does, until the target is \
            destroyed. The sweep is a softint of the same level and gets its turn. In the old code it was a \
            cross call by threads, which get none: psref_target_destroy does not return while the load lasts. \
            (Nor does anything that sleeps a tick, since softclock has a lower level; so this cannot be tried \
            with the old pserialize_perform.)",
    variants: &[
        // In a rump kernel threads carry all cross calls; but there, softints are threads too.
        Variant {
            xcall: Some(Wiring::Native),
            ..FIXED
        },
        Variant {
            name: "historical",
            summary: "the sweep is a low-priority cross call (subr_psref.c 1.10)",
            history: History::NONE.with(Bug::PsrefSweepLow),
            xcall: Some(Wiring::Native),
            net_mpsafe: None,
            fails: true,
            ..FIXED
        },
    ],
    min_cpus: 2,
    default_cpus: 2,
    kind: Kind::Sound,
    configure: |_| {},
    setup: |kernel| {
        let world = setup(kernel, Ipl::SoftNet);
        let softint =
            softint::establish_at_boot(kernel.cpus(), Ipl::SoftNet, keep_busy, Arg::of(world));
        world.softints[0].set(softint);
        actor(kernel, "interface", 0, begin_load, Arg::of(world));
        actor(kernel, "remover", 1, remove_at_once, Arg::of(world));
    },
    verify,
    teardown,
};

/// The object that is looked up.
struct Object {
    target: PsrefTarget,
    /// Number of references, as counted by their holders.
    holders: AtomicU32,
    word: Alive,
}

crate::fields!(Object {
    target,
    holders,
    word
});

struct World {
    class: PsrefClass,
    place: Place<Object>,
    /// Held briefly by every actor.
    mutex: Kmutex,
    softints: [Local<Option<Softint>>; 2],
    taken: AtomicU32,
    /// Whether the last object was destroyed.
    done: AtomicBool,
}

crate::fields!(World {
    place,
    mutex,
    softints,
    taken,
    done
});

impl World {
    /// Looks the object up and takes a reference.
    fn take(&self, psref: &Psref) -> Option<&'static Object> {
        let class = self.class;
        let object = self.place.find(|object| {
            psref.acquire(&object.target, class);
            object
        })?;
        object.holders.fetch_add(1, Relaxed);
        self.taken.fetch_add(1, Relaxed);
        Some(object)
    }

    /// Releases a reference.
    fn release(&self, psref: &Psref, object: &'static Object) {
        object.word.check("psref-alive");
        object.holders.fetch_sub(1, Relaxed);
        psref.release(&object.target, self.class);
    }
}

fn new_object(class: PsrefClass) -> &'static Object {
    let object = share(
        "object",
        Object {
            target: PsrefTarget::new(),
            holders: AtomicU32::new(0),
            word: Alive::new(),
        },
    );
    machine::label(object, format_args!("object"));
    object.target.init(class);
    object
}

fn setup(kernel: &'static Kernel, ipl: Ipl) -> &'static World {
    let world = share(
        "world",
        World {
            class: psref_class("psref", ipl),
            place: Place::new(),
            mutex: Kmutex::new("mutex", Ipl::SoftNet),
            softints: [const { Local::new(None) }; 2],
            taken: AtomicU32::new(0),
            done: AtomicBool::new(false),
        },
    );
    machine::label(world, format_args!("world"));
    kernel.set_data(Arg::of(world));
    world.place.publish(new_object(world.class));
    world
}

/// Runs `part` while bound, as often as the configuration says.
fn each_time(world: Arg, part: fn(&World)) {
    let world: &World = shared(world);
    for _ in 0..curlwp().kernel().config().repeat {
        let bound = curlwp_bind();
        part(world);
        curlwp_bindx(bound);
    }
}

fn sleep_with(world: &World) {
    let psref = Psref::new();
    let Some(object) = world.take(&psref) else {
        return;
    };
    let here = curcpu();
    kpause("holder", 1, None);
    if !core::ptr::eq(here, curcpu()) || !object.target.held(world.class) {
        broken_promise(
            "psref-held",
            format_args!(
                "{} slept on cpu{} with a reference: now it runs on cpu{}, or psref_held is false",
                curlwp().name(),
                here.index(),
                curcpu().index()
            ),
        );
    }
    world.release(&psref, object);
}

fn schedule_and_take(world: &World) {
    let cpus = curlwp().kernel().cpus();
    for softint in world.softints.iter().filter_map(Local::get) {
        for ci in cpus {
            synch::kpreempt_disable();
            softint::schedule_cpu(softint, ci);
            synch::kpreempt_enable();
        }
    }
    take_and_block(world);
}

/// Takes a reference, and another with the mutex held.
fn take_and_block(world: &World) {
    let (psref, copy) = (Psref::new(), Psref::new());
    let Some(object) = world.take(&psref) else {
        return;
    };
    // A softint that runs now blocks with its reference, and this thread uses the list again: perhaps in the middle
    // of a change.
    world.mutex.enter();
    object.word.check("psref-alive");
    copy.copy(&psref, world.class);
    object.holders.fetch_add(1, Relaxed);
    world.release(&copy, object);
    world.mutex.exit();
    world.release(&psref, object);
}

fn begin_load(world: Arg) {
    synch::kpreempt_disable();
    keep_busy(world);
    synch::kpreempt_enable();
}

/// The handler of a load that ends when the target was destroyed.
fn keep_busy(world: Arg) {
    let world: &World = shared(world);
    if !world.done.load(Acquire) {
        // It checks again each time; on the simulated machine, when something has changed.
        crate::mem::relax();
        if let Some(softint) = world.softints[0].get() {
            softint::schedule(softint);
        }
    }
}

/// The handler.
fn block_with(world: Arg) {
    take_and_block(shared(world));
}

fn copy_and_release(world: &World) {
    let psrefs = [const { Psref::new() }; 3];
    let Some(object) = world.take(&psrefs[0]) else {
        return;
    };
    psrefs[1].copy(&psrefs[0], world.class);
    object.holders.fetch_add(1, Relaxed);
    world.release(&psrefs[0], object);
    kpause("copier", 1, None);
    psrefs[2].copy(&psrefs[1], world.class);
    object.holders.fetch_add(1, Relaxed);
    psrefs[0].copy(&psrefs[1], world.class);
    object.holders.fetch_add(1, Relaxed);
    for index in [1, 0] {
        world.release(&psrefs[index], object);
        object.word.check("psref-alive");
    }
    synch::yield_now();
    world.release(&psrefs[2], object);
}

/// Replaces the object, in the end by nothing, and frees the old one, each time after it was used for a while.
fn remove(world: Arg) {
    let world: &World = shared(world);
    let times = curlwp().kernel().config().repeat;
    for left in (0..times).rev() {
        kpause("remover", 1, None);
        let new = (left > 0).then(|| new_object(world.class));
        if let Some(object) = world.place.replace(new) {
            destroy(world, object);
        }
    }
}

/// Removes the object without sleeping first: the clock's softint may never run.
fn remove_at_once(world: Arg) {
    let world: &World = shared(world);
    if let Some(object) = world.place.retract() {
        destroy(world, object);
    }
    world.done.store(true, Release);
}

fn destroy(world: &World, object: &'static Object) {
    object.target.destroy(world.class);
    let holders = object.holders.load(Acquire);
    if holders != 0 {
        broken_promise(
            "psref-drained",
            format_args!("psref_target_destroy returned while there were {holders} references"),
        );
    }
    object.word.end();
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) there are no references: the promise under test.
    unsafe { kmem_free(object) };
}

fn verify(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    if world.place.peek().is_some() {
        broken_promise(
            "psref-drained",
            format_args!("the object was never removed"),
        );
    }
}

fn teardown(kernel: &'static Kernel) {
    let world: &World = shared(kernel.data());
    for softint in world.softints.iter().filter_map(|place| place.get()) {
        softint::disestablish_at_rest(kernel, softint);
    }
    // SAFETY: (1) `setup` created it; (2) all actors have come to their end, and the targets are destroyed.
    unsafe { world.class.destroy_at_rest() };
    // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) all actors have come to their end.
    unsafe { kmem_free(shared::<World>(kernel.data())) };
}
