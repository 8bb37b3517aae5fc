//! What ever happened to the objects and the actors of a scenario, over all runs of a machine.
//!
//! # Overview
//!
//! A campaign that finds nothing says little if the scenario never came to the place where it could fail. So the machine
//! remembers of every condition variable whether anybody slept on it, of every lock whether anybody waited for it, of
//! every handler whether it ever ran while something else was going on, and of every two actors whether they were
//! ever under way at the same time. What is left over is told when the campaign is over ([`Census::never`]).
//!
//! Only objects are counted that the scenario labels while it sets up, with what is inside of them. Parts of
//! the kernel that it uses (its LWPs, a network stack) are not.
//!
//! # Cost
//!
//! The kernel tells of an [`Occasion`] at places that are slow anyway: where somebody goes to sleep, waits for a lock, or
//! runs a callout. The machine looks at which actor goes on only until all of them have been seen together.

use std::cell::{Cell, RefCell};
use std::fmt;

use kmod::config::Config;
use kmod::machine::{Field, ObjectKind};
use serde::Serialize;

use super::memory::CONTEXTS;
use super::side::Host;

/// Names that a line of [`Census::lines`] has, at most.
const NAMES: usize = 6;

/// What happened over the runs of one machine, or of several.
#[derive(Clone, Debug, Default)]
pub struct Census {
    objects: Vec<Object>,
    actors: Vec<Actor>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Object {
    address: usize,
    name: String,
    sort: ObjectKind,
    /// Somebody slept on it, or waited for it, or it ran.
    happened: bool,
    /// A handler ran while something else was going on.
    overlapped: bool,
}

impl Object {
    fn is_done(&self) -> bool {
        self.happened && (self.overlapped || self.sort != ObjectKind::Handler)
    }
}

#[derive(Clone, Debug)]
struct Actor {
    context: usize,
    name: String,
    /// The actors, by their positions, that were under way while this one was: itself, too.
    together: u64,
}

/// Actors of a scenario that are told apart.
const ACTORS: usize = u64::BITS as usize;

/// Addresses that are told fast to need no look. A power of two.
const SETTLED: usize = 32;

/// What never happened in any run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Never {
    /// What: `slept`, `contended`, `ran`, `overlapped`, `beside-others`, `together`.
    pub what: &'static str,
    /// To what: objects by their labels, or actors. Of `together`, pairs of actors.
    pub names: Vec<String>,
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.what {
            "slept" => "nobody slept on: ",
            "contended" => "nobody had to wait for: ",
            "ran" => "these handlers did not run: ",
            "overlapped" => "these handlers ran only while nothing else did: ",
            "beside-others" => "these threads ran only while no other was under way: ",
            _ => "these threads were not under way at the same time: ",
        })?;
        for (number, name) in self.names.iter().take(NAMES).enumerate() {
            let before = if number == 0 { "" } else { ", " };
            write!(f, "{before}{name}")?;
        }
        match self.names.len().saturating_sub(NAMES) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Census {
    /// What never happened, in a fixed order. Empty if everything did.
    pub fn never(&self) -> Vec<Never> {
        let of = |sort, missing: fn(&Object) -> bool| {
            let objects = self.objects.iter();
            let missing = objects.filter(move |object| object.sort == sort && missing(object));
            Vec::from_iter(missing.map(|object| object.name.clone()))
        };
        let everybody = (1 << self.actors.len().min(ACTORS - 1)) - 1;
        let several = self.actors.len() > 1;
        let is_alone = |number: usize| self.actors[number].together == 1 << number;
        let alone = (0..self.actors.len()).filter(|&number| several && is_alone(number));
        let mut apart = Vec::new();
        for (number, actor) in self.actors.iter().enumerate() {
            let later = everybody & !actor.together & !((2 << number) - 1);
            let others = (0..self.actors.len()).filter(|other| later & 1 << other != 0);
            for other in others.filter(|&other| !is_alone(number) && !is_alone(other)) {
                apart.push(format!("{} and {}", actor.name, self.actors[other].name));
            }
        }
        let all = [
            ("slept", of(ObjectKind::Condvar, |object| !object.happened)),
            ("contended", of(ObjectKind::Lock, |object| !object.happened)),
            ("ran", of(ObjectKind::Handler, |object| !object.happened)),
            (
                "overlapped",
                of(ObjectKind::Handler, |object| {
                    object.happened && !object.overlapped
                }),
            ),
            (
                "beside-others",
                Vec::from_iter(alone.map(|number| self.actors[number].name.clone())),
            ),
            ("together", apart),
        ];
        let told = all.into_iter().filter(|(_, names)| !names.is_empty());
        Vec::from_iter(told.map(|(what, names)| Never { what, names }))
    }

    /// The same, as a few lines for people, with a heading. None if everything happened.
    pub fn lines(&self, schedules: u64) -> Vec<String> {
        let never = self.never();
        if never.is_empty() {
            return Vec::new();
        }
        let heading = match schedules {
            1 => "  in this schedule:".to_owned(),
            _ => format!("  in all of these {schedules} schedules:"),
        };
        let lines = never.iter().map(|never| format!("    {never}"));
        std::iter::once(heading).chain(lines).collect()
    }

    /// Adds what happened on another machine, which booted the same.
    pub fn merge(&mut self, other: Census) {
        if self.objects.is_empty() {
            self.objects = other.objects;
        } else {
            for (mine, theirs) in self.objects.iter_mut().zip(other.objects) {
                mine.happened |= theirs.happened;
                mine.overlapped |= theirs.overlapped;
            }
        }
        // Actors are numbered as they begin, which differs.
        for actor in &other.actors {
            let number = self.number(actor.context, &actor.name);
            for (position, theirs) in other.actors.iter().enumerate() {
                if actor.together & 1 << position != 0 {
                    let same = self.number(theirs.context, &theirs.name);
                    self.actors[number].together |= 1 << same;
                }
            }
        }
    }

    /// The position of an actor, which is new perhaps. Those beyond [`ACTORS`] share the last.
    fn number(&mut self, context: usize, name: &str) -> usize {
        let known = self
            .actors
            .iter()
            .position(|actor| actor.context == context);
        known.unwrap_or_else(|| {
            let number = self.actors.len();
            if number == ACTORS - 1 {
                return number - 1;
            }
            self.actors.push(Actor {
                context,
                name: name.to_owned(),
                together: 1 << number,
            });
            number
        })
    }
}

