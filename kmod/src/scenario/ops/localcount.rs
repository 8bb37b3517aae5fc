//! The operations of localcount(9): references that are held across other operations, handed to softints, and
//! drained.
//!
//! # Who may drain
//!
//! An LWP that holds no reference of either kind and no outer mutex, so that no LWP whose reference it waits for
//! waits for it.

use crate::kern::condvar::Kcondvar;
use crate::kern::kmem::kmem_free;
use crate::kern::localcount::Localcount;
use crate::kern::mutex::Kmutex;
use crate::kern::spl::Ipl;
use crate::kernel::Kernel;
use crate::machine;
use crate::mem::{Acquire, AtomicRef, AtomicU32, Relaxed, Release};
use crate::scenario::alive::Alive;
use crate::scenario::lookup::Place;
use crate::scenario::memory::obtain;
use crate::scenario::ops::interpreter::{self, Actor};
use crate::scenario::ops::world::World;
use crate::scenario::{broken_promise, share};

pub(super) const OBJECTS: usize = 2;
/// Maximum number of references that an LWP holds.
const HELD: usize = 3;
/// The softint that releases references that are handed over: one at level softnet.
const RELEASER: u8 = 2;

/// An object with a reference count.
pub(super) struct Object {
    count: Localcount,
    holders: AtomicU32,
    word: Alive,
}

crate::fields!(Object {
    count,
    holders,
    word
});

impl Object {
    /// `None`: there is no memory for its count.
    fn new() -> Option<&'static Object> {
        let object = share(
            "counted",
            Object {
                count: Localcount::new(),
                holders: AtomicU32::new(0),
                word: Alive::new(),
            },
        );
        machine::label(object, format_args!("counted"));
        if object.count.init().is_none() {
            // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nobody else knows it.
            unsafe { kmem_free(object) };
            return None;
        }
        Some(object)
    }
}

/// The objects of the world.
pub(super) struct Localcounts {
    places: [Place<Object>; OBJECTS],
    interlock: Kmutex,
    drained: Kcondvar,
    /// References that softints are to release.
    handed: [AtomicRef<Object>; 2],
}

crate::fields!(Localcounts {
    places,
    interlock,
    drained,
    handed
});

impl Localcounts {
    pub(super) const fn new() -> Self {
        Localcounts {
            places: [const { Place::new() }; OBJECTS],
            interlock: Kmutex::new("lc_interlock", Ipl::SoftSerial),
            drained: Kcondvar::new("lcdrain"),
            handed: [const { AtomicRef::new() }; 2],
        }
    }

    pub(super) fn establish(&self) {
        self.places
            .iter()
            .for_each(|p| p.publish(obtain("a localcount", Object::new)));
    }

    pub(super) fn disestablish(&self) {
        for object in self.places.iter().filter_map(Place::peek) {
            object.count.fini_at_rest();
            // SAFETY: (1) it came from `share`, which is `kmem_alloc`; (2) nothing runs.
            unsafe { kmem_free(object) };
        }
    }

    fn take(&self, place: usize) -> Option<&'static Object> {
        let object = self.places[place].find(|object| {
            object.count.acquire();
            object
        })?;
        object.holders.fetch_add(1, Relaxed);
        Some(object)
    }

    fn release(&self, object: &'static Object) {
        object.word.check("localcount-alive");
        object.holders.fetch_sub(1, Relaxed);
        object.count.release(&self.drained, &self.interlock);
    }

    pub(super) fn verify(&self, kernel: &'static Kernel) {
        for object in self.places.iter().filter_map(Place::peek) {
            let (total, holders) = (object.count.total(kernel), object.holders.peek());
            if total != 0 || holders != 0 {
                broken_promise(
                    "localcount-count",
                    format_args!(
                        "all references have been released: the counts add up to {total}, and the holders to {holders}"
                    ),
                );
            }
        }
    }
}

/// The references of an LWP.
pub(super) struct Held {
    objects: [Option<&'static Object>; HELD],
}

impl Held {
    pub(super) const fn new() -> Self {
        Held {
            objects: [None; HELD],
        }
    }

    /// Whether it holds no reference.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.iter().all(Option::is_none)
    }

    /// Checks what a holder may rely on.
    pub(super) fn check(&self) {
        self.objects
            .iter()
            .flatten()
            .for_each(|o| o.word.check("localcount-alive"));
    }

    fn pop(&mut self) -> Option<&'static Object> {
        self.objects.iter_mut().rev().find_map(Option::take)
    }
}

pub(super) fn acquire(actor: &mut Actor, [object, _]: [u8; 2]) {
    let world = actor.world;
    if let Some(place) = actor.localcounts.objects.iter_mut().find(|o| o.is_none()) {
        *place = world.localcounts.take(object as usize);
    }
}

pub(super) fn release(actor: &mut Actor, _: [u8; 2]) {
    if let Some(object) = actor.localcounts.pop() {
        actor.world.localcounts.release(object);
    }
}

pub(super) fn hand_over(actor: &mut Actor, _: [u8; 2]) {
    let Some(object) = actor.localcounts.pop() else {
        return;
    };
    let handed = actor
        .world
        .localcounts
        .handed
        .iter()
        .any(|place| place.compare_exchange(None, Some(object), Release, Relaxed));
    if handed {
        interpreter::softint_schedule(actor, [RELEASER, 0]);
    } else {
        actor.world.localcounts.release(object);
    }
}

pub(super) fn drain(actor: &mut Actor, [object, _]: [u8; 2]) {
    if !actor.holds_nothing() {
        return;
    }
    let localcounts = &actor.world.localcounts;
    let Some(new) = Object::new() else { return };
    match localcounts.places[object as usize].replace(Some(new)) {
        Some(old) => destroy(localcounts, old),
        // Another LWP was first.
        None => destroy(localcounts, new),
    }
}

/// Waits until there are no references, and frees the object.
fn destroy(localcounts: &Localcounts, object: &'static Object) {
    localcounts.interlock.enter();
    object
        .count
        .drain(&localcounts.drained, &localcounts.interlock);
    localcounts.interlock.exit();
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

/// Releases what an LWP holds.
pub(super) fn end(actor: &mut Actor) {
    while !actor.localcounts.is_empty() {
        release(actor, [0; 2]);
    }
}

/// The part of a softint: releases what it was handed, and takes a reference of its own for a moment.
pub(super) fn softint(world: &World, place: usize) {
    let localcounts = &world.localcounts;
    for handed in &localcounts.handed {
        let object = handed.load(Relaxed);
        if let Some(object) = object
            && handed.compare_exchange(Some(object), None, Acquire, Relaxed)
        {
            localcounts.release(object);
        }
    }
    if let Some(object) = localcounts.take(place % OBJECTS) {
        localcounts.release(object);
    }
}
