//! What is recorded: resources, their holders, and what a holder waited for.

use core::fmt;

use crate::kern::inside::Operations;
use crate::kern::lwp::Name;
use crate::machine::At;

/// Resources recorded per thread.
pub(super) const HELD: usize = 10;
/// Threads recorded per dependency that never run at the same time.
pub(super) const APART: usize = 4;

/// The kind of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sort {
    /// A mutex.
    Mutex,
    /// An rwlock.
    Rwlock,
    /// The slot of a cross-call box: one request at a time, and its functions.
    Xcall,
    /// A softint level of a CPU.
    Softint,
    /// The softclock of a CPU, which ends timed sleeps.
    Softclock,
    /// The handler of a callout.
    Callout,
    /// Passive references to a target.
    Psrefs,
    /// The references that a localcount counts.
    Localcount,
    /// The end of a thread.
    Exit,
    /// The batch of a workqueue's worker.
    Work,
}

impl Sort {
    /// Whether several threads can have it at the same time, so that it excludes none of them.
    const fn is_shared(self) -> bool {
        matches!(self, Sort::Psrefs | Sort::Localcount)
    }

    /// Whether the wait-for graph contains it. Otherwise the report of the deadlock itself cannot print the cycle.
    pub const fn is_drawn(self) -> bool {
        !matches!(self, Sort::Localcount | Sort::Work)
    }

    /// Whether it is identified by address, so that a new one can be where an old one was.
    pub(super) const fn is_in_memory(self) -> bool {
        !matches!(self, Sort::Softint | Sort::Softclock)
    }
}

/// A resource: one instance in one run.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// Its kind.
    pub sort: Sort,
    /// Its address, or the number of its CPU with its level in the upper bits.
    pub key: usize,
    /// 0 for one that exists; a number of its own for one that was freed at the same address.
    pub life: u32,
    /// Its name.
    pub word: &'static str,
    /// The owner's name, for resources that belong to a thread.
    pub of: Option<Name>,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Resource) -> bool {
        (self.sort, self.key, self.life) == (other.sort, other.key, other.life)
    }
}

impl Resource {
    pub(super) const fn new(sort: Sort, key: usize, word: &'static str) -> Resource {
        Resource {
            sort,
            key,
            life: 0,
            word,
            of: None,
        }
    }

    /// The CPU of a softint level or a softclock.
    pub const fn cpu(&self) -> usize {
        self.key & 0xff
    }

    /// Its text as a station of a cycle, the same as in the wait-for graph.
    pub fn station(&self) -> impl fmt::Display + use<> {
        struct Station(Resource);
        impl fmt::Display for Station {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0.sort {
                    Sort::Softclock | Sort::Callout => f.write_str("callout"),
                    _ => write!(f, "{}", self.0),
                }
            }
        }
        Station(*self)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, cpu) = (self.word, self.cpu());
        match (self.sort, self.of) {
            (Sort::Softint, _) => write!(f, "softint {word} of cpu{cpu}"),
            (Sort::Softclock, _) => write!(f, "callout thread of cpu{cpu}"),
            (Sort::Psrefs, _) => write!(f, "psref of class {word}"),
            (Sort::Work, _) => write!(f, "work of {word}"),
            (Sort::Exit, Some(name)) => write!(f, "end of {name}"),
            _ => f.write_str(word),
        }
    }
}

/// A thread, as reports show it.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// The address of its LWP.
    pub lwp: usize,
    /// 0 for one that exists; a number of its own for one whose LWP was reused.
    pub life: u32,
    /// Its name.
    pub name: Name,
}

impl PartialEq for Actor {
    fn eq(&self, other: &Actor) -> bool {
        (self.lwp, self.life) == (other.lwp, other.life)
    }
}

/// The thread that made the cross call whose function a thread runs, and that waits for it.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// The thread.
    pub actor: Actor,
    /// The operations that it was in when it made the call.
    pub operations: Operations,
    /// Where it made the call.
    pub at: At,
}

/// Who holds a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The thread itself.
    Own,
    /// The thread that waits for the function that this thread runs.
    Requesters,
}

/// A resource that is held or occupied.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// The resource.
    pub resource: Resource,
    /// Whether others can hold it at the same time (a reader's hold).
    pub shared: bool,
    /// Who holds it.
    pub whose: Whose,
    /// Where it was taken.
    pub at: At,
}