/// The census that a machine takes.
pub(crate) struct Taker {
    census: RefCell<Census>,
    setting_up: Cell<bool>,
    /// Objects of which not everything is known to have happened.
    open: Cell<usize>,
    /// Addresses, as the kernel has them, of which nothing more is to be known: each at its place, by its bits.
    settled: [Cell<usize>; SETTLED],
    /// Whether some actors have not been seen together.
    watching: Cell<bool>,
    /// The actors that are under way, each by its bit.
    active: Cell<u64>,
    /// The bit of the actor in each context; 0 if none is known.
    bits: [Cell<u64>; CONTEXTS],
    /// The bits of the actors that were under way when the actor in each context went on: [`Actor::together`], or fewer.
    met: [Cell<u64>; CONTEXTS],
    /// The contexts of idle CPUs.
    idle: Cell<[usize; Config::MAXCPUS]>,
}

impl Taker {
    pub(crate) fn new() -> Taker {
        Taker {
            census: RefCell::default(),
            setting_up: Cell::new(false),
            open: Cell::new(0),
            settled: [const { Cell::new(0) }; SETTLED],
            watching: Cell::new(false),
            active: Cell::new(0),
            bits: [const { Cell::new(0) }; CONTEXTS],
            met: [const { Cell::new(0) }; CONTEXTS],
            idle: Cell::default(),
        }
    }

    /// Forgets everything: another kernel is to be booted.
    pub(crate) fn clear(&self) {
        self.census.take();
        self.setting_up.set(false);
        self.open.set(0);
        self.watching.set(false);
        self.active.set(0);
        self.settled.iter().for_each(|address| address.set(0));
        self.bits
            .iter()
            .chain(&self.met)
            .for_each(|bits| bits.set(0));
    }

    /// The kernel has booted; these contexts run on its CPUs at rest.
    pub(crate) fn take_image(&self, idle: [usize; Config::MAXCPUS]) {
        let objects = &mut self.census.borrow_mut().objects;
        objects.sort_by_key(|object| object.address);
        objects.dedup_by_key(|object| object.address);
        self.open.set(objects.len());
        self.idle.set(idle);
    }

    /// A run begins.
    pub(crate) fn begin(&self) {
        self.active.set(0);
    }

    /// What happened in all runs.
    pub(crate) fn get(&self) -> Census {
        self.census.borrow().clone()
    }

