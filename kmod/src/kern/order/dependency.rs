//! What is recorded: resources, who holds them, and who waited for another meanwhile.

use core::fmt;
use core::panic::Location;

use crate::kern::inside::Operations;
use crate::kern::lwp::Name;

/// A place in the source.
pub type At = &'static Location<'static>;

/// Resources that a thread holds or occupies at once, as far as they are remembered.
pub(super) const HELD: usize = 10;
/// Threads that a dependency is known to be never beside, as far as they are remembered.
pub(super) const APART: usize = 4;

/// What sort of thing is waited for.
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
    /// Whether several can have one at the same time, and it excludes nobody from anything.
    const fn is_shared(self) -> bool {
        matches!(self, Sort::Psrefs | Sort::Localcount)
    }

    /// Whether the wait-for graph draws it: else the report of the deadlock itself cannot tell the cycle.
    pub const fn is_drawn(self) -> bool {
        !matches!(self, Sort::Localcount | Sort::Work)
    }

    /// Whether it is told by address: a new one can lie where an old one was.
    pub(super) const fn is_in_memory(self) -> bool {
        !matches!(self, Sort::Softint | Sort::Softclock)
    }
}

/// A resource: one instance of one run.
#[derive(Clone, Copy, Debug)]
pub struct Resource {
    /// What it is.
    pub sort: Sort,
    /// Which: its address, or the number of its CPU, its level above that.
    pub key: usize,
    /// 0 for what lives; a number of its own for what lay there before.
    pub life: u32,
    /// What it is called.
    pub word: &'static str,
    /// Whose it is, of what belongs to a thread.
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

    /// As stations of a cycle are told, which is as the wait-for graph does.
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

/// A thread, as far as it is told.
#[derive(Clone, Copy, Debug)]
pub struct Actor {
    /// Which: the address of its LWP.
    pub lwp: usize,
    /// 0 for one that lives; a number of its own for one whose LWP is another's by now.
    pub life: u32,
    /// Its name.
    pub name: Name,
}

impl PartialEq for Actor {
    fn eq(&self, other: &Actor) -> bool {
        (self.lwp, self.life) == (other.lwp, other.life)
    }
}

/// For whom a thread runs a function: who made the cross call, and waits for it.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// Who.
    pub actor: Actor,
    /// What it was inside of when it made the call.
    pub operations: Operations,
    /// Where it made it.
    pub at: At,
}

/// Whose hold it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The thread's own.
    Own,
    /// That of who waits for the function that the thread runs.
    Requesters,
}

/// A resource that is held or occupied.
#[derive(Clone, Copy, Debug)]
pub struct Holding {
    /// Which.
    pub resource: Resource,
    /// Whether others can hold it at the same time (a reader's hold).
    pub shared: bool,
    /// Whose it is.
    pub whose: Whose,
    /// Since where.
    pub at: At,
}

/// Somebody waited, or would have had to wait, for a resource while it held others.
#[derive(Clone, Copy, Debug)]
pub struct Dependency {
    /// Who.
    pub by: Actor,
    /// On which CPU.
    pub cpu: usize,
    /// Whether it could as well have been on another CPU.
    pub movable: bool,
    /// Whose function it ran.
    pub requester: Option<Requester>,
    /// What it waited for.
    pub wants: Resource,
    /// Whether it would have shared it.
    pub shared: bool,
    /// Where.
    pub at: At,
    /// The word of the cross-call box through which it waited, if it made a call.
    pub via: Option<&'static str>,
    /// The function in which it slept, if that has a timeout.
    pub sleep: Option<&'static str>,
    /// What it was inside of.
    pub operations: Operations,
    /// Threads that never run while this can happen: not yet begun, or ended.
    pub apart: [Option<Actor>; APART],
    pub(super) held: [Option<Holding>; HELD],
    /// When it happened first, and last.
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Dependency {
    /// What was held meanwhile, in the order in which it was taken.
    pub fn held(&self) -> impl Iterator<Item = &Holding> {
        self.held.iter().flatten()
    }

    /// Changes every address in it, for a host that compares kernels which lie elsewhere.
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

    /// Whether everything in it, threads and resources, lies at addresses that are known, and lives.
    pub fn is_of(&self, known: impl Fn(usize) -> bool) -> bool {
        let resource = |r: &Resource| r.life == 0 && (!r.sort.is_in_memory() || known(r.key));
        let actor = |a: &Actor| a.life == 0 && known(a.lwp);
        resource(&self.wants)
            && self.held().all(|held| resource(&held.resource))
            && actor(&self.by)
            && self.requester.is_none_or(|r| actor(&r.actor))
    }

    /// Whether both are the same thing seen twice.
    pub fn is_alike(&self, other: &Dependency) -> bool {
        let who = |d: &Dependency| d.requester.map(|r| (r.actor.lwp, r.actor.life, r.at));
        self.by == other.by
            && self.wants == other.wants
            && core::ptr::eq(self.at, other.at)
            && (self.shared, self.via, self.sleep, who(self))
                == (other.shared, other.via, other.sleep, who(other))
            && self.held().count() == other.held().count()
            && self.held().zip(other.held()).all(|(a, b)| {
                a.resource == b.resource && core::ptr::eq(a.at, b.at) && a.shared == b.shared
            })
    }

    /// Whether a thread takes part: it waits, or waits for the function.
    fn involves(&self, actor: &Actor) -> bool {
        self.by == *actor || self.requester.is_some_and(|r| r.actor == *actor)
    }

    /// Whether it can happen while `other` happens: by other threads, that run at the same time, with nothing held by
    /// both that one alone can hold.
    pub(super) fn is_beside(&self, other: &Dependency) -> bool {
        let apart = |a: &Dependency, b: &Dependency| {
            a.apart.iter().flatten().any(|actor| b.involves(actor))
        };
        let requester = other.requester.map(|r| r.actor);
        let distinct =
            !self.involves(&other.by) && requester.is_none_or(|actor| !self.involves(&actor));
        distinct && !apart(self, other) && !apart(other, self) && !self.excludes(other)
    }

    /// Whether a gate keeps them from happening at the same time.
    fn excludes(&self, other: &Dependency) -> bool {
        self.held().any(|a| {
            !a.resource.sort.is_shared()
                && other
                    .held()
                    .any(|b| a.resource == b.resource && !(a.shared && b.shared))
        })
    }

    /// The hold of `other` that this waits for, if it does.
    pub(super) fn blocked_by<'a>(&self, other: &'a Dependency) -> Option<&'a Holding> {
        let same = other.held().find(|held| self.waits_for(held));
        // Whoever waits for a softclock waits for its level, if something else occupies that.
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

    /// Whether what this waits for can be on `cpu`: whoever can be moved can sleep on any.
    fn is_on(&self, cpu: usize) -> bool {
        self.movable || self.wants.cpu() == cpu
    }
}
