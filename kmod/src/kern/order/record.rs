//! The tables: what each thread holds now, and every dependency so far.
//!
//! The tables have a fixed size, in the kernel's own memory. What does not fit is counted ([`Lost`]), and reported.

use core::fmt;
use core::ops::AddAssign;

use super::cycle::{Cycle, cycles};
use super::dependency::{Actor, Dependency, HELD, Holding, Requester, Resource, Sort, Whose};
use super::life::{Life, Lives};
use super::tell::Kinds;
use crate::kern::kmem;
use crate::kern::lwp::{Lwp, Name};
use crate::machine::At;

/// Maximum number of different dependencies.
const DEPENDENCIES: usize = 320;
/// Maximum number of threads that hold something at the same time.
const THREADS: usize = 96;
/// Maximum number of recorded resource addresses; they tell whether freed memory contained a resource.
const ADDRESSES: usize = 256;

/// What did not fit into the tables.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lost {
    /// Dependencies.
    pub dependencies: u32,
    /// Resources held: by threads that hold too many, or by too many threads.
    pub holds: u32,
    /// Creations and ends of threads.
    pub lives: u32,
}

impl Lost {
    /// Whether everything fit.
    pub fn is_nothing(&self) -> bool {
        *self == Lost::default()
    }
}

impl AddAssign for Lost {
    fn add_assign(&mut self, other: Lost) {
        self.dependencies += other.dependencies;
        self.holds += other.holds;
        self.lives += other.lives;
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost {
            dependencies,
            holds,
            lives,
        } = self;
        write!(
            f,
            "what did not fit into the tables is not looked at: {dependencies} dependencies, {holds} holds, {lives} threads"
        )
    }
}

/// What a thread holds.
struct Thread {
    actor: Actor,
    held: [Option<Holding>; HELD],
}

impl Thread {
    fn push(&mut self, holding: Holding) -> bool {
        let free = self.held.iter_mut().find(|held| held.is_none());
        match free {
            Some(place) => {
                *place = Some(holding);
                true
            }
            None => false,
        }
    }

    /// Removes the last matching resource; the ones after it move up.
    fn remove(&mut self, fits: impl Fn(&Holding) -> bool) -> Option<Holding> {
        let position = self
            .held
            .iter()
            .rposition(|held| held.as_ref().is_some_and(&fits))?;
        let removed = self.held[position];
        self.held.copy_within(position + 1.., position);
        self.held[HELD - 1] = None;
        removed
    }

    fn is_idle(&self) -> bool {
        self.held[0].is_none()
    }
}

/// The data of a request in a cross-call box.
#[derive(Clone, Copy)]
struct Request {
    slot: Resource,
    requester: Requester,
    held: [Option<Holding>; HELD],
}

/// A wait to be recorded.
pub(super) struct Wait {
    pub(super) wants: Resource,
    pub(super) shared: bool,
    pub(super) at: At,
    pub(super) via: Option<&'static str>,
    pub(super) sleep: Option<&'static str>,
    /// What is released during the wait.
    pub(super) without: Option<Resource>,
}

impl Wait {
    pub(super) fn new(wants: Resource, at: At) -> Wait {
        Wait {
            wants,
            shared: false,
            at,
            via: None,
            sleep: None,
            without: None,
        }
    }
}

/// All tables.
pub(super) struct Tables {
    dependencies: &'static mut [Option<Dependency>],
    count: usize,
    threads: &'static mut [Option<Thread>],
    lives: Lives,
    addresses: [usize; ADDRESSES],
    /// The request in each of the two boxes.
    requests: [Option<Request>; 2],
    lost: Lost,
    /// The cycles that were already reported.
    kinds: Kinds,
    clock: u32,
}

/// A table of `count` empty entries.
fn table<T>(count: usize) -> Option<&'static mut [Option<T>]> {
    let slice = kmem::boot_alloc_slice("order", count, |_| None::<T>)?;
    // SAFETY: (1) nobody else has the memory, which is never given back; (2) the shared reference ends here.
    Some(unsafe { core::slice::from_raw_parts_mut(slice.as_ptr().cast_mut(), count) })
}

impl Tables {
    /// Empty tables. Returns `None` if there is no memory.
    pub(super) fn new() -> Option<Tables> {
        Some(Tables {
            dependencies: table(DEPENDENCIES)?,
            count: 0,
            threads: table(THREADS)?,
            lives: Lives::new(),
            addresses: [0; ADDRESSES],
            requests: [None; 2],
            lost: Lost::default(),
            kinds: Kinds::default(),
            clock: 0,
        })
    }

    /// Dependencies so far.
    pub(super) fn dependencies(&self) -> &[Option<Dependency>] {
        &self.dependencies[..self.count]
    }

    /// What did not fit.
    pub(super) fn lost(&self) -> Lost {
        self.lost
    }

    /// How many kinds of cycles were reported.
    pub(super) fn kinds(&self) -> usize {
        self.kinds.count()
    }