    /// Whether what is labelled is the scenario's own.
    pub(crate) fn set_up(&self, is_own: bool) {
        self.setting_up.set(is_own);
    }

    /// A structure has a name.
    pub(crate) fn label(
        &self,
        address: usize,
        name: &str,
        fields: &'static [Field],
        sort: ObjectKind,
    ) {
        if self.setting_up.get() {
            let objects = &mut self.census.borrow_mut().objects;
            add(objects, address, name, fields, sort);
        }
    }

    /// The actor in this context begins. Returns whether it is known; if not, [`Taker::new_actor_begins`] must be called.
    #[inline]
    pub(crate) fn begins(&self, context: usize) -> bool {
        let bit = self.bits[context].get();
        self.active.set(self.active.get() | bit);
        self.resumed(context);
        bit != 0
    }

    /// An actor that is not known yet begins in this context.
    pub(crate) fn new_actor_begins(&self, context: usize, name: &str) {
        let bit = 1 << self.census.borrow_mut().number(context, name);
        self.bits[context].set(bit);
        self.active.set(self.active.get() | bit);
        self.meet(context, bit);
    }

    /// The actor in this context has come to its end.
    #[inline]
    pub(crate) fn actor_ends(&self, context: usize) {
        self.active
            .set(self.active.get() & !self.bits[context].get());
    }

    /// A context goes on.
    #[inline]
    pub(crate) fn resumed(&self, context: usize) {
        if !self.watching.get() {
            return;
        }
        let active = self.active.get();
        let bit = self.bits[context].get();
        if bit & active != 0 && active & !self.met[context].get() != 0 {
            self.meet(context, bit);
        }
    }

    /// The actor `bit`, in this context, goes on while others are under way.
    #[cold]
    #[inline(never)]
    fn meet(&self, context: usize, bit: u64) {
        let _host = Host::begin();
        let active = self.active.get();
        self.met[context].set(self.met[context].get() | active);
        let actors = &mut self.census.borrow_mut().actors;
        for (number, actor) in actors.iter_mut().enumerate() {
            if 1 << number == bit {
                actor.together |= active;
            } else if active & 1 << number != 0 {
                actor.together |= bit;
            }
        }
        let everybody = (1 << actors.len()) - 1;
        let all_met = actors.iter().all(|actor| actor.together == everybody);
        self.watching.set(!all_met);
    }

    /// Whether it is known that nothing more is to be known of what is at `address`.
    #[inline]
    pub(crate) fn is_settled(&self, address: usize) -> bool {
        self.open.get() == 0 || self.place(address).get() == address
    }

    #[inline]
    fn place(&self, address: usize) -> &Cell<usize> {
        &self.settled[(address >> 3 ^ address >> 9) % SETTLED]
    }

    /// Somebody slept on the object, or waited for it.
    ///
    /// `kernels` is its address as the kernel has it, which of a global variable is another than the machine's.
    pub(crate) fn used(&self, kernels: usize, address: usize) {
        self.happened(kernels, address, false);
    }

    /// The handler of the object begins or ends, on this CPU; `contexts` are those on all CPUs.
    pub(crate) fn handled(
        &self,
        (kernels, address): (usize, usize),
        on_top: bool,
        cpu: usize,
        contexts: impl Iterator<Item = usize>,
    ) {
        let idle = self.idle.get();
        let busy = |(other, context): (usize, usize)| other != cpu && context != idle[other];
        self.happened(kernels, address, on_top || contexts.enumerate().any(busy));
    }

    fn happened(&self, kernels: usize, address: usize, overlapped: bool) {
        let objects = &mut self.census.borrow_mut().objects;
        let Ok(place) = objects.binary_search_by_key(&address, |object| object.address) else {
            self.place(kernels).set(kernels);
            return;
        };
        let object = &mut objects[place];
        let was = object.is_done();
        object.happened = true;
        object.overlapped |= overlapped;
        if object.is_done() && !was {
            self.open.set(self.open.get() - 1);
        }
        if object.is_done() {
            self.place(kernels).set(kernels);
        }
    }
}