/// A thread waited, or would have had to wait, for a resource while it held others.
#[derive(Clone, Copy, Debug)]
pub struct Dependency {
    /// The thread.
    pub by: Actor,
    /// Its CPU.
    pub cpu: usize,
    /// Whether this could also have happened on another CPU.
    pub movable: bool,
    /// The thread whose function it ran.
    pub requester: Option<Requester>,
    /// The resource that it waited for.
    pub wants: Resource,
    /// Whether it wanted to share it.
    pub shared: bool,
    /// Where it waited.
    pub at: At,
    /// The name of the cross-call box through which it waited, if it made a call.
    pub via: Option<&'static str>,
    /// The function in which it slept, if that has a timeout.
    pub sleep: Option<&'static str>,
    /// The operations that it was in.
    pub operations: Operations,
    /// Threads that never run while this can happen: not yet created, or ended.
    pub apart: [Option<Actor>; APART],
    pub(super) held: [Option<Holding>; HELD],
    /// When it happened first, and last.
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Dependency {
    /// What it held at that time, in the order in which it was taken.
    pub fn held(&self) -> impl Iterator<Item = &Holding> {
        self.held.iter().flatten()
    }

    /// Changes every address in it, for a host that compares kernels at different addresses.
    pub fn relocate(&mut self, to: impl Fn(usize) -> usize) {
        let resource = |resource: &mut Resource| {
            if resource.sort.is_in_memory() {
                resource.key = to(resource.key);
            }
        };
        resource(&mut self.wants);
        let held = self.held.iter_mut().flatten();
        held.for_each(|held| resource(&mut held.resource));
        let requester = self.requester.iter_mut().map(|r| &mut r.actor);
        let actors = self.apart.iter_mut().flatten().chain(requester);
        actors.for_each(|actor| actor.lwp = to(actor.lwp));
        self.by.lwp = to(self.by.lwp);
    }

    /// Whether everything in it, threads and resources, exists and has a known address.
    pub fn is_of(&self, known: impl Fn(usize) -> bool) -> bool {
        let resource = |r: &Resource| r.life == 0 && (!r.sort.is_in_memory() || known(r.key));
        let actor = |a: &Actor| a.life == 0 && known(a.lwp);
        resource(&self.wants)
            && self.held().all(|held| resource(&held.resource))
            && actor(&self.by)
            && self.requester.is_none_or(|r| actor(&r.actor))
    }

    /// Whether both are the same dependency, seen twice.
    pub fn is_alike(&self, other: &Dependency) -> bool {
        let who = |d: &Dependency| d.requester.map(|r| (r.actor.lwp, r.actor.life, r.at));
        self.by == other.by
            && self.wants == other.wants
            && self.at == other.at
            && (self.shared, self.via, self.sleep, who(self))
                == (other.shared, other.via, other.sleep, who(other))
            && self.held().count() == other.held().count()
            && self
                .held()
                .zip(other.held())
                .all(|(a, b)| a.resource == b.resource && a.at == b.at && a.shared == b.shared)
    }

    /// Whether a thread takes part: it waits, or waits for the function.
    fn involves(&self, actor: &Actor) -> bool {
        self.by == *actor || self.requester.is_some_and(|r| r.actor == *actor)
    }

    /// Whether it can happen at the same time as `other`: the threads differ, can run together, and hold no exclusive
    /// resource in common.
    pub(super) fn is_beside(&self, other: &Dependency) -> bool {
        let apart = |a: &Dependency, b: &Dependency| {
            a.apart.iter().flatten().any(|actor| b.involves(actor))
        };
        let requester = other.requester.map(|r| r.actor);
        let distinct =
            !self.involves(&other.by) && requester.is_none_or(|actor| !self.involves(&actor));
        distinct && !apart(self, other) && !apart(other, self) && !self.excludes(other)
    }

    /// Whether a gate lock keeps them from happening at the same time.
    fn excludes(&self, other: &Dependency) -> bool {
        self.held().any(|a| {
            !a.resource.sort.is_shared()
                && other
                    .held()
                    .any(|b| a.resource == b.resource && !(a.shared && b.shared))
        })
    }

    /// What `other` holds that this waits for, if anything.
    pub(super) fn blocked_by<'a>(&self, other: &'a Dependency) -> Option<&'a Holding> {
        let same = other.held().find(|held| self.waits_for(held));
        // A wait for a softclock is also a wait for its level, if something else occupies that.
        same.or_else(|| {
            let level = |held: &&Holding| {
                held.resource.sort == Sort::Softint
                    && held.resource.word == super::SOFTCLOCK
                    && self.is_on(held.resource.cpu())
            };
            let occupied = self.wants.sort == Sort::Softclock && !other.runs_callouts();
            other.held().find(level).filter(|_| occupied)
        })
    }

    fn runs_callouts(&self) -> bool {
        self.held()
            .any(|held| held.resource.sort == Sort::Softclock)
    }

    fn waits_for(&self, held: &Holding) -> bool {
        if self.wants.sort == Sort::Softclock && held.resource.sort == Sort::Softclock {
            return self.is_on(held.resource.cpu());
        }
        self.wants == held.resource && !(self.shared && held.shared)
    }

    /// Whether what this waits for can be on `cpu`: a thread that can be moved can sleep on any CPU.
    fn is_on(&self, cpu: usize) -> bool {
        self.movable || self.wants.cpu() == cpu
    }
}