    /// Calls `found` with a cycle of each kind that was not reported yet.
    pub(super) fn look(&mut self, found: &mut dyn FnMut(Cycle<'_>)) {
        self.settle();
        let kinds = &mut self.kinds;
        cycles(&self.dependencies[..self.count], &mut |cycle| {
            if kinds.is_new(cycle) {
                found(cycle);
            }
        });
    }

    /// Forgets every dependency, creation and end; but not what is held, what was lost, or what was reported.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.lives = Lives::new();
    }

    fn now(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }

    fn thread(&mut self, l: &Lwp) -> Option<&mut Thread> {
        let lwp = address(l);
        let threads = &mut *self.threads;
        let known = threads
            .iter()
            .position(|t| t.as_ref().is_some_and(|t| t.actor.lwp == lwp));
        // A free entry: its thread holds nothing.
        let place = known.or_else(|| {
            let unused = |t: &Option<Thread>| t.as_ref().is_none_or(Thread::is_idle);
            threads.iter().position(unused)
        })?;
        let thread = &mut threads[place];
        if known.is_none() {
            *thread = Some(Thread {
                actor: actor(l),
                held: [None; HELD],
            });
        }
        thread.as_mut()
    }

    /// Records that `l` holds it.
    pub(super) fn hold(&mut self, l: &Lwp, resource: Resource, shared: bool, at: At) {
        self.remember(&resource);
        let holding = Holding {
            resource,
            shared,
            whose: Whose::Own,
            at,
        };
        let held = self.thread(l).is_some_and(|thread| thread.push(holding));
        self.lost.holds += u32::from(!held);
    }

    /// Records that `l` no longer holds it. Returns whether it did.
    pub(super) fn release(&mut self, l: &Lwp, resource: &Resource) -> bool {
        let own = |held: &Holding| held.resource == *resource && held.whose == Whose::Own;
        let lwp = address(l);
        let mut threads = self.threads.iter_mut().flatten();
        let thread = threads.find(|thread| thread.actor.lwp == lwp);
        thread.is_some_and(|thread| thread.remove(own).is_some())
    }

    /// Another thread than the holder has released it. A reference that is passed from thread to thread blocks
    /// nobody, as far as this can tell.
    pub(super) fn release_of_any(&mut self, resource: &Resource) {
        let mut threads = self.threads.iter_mut().flatten();
        let _found = threads.any(|thread| {
            let same = |held: &Holding| held.resource == *resource;
            thread.remove(same).is_some()
        });
        for held in self.dependencies[..self.count]
            .iter_mut()
            .flatten()
            .flat_map(|d| d.held.iter_mut())
        {
            if held.is_some_and(|held| held.resource == *resource) {
                *held = None;
            }
        }
    }

    /// Makes a held resource shared, or no longer shared.
    pub(super) fn change(&mut self, l: &Lwp, resource: &Resource, shared: bool, at: At) {
        if self.release(l, resource) {
            self.hold(l, *resource, shared, at);
        }
    }

    /// Whether `l` holds it.
    pub(super) fn holds(&self, l: &Lwp, resource: &Resource) -> bool {
        let lwp = address(l);
        let mut threads = self.threads.iter().flatten();
        threads
            .find(|thread| thread.actor.lwp == lwp)
            .is_some_and(|thread| {
                let mut held = thread.held.iter().flatten();
                held.any(|held| held.resource == *resource)
            })
    }

    /// Records that `l` waits, or would have to.
    pub(super) fn wait(&mut self, l: &Lwp, cpu: usize, wait: &Wait) {
        self.remember(&wait.wants);
        let lwp = address(l);
        let found = self
            .threads
            .iter()
            .flatten()
            .find(|thread| thread.actor.lwp == lwp);
        let Some(thread) = found else { return };
        let (by, mut held) = (thread.actor, thread.held);
        for place in &mut held {
            let given_up = place.is_some_and(|held| Some(held.resource) == wait.without);
            if given_up || place.is_some_and(|held| held.resource == wait.wants) {
                *place = None;
            }
        }
        if held.iter().flatten().next().is_none() {
            return;
        }
        let now = self.now();
        let dependency = Dependency {
            by,
            cpu,
            movable: !l.is_bound() && !l.is_softint(),
            requester: self.requester_of(&held),
            wants: wait.wants,
            shared: wait.shared,
            at: wait.at,
            via: wait.via,
            sleep: wait.sleep,
            operations: l.operations(),
            apart: Default::default(),
            held,
            first: now,
            last: now,
        };
        self.add(dependency);
    }

    fn add(&mut self, new: Dependency) {
        let known = &mut self.dependencies[..self.count];
        if let Some(old) = known.iter_mut().flatten().find(|old| old.is_alike(&new)) {
            old.last = new.last;
            old.movable |= new.movable;
            return;
        }
        match self.dependencies.get_mut(self.count) {
            Some(place) => {
                *place = Some(new);
                self.count += 1;
            }
            None => self.lost.dependencies += 1,
        }
    }

    /// The requester of the function that the holder of these runs.
    fn requester_of(&self, held: &[Option<Holding>; HELD]) -> Option<Requester> {
        let mut slots = held
            .iter()
            .flatten()
            .filter(|held| held.resource.sort == Sort::Xcall && held.whose == Whose::Requesters);
        let slot = slots.next_back()?.resource;
        let mut requests = self.requests.iter().flatten();
        let request = requests.find(|request| request.slot == slot);
        request.map(|request| request.requester)
    }