/// Adds what is of interest in a structure.
fn add(
    objects: &mut Vec<Object>,
    address: usize,
    name: &str,
    fields: &'static [Field],
    sort: ObjectKind,
) {
    match sort {
        ObjectKind::Kernel => {}
        ObjectKind::Condvar | ObjectKind::Lock | ObjectKind::Handler => objects.push(Object {
            address,
            name: name.to_owned(),
            sort,
            happened: false,
            overlapped: false,
        }),
        ObjectKind::Other => {
            for field in fields {
                let at = address + field.offset;
                let name = format!("{name}.{}", field.name);
                match field.size.checked_div(field.count) {
                    None => add(objects, at, &name, field.fields, field.sort),
                    Some(size) => (0..field.count).for_each(|element| {
                        let name = format!("{name}[{element}]");
                        add(
                            objects,
                            at + element * size,
                            &name,
                            field.fields,
                            field.sort,
                        );
                    }),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn field(name: &'static str, offset: usize, sort: ObjectKind) -> Field {
        Field {
            name,
            offset,
            size: 8,
            count: 0,
            fields: &[],
            sort,
        }
    }

    static SHELF: [Field; 4] = [
        field("lock", 0, ObjectKind::Lock),
        field("filled", 8, ObjectKind::Condvar),
        field("timer", 16, ObjectKind::Handler),
        field("items", 24, ObjectKind::Other),
    ];

    fn taker() -> Taker {
        let taker = Taker::new();
        taker.label(0, "kernel", &SHELF, ObjectKind::Other);
        taker.set_up(true);
        taker.label(640, "shelf", &SHELF, ObjectKind::Other);
        taker.label(900, "lwp", &SHELF, ObjectKind::Kernel);
        taker.set_up(false);
        taker.take_image([0; _]);
        taker
    }

    fn begin(taker: &Taker, context: usize, name: &str) {
        if !taker.begins(context) {
            taker.new_actor_begins(context, name);
        }
    }

    fn lines(census: &Census) -> Vec<String> {
        census.never().iter().map(Never::to_string).collect()
    }

    #[test]
    fn what_the_scenario_labels_is_counted_until_it_happens() {
        let taker = taker();
        assert_eq!(
            lines(&taker.get()),
            [
                "nobody slept on: shelf.filled",
                "nobody had to wait for: shelf.lock",
                "these handlers did not run: shelf.timer"
            ]
        );
        taker.used(640, 640);
        taker.used(648, 648);
        // Nobody else does anything: every CPU has its idle context.
        taker.handled((656, 656), false, 0, [7, 0].into_iter());
        assert_eq!(
            lines(&taker.get()),
            ["these handlers ran only while nothing else did: shelf.timer"]
        );
        assert!(taker.is_settled(640) && !taker.is_settled(656));
        taker.handled((656, 656), false, 0, [7, 9].into_iter());
        assert_eq!(lines(&taker.get()), [""; 0]);
        assert!(taker.is_settled(656));
        assert!(taker.get().lines(10).is_empty());
    }

    #[test]
    fn actors_are_together_if_one_goes_on_while_the_other_is_under_way() {
        let taker = taker();
        // One after another.
        for (context, name) in [(1, "a"), (2, "b"), (3, "c")] {
            begin(&taker, context, name);
            taker.resumed(context);
            taker.actor_ends(context);
        }
        let told = |taker: &Taker| lines(&taker.get())[3..].join("; ");
        assert_eq!(
            told(&taker),
            "these threads ran only while no other was under way: a, b, c"
        );
        taker.begin();
        begin(&taker, 1, "a");
        begin(&taker, 2, "b");
        taker.actor_ends(1);
        // Its context may be somebody else's by now.
        taker.resumed(1);
        assert_eq!(
            told(&taker),
            "these threads ran only while no other was under way: c"
        );
        begin(&taker, 3, "c");
        assert_eq!(
            told(&taker),
            "these threads were not under way at the same time: a and c"
        );
    }

    #[test]
    fn machines_that_saw_the_actors_begin_in_another_order_are_put_together() {
        let [one, two] = [taker(), taker()];
        one.used(640, 640);
        begin(&one, 1, "a");
        begin(&one, 2, "b");
        two.used(648, 648);
        begin(&two, 2, "b");
        begin(&two, 3, "c");
        let mut census = Census::default();
        census.merge(one.get());
        census.merge(two.get());
        assert_eq!(
            lines(&census),
            [
                "these handlers did not run: shelf.timer",
                "these threads were not under way at the same time: a and c"
            ]
        );
    }

    #[test]
    fn a_line_has_a_few_names() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"].map(str::to_owned);
        let never = Never {
            what: "slept",
            names: names.to_vec(),
        };
        assert_eq!(
            never.to_string(),
            "nobody slept on: a, b, c, d, e, f and 2 more"
        );
    }
}
