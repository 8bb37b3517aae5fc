//! Runs a script: each operation that the state of the LWP allows.
//!
//! # What is held
//!
//! Between operations an LWP may hold references to interfaces and addresses (then it is bound to its CPU), to routes, and to entries
//! of the table of neighbours. It may have taps. It holds no locks. An LWP with a reference to an interface, an address or a
//! route must not wait until others release theirs, and must not take IFNET_LOCK, under which others wait for that.

use crate::kern::lwp::{Arg, curlwp};
use crate::kern::psref::Psref;
use crate::note;
use crate::scenario::classics::shared;
use crate::scenario::ops::form::Run;
use crate::scenario::ops::runner::{self, Runner, Runs};
use crate::scenario::softnet::world::World;
use crate::scenario::softnet::{address, interface, neighbour, queue, route, tap};

/// Most references of a kind that an LWP holds.
pub(super) const HELD: usize = 2;

/// An LWP that runs a script: what it holds.
pub(crate) struct Actor {
    pub(super) lwp: Runner,
    pub(super) world: &'static World,
    pub(super) interfaces: interface::Held,
    pub(super) addresses: address::Held,
    pub(super) routes: route::Held,
    pub(super) neighbours: neighbour::Held,
    pub(super) taps: tap::Opened,
    pub(super) queue: queue::Own,
}

/// The function of LWP `index`.
pub(super) fn run(index: Arg) {
    let l = curlwp();
    let world: &'static World = shared(l.kernel().data());
    let mut actor = Actor {
        lwp: Runner::begin(&world.scripts, index.0),
        world,
        interfaces: Kept::new(),
        addresses: Kept::new(),
        routes: [None; HELD],
        neighbours: [None; HELD],
        taps: [None; HELD],
        queue: None,
    };
    let script = world.scripts.script(index.0);
    for op in script.ops() {
        note!("{}: {op}", l.name());
        match op.form().run {
            Run::Lwp(run) => run(&mut actor, op.operands),
            Run::Softnet(run) => run(&mut actor, op.operands),
            Run::Ops(_) => unreachable!("{op} is of another language"),
        }
        actor.check();
    }
    actor.end();
    actor.lwp.end();
    world.leave();
}

impl Runs for Actor {
    fn runner(&mut self) -> &mut Runner {
        &mut self.lwp
    }

    fn check(&self) {
        self.lwp.check();
        interface::check(self);
        address::check(self);
        route::check(self);
        neighbour::check(self);
    }

    fn may_move(&self) -> bool {
        self.interfaces.is_empty() && self.addresses.is_empty()
    }
}

impl Actor {
    /// Whether it holds no reference that another LWP could wait for.
    pub(super) fn holds_nothing(&self) -> bool {
        self.may_move() && self.routes.iter().all(Option::is_none)
    }

    /// Releases everything.
    fn end(&mut self) {
        interface::end(self);
        address::end(self);
        route::end(self);
        neighbour::end(self);
        tap::end(self);
        queue::pktq_destroy(self, [0; 2]);
        while self.lwp.binds() > 0 {
            runner::curlwp_bindx(self, [0; 2]);
        }
    }
}

/// Passive references, with their targets.
pub(super) struct Kept<T: 'static> {
    psrefs: [Psref; HELD],
    objects: [Option<&'static T>; HELD],
}

impl<T> Kept<T> {
    const fn new() -> Self {
        Kept {
            psrefs: [const { Psref::new() }; HELD],
            objects: [None; HELD],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.iter().all(Option::is_none)
    }

    /// The targets that are held.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'static T> {
        self.objects.iter().filter_map(|object| *object)
    }

    /// Calls `find`, which takes a reference, if there is room for one.
    pub(super) fn take(&mut self, find: impl FnOnce(&Psref) -> Option<&'static T>) {
        if let Some(free) = self.objects.iter().position(Option::is_none) {
            self.objects[free] = find(&self.psrefs[free]);
        }
    }

    /// Calls `put` to release the reference that was taken last, if there is one.
    pub(super) fn release(&mut self, put: impl FnOnce(&'static T, &Psref)) {
        if let Some(last) = self.objects.iter().rposition(Option::is_some)
            && let Some(object) = self.objects[last].take()
        {
            put(object, &self.psrefs[last]);
        }
    }
}
