//! What is recorded of a run: events, names of points, and who accessed a cell last. An ordinary run calls none of this.

use kmod::kern::spl::Ipl;
use std::panic::Location;

use kmod::machine::{At, Kind, Line, Mark, Op};
use kmod::mem::Ordering;

use super::engine::Engine;
use super::memory::Memory;
use super::side::Host;
use super::source::place;
use super::trace::{Access, Act, Hold, Layer, Refer, Site, TraceEvent, What};
use super::words::Word;

impl Engine {
    fn record(&self, what: What, occurrence: u32) {
        self.record_on(self.cpu.get(), what, occurrence);
    }

    fn record_on(&self, cpu: usize, what: What, occurrence: u32) {
        if !self.tracing.get() {
            return;
        }
        let event = TraceEvent {
            // The decision that led to this was the one before the next.
            point: self.points.get().saturating_sub(1),
            cpu,
            context: self.context_name(cpu),
            ipl: self.cpus[cpu].ipl.get(),
            what,
            occurrence,
        };
        self.recorder.borrow_mut().events.push(event);
    }

    fn name_access(&self, op: Op, at: At) -> Access {
        Access {
            kind: op.kind,
            order: op.order,
            object: self.object(op),
            location: self.place_of(at),
        }
    }

    /// The step that this operation announces begins. It comes in parts, as for `decide_slowly`.
    #[cold]
    #[inline(never)]
    pub(crate) fn record_op(&self, addr: usize, kind: Kind, order: Ordering, at: At) {
        let _host = Host::begin();
        let op = Op::new(addr, kind, order);
        let object = self.object_word(op);
        let context = self.context_word(self.cpu.get());
        let occurrence = {
            let mut recorder = self.recorder.borrow_mut();
            recorder.count(context, Word::of(op.kind), object)
        };
        if self.tracing.get() {
            self.record(What::Op(self.name_access(op, at)), occurrence);
        }
    }

    /// An access that belongs to the current step.
    #[cold]
    pub(crate) fn record_fused(&self, op: Op, at: At) {
        let _host = Host::begin();
        self.record(What::Fused(self.name_access(op, at)), 0);
    }

    pub(crate) fn record_interrupt(&self, line: Line) {
        self.record(What::Interrupt(line), 0);
    }

    #[cold]
    pub(crate) fn record_switch(&self, to: usize) {
        let _host = Host::begin();
        self.record(
            What::Switch {
                to: self.contexts.name(to),
            },
            0,
        );
    }

    pub(crate) fn record_refusal(&self, object: &str, location: String) {
        let object = object.to_owned();
        self.record(What::Refused { object, location }, 0);
    }

    /// A store of that CPU, which was made there, becomes visible.
    #[cold]
    pub(crate) fn record_visible(&self, cpu: usize, store: Op, at: At) {
        let object = self.object(store);
        let location = self.place_of(at);
        self.record_on(cpu, What::Visible { object, location }, 0);
    }

    /// The load does not see a store of that CPU, which was made there.
    #[cold]
    pub(crate) fn record_missed(&self, by: usize, load: Op, stored_at: At, at: At) {
        let what = What::Missed {
            object: self.object(load),
            by,
            stored: self.place_of(stored_at),
            location: self.place_of(at),
        };
        self.record(what, 0);
    }

    pub(crate) fn record_note(&self, text: String) {
        self.record(What::Note(text), 0);
    }