    /// `l` has put a request into a box, without holding `lock`.
    pub(super) fn request(&mut self, l: &Lwp, slot: Resource, lock: &Resource, at: At) {
        self.hold(l, slot, false, at);
        let operations = l.operations();
        let request = self.thread(l).map(|thread| {
            let without = |held: Option<Holding>| held.filter(|held| held.resource != *lock);
            Request {
                slot,
                requester: Requester {
                    actor: thread.actor,
                    operations,
                    at,
                },
                held: thread.held.map(without),
            }
        });
        let same = |place: &Option<Request>| place.is_none_or(|other| other.slot == slot);
        if let Some(place) = self.requests.iter_mut().find(|place| same(place)) {
            *place = request;
        }
    }

    /// `l` starts the function of the request in a box. It holds what the requester holds, until
    /// [`end`](Self::end).
    pub(super) fn begin(&mut self, l: &Lwp, slot: &Resource) {
        let mut requests = self.requests.iter().flatten();
        let Some(request) = requests.find(|request| request.slot == *slot).copied() else {
            return;
        };
        let mut lost = 0;
        if let Some(thread) = self.thread(l) {
            for mut holding in request.held.into_iter().flatten() {
                holding.whose = Whose::Requesters;
                lost += u32::from(!thread.push(holding));
            }
        }
        self.lost.holds += lost;
    }

    /// The function of a request has returned.
    pub(super) fn end(&mut self, l: &Lwp) {
        if let Some(thread) = self.thread(l) {
            let theirs = |held: &Holding| held.whose == Whose::Requesters;
            while thread.remove(theirs).is_some() {}
        }
    }

    /// `by` has created `l`, whose LWP may be a reused one.
    pub(super) fn born(&mut self, l: &Lwp, by: &Lwp) {
        let stamp = self.now();
        let lwp = address(l);
        let bury = |who: &mut Actor| {
            if who.lwp == lwp && who.life == 0 {
                who.life = stamp;
            }
        };
        for d in self.dependencies[..self.count].iter_mut().flatten() {
            bury(&mut d.by);
            if let Some(requester) = &mut d.requester {
                bury(&mut requester.actor);
            }
        }
        self.lives.actors().for_each(bury);
        for thread in self.threads.iter_mut() {
            if thread.as_ref().is_some_and(|t| t.actor.lwp == lwp) {
                *thread = None;
            }
        }
        self.forget(lwp, 1);
        self.note_life(l, by, true);
    }

    /// `by` has waited for the end of `l`.
    pub(super) fn joined(&mut self, l: &Lwp, by: &Lwp) {
        self.note_life(l, by, false);
    }

    fn note_life(&mut self, l: &Lwp, by: &Lwp, began: bool) {
        let life = Life {
            who: actor(l),
            other: actor(by),
            when: self.now(),
            began,
        };
        self.lost.lives += u32::from(!self.lives.push(life));
    }

    fn remember(&mut self, resource: &Resource) {
        if !resource.sort.is_in_memory() || self.addresses.contains(&resource.key) {
            return;
        }
        if let Some(place) = self.addresses.iter_mut().find(|place| **place == 0) {
            *place = resource.key;
        }
    }

    /// The `size` bytes at `from` are freed: whatever is allocated there later is something else.
    pub(super) fn forget(&mut self, from: usize, size: usize) {
        let gone = from..from + size;
        let mut found = false;
        for place in &mut self.addresses {
            if gone.contains(place) {
                *place = 0;
                found = true;
            }
        }
        if !found {
            return;
        }
        let stamp = self.now();
        let bury = |resource: &mut Resource| {
            if resource.sort.is_in_memory() && resource.life == 0 && gone.contains(&resource.key) {
                resource.life = stamp;
            }
        };
        for d in self.dependencies[..self.count].iter_mut().flatten() {
            bury(&mut d.wants);
            let held = d.held.iter_mut().flatten();
            held.for_each(|held| bury(&mut held.resource));
        }
        for thread in self.threads.iter_mut().flatten() {
            let held = thread.held.iter_mut().flatten();
            held.for_each(|held| bury(&mut held.resource));
        }
    }

    /// Records with each dependency the threads that never run at the same time.
    pub(super) fn settle(&mut self) {
        for d in self.dependencies[..self.count].iter_mut().flatten() {
            d.apart = self.lives.apart(&d.by, d.first, d.last);
        }
    }
}

fn address(l: &Lwp) -> usize {
    core::ptr::from_ref(l) as usize
}

fn actor(l: &Lwp) -> Actor {
    Actor {
        lwp: address(l),
        life: 0,
        name: l.name(),
    }
}

/// A resource that is a thread's end.
pub(super) fn end_of(l: &Lwp) -> Resource {
    Resource {
        of: Some(Name::format(format_args!("{}", l.name()))),
        ..Resource::new(Sort::Exit, address(l), "end of a thread")
    }
}
