//! psref(9).

use core::mem::ManuallyDrop;

use super::{Breach, breach, interrupt, pause, softint, thread};
use crate::kern::lwp::{Arg, curlwp, curlwp_bind};
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::sched::lwp_migrate;
use crate::kern::spl::Ipl;
use crate::scenario::classics::shared;
use crate::scenario::share;

/// A class and a target of it.
pub(super) struct World {
    class: PsrefClass,
    target: PsrefTarget,
}

/// A target of a class that is used up to `level`.
pub(super) fn world(level: Ipl) -> &'static World {
    let target = PsrefTarget::new();
    let class = class("ifnet", level);
    target.init(class);
    share("world", World { class, target })
}

fn class(name: &'static str, level: Ipl) -> PsrefClass {
    match PsrefClass::create(name, level) {
        Some(class) => class,
        None => unreachable!("there is memory for a class"),
    }
}

fn psref() -> &'static Psref {
    share("psref", Psref::new())
}

/// Acquires a reference and never releases it.
pub(super) fn acquire_for_good(world: &World) -> &'static Psref {
    let psref = psref();
    psref.acquire(&world.target, world.class);
    psref
}

/// A target with a reference that the caller, which is bound, holds.
fn held() -> (&'static World, &'static Psref) {
    curlwp_bind();
    let world = world(Ipl::SoftNet);
    (world, acquire_for_good(world))
}

/// Starts a thread that waits for the references to the target.
fn destroyed_elsewhere(world: &'static World) {
    let destroy = |world| {
        let world = shared::<World>(world);
        world.target.destroy(world.class);
    };
    thread("destroyer", 0, destroy, Arg::of(world));
    pause(1);
}

pub(super) static BREACHES: &[Breach] = &[
    breach!("psref-class-ipl": "creates a class at a level of hard interrupts", || {
        PsrefClass::create("ifnet", Ipl::Vm);
    }),
    breach!("psref-class-busy": "destroys a class while it holds a reference of it", || {
        let (world, _) = held();
        // SAFETY: (1) `create` gave it; (2) is not kept: the breach.
        unsafe { world.class.destroy() };
    }),
    breach!("psref-context": "acquires a reference in a softint above the level of its class", || {
        let acquire = |world| {
            acquire_for_good(shared(world));
        };
        softint(Ipl::SoftSerial, acquire, Arg::of(world(Ipl::SoftNet)));
    }),
    breach!("psref-context", "interrupt": "asks in a hard interrupt whether it holds a reference", || {
        let held = |world| {
            let world = shared::<World>(world);
            world.target.held(world.class);
        };
        interrupt(held, Arg::of(world(Ipl::SoftNet)));
    }),
    breach!("psref-unbound": "acquires a reference in a thread that is not bound", || {
        acquire_for_good(world(Ipl::SoftNet));
    }),
    breach!("psref-class": "acquires a reference in another class than the target's", || {
        curlwp_bind();
        psref().acquire(&world(Ipl::SoftNet).target, class("bridge", Ipl::SoftNet));
    }),
    breach!("psref-class", "destroyed": "acquires a reference to a target that was destroyed", || {
        curlwp_bind();
        let world = world(Ipl::SoftNet);
        world.target.destroy(world.class);
        acquire_for_good(world);
    }),
    breach!("psref-draining": "acquires a reference to a target that is being destroyed", || {
        let (world, _) = held();
        destroyed_elsewhere(world);
        acquire_for_good(world);
    }),
    breach!("psref-destroy-twice": "destroys a target that is being destroyed", || {
        let (world, _) = held();
        destroyed_elsewhere(world);
        world.target.destroy(world.class);
    }),
    breach!("psref-twice": "acquires with a psref that holds a reference", || {
        let (world, psref) = held();
        psref.acquire(&world.target, world.class);
    }),
    breach!("psref-target": "releases a reference that it does not hold", || {
        let (world, _) = held();
        psref().release(&world.target, world.class);
    }),
    breach!("psref-lwp": "has another thread release its reference", || {
        let pair = share("pair", held());
        let release = |pair| {
            let (world, psref) = *shared::<(&World, &Psref)>(pair);
            psref.release(&world.target, world.class);
        };
        thread("another", 0, release, Arg::of(pair));
        pause(1);
    }),
    breach!("psref-cpu": "moves a sleeping thread that holds a reference", || {
        let hold = |_| {
            let (world, psref) = held();
            pause(3);
            psref.release(&world.target, world.class);
        };
        let holder = thread("holder", 1, hold, Arg::NONE);
        pause(1);
        holder.lock();
        lwp_migrate(holder, curlwp().kernel().cpu(0));
        pause(4);
    }),
    breach!("psref-listed": "moves a psref that holds a reference, and releases it", || {
        let (world, psref) = held();
        // SAFETY: a psref is plain words. That it stays where it is while it holds a reference is not kept: the breach.
        let moved = ManuallyDrop::new(unsafe { core::ptr::read(psref) });
        moved.release(&world.target, world.class);
    }),
    breach!("psref-copy": "copies a psref to itself", || {
        let (world, psref) = held();
        psref.copy(psref, world.class);
    }),
    breach!("psref-copy", "empty": "copies a psref that holds no reference", || {
        let (world, held) = held();
        held.copy(psref(), world.class);
    }),
    breach!("psref-dropped": "drops a psref that holds a reference", || {
        curlwp_bind();
        let world = world(Ipl::SoftNet);
        let psref = Psref::new();
        psref.acquire(&world.target, world.class);
    }),
];