    /// Something begins or ends in the current step.
    #[cold]
    pub(crate) fn record_mark(&self, mark: Mark) {
        let object = |addr| self.structure_of(addr);
        let lock = |addr, hold| What::Lock {
            object: object(addr),
            hold,
        };
        let device = |level| Layer::Device(Ipl::from_number(level));
        let condvar = |addr, act| What::Condvar {
            object: object(addr),
            act,
        };
        let softint = |level| Layer::Softint(Ipl::from_number(level));
        let what = match mark {
            Mark::Held(addr) => lock(addr, Hold::Alone),
            Mark::Shared(addr) => lock(addr, Hold::Shared),
            Mark::Released(addr) => lock(addr, Hold::Released),
            Mark::Handler(line) => What::Begin(Layer::Handler(line)),
            Mark::HandlerOver(line) => What::End(Layer::Handler(line)),
            Mark::Device(level) => What::Begin(device(level)),
            Mark::DeviceOver(level) => What::End(device(level)),
            Mark::Softint(level) => What::Begin(softint(level)),
            Mark::SoftintOver(level) => What::End(softint(level)),
            Mark::Sleeps { cv, interlock } => {
                let interlock = object(interlock);
                condvar(cv, Act::Sleep { interlock })
            }
            Mark::Signals(cv, sleepers) => condvar(cv, Act::Signal { sleepers }),
            Mark::Broadcasts(cv, sleepers) => condvar(cv, Act::Broadcast { sleepers }),
            Mark::Took {
                object,
                holder,
                function,
                at,
            } => {
                let location = self.place_of(at);
                let refer = Refer::Took {
                    holder,
                    function,
                    location,
                };
                self.reference(object, refer)
            }
            Mark::Gave { object, holder } => self.reference(object, Refer::Gave { holder }),
            Mark::Passed {
                object,
                function,
                at,
            } => {
                let location = self.place_of(at);
                self.reference(object, Refer::Passed { function, location })
            }
            Mark::Fires(callout, scheduled) => {
                let by = scheduled.map(|at| format!(", scheduled at {}", place(at)));
                let callout = self.structure_of(callout);
                What::Note(format!("runs callout {callout}{}", by.unwrap_or_default()))
            }
        };
        self.record(what, 0);
    }

    pub(crate) fn record_wait(&self) {
        let occurrence = self.count_idle(Word::WAIT);
        self.record(What::Wait, occurrence);
    }

    pub(crate) fn record_spin(&self, at: At) {
        let occurrence = self.count_idle(Word::SPIN);
        if self.tracing.get() {
            let location = place(at);
            self.record(What::Spin { location }, occurrence);
        }
    }

    fn count_idle(&self, what: Word) -> u32 {
        let context = self.context_word(self.cpu.get());
        let mut recorder = self.recorder.borrow_mut();
        recorder.count(context, what, Word::NOTHING)
    }

    /// The place of the current step. Code of the standard library stands for who calls it: the end of a scope, where a guard is
    /// dropped, has a place in there.
    fn place_of(&self, at: At) -> String {
        match at.location().map(Location::file) {
            Some(file) if file.starts_with("/rustc/") => self.place_of_call(file, at),
            _ => place(at),
        }
    }

    pub(super) fn site(&self, kind: Kind, at: At) -> Site {
        let cpu = self.cpu.get();
        Site {
            kind,
            cpu,
            context: self.context_name(cpu),
            location: self.place_of(at),
            at: Some(at),
        }
    }

    #[cold]
    pub(super) fn record_site(&self, op: Op, at: At) {
        let _host = Host::begin();
        let Some(offset) = self.memory(|memory| memory.offset(op.addr)) else {
            return;
        };
        match op.kind {
            Kind::Read | Kind::Write => {
                let site = self.site(op.kind, at);
                self.recorder.borrow_mut().touched(offset, site);
            }
            Kind::Store | Kind::Rmw => {
                let site = self.site(op.kind, at);
                self.recorder.borrow_mut().stored(offset, site);
            }
            _ => {}
        }
    }

    #[cold]
    pub(super) fn record_alloc(&self, address: usize, size: usize, at: At) {
        let offset = self.memory(|memory| memory.offset(address));
        if let Some(offset) = offset.filter(|_| self.siting.get()) {
            let site = self.site(Kind::Write, at);
            self.recorder.borrow_mut().born(offset, size, site);
        }
        if self.tracing.get() {
            let location = self.place_of(at);
            self.record(self.reference(address, Refer::Allocated { location }), 0);
        }
    }

    /// What happens to the object at this address.
    fn reference(&self, address: usize, refer: Refer) -> What {
        let offset = self.memory(|memory| memory.offset(address));
        What::Reference {
            object: self.structure_of(address),
            offset: offset.unwrap_or(address),
            refer,
        }
    }

    #[cold]
    pub(super) fn record_free(&self, offset: usize, at: Option<At>) {
        let size = self
            .memory(|memory: &mut Memory| memory.extent(offset))
            .unwrap_or(0);
        if self.tracing.get() {
            // The step of the free has its name.
            let (object, refer) = (String::new(), Refer::Freed { size });
            let what = What::Reference {
                object,
                offset,
                refer,
            };
            self.record(what, 0);
        }
        let mut recorder = self.recorder.borrow_mut();
        recorder.bury_labels(offset, size);
        if let Some(at) = at.filter(|_| self.siting.get()) {
            recorder.freed(offset, size, self.site(Kind::Free, at));
        }
    }
}
