//! The operations of psref(9): references that bound LWPs hold across sleeps, and softints that block with
//! references.
//!
//! # Who may destroy
//!
//! As in [`localcount`](super::localcount): an LWP that holds nothing that other LWPs wait for.

use crate::kern::kmem::kmem_free;
use crate::kern::lwp::curlwp;
use crate::kern::psref::{Psref, PsrefClass, PsrefTarget};
use crate::kern::spl::Ipl;
use crate::kern::synch::yield_now;
use crate::machine;
use crate::mem::{Acquire, AtomicU32, Local, Relaxed};
use crate::scenario::alive::Alive;
use crate::scenario::lookup::Place;
use crate::scenario::ops::interpreter::Actor;
use crate::scenario::ops::world::World;
use crate::scenario::promise::Bound;
use crate::scenario::{broken_promise, psref_class, share};

pub(super) const TARGETS: usize = 2;
/// Maximum number of references that an LWP holds.
pub(super) const HELD: usize = 3;
/// The level of the class: softints above it do not use it.
const LEVEL: Ipl = Ipl::SoftNet;

/// An object that references are held to.
pub(super) struct Object {
    target: PsrefTarget,
    holders: AtomicU32,
    word: Alive,
}

crate::fields!(Object {
    target,
    holders,
    word
});

impl Object {
    fn new(class: PsrefClass) -> &'static Object {
        let object = share(
            "referred",
            Object {
                target: PsrefTarget::new(),
                holders: AtomicU32::new(0),
                word: Alive::new(),
            },
        );
        machine::label(object, format_args!("referred"));
        object.target.init(class);
        object
    }
}

/// The objects of the world.
pub(super) struct Psrefs {
    class: Local<Option<PsrefClass>>,
    places: [Place<Object>; TARGETS],
}

crate::fields!(Psrefs { class, places });

impl Psrefs {
    pub(super) const fn new() -> Self {
        Psrefs {
            class: Local::new(None),
            places: [const { Place::new() }; TARGETS],
        }
    }

    pub(super) fn establish(&self) {
        self.class.set(Some(psref_class("psref", LEVEL)));
        self.places
            .iter()
            .for_each(|place| place.publish(Object::new(self.class())));
    }

    pub(super) fn disestablish(&self) {
        for object in self.places.iter().filter_map(Place::peek) {
            // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nothing runs.
            unsafe { kmem_free(object) };
        }
        // SAFETY: (1) `establish` created it; (2) nothing runs, and its targets are gone.
        unsafe { self.class().destroy_at_rest() };
    }

    fn class(&self) -> PsrefClass {
        match self.class.get() {
            Some(class) => class,
            None => unreachable!("establish created it"),
        }
    }

    fn take(&self, place: usize, psref: &Psref) -> Option<&'static Object> {
        let class = self.class();
        let object = self.places[place].find(|object| {
            psref.acquire(&object.target, class);
            object
        })?;
        object.holders.fetch_add(1, Relaxed);
        Some(object)
    }

    fn release(&self, psref: &Psref, object: &'static Object) {
        object.word.check("psref-alive");
        object.holders.fetch_sub(1, Relaxed);
        psref.release(&object.target, self.class());
    }

    pub(super) fn verify(&self) {
        for object in self.places.iter().filter_map(Place::peek) {
            let holders = object.holders.peek();
            if holders != 0 {
                broken_promise(
                    "psref-count",
                    format_args!("all references have been released, and there are {holders}"),
                );
            }
        }
    }
}

/// The references of an LWP.
pub(super) struct Held {
    psrefs: [Psref; HELD],
    objects: [Option<&'static Object>; HELD],
}

impl Held {
    pub(super) const fn new() -> Self {
        Held {
            psrefs: [const { Psref::new() }; HELD],
            objects: [None; HELD],
        }
    }

    /// Whether it holds no reference.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.iter().all(Option::is_none)
    }

    /// Checks what a holder may rely on.
    pub(super) fn check(&self, world: &World) {
        for object in self.objects.iter().flatten() {
            object.word.check("psref-alive");
            if !object.target.held(world.psrefs.class()) {
                broken_promise(
                    "psref-held",
                    format_args!(
                        "{} holds a reference, and psref_held says that it does not",
                        curlwp().name()
                    ),
                );
            }
        }
    }

    fn free(&self) -> Option<usize> {
        self.objects.iter().position(Option::is_none)
    }
}

pub(super) fn acquire(actor: &mut Actor, [target, _]: [u8; 2]) {
    let Some(free) = actor.psrefs.free() else {
        return;
    };
    // Until the last reference is released the LWP stays bound.
    if actor.lwp.binds() == 0 {
        actor.lwp.bind();
    }
    let held = &mut actor.psrefs;
    held.objects[free] = actor.world.psrefs.take(target as usize, &held.psrefs[free]);
}

pub(super) fn copy(actor: &mut Actor, [from, _]: [u8; 2]) {
    let held = &mut actor.psrefs;
    if let (Some(object), Some(free)) = (held.objects[from as usize], held.free()) {
        let class = actor.world.psrefs.class();
        held.psrefs[free].copy(&held.psrefs[from as usize], class);
        object.holders.fetch_add(1, Relaxed);
        held.objects[free] = Some(object);
    }
}

pub(super) fn release(actor: &mut Actor, [psref, _]: [u8; 2]) {
    let held = &mut actor.psrefs;
    if let Some(object) = held.objects[psref as usize].take() {
        let psref = &held.psrefs[psref as usize];
        actor.world.psrefs.release(psref, object);
    }
}

pub(super) fn destroy(actor: &mut Actor, [target, _]: [u8; 2]) {
    if !actor.holds_nothing() {
        return;
    }
    let psrefs = &actor.world.psrefs;
    let new = Object::new(psrefs.class());
    let old = psrefs.places[target as usize].replace(Some(new));
    // Another LWP was first: then its new object is destroyed.
    let object = old.unwrap_or(new);
    object.target.destroy(psrefs.class());
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

/// Releases what an LWP holds.
pub(super) fn end(actor: &mut Actor) {
    for psref in 0..HELD as u8 {
        release(actor, [psref, 0]);
    }
}

/// The part of a softint: holds a reference while `work` runs.
pub(super) fn softint(world: &World, level: Ipl, place: usize, work: impl FnOnce()) {
    let psref = Psref::new();
    let psrefs = &world.psrefs;
    let object = match level <= LEVEL {
        true => psrefs.take(place % TARGETS, &psref),
        false => None,
    };
    work();
    if let Some(object) = object {
        psrefs.release(&psref, object);
    }
}

/// A class of the LWP's own, for as long as this takes.
pub(super) fn class(_: &mut Actor, _: [u8; 2]) {
    let Some(class) = PsrefClass::create("own", LEVEL) else {
        return;
    };
    let target = PsrefTarget::new();
    target.init(class);
    let bound = Bound::begin();
    let psref = Psref::new();
    psref.acquire(&target, class);
    yield_now();
    if !target.held(class) {
        broken_promise(
            "psref-held",
            format_args!(
                "{} holds a reference, and psref_held says that it does not",
                curlwp().name()
            ),
        );
    }
    psref.release(&target, class);
    bound.end();
    target.destroy(class);
    // SAFETY: (1) `create` created it; (2) nobody else knows it.
    unsafe { class.destroy() };
}
